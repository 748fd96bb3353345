"""Where a stack lies on the sky: coordinates of the masters, magnitudes, frames placed by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from small_sky import manifest, small_session, stacked

import skyquilt as sq
from skyquilt.core import Registration, Transform
from skyquilt.core.sky import separation_deg
from skyquilt.engine import align
from skyquilt.errors import UsageError
from skyquilt.steps import register
from skyquilt.testing.sky import Truth

RICH: dict[str, Any] = {
    "target": "NGC 7000",
    "width": 720,
    "height": 960,
    "n_frames": 4,
    "rotation_deg": (0.0, 6.0),
    "n_trails": 0,
}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return small_session(tmp_path_factory.mktemp("raw"), **RICH)


@pytest.fixture(scope="module")
def result(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> sq.RunResult:
    return stacked(truth.folder, tmp_path_factory.mktemp("out"), reference="first")


def test_the_masters_carry_the_coordinates_of_the_sky(result: sq.RunResult, truth: Truth) -> None:
    x, y = np.array([50.0, 600.0, 360.0, 100.0]), np.array([60.0, 80.0, 480.0, 900.0])
    ra, dec = truth.to_sky(x, y)
    for name in ("master_linear", "master_maps"):
        header = fits.getheader(result.stacks[0].outputs[name])
        found_ra, found_dec = WCS(header, naxis=2, fix=False).all_pix2world(x, y, 0)
        assert float(separation_deg(ra, dec, found_ra, found_dec).max()) * 3600.0 < 1.0
        assert header["PLTSOLVD"] is True and header["RADESYS"] == "ICRS" and "CDELT1" not in header


def test_the_manifest_tells_the_place_and_the_magnitudes(result: sq.RunResult, truth: Truth) -> None:
    sky, magnitudes = manifest(result).sky, manifest(result).photometry
    assert sky is not None and sky.solved and sky.reason is None
    assert sky.scale_arcsec == pytest.approx(truth.scenario.scale_arcsec, rel=1e-3)
    assert sky.n_matched is not None and sky.n_matched >= 10 and sky.rms_px is not None and sky.rms_px < 0.5
    assert magnitudes is not None and [channel.channel for channel in magnitudes.channels] == ["R", "G", "B"]
    green = magnitudes.channels[1]
    assert green.zero_point_mag is not None and green.limiting_mag is not None and green.limiting_mag > 12.0
    page = result.stacks[0].outputs["report_html"].read_text()
    assert "On the sky" in page and "Limiting magnitude" in page
    assert "Limiting magnitude" in result.stacks[0].outputs["report_md"].read_text()


def test_a_canvas_that_is_cut_or_halved_has_its_own_coordinates(truth: Truth, tmp_path: Path) -> None:
    for settings in ({"framing": "intersection"}, {"debayer": "superpixel"}):
        told = stacked(truth.folder, tmp_path / "out", reference="first", maps=False, **settings)
        header = fits.getheader(told.stacks[0].outputs["master_linear"])
        x0, y0, _, _ = manifest(told).canvas
        cell = 2 if "debayer" in settings else 1
        x, y = np.array([40.0, 200.0]), np.array([30.0, 300.0])
        ra, dec = truth.to_sky(cell * (x + x0) + (cell - 1) / 2, cell * (y + y0) + (cell - 1) / 2)
        found_ra, found_dec = WCS(header, naxis=2, fix=False).all_pix2world(x, y, 0)
        assert float(separation_deg(ra, dec, found_ra, found_dec).max()) * 3600.0 < 1.0


def test_without_solving_there_are_no_coordinates_and_the_reason_is_told(truth: Truth, tmp_path: Path) -> None:
    told = stacked(truth.folder, tmp_path / "out", solve="off", maps=False)
    assert "CTYPE1" not in fits.getheader(told.stacks[0].outputs["master_linear"])
    sky = manifest(told).sky
    assert sky is not None and not sky.solved and "--solve off" in (sky.reason or "")
    assert manifest(told).photometry is None


def test_a_frame_that_no_star_matches_is_placed_by_its_coordinates(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match, lost = register.match, {}

    def blind(stars: Any, target: Any, **settings: Any) -> Any:
        found = match(stars, target, **settings)
        if lost.setdefault("n", len(stars)) != len(stars) or not isinstance(found, Registration):
            return found
        return register.NoMatch("too few stars in common", len(stars), 0, 0.0)

    monkeypatch.setattr(align.register, "match", blind)
    told = manifest(stacked(truth.folder, tmp_path / "out", reference="first", maps=False, threads=1))
    placed = [frame for frame in told.frames if any("by its coordinates" in note for note in frame.notes)]
    assert len(placed) == 1 and placed[0].status == "stacked"
    frame = next(frame for frame in truth.frames if frame.path.name == placed[0].file)
    assert placed[0].transform is not None
    x, y = np.array([100.0, 600.0, 350.0]), np.array([100.0, 200.0, 800.0])
    found, true = Transform.from_dict(placed[0].transform)(x, y), frame.transform.inverse()(x, y)
    assert np.abs(np.subtract(found, true)).max() < 0.5


def test_a_catalogue_that_is_not_there_is_told_before_any_work(truth: Truth, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        stacked(truth.folder, tmp_path / "out", catalogue=str(tmp_path / "none.csv"))
    assert not (tmp_path / "out").exists()
