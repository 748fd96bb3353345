"""Calibration end to end: the right frames are chosen, the masters are right, the sensor is gone from the stack."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_sky import largest_difference, manifest, master, pixels_of, small_session, stacked

import skyquilt as sq
from skyquilt.core import F32, F64
from skyquilt.engine.manifest import MasterRecord
from skyquilt.errors import UsageError
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.sky import Truth

CAMERA: dict[str, Any] = {
    "device": "generic",
    "width": 360,
    "height": 270,
    "n_faint_stars": 300,
    "n_frames": 6,
    "vignetting": 0.3,
    "dust": 3,
    "pixel_response": 0.01,
    "dark_current_adu_s": 2.0,
    "amp_glow_adu_s": 20.0,
    "n_hot_pixels": 100,
    "gradient": 0.0,
    "sky_trend": 0.0,
    "transparency_scatter": 0.0,
    "nebula": False,
    "rotation_deg": (0.0, 0.2),
}
EACH: dict[str, Any] = {"n_bias": 8, "n_dark": 8, "n_flat": 8, "n_flat_dark": 8}


@dataclass(frozen=True)
class Run:
    truth: Truth
    result: sq.RunResult
    image: F32

    def master(self, name: str) -> F32:
        return pixels_of(self.result.stacks[0].outputs[name])[0]


def run(folder: Path, *, session: dict[str, Any] | None = None, **settings: Any) -> Run:
    truth = small_session(folder / "raw", **{**CAMERA, **(EACH if session is None else session)})
    with RawGuard(truth.folder):
        result = stacked(truth.folder, folder / "out", unit="adu", reference="first", **settings)
    return Run(truth, result, master(result))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("calibrated"))


def records(result: sq.RunResult) -> dict[str, MasterRecord]:
    return {record.kind: record for record in manifest(result).calibration}


def noise(pixels: F32 | F64) -> float:
    return float(1.4826 * np.median(np.abs(pixels - np.median(pixels))))


def sky(truth: Truth, image: F32, channel: int = 1) -> F32:
    """Return one plane of a stack on the first frame without the light of its stars."""
    plane: F32 = image[channel] - np.float32(middle_flat(truth)) * truth.render_reference(channel)
    return plane


def unevenness(truth: Truth, image: F32, size: int = 45) -> float:
    """Return the largest relative departure of the green sky of a block from the median block."""
    green = sky(truth, image)
    rows, columns = green.shape[0] // size, green.shape[1] // size
    blocks = green[: rows * size, : columns * size].reshape(rows, size, columns, size)
    levels = np.nanmedian(blocks, axis=(1, 3))
    return float(np.abs(levels / np.median(levels) - 1.0).max())


def middle_flat(truth: Truth) -> float:
    """Return the level to which a flat is brought: the mean of its central half."""
    flat = truth.sensor.flat
    height, width = flat.shape
    return float(flat[height // 4 : height - height // 4, width // 4 : width - width // 4].mean())


# --- masters against the truth


def test_the_masters_are_right_to_their_noise(full: Run) -> None:
    scenario, sensor = full.truth.scenario, full.truth.sensor
    read_noise = scenario.read_noise_e / scenario.gain_e_per_adu
    of_mean = 1.1 * np.hypot(read_noise, 0.3) / np.sqrt(8)

    bias = full.master("master_bias") - scenario.pedestal_adu
    assert abs(np.median(bias)) < 0.5
    assert noise(bias) < of_mean

    dark = full.master("master_dark_60s") - scenario.pedestal_adu - scenario.exposure_s * sensor.dark_adu_s
    calm = scenario.exposure_s * sensor.dark_adu_s < 500
    assert abs(np.median(dark[calm])) < 0.7
    assert abs(np.mean(dark[calm])) < 0.7
    assert noise(dark[calm]) < 1.4 * np.hypot(read_noise, np.sqrt(120 / scenario.gain_e_per_adu)) / np.sqrt(8)

    alive = sensor.flat > 0
    flat = full.master("master_flat")[alive] / (scenario.flat_adu * sensor.flat[alive])
    assert np.median(flat) == pytest.approx(1.0, abs=0.001)
    photon = 1.0 / np.sqrt(8 * scenario.gain_e_per_adu * scenario.flat_adu)
    assert noise(flat) < 1.4 * photon


def test_the_manifest_tells_what_the_masters_are_made_of(full: Run) -> None:
    told = records(full.result)
    assert {kind: record.n_frames for kind, record in told.items()} == dict.fromkeys(
        ("bias", "dark", "flat", "flat_dark"), 8
    )
    assert told["dark"].exposure_s == 60.0
    assert told["dark"].files == [f"DARK_{k:04d}.fits" for k in range(8)]
    assert all(not record.left_out for record in told.values())
    rows = {row["kind"]: row for row in manifest(full.result).calibration_table}
    assert {kind: row["verdict"] for kind, row in rows.items()} == dict.fromkeys(rows, "used")
    assert all(row["reason"] for row in rows.values())


def test_the_flat_takes_the_vignetting_out(full: Run, tmp_path: Path) -> None:
    assert unevenness(full.truth, full.image) < 0.005
    without = run(tmp_path, flat="none")
    assert unevenness(full.truth, without.image) > 0.1
    assert "master_flat" not in without.result.stacks[0].outputs


def test_the_dark_takes_pedestal_dark_current_and_hot_pixels_out(full: Run) -> None:
    light = full.truth.frames[0].sky_light_adu * middle_flat(full.truth)
    levels = np.array([np.nanmedian(sky(full.truth, full.image, channel)) for channel in range(3)])
    assert levels == pytest.approx(light, rel=0.005)
    told = manifest(full.result)
    assert 100 <= told.n_defects < 1000  # the hot ones, and warm neighbours of the amplifier's corner


# --- which frames are taken


def test_lights_of_two_exposures_get_their_own_darks(tmp_path: Path) -> None:
    even = {**CAMERA, "vignetting": 0.0, "dust": 0, "pixel_response": 0.0, "n_frames": 4}
    for exposure, night in ((60.0, 0), (30.0, 1)):
        start = f"2025-03-27T0{1 + night}:20:00"
        changes = {"exposure_s": exposure, "night": night, "start_utc": start, "n_dark": 5}
        truth = small_session(tmp_path / "raw" / f"{exposure:g}s", **{**even, **changes})
        light = truth.frames[0].sky_light_adu[1]
        assert light == pytest.approx(1420.0 * exposure / 60.0, rel=0.01)
    result = stacked(tmp_path / "raw", tmp_path / "out", unit="adu")
    told = manifest(result)
    assert sorted((record.kind, record.exposure_s) for record in told.calibration) == [("dark", 30.0), ("dark", 60.0)]
    assert {"master_dark_30s", "master_dark_60s"} <= set(result.stacks[0].outputs)
    for frame in told.frames:
        assert frame.background_adu == pytest.approx(1420.0 * float(frame.exposure_s or 0) / 60.0, rel=0.01)


def test_a_dark_of_another_exposure_is_scaled_if_there_is_a_bias(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    small_session(tmp_path / "other", **{**CAMERA, "exposure_s": 120.0, "n_dark": 8, "n_frames": 1})
    truth = small_session(raw, **{**CAMERA, "n_bias": 8, "vignetting": 0.0, "dust": 0, "pixel_response": 0.0})
    shutil.copytree(tmp_path / "other" / "darks", raw / "darks")
    result = stacked(raw, tmp_path / "out", unit="adu", reference="first")
    row = next(row for row in manifest(result).calibration_table if row["kind"] == "dark")
    assert row["verdict"] == "scaled"
    assert any("scaled by 0.5" in warning for warning in manifest(result).warnings)
    image = master(result)
    assert np.nanmedian(sky(truth, image)) == pytest.approx(truth.frames[0].sky_light_adu[1], rel=0.005)
    assert unevenness(truth, image) < 0.005  # the amplifier's glow is gone, too


def test_a_dark_of_another_exposure_is_refused_without_a_bias(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    small_session(tmp_path / "other", **{**CAMERA, "exposure_s": 120.0, "n_dark": 4, "n_frames": 1})
    small_session(raw, **CAMERA)
    shutil.copytree(tmp_path / "other" / "darks", raw / "darks")
    told = manifest(stacked(raw, tmp_path / "out"))
    row = next(row for row in told.calibration_table if row["kind"] == "dark")
    assert row["verdict"] == "refused"
    assert "120 s" in row["reason"]
    assert told.calibration == []


def test_bias_alone_takes_the_pedestal_out(tmp_path: Path) -> None:
    only = run(tmp_path, session={"n_bias": 5, "vignetting": 0.0, "dust": 0, "pixel_response": 0.0})
    assert set(records(only.result)) == {"bias"}
    expected = only.truth.frames[0].sky_light_adu[1] + 60.0 * CAMERA["dark_current_adu_s"]
    assert np.nanmedian(sky(only.truth, only.image)) == pytest.approx(expected, rel=0.005)


def test_without_any_the_level_is_as_in_the_files_and_hot_pixels_still_go(tmp_path: Path) -> None:
    bare = run(tmp_path, session={"vignetting": 0.0, "dust": 0, "pixel_response": 0.0})
    told = manifest(bare.result)
    assert told.calibration == []
    assert np.nanmedian(sky(bare.truth, bare.image)) == pytest.approx(bare.truth.frames[0].sky_adu[1], rel=0.005)
    assert told.n_defects > 80


def test_a_kind_can_be_switched_off(tmp_path: Path) -> None:
    off = run(tmp_path, dark="none", flat="none", bias="none", cosmetic="off")
    told = manifest(off.result)
    assert told.calibration == []
    assert told.n_defects == 0


def test_a_folder_or_a_master_can_be_named(full: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    small_session(raw, **CAMERA)
    own = full.truth.folder
    kinds = {"dark": "darks", "flat": "flats", "bias": "biases"}
    named = {kind: str(own / folder) for kind, folder in kinds.items()}
    same: dict[str, Any] = {"unit": "adu", "reference": "first"}
    by_folder = stacked(raw, tmp_path / "by_folder", **same, **named)
    assert {kind: record.n_frames for kind, record in records(by_folder).items()} == {"dark": 8, "flat": 8, "bias": 8}
    assert unevenness(full.truth, master(by_folder)) < 0.005

    made = full.result.stacks[0].outputs
    masters = {"dark": made["master_dark_60s"], "flat": made["master_flat"], "bias": made["master_bias"]}
    by_master = stacked(raw, tmp_path / "by_master", **same, **{kind: str(path) for kind, path in masters.items()})
    assert largest_difference(master(by_master), full.image) < 1e-6
    assert {kind: record.n_frames for kind, record in records(by_master).items()} == {"dark": 8, "flat": 8, "bias": 8}
    assert manifest(by_master).warnings == []


def test_masters_that_lie_beside_the_lights_are_found_and_used(full: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    small_session(raw, **CAMERA)
    shutil.copytree(full.result.stacks[0].folder / "masters", raw / "masters")
    with RawGuard(raw):
        result = stacked(raw, tmp_path / "out", unit="adu", reference="first")
    assert set(records(result)) >= {"bias", "dark", "flat"}
    assert largest_difference(master(result), full.image) < 1e-6


def test_a_path_that_does_not_exist_is_a_usage_error(full: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        stacked(full.truth.folder, tmp_path / "out", flat=str(tmp_path / "nowhere"))


# --- calibration frames that are no good


def _saturate(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = len(content) - (len(content) - 2880) // 2880 * 2880
    content[start:] = b"\x7f\xff" * ((len(content) - start) // 2)
    path.write_bytes(bytes(content))


def test_bad_calibration_frames_are_left_out_named_and_change_nothing(full: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    truth = small_session(raw, **{**CAMERA, **EACH, "n_dark": 9, "n_flat": 9, "n_bias": 9})
    os.truncate(raw / "darks" / "DARK_0008.fits", 60_000)
    (raw / "biases" / "BIAS_0008.fits").write_bytes(b"not a frame at all, just some words for testing" * 10)
    _saturate(raw / "flats" / "FLAT_0008.fits")
    with RawGuard(raw):
        result = stacked(truth.folder, tmp_path / "out", unit="adu", reference="first")
    told = manifest(result)
    assert {kind: record.n_frames for kind, record in records(result).items()} == dict.fromkeys(
        ("bias", "dark", "flat", "flat_dark"), 8
    )
    refused = {other["file"]: other["reason"] for other in told.other_files}
    assert "cut short" in refused["DARK_0008.fits"]
    assert "BIAS_0008.fits" in refused
    assert "65535" in records(result)["flat"].left_out["FLAT_0008.fits"]
    assert any("FLAT_0008.fits" in warning and "65535" in warning for warning in told.warnings)
    assert largest_difference(master(result), full.image) < 1e-6


def test_a_dark_that_vanishes_while_masters_are_made_fails_the_group_or_is_left_out(tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", **{**CAMERA, "n_dark": 4})
    lost = truth.folder / "darks" / "DARK_0002.fits"

    def vanish(event: sq.core.Event) -> None:  # type: ignore[name-defined]
        if event.kind == "phase" and event.phase == "calibrate" and lost.exists():
            lost.unlink()

    result = stacked(truth.folder, tmp_path / "out", listener=vanish)
    assert "DARK_0002.fits" in records(result)["dark"].left_out
    assert records(result)["dark"].n_frames == 3
