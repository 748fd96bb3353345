"""Mosaics of real frames: as good as their stack, islands told, panels of another survey joined."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from skyquilt import mosaic, stack
from skyquilt.core import F32, SkyGrid, Wcs
from skyquilt.engine.mosaic import MosaicResult, MosaicRunResult
from skyquilt.engine.mosaic.solution import Kept
from skyquilt.io.fits import frame_source, open_frame, read_header
from skyquilt.testing.laws import RawGuard, measure_star_fluxes

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
SEESTAR = DATA / "seestar" / "MyWorks"
PANELS = DATA / "mosaic-m17-2mass"
pytestmark = pytest.mark.real

needs_seestar = pytest.mark.skipif(not (SEESTAR / "M 94_sub").is_dir(), reason=f"no Seestar frames in {DATA}")
needs_panels = pytest.mark.skipif(not PANELS.is_dir(), reason=f"no 2MASS panels in {DATA}")


@pytest.fixture(scope="module")
def islands(tmp_path_factory: pytest.TempPathFactory) -> tuple[MosaicRunResult, list[str]]:
    told: list[str] = []
    result = mosaic(
        [SEESTAR / "M 94_sub", SEESTAR / "NGC 7023_sub"],
        tmp_path_factory.mktemp("islands"),
        unit="adu",
        quicklook=False,
        listener=lambda event: told.append(event.message),
    )
    return result, told


def image_of(path: Path) -> tuple[F32, SkyGrid]:
    """Return the pixels of a product, NaN where nothing is known, and where they lie."""
    source, meta = frame_source(open_frame(path)), open_frame(path).meta
    tile = source.read(source.bounds)
    pixels: F32 = tile.pixels.astype(np.float32)
    pixels[:, ~tile.mask] = np.nan
    return pixels, SkyGrid(Wcs.from_header(read_header(path)), meta.width, meta.height)


@needs_seestar
def test_two_sessions_of_different_fields_are_told_as_two_islands(
    islands: tuple[MosaicRunResult, list[str]],
) -> None:
    result, told = islands
    assert not result.failures
    assert {made.name: made.manifest.statistics.n_stacked for made in result.mosaics} == {"M 94": 20, "NGC 7023": 4}
    assert all(made.manifest.statistics.n_left_out == 0 for made in result.mosaics)
    assert any("2 parts of the sky that do not touch" in message for message in told)


@needs_seestar
def test_the_mosaic_of_one_field_is_its_stack_to_noise(
    islands: tuple[MosaicRunResult, list[str]], tmp_path: Path
) -> None:
    made = next(made for made in islands[0].mosaics if made.name == "M 94")
    stacked = stack(SEESTAR / "M 94_sub", tmp_path, unit="adu", quicklook=False).stacks[0]
    ours, theirs = made.manifest.statistics, stacked.manifest.statistics
    assert ours.fwhm_px == pytest.approx(theirs.fwhm_px, rel=0.05)
    # level and scale are those of the frame that each took for the reference
    value, grid = image_of(made.outputs["mosaic_linear"])
    twin, other = image_of(stacked.outputs["master_linear"])
    ra, dec = bright_stars(twin[1], other)
    x, y = grid.wcs.to_pixels(ra, dec)
    at_x, at_y = other.wcs.to_pixels(ra, dec)
    scale = []
    for channel in range(3):
        flux = measure_star_fluxes(value[channel], x, y, 4.0)
        flux_there = measure_star_fluxes(twin[channel], at_x, at_y, 4.0)
        ratio = flux / flux_there
        ratio = ratio[np.isfinite(ratio)]
        assert len(ratio) >= 20
        scale.append(float(np.median(ratio)))
        spread = 1.4826 * np.median(np.abs(ratio - scale[-1]))
        assert spread < 0.01, (channel, spread)
    assert scale == pytest.approx([1.0] * 3, abs=0.01)
    noise, noise_there = np.array(ours.noise) / np.array(scale), np.array(theirs.noise)
    assert noise == pytest.approx(noise_there, rel=0.05)


def bright_stars(plane: F32, grid: SkyGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return directions of the bright stars of an image that do not saturate and have no neighbour."""
    from skyquilt.steps.stars import measure

    stars = measure(np.nan_to_num(plane, nan=float(np.nanmedian(plane))), None, saturation_adu=40_000.0).stars
    inside = (stars.x > 60) & (stars.y > 60) & (stars.x < grid.width - 60) & (stars.y < grid.height - 60)
    good = np.flatnonzero(inside & ~stars.is_saturated)
    good = good[np.argsort(stars.flux[good])[::-1][:150]]
    apart = np.hypot(stars.x[good][:, None] - stars.x, stars.y[good][:, None] - stars.y)
    alone = good[(apart < 16.0).sum(axis=1) == 1]
    alone = alone[:25]  # the photons of fainter ones scatter by more than a per cent
    return grid.wcs.to_sky(stars.x[alone], stars.y[alone])


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> MosaicResult:
    with RawGuard(PANELS):
        result = mosaic(PANELS, tmp_path_factory.mktemp("panels"), unit="adu", quicklook=False)
    assert not result.failures and len(result.mosaics) == 1
    return result.mosaics[0]


@needs_panels
def test_panels_in_the_sine_projection_join_by_their_own_coordinates(panels: MosaicResult) -> None:
    record = panels.manifest.mosaic
    assert panels.manifest.statistics.n_stacked == 4 and len(record.panels) == 4
    assert record.tie_rms_px < 0.1
    assert record.covered_deg2 == pytest.approx(0.147, abs=0.01)
    large = [seam for seam in record.overlaps if seam.n_stars >= 8]
    assert len(large) == 4 and all(seam.flux_ratio == pytest.approx(1.0, abs=0.01) for seam in large)


@needs_panels
def test_the_panels_join_without_a_step(panels: MosaicResult) -> None:
    steps = steps_between(panels)
    assert len(steps) >= 4
    assert max(map(abs, steps)) <= 0.5, steps


def steps_between(made: MosaicResult) -> list[float]:
    """Return the medians of the pixel differences of all pairs of frames that overlap, normalised, DN."""
    kept = Kept.model_validate_json((made.folder / ".skyquilt" / "solution.json").read_bytes())
    canvas = kept.canvas.grid()
    down, across = np.mgrid[: canvas.height, : canvas.width].astype(np.float64)
    sky = canvas.wcs.to_sky(across, down)
    images = []
    for frame in kept.frames:
        source = frame_source(frame.file)
        x, y = frame.grid.wcs.to_pixels(*sky)
        inside = (x > 4) & (y > 4) & (x < frame.width - 5) & (y < frame.height - 5)
        value = map_coordinates(source.read(source.bounds).pixels[0], [y, x], order=1)
        u, v = (across - frame.centre[0]) / frame.radius, (down - frame.centre[1]) / frame.radius
        powers = [np.ones_like(u), u, v, u * u, u * v, v * v]
        level = sum(weight * power for weight, power in zip(frame.surface[0], powers, strict=False))
        images.append(np.where(inside, frame.scale[0] * value + level, np.nan))
    steps = []
    for one, other in combinations(images, 2):
        apart = one - other
        if np.isfinite(apart).sum() > 5000:
            steps.append(float(np.nanmedian(apart)))
    return steps
