"""What pointings show in common, by their pixels: offsets found under stars and nebulae, and the definition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from skyquilt.core import F32, U8, Box, SkyGrid, Wcs
from skyquilt.steps.mosaic import (
    BLOCK_FEATHER_PX,
    BlockCanvas,
    FrameSky,
    Lattice,
    block_canvas,
    compared_frames,
    make_lattice,
    shared_blocks,
)
from skyquilt.steps.mosaic.shared_blocks import _evenly, _is_sky, _levels_of

WIDTH, HEIGHT, NOISE = 300, 260, 3.0
OFFSETS = np.array([0.0, 40.0, -25.0])
SCALES = np.array([1.0, 1.25, 0.8])
POINTINGS = np.arange(3)


@dataclass(frozen=True)
class Shown:
    """A frame in memory as samples on a canvas, bilinear, feathered."""

    pixels: F32
    mask: np.ndarray
    grid: SkyGrid
    looked: BlockCanvas

    @property
    def n_channels(self) -> int:
        return len(self.pixels)

    @property
    def weight_channels(self) -> int:
        return 1

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        down, across = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(np.float64)
        x, y = self.grid.wcs.to_pixels(*self.looked.grid.wcs.to_sky(across, down))
        for channel, plane_ in enumerate(self.pixels):
            values[channel] = map_coordinates(plane_, [y, x], order=1, mode="nearest")
        whole = map_coordinates(self.mask.astype(np.float64), [y, x], order=1, cval=0.0) > 0.999
        edge = np.minimum(np.minimum(x + 0.5, WIDTH - 0.5 - x), np.minimum(y + 0.5, HEIGHT - 0.5 - y))
        ramp = 2.0 + 253.0 * np.clip(edge / BLOCK_FEATHER_PX, 0.0, 1.0)
        weights[0] = np.where(whole, ramp, 0.0).astype(np.uint8)


def plane(ra_deg: float, dec_deg: float, width: int = WIDTH, height: int = HEIGHT) -> SkyGrid:
    cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) / 3600.0
    return SkyGrid(Wcs((ra_deg, dec_deg), ((width - 1) / 2, (height - 1) / 2), cd), width, height)


def true_sky(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A steep nebula and forty stars in the pixels of the canvas."""
    rng = np.random.default_rng(5)
    sky = 900.0 * np.exp(-((x - 260.0) ** 2 + (y - 150.0) ** 2) / 2 / 45.0**2)
    for star_x, star_y, peak in zip(
        rng.uniform(0, 560, 40), rng.uniform(0, 420, 40), rng.exponential(3000.0, 40), strict=True
    ):
        near = np.hypot(x - star_x, y - star_y) < 9.0
        sky[near] += peak * np.exp(-((x[near] - star_x) ** 2 + (y[near] - star_y) ** 2) / 2 / 1.3**2)
    return sky


CANVAS = plane(10.0, 0.0, 560, 420)
PLACES = [(-120.3, -75.2), (120.0, -70.0), (10.4, 80.7)]


@cache
def panels() -> tuple[Shown, ...]:
    """Return three panels that overlap by some 50 px, with levels and flux scales of their own."""
    rng = np.random.default_rng(1)
    grids = [plane(10.0 - east / 3600.0, north / 3600.0) for east, north in PLACES]
    looked = block_canvas(grids, CANVAS)
    made = []
    for k, grid in enumerate(grids):
        down, across = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
        value = true_sky(*CANVAS.wcs.to_pixels(*grid.wcs.to_sky(across, down))) + rng.normal(0, NOISE, down.shape)
        pixels = ((value - OFFSETS[k]) / SCALES[k])[None].astype(np.float32)
        made.append(Shown(pixels, np.ones((HEIGHT, WIDTH), dtype=bool), grid, looked))
    return tuple(made)


def blocks_of(
    shown: tuple[Shown, ...], pointing: np.ndarray = POINTINGS, scale: np.ndarray = SCALES[:, None]
) -> Lattice:
    return shared_blocks(dict(enumerate(shown)), [one.grid for one in shown], shown[0].looked, scale, pointing)


def differences(lattice: Lattice, first: int, second: int) -> np.ndarray:
    """Return first minus second of two scaled panels in the blocks that both show."""
    level = {(k, p): value for k, p, value in zip(lattice.frame, lattice.point, lattice.level[:, 0], strict=True)}
    both = [p for k, p in level if k == first and (second, p) in level]
    return np.array([SCALES[first] * level[first, p] - SCALES[second] * level[second, p] for p in both])


def test_levels_differ_by_what_the_panels_do_under_stars_and_a_steep_nebula() -> None:
    lattice = blocks_of(panels())
    assert lattice.step_px == 16.0 and lattice.n_frames == 3
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        apart = differences(lattice, first, second)
        assert len(apart) > 20
        expected = OFFSETS[second] - OFFSETS[first]
        assert abs(np.mean(apart) - expected) < 0.2, (first, second)
        assert np.std(apart) < 2 * NOISE * 2**0.5 * 1.2533 / 16.0  # bilinear samples are less noisy, neighbours alike


@pytest.mark.parametrize("finer", [1, 3, 40])
def test_a_finer_canvas_is_looked_at_in_no_more_samples_than_the_frames_have_pixels(finer: int) -> None:
    canvas = SkyGrid(CANVAS.wcs.scaled(finer), finer * CANVAS.width, finer * CANVAS.height)
    looked = block_canvas([one.grid for one in panels()], canvas)
    assert looked.grid.width * looked.grid.height <= CANVAS.width * CANVAS.height
    assert looked.block_px / finer <= 64


def test_blocks_that_one_panel_shows_are_not_listed_but_counted() -> None:
    lattice = blocks_of(panels())
    assert np.bincount(lattice.point, minlength=lattice.n_points).min() >= 2
    assert np.all(np.diff(lattice.point) >= 0)
    assert abs(lattice.n_covered - WIDTH * HEIGHT / 16**2).max() <= 1
    assert np.all(np.bincount(lattice.frame) < lattice.n_covered)


def test_masked_pixels_and_holes_have_no_say() -> None:
    first, second, _ = panels()
    pixels, mask = first.pixels.copy(), first.mask.copy()
    pixels[:, :120] = 1e6
    mask[:120] = False
    holed = replace(first, pixels=pixels, mask=mask)
    before = blocks_of((first, second), POINTINGS[:2], SCALES[:2, None])
    after = blocks_of((holed, second), POINTINGS[:2], SCALES[:2, None])
    assert 0 < len(after.frame) < len(before.frame)
    assert abs(np.mean(differences(after, 0, 1)) - 40.0) < 0.3


def test_frames_of_one_pointing_share_nothing_by_their_pixels() -> None:
    assert blocks_of(panels(), np.zeros(3, np.int64)).n_points == 0
    together = blocks_of(panels(), np.array([0, 0, 1]))
    shown = [set(together.frame[together.point == point]) for point in range(together.n_points)]
    assert shown and all(2 in frames for frames in shown)


def test_panels_that_do_not_meet_share_nothing() -> None:
    far = replace(panels()[0], grid=plane(11.0, 0.0))
    lattice = blocks_of((panels()[0], far), POINTINGS[:2], np.ones((2, 1)))
    assert lattice.n_points == 0 and len(lattice.level) == 0


def test_frames_that_are_not_looked_at_show_nothing() -> None:
    shown = panels()
    grids = [one.grid for one in shown]
    lattice = shared_blocks({0: shown[0], 2: shown[2]}, grids, shown[0].looked, SCALES[:, None], POINTINGS)
    assert set(lattice.frame) == {0, 2} and lattice.n_frames == 3


@pytest.mark.parametrize("step", [1, 2])
def test_blocks_are_told_in_pixels_of_the_canvas(step: int) -> None:
    looked = block_canvas([one.grid for one in panels()], CANVAS, 16 // step)
    lattice = blocks_of(tuple(replace(one, looked=looked) for one in panels()))
    assert looked.step == step and looked.block_px == lattice.step_px == 16.0
    corner = CANVAS.wcs.to_sky(-0.5, -0.5), looked.grid.wcs.to_sky(-0.5, -0.5)
    np.testing.assert_allclose(*corner, rtol=0, atol=1e-9)
    assert np.abs((lattice.x + 0.5) % 16 - 8).max() <= 2 and np.median((lattice.x + 0.5) % 16) == 8
    assert abs(np.mean(differences(lattice, 0, 1)) - 40.0) < 0.3


def shows_sky(light: np.ndarray) -> np.ndarray:
    """Return which samples of one block are kept: sky + 2.5 sigma of what was kept before, but at least half."""
    ordered = np.sort(light[np.isfinite(light)])
    kept = ordered
    for _ in range(5):
        sky, low = kept[len(kept) // 2], kept[int(0.1587 * len(kept))]
        highest = max(sky + 2.5 * (sky - low), ordered[-(-len(ordered) // 2) - 1])
        kept = ordered[ordered <= highest]
    return light <= highest


def test_the_levels_of_a_block_are_medians_of_differences_from_the_mean_of_the_sky() -> None:
    rng = np.random.default_rng(2)
    values = np.array([rng.normal(100.0 * k, 5.0, (2, 6, 256)) for k in range(4)]).astype(np.float32)
    values[:, :, 1, 200:] += 1000.0  # a star
    values[3][:, 2:, 100:] = np.nan  # shows the first two blocks only
    values[0][:, 5] = np.nan
    values[1][:, 4, :50] = np.nan
    number, place, level, middle = _levels_of(values, np.array([0, 0, 1, 2]))
    for block in range(6):
        showing = [k for k in range(4) if np.isfinite(values[k][0, block]).mean() >= 0.75]
        assert list(number[place == block]) == showing
        samples = values[showing][:, :, block].astype(np.float64)
        samples = samples[:, :, np.isfinite(samples).all(axis=(0, 1))]
        assert samples.shape[2] == (206 if block == 4 else 256)
        is_sky = shows_sky(samples.mean(axis=0).sum(axis=0))
        assert is_sky.mean() > 0.95 or (block == 1 and not is_sky[200:].any() and is_sky[:200].mean() > 0.95)
        samples = samples[:, :, is_sky]
        mean = samples.mean(axis=0)
        expected = np.median(samples - mean, axis=2) + np.median(mean, axis=1)
        np.testing.assert_allclose(level[place == block], expected, rtol=1e-7)
        counted = np.flatnonzero(np.isfinite(values[showing, 0, block]).all(axis=0))[is_sky]
        counted = np.stack(np.divmod(counted, 16), axis=1)
        np.testing.assert_allclose(middle[place == block], np.tile(counted.mean(axis=0)[::-1], (len(showing), 1)))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_half_of_a_block_counts_whatever_is_in_it_and_a_nebula_counts_whole(share: float) -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0.0, 1.0, (50, 64))
    starry = noise + np.where(np.arange(64) < share * 64, 30.0, 0.0)
    kept = _is_sky(starry)
    assert kept.mean(axis=1).min() >= 0.5
    if share < 0.5:
        assert kept[:, starry.max(axis=0) < 20.0].mean() > 0.95 and not kept[starry > 20.0].any()
    assert _is_sky(noise + 5.0 * np.arange(64)).mean() > 0.99
    starry[0], starry[1, 1:] = np.nan, np.nan
    kept = _is_sky(starry)
    assert not kept[0].any() and list(np.flatnonzero(kept[1])) == [0]


def crowded(fwhm_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return blocks of 16 px, (80, 256), with a star each, whose light is spread by the seeing."""
    places, fluxes = np.random.default_rng(7).uniform(0, 16, (80, 2)), np.random.default_rng(8).pareto(1.0, 80) * 1e4
    down, across = np.divmod(np.arange(256), 16)
    sigma = fwhm_px / 2.3548
    away = np.hypot(across - places[:, :1], down - places[:, 1:])
    light = fluxes[:, None] / (2 * np.pi * sigma**2) * np.exp(-0.5 * (away / sigma) ** 2)
    return light + rng.normal(0.0, 5.0, light.shape)


def test_the_seeing_is_not_taken_for_sky_where_every_block_has_a_star() -> None:
    rng = np.random.default_rng(6)
    values = np.array([crowded(3.2, rng), crowded(3.2, rng), crowded(3.7, rng), crowded(3.7, rng)])
    number, _, level, _ = _levels_of(values[:, None].astype(np.float32), np.array([0, 0, 1, 1]))
    sharp, wide = (np.median(level[(number // 2) == pointing]) for pointing in (0, 1))
    medians = np.median(np.median(values - values.mean(axis=0), axis=2), axis=1)
    stars = medians[2:].mean() - medians[:2].mean()  # what the stars would make of it
    assert stars > 0.9 and abs(wide - sharp) < 0.4 * stars, (stars, wide - sharp)  # flanks below the noise are left


def test_frames_that_know_opposite_parts_of_a_block_leave_it_to_those_that_know_it_whole() -> None:
    values = np.random.default_rng(3).normal(0.0, 1.0, (4, 1, 1, 256)).astype(np.float32)
    for frame, hole in ((0, slice(0, 60)), (1, slice(90, 150)), (2, slice(180, 240))):
        values[frame, :, :, hole] = np.nan
    values = np.concatenate([values, values[3:] + 7.0])
    number, _, level, _ = _levels_of(values, np.array([0, 0, 1, 1, 2]))
    assert list(number) == [3, 4]
    assert level[1, 0] - level[0, 0] == pytest.approx(7.0, abs=1e-5)


def test_a_few_frames_of_each_pointing_are_read_spread_over_it() -> None:
    pointing = np.array([1] * 3 + [0] * 80 + [2])
    chosen = compared_frames(pointing)
    assert np.bincount(pointing[chosen]).tolist() == [8, 3, 1]
    assert np.ptp(chosen[pointing[chosen] == 0]) == 70
    assert len(compared_frames(np.zeros(20, np.int64))) == 0


def test_a_tile_is_told_by_frames_of_all_its_pointings() -> None:
    pointing = np.repeat(np.arange(6), 8)
    for start in range(9):
        chosen = _evenly(np.arange(48), pointing, start)
        assert np.bincount(pointing[chosen]).tolist() == [5] * 6
    assert len(set(np.concatenate([_evenly(np.arange(48), pointing, start) for start in range(8)]).tolist())) == 48
    assert len(_evenly(np.arange(100), np.arange(100), 7)) == 32


def test_frames_of_one_pointing_are_joined_by_their_own_skies() -> None:
    across, down = np.arange(10.0), np.arange(9.0)
    x, y = np.meshgrid(16.0 * across, 16.0 * down)
    level = np.ones((1, 9, 10), dtype=np.float32)
    sky = FrameSky(level, np.ones(1), 16 * across + 7.5, 16 * down + 7.5, 160, 144, x, y, (72.0, 64.0), 80.0)
    coarse = make_lattice([sky, sky, sky])
    none = np.zeros(0, np.int64)
    empty = Lattice(32.0, none, none, np.zeros(0), np.zeros(0), np.zeros((0, 1)), 3, 0, np.full(3, 20))
    joined = empty.joined(coarse, np.array([0, 0, 1]))
    assert joined.step_px == 32.0 and set(joined.frame) == {0, 1}
    assert np.bincount(joined.point).tolist() == [2] * joined.n_points
    assert joined.n_points == coarse.n_points
    assert joined.n_covered.tolist() == [coarse.n_points, coarse.n_points, 0]
