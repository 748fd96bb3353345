"""Whatever is given to a mosaic is used, refused with a sentence, or left out with a reason; every option counts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from small_mosaic import (
    CAMERA,
    SCENE,
    SETTINGS,
    Ear,
    coverage_of,
    grid_of,
    hashes_of,
    pixels_of,
    sew,
    small_chunks,
    statuses,
)

from skyquilt import mosaic
from skyquilt.engine.mosaic import MosaicResult
from skyquilt.errors import NotEnoughDisk, NotRegistered, NoUsableInput, UsageError
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic

PLAIN = replace(CAMERA, n_dark=0, n_trails=0, n_hot_pixels=0, n_cosmics_per_frame=0)


@pytest.fixture(autouse=True)
def _small_chunks() -> Iterator[None]:
    with small_chunks():
        yield


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mosaic") / "in"
    make_mosaic(folder, SCENE)
    return folder


@pytest.fixture(scope="module")
def plain(session: Path, tmp_path_factory: pytest.TempPathFactory) -> MosaicResult:
    with small_chunks():
        return sew(session, tmp_path_factory.mktemp("plain"))


def edit(path: Path, **cards: Any) -> None:
    """Change cards of a header; None removes one."""
    with fits.open(path, mode="update", do_not_scale_image_data=True) as file:
        for keyword, value in cards.items():
            if value is None:
                file[0].header.remove(keyword, ignore_missing=True, remove_all=True)
            else:
                file[0].header[keyword] = value


# --- input


def test_folders_without_frames_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing to see")
    for folders in ([tmp_path / "empty"], [tmp_path / "empty", tmp_path / "notes"]):
        with pytest.raises(NoUsableInput) as caught:
            mosaic(folders, tmp_path / "out", **SETTINGS)
        assert caught.value.exit_code == 4 and "\n" not in caught.value.message
    with pytest.raises(NoUsableInput):
        mosaic([], tmp_path / "out", **SETTINGS)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_frames_beside_one_with_frames_does_no_harm(
    session: Path, tmp_path: Path, plain: MosaicResult
) -> None:
    (tmp_path / "empty").mkdir()
    assert hashes_of(sew([tmp_path / "empty", session], tmp_path / "out")) == hashes_of(plain)


def test_one_frame_alone_is_no_mosaic(session: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    light = sorted((session / "lights").iterdir())[0]
    shutil.copyfile(light, tmp_path / "one" / light.name)
    ear = Ear()
    with pytest.raises(NotRegistered, match="a mosaic takes two at least") as caught:
        mosaic(tmp_path / "one", tmp_path / "out", listener=ear, **SETTINGS)
    assert caught.value.exit_code == 6
    assert any("no other frame overlaps it" in message for message in ear.messages)


def test_fields_apart_make_a_mosaic_each_and_say_so(tmp_path: Path) -> None:
    centres = ((85.0, 34.0), (85.2, 34.05), (95.0, 20.0))
    scene = MosaicScenario(PLAIN, centres=centres, subs=2, header_wcs=True)
    truth = make_mosaic(tmp_path / "in", scene)
    ear = Ear()
    result = mosaic(tmp_path / "in", tmp_path / "out", listener=ear, **SETTINGS)
    assert not result.failures and len(result.mosaics) == len(result.plans) == 2
    assert [made.manifest.statistics.n_stacked for made in result.mosaics] == [4, 2]
    assert [made.manifest.statistics.n_left_out for made in result.mosaics] == [0, 0]
    assert [len(made.manifest.frames) for made in result.mosaics] == [4, 2]
    assert len({made.folder for made in result.mosaics}) == 2
    assert any("2 parts of the sky that do not touch" in message for message in ear.messages)
    for made, panel in zip(result.mosaics, (1, 2), strict=True):
        x, y = grid_of(made).wcs.to_pixels(*truth.panels_deg[panel])
        assert coverage_of(made)[round(float(y)), round(float(x))] >= 120.0


def test_cameras_of_any_size_and_pattern_share_a_mosaic_and_mono_gets_its_own(tmp_path: Path) -> None:
    scenes = {
        "rggb": PLAIN,
        "grbg": replace(PLAIN, cfa="GRBG", width=240, height=176, scale_arcsec=4.5, night=1),
        "mono": replace(PLAIN, cfa=None, night=2),
    }
    truths = {
        name: make_mosaic(tmp_path / name, MosaicScenario(camera, rows=1, columns=2, subs=2, header_wcs=True))
        for name, camera in scenes.items()
    }
    for path in (tmp_path / "grbg").rglob("*.fits"):
        edit(path, INSTRUME="Another camera")
    result = mosaic([tmp_path / name for name in scenes], tmp_path / "out", **SETTINGS, unit="adu")
    assert not result.failures
    colour, mono = result.mosaics
    assert colour.manifest.statistics.n_stacked == 8 and colour.manifest.statistics.n_channels == 3
    assert mono.manifest.statistics.n_stacked == 4 and mono.manifest.statistics.n_channels == 1
    assert len(colour.manifest.mosaic.distortion_order) == 2
    # both cameras lie over the middle, and show its colours alike
    seconds = truths["rggb"].seconds(grid_of(colour), margin_px=4.0) + truths["grbg"].seconds(
        grid_of(colour), margin_px=4.0
    )
    both = seconds == seconds.max()
    assert both.sum() > 500 and np.mean(np.abs(coverage_of(colour)[both] - seconds[both]) < 1.0) > 0.9
    grid = grid_of(colour)
    shown = truths["rggb"].stars_on(grid)
    bright = shown.take(np.arange(6))
    for x, y in zip(bright.x, bright.y, strict=True):
        if both[round(float(y)), round(float(x))]:
            part = pixels_of(colour)[
                :, round(float(y)) - 1 : round(float(y)) + 2, round(float(x)) - 1 : round(float(x)) + 2
            ]
            assert (part.max(axis=(1, 2)) > np.nanmedian(pixels_of(colour), axis=(1, 2)) + 300.0).all()


@pytest.fixture(scope="module")
def unsolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pointings whose headers say where the mount was sent to, and no more."""
    folder = tmp_path_factory.mktemp("unsolved") / "in"
    make_mosaic(folder, MosaicScenario(replace(PLAIN, width=288, height=240), rows=1, columns=2, subs=2, overlap=0.4))
    return folder


def test_pointings_that_are_wrong_or_missing_are_made_good_by_stars_and_neighbours(
    unsolved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(unsolved, folder)
    lights = sorted((folder / "lights").iterdir())
    edit(lights[1], RA=83.4, DEC=35.0)  # a degree and a half
    edit(lights[2], RA=None, DEC=None)
    edit(lights[3], RA=200.0, DEC=-40.0)
    made = sew(folder, tmp_path / "out", solve="auto")
    assert {status for status, _ in statuses(made).values()} == {"stacked"}
    ra = {frame.file: frame.ra_deg for frame in made.manifest.frames}
    told = [fits.getheader(path) for path in sorted((unsolved / "lights").iterdir())]
    for light, header in zip(lights, told, strict=True):
        assert ra[light.name] == pytest.approx(header["RA"], abs=0.05)
    assert sum("shares with" in text for text in made.manifest.warnings) == 2


def test_without_any_pointing_it_ends_with_a_sentence(unsolved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(unsolved, folder)
    for light in (folder / "lights").iterdir():
        edit(light, RA=None, DEC=None)
    ear = Ear()
    with pytest.raises(NotRegistered, match="none of the 4 frames could be placed") as caught:
        mosaic(folder, tmp_path / "out", listener=ear, **{**SETTINGS, "solve": "auto"})
    assert caught.value.exit_code == 6
    assert sum("does not say where it points" in message for message in ear.messages) == 4


def test_without_coordinates_and_without_solving_the_reason_is_told(unsolved: Path, tmp_path: Path) -> None:
    ear = Ear()
    with pytest.raises(NotRegistered):
        mosaic(unsolved, tmp_path / "out", listener=ear, **SETTINGS)
    assert sum("its header has no coordinates (WCS)" in message for message in ear.messages) == 4


def test_stacked_panels_of_another_projection_and_without_an_exposure_enter(
    session: Path, tmp_path: Path, plain: MosaicResult
) -> None:
    folder = tmp_path / "panels"
    folder.mkdir()
    value, grid = pixels_of(plain)[1], grid_of(plain)
    cuts = {"left": (slice(20, 276), slice(20, 220)), "right": (slice(20, 276), slice(140, 340))}
    for name, cut in cuts.items():
        header = fits.Header([*grid.wcs.shifted(cut[1].start, cut[0].start).cards(), ("ROWORDER", "TOP-DOWN", "")])
        header["CTYPE1"], header["CTYPE2"] = "RA---SIN", "DEC--SIN"  # 1e-5 px apart over a third of a degree
        part = np.nan_to_num(value[cut], nan=float(np.nanmedian(value))).astype(np.float32)
        fits.PrimaryHDU(part * 60000.0, header).writeto(folder / f"{name}.fits.gz")
    with RawGuard(folder):
        made = sew(folder, tmp_path / "out", unit="adu", rejection="none", trails=False)
    assert {status for status, _ in statuses(made).values()} == {"stacked"}
    assert any("tell no exposure" in note for note in made.manifest.mosaic.notes)
    assert made.manifest.mosaic.covered_deg2 > 0.1 and np.isin(coverage_of(made), (0.0, 1.0, 2.0)).all()
    seam = made.manifest.mosaic.overlaps[0]
    assert abs(seam.sky_step_sigma) < 0.1 and seam.flux_ratio == pytest.approx(1.0, abs=0.015)  # 78 crowded stars


# --- what cannot be meant


@pytest.mark.parametrize(
    "wish",
    [
        {"size": "0x100"},
        {"size": "300x99999999"},
        {"size": "large"},
        {"centre": "85"},
        {"centre": "400,10"},
        {"centre": "85,91"},
        {"scale_arcsec": 0.0},
        {"scale_arcsec": -3.0},
        {"rotation": "left"},
        {"framing": "intersection"},
        {"framing": "150%"},
        {"projection": "sin"},
        {"blend": "smear"},
        {"bits": "int8"},
        {"canvas": "x.fits", "size": "10x10"},
        {"canvas": "no such file.fits"},
    ],
    ids=str,
)
def test_wishes_that_cannot_be_met_are_refused_with_a_sentence(
    session: Path, tmp_path: Path, wish: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as caught:
        mosaic(session, tmp_path / "out", **{**SETTINGS, **wish})
    assert caught.value.exit_code == 2 and caught.value.message.strip() and "\n" not in caught.value.message
    assert not list(tmp_path.rglob("mosaic_linear.fits"))


def test_a_canvas_beside_all_frames_is_refused(session: Path, tmp_path: Path) -> None:
    with pytest.raises(NoUsableInput, match="no frame touches the canvas") as caught:
        mosaic(session, tmp_path / "out", **SETTINGS, centre="200,-50", size="200x200")
    assert caught.value.exit_code == 4


def test_a_canvas_larger_than_any_disk_is_refused_before_it_is_begun(session: Path, tmp_path: Path) -> None:
    ear = Ear()
    with pytest.raises(NotEnoughDisk, match="MB are needed") as caught:
        mosaic(session, tmp_path / "out", listener=ear, **SETTINGS, scale_arcsec=0.011)
    assert caught.value.exit_code == 7 and not ear.made


@pytest.mark.parametrize("content", [b"", b"no image at all", b"SIMPLE  =                    T"])
def test_a_canvas_that_is_no_image_is_refused(session: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "canvas.fits").write_bytes(content)
    with pytest.raises(UsageError, match=r"--canvas canvas\.fits"):
        mosaic(session, tmp_path / "out", **SETTINGS, canvas=str(tmp_path / "canvas.fits"))


def test_a_canvas_without_coordinates_is_refused(session: Path, tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((20, 20), np.float32)).writeto(tmp_path / "canvas.fits")
    with pytest.raises(UsageError, match="no world coordinates"):
        mosaic(session, tmp_path / "out", **SETTINGS, canvas=str(tmp_path / "canvas.fits"))


# --- options that place and shape the canvas


def test_scale_centre_and_size_place_the_canvas(session: Path, tmp_path: Path) -> None:
    grid = grid_of(sew(session, tmp_path, scale_arcsec=8.0, centre="85.02,34.01", size="120x90"))
    assert (grid.width, grid.height) == (120, 90)
    assert grid.wcs.scale_arcsec == pytest.approx(8.0, rel=1e-6)
    assert grid.centre_deg == pytest.approx((85.02, 34.01), abs=8.0 / 3600.0)  # a pixel


def test_rotation_turns_the_canvas(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    north, turned = grid_of(plain), grid_of(sew(session, tmp_path / "30", rotation="30"))
    auto = grid_of(sew(session, tmp_path / "auto", rotation="auto"))
    angle = turned.wcs.rotation_deg - north.wcs.rotation_deg
    assert abs((angle + 180.0) % 360.0 - 180.0) == pytest.approx(30.0, abs=0.01)
    assert auto.width * auto.height <= min(north.width * north.height, turned.width * turned.height)


def test_a_share_of_the_coverage_crops_the_canvas(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    part = sew(session, tmp_path, framing="50%")
    whole = grid_of(plain)
    assert grid_of(part).width < whole.width and grid_of(part).height < whole.height
    assert np.mean(coverage_of(part)) > np.mean(coverage_of(plain))


def test_the_projection_is_the_one_that_was_asked_for(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    assert grid_of(plain).wcs.projection == "TAN"
    assert grid_of(sew(session, tmp_path, projection="zea")).wcs.projection == "ZEA"


def test_another_images_canvas_is_taken_over(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    again = sew(session, tmp_path, canvas=str(plain.outputs["mosaic_linear"]))
    assert hashes_of(again).keys() == hashes_of(plain).keys()
    assert (grid_of(again).width, grid_of(again).height) == (grid_of(plain).width, grid_of(plain).height)
    assert np.nanmax(np.abs(pixels_of(again) - pixels_of(plain))) < 1e-3


def test_two_bands_differ_from_feathering_but_not_by_much(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    banded = pixels_of(sew(session, tmp_path, blend="multiband"))
    one = pixels_of(plain)
    apart = np.abs(banded - one)[np.isfinite(one) & np.isfinite(banded)]
    sigma = plain.manifest.statistics.noise[1] / plain.manifest.full_scale_adu
    assert 0.0 < np.median(apart) < sigma and np.quantile(apart, 0.99) < 4.0 * sigma


@pytest.mark.parametrize("wish", [{"feather_px": 0.0}, {"radial_feather": 1.0}, {"joint": False}, {"surface_order": 0}])
def test_other_settings_make_another_mosaic(
    session: Path, tmp_path: Path, plain: MosaicResult, wish: dict[str, Any]
) -> None:
    other = sew(session, tmp_path, **wish)
    assert hashes_of(other)["mosaic_linear.fits"] != hashes_of(plain)["mosaic_linear.fits"]


# --- options of the output


def test_sixteen_bits_and_planes_last(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    made = sew(session, tmp_path, bits="uint16", axes="planes last")
    with fits.open(made.outputs["mosaic_linear"]) as file, fits.open(plain.outputs["mosaic_linear"]) as first:
        header, value = file[0].header, file[0].data
        assert header["BITPIX"] == 16 and value.shape == (*first[0].data.shape[1:], 3)
        low, high = np.nanmin(first[0].data), np.nanmax(first[0].data)
        scaled = np.moveaxis(value.astype(np.float64), -1, 0)
        known = np.isfinite(first[0].data)
        design = np.stack([scaled[known], np.ones(known.sum())], axis=1)
        found = np.linalg.lstsq(design, first[0].data[known], rcond=None)[0]
        assert np.abs(design @ found - first[0].data[known]).max() < 2.0 * (high - low) / 65535.0
        moved = [[header[f"CD{row}_{column}"] for column in (2, 3)] for row in (2, 3)]
        assert np.array_equal(moved, grid_of(plain).wcs.cd)


def test_a_hips_is_written_where_one_is_asked_for(session: Path, tmp_path: Path, plain: MosaicResult) -> None:
    assert "hips" not in plain.outputs
    made = sew(session, tmp_path, hips=True)
    folder = made.outputs["hips"].parent
    assert (folder / "properties").read_text().count("hips_") > 5
    assert list(folder.rglob("Npix*")) and list(folder.rglob("Moc.fits"))
    assert hashes_of(made) == hashes_of(plain)
