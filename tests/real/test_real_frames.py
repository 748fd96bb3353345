"""Frames that real telescopes took, with the faults they really have; skipped where they are missing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skyquilt as sq
from skyquilt.core import F32, FrameKind, LightGroup, Session, silent
from skyquilt.engine.calibration import Calibrator
from skyquilt.engine.manifest import Manifest
from skyquilt.errors import NotRegistered
from skyquilt.io.discover import discover
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.testing.laws import RawGuard

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
pytestmark = pytest.mark.real


def frames_of(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real frames {name} are not in {DATA}: set SKYQUILT_DATA")
    return folder


def stacked(folder: Path, out: Path, **settings: Any) -> sq.RunResult:
    with RawGuard(folder):
        return sq.stack(folder, out, quicklook=False, maps=False, **settings)


def manifest(result: sq.RunResult) -> Manifest:
    assert len(result.stacks) == 1
    return result.stacks[0].manifest


def master(result: sq.RunResult) -> F32:
    source = frame_source(open_frame(result.stacks[0].outputs["master_linear"]))
    return source.read(source.bounds).pixels


def check_registered(told: Manifest, n: int, *, bright_px: float) -> None:
    """All frames are in, and the bright stars lie on each other."""
    assert [(frame.file, frame.reason) for frame in told.frames if frame.status == "left_out"] == []
    assert told.statistics is not None
    assert told.statistics.n_stacked == n
    residuals = [frame.bright_residual_px for frame in told.frames if not frame.is_reference]
    assert max(float(value or 9.0) for value in residuals) <= bright_px


# --- Seestar


@pytest.fixture(scope="module")
def m94(tmp_path_factory: pytest.TempPathFactory) -> sq.RunResult:
    return stacked(frames_of("seestar/MyWorks/M 94_sub"), tmp_path_factory.mktemp("m94"))


def test_all_subs_of_m94_lie_within_a_fifth_of_a_pixel(m94: sq.RunResult) -> None:
    told = manifest(m94)
    check_registered(told, 20, bright_px=0.2)
    assert (told.device, told.target, told.filter) == ("seestar", "M 94", "IRCUT")
    assert told.statistics is not None
    assert told.statistics.exposure_s == 200.0
    assert told.statistics.fwhm_px is not None
    assert told.statistics.frames_fwhm_px is not None
    assert told.statistics.fwhm_px < 1.25 * told.statistics.frames_fwhm_px
    assert min(told.statistics.snr_gain) > 2.5
    assert not told.warnings


def test_the_darker_sky_of_the_second_night_weighs_more(m94: sq.RunResult) -> None:
    told = manifest(m94)
    weights: dict[bool, list[float]] = {True: [], False: []}
    for frame in told.frames:
        weights[str(frame.date_obs) > "2025-03-27T03"].append(float(frame.weight or 0))
    assert (len(weights[False]), len(weights[True])) == (14, 6)
    assert np.median(weights[True]) > 1.2 * np.median(weights[False])
    image = master(m94)
    assert image.shape == (3, 1920, 1080)
    assert np.isfinite(image).mean() > 0.95


def test_two_nights_in_two_folders_join_to_the_same_stack(m94: sq.RunResult, tmp_path: Path) -> None:
    lights = sorted(frames_of("seestar/MyWorks/M 94_sub").glob("*.fit"))
    for path in lights:
        night = tmp_path / "subs" / ("night B" if "20250327" in path.name else "night A") / "M 94_sub"
        night.mkdir(parents=True, exist_ok=True)
        (night / path.name).symlink_to(path)
    assert len(list((tmp_path / "subs").iterdir())) == 2
    joined = stacked(tmp_path / "subs", tmp_path / "out")
    check_registered(manifest(joined), 20, bright_px=0.2)
    assert manifest(joined).reference == manifest(m94).reference
    assert np.array_equal(master(joined), master(m94), equal_nan=True)


def test_four_subs_of_ngc_7023_with_an_older_firmware(tmp_path: Path) -> None:
    told = manifest(stacked(frames_of("seestar/MyWorks/NGC 7023_sub"), tmp_path))
    check_registered(told, 4, bright_px=0.2)
    assert told.statistics is not None
    assert 0.1 < told.statistics.rotation_range_deg < 0.3


# --- mono


def test_seven_hours_of_drift_and_rotation(tmp_path: Path) -> None:
    result = stacked(frames_of("mono-hatp32"), tmp_path)
    told = manifest(result)
    assert told.statistics is not None
    assert (told.statistics.n_stacked, told.statistics.n_found, told.statistics.n_channels) == (36, 36, 1)
    shifts = [np.hypot(float(frame.shift_x_px or 0), float(frame.shift_y_px or 0)) for frame in told.frames]
    assert max(shifts) > 100
    assert 0.4 < told.statistics.rotation_range_deg < 0.8
    assert master(result).shape[0] == 1
    assert min(told.statistics.snr_gain) > 2.5


def test_arp_145_without_any_pointing(tmp_path: Path) -> None:
    told = manifest(stacked(frames_of("mono-jocular/Arp 145"), tmp_path))
    check_registered(told, 17, bright_px=0.3)


def test_messier_8_is_grouped_by_filter_and_its_stray_is_refused(tmp_path: Path) -> None:
    result = stacked(frames_of("mono-jocular/Messier 8"), tmp_path)
    assert not result.failures
    by_name = {stack.name: stack.manifest for stack in result.stacks}
    assert sorted(by_name) == ["Messier 8_B", "Messier 8_G", "Messier 8_L", "Messier 8_R"]
    assert all(told.statistics and told.statistics.n_stacked == 3 for told in by_name.values())
    stray = next(frame for frame in by_name["Messier 8_L"].frames if frame.file == "L_12.fit")
    assert stray.status == "left_out"
    assert stray.code in ("no_stars", "clouded", "not_registered")
    assert "stars" in str(stray.reason)


def test_frames_with_almost_no_signal_fail_politely(tmp_path: Path) -> None:
    folder = frames_of("tutorial-m13")
    with RawGuard(folder), pytest.raises(NotRegistered) as caught:
        sq.stack(folder, tmp_path)
    assert "\n" not in caught.value.message
    assert caught.value.hint


# --- calibration frames of ZWO cameras


def calibrated_as(session: Session, exposure_s: float) -> Calibrator:
    """Return the calibrator after it was asked for lights of that exposure, with the camera of the darks."""
    dark = session.darks[0]
    meta = replace(dark.meta, kind=FrameKind.LIGHT, exposure_s=exposure_s)
    light = replace(dark, path=Path("light.fit"), meta=meta)
    calibrator = Calibrator(session, sq.Recipe(), silent, 2, lambda: False)
    group = LightGroup("light", None, None, (light,))
    calibrator.calibrate_group(group.lights, meta.cfa)
    return calibrator


def test_darks_with_a_readout_glitch_do_not_spoil_the_master() -> None:
    folder = frames_of("zwo-calibration") / "ASI120"
    with RawGuard(folder):
        session = discover(folder)
        made = calibrated_as(session, 100.0)
    dark = next(one for one in made.masters if one.record.kind == "dark")
    assert dark.record.files == [f"Dark_ASIImg_100sec_frame000{k}.fit" for k in (2, 4)]
    assert set(dark.record.left_out) == {f"Dark_ASIImg_100sec_frame000{k}.fit" for k in (1, 3, 5)}
    assert all("readout glitch" in reason for reason in dark.record.left_out.values())
    glitched, above = np.median(dark.pixels[781:960]), np.median(dark.pixels[600:781])
    bias = next(one for one in made.masters if one.record.kind == "bias")
    assert bias.record.n_frames == 3  # EXPTIME = 6,4E-05 and all
    assert abs(glitched - above) < 0.03 * (above - np.median(bias.pixels))


def test_flats_of_a_flickering_lamp_are_refused_by_name() -> None:
    folder = frames_of("zwo-calibration") / "ASI120"
    made = calibrated_as(discover(folder), 100.0)
    assert {one.record.kind for one in made.masters} == {"bias", "dark"}
    for k in (1, 2):
        assert any(f"Flat_ASIImg_frame000{k}.fit" in text and "flickers" in text for text in made.warnings)
    row = next(row for row in made.table if row["kind"] == "flat")
    assert row["verdict"] == "refused"


def test_a_flat_that_ends_at_two_mebibytes_is_left_out_and_named() -> None:
    folder = frames_of("zwo-calibration") / "ASI178"
    with RawGuard(folder):
        session = discover(folder)
        made = {exposure: calibrated_as(session, exposure) for exposure in (10.0, 100.0)}
    (flat,) = session.left_out
    assert (flat.path.name, flat.code) == ("Flat_ASIImg_frame0001.fit", "truncated")
    assert "2,091,392 of 2,457,600 bytes" in flat.reason
    for exposure, n in ((10.0, 3), (100.0, 5)):
        dark = next(one for one in made[exposure].masters if one.record.kind == "dark")
        assert (dark.record.n_frames, dark.record.exposure_s, dark.record.left_out) == (n, exposure, {})
        assert np.isfinite(dark.pixels).all()
        assert dark.record.noise_adu is not None


# --- formats


@pytest.mark.long
def test_packed_panels_of_2mass_are_read(tmp_path: Path) -> None:
    folder = frames_of("mosaic-m17-2mass")
    with RawGuard(folder):
        session = discover(folder)
        (group,) = session.groups
        assert len(group.lights) == 4
        for light in group.lights:
            assert light.name.endswith(".fits.gz")
            source = frame_source(light)
            tile = source.read(source.bounds)
            assert tile.pixels.shape == (1, light.meta.height, light.meta.width)
            assert tile.mask.mean() > 0.95
            assert np.ptp(tile.pixels) > 100
        result = sq.stack(folder, tmp_path, quicklook=False)
    assert manifest(result).statistics.n_stacked >= 2  # type: ignore[union-attr]
