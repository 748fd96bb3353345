"""What panels show in common, by their pixels: offsets found under stars and nebulae, and the definition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from skyquilt.core import F32, Box, SkyGrid, Tile, Wcs
from skyquilt.steps.mosaic import Lattice, ShownFrame, shared_blocks
from skyquilt.steps.mosaic.shared_blocks import _levels_of

WIDTH, HEIGHT, NOISE = 300, 260, 3.0
OFFSETS = np.array([0.0, 40.0, -25.0])
SCALES = np.array([1.0, 1.25, 0.8])


@dataclass
class Shown:
    """A panel in memory."""

    pixels: F32
    mask: np.ndarray

    @property
    def n_channels(self) -> int:
        return len(self.pixels)

    @property
    def bounds(self) -> Box:
        return Box.of_shape(*self.pixels.shape[1:])

    def read(self, box: Box) -> Tile:
        rows, columns = box.slices(self.bounds)
        return Tile(self.pixels[:, rows, columns], self.mask[rows, columns], box)


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


@cache
def panels() -> tuple[ShownFrame, ...]:
    """Return three panels that overlap by some 50 px, with levels and flux scales of their own."""
    rng = np.random.default_rng(1)
    made = []
    for k, (east, north) in enumerate([(-120.3, -75.2), (120.0, -70.0), (10.4, 80.7)]):
        grid = plane(10.0 - east / 3600.0, north / 3600.0)
        down, across = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
        value = true_sky(*CANVAS.wcs.to_pixels(*grid.wcs.to_sky(across, down))) + rng.normal(0, NOISE, down.shape)
        pixels = ((value - OFFSETS[k]) / SCALES[k])[None].astype(np.float32)
        made.append(ShownFrame(Shown(pixels, np.ones((HEIGHT, WIDTH), dtype=bool)), grid))
    return tuple(made)


def differences(lattice: Lattice, first: int, second: int) -> np.ndarray:
    """Return first minus second of two scaled panels in the blocks that both show."""
    level = {(k, p): value for k, p, value in zip(lattice.frame, lattice.point, lattice.level[:, 0], strict=True)}
    both = [p for k, p in level if k == first and (second, p) in level]
    return np.array([SCALES[first] * level[first, p] - SCALES[second] * level[second, p] for p in both])


def test_levels_differ_by_what_the_panels_do_under_stars_and_a_steep_nebula() -> None:
    lattice = shared_blocks(panels(), CANVAS, SCALES[:, None])
    assert lattice.step_px == 16.0 and lattice.n_frames == 3
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        apart = differences(lattice, first, second)
        assert len(apart) > 20
        expected = OFFSETS[second] - OFFSETS[first]
        assert abs(np.mean(apart) - expected) < 0.2, (first, second)
        assert np.std(apart) < 3 * NOISE * 2**0.5 * 1.2533 / 16.0  # bilinear samples are less noisy, neighbours alike


def test_blocks_that_one_panel_shows_are_not_listed_but_counted() -> None:
    lattice = shared_blocks(panels(), CANVAS, SCALES[:, None])
    assert np.bincount(lattice.point, minlength=lattice.n_points).min() >= 2
    assert np.all(np.diff(lattice.point) >= 0)
    assert abs(lattice.n_covered - WIDTH * HEIGHT / 16**2).max() <= 1
    assert np.all(np.bincount(lattice.frame) < lattice.n_covered)


def test_masked_pixels_and_holes_have_no_say() -> None:
    first, second, _ = panels()
    pixels, mask = first.source.read(first.source.bounds).pixels.copy(), np.ones((HEIGHT, WIDTH), dtype=bool)
    pixels[:, :120] = 1e6
    mask[:120] = False
    holed = ShownFrame(Shown(pixels, mask), first.grid)
    scale = SCALES[:2, None]
    before, after = shared_blocks([first, second], CANVAS, scale), shared_blocks([holed, second], CANVAS, scale)
    assert 0 < len(after.frame) < len(before.frame)
    assert abs(np.mean(differences(after, 0, 1)) - 40.0) < 0.3


def test_panels_that_do_not_meet_share_nothing() -> None:
    far = ShownFrame(panels()[0].source, plane(11.0, 0.0))
    lattice = shared_blocks([panels()[0], far], CANVAS, np.ones((2, 1)))
    assert lattice.n_points == 0 and len(lattice.level) == 0


def test_the_levels_of_a_block_are_least_squares_of_its_pairs() -> None:
    rng = np.random.default_rng(2)
    values = [rng.normal(100.0 * k, 5.0, (2, 6, 256)) for k in range(4)]
    values[3][:, 2:, 100:] = np.nan  # shows the first two blocks only
    values[0][:, 5] = np.nan
    number, place, level = _levels_of(values)
    for block in range(6):
        showing = [k for k in range(4) if np.isfinite(values[k][0, block]).mean() >= 0.75]
        assert list(number[place == block]) == showing
        for channel in range(2):
            rows, wanted = [], []
            for i, k in enumerate(showing):
                for j in range(i + 1, len(showing)):
                    row = np.zeros(len(showing))
                    row[i], row[j] = 1.0, -1.0
                    rows.append(row)
                    wanted.append(np.median(values[k][channel, block] - values[showing[j]][channel, block]))
            rows.append(np.ones(len(showing)))
            wanted.append(sum(np.median(values[k][channel, block]) for k in showing))
            expected = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
            np.testing.assert_allclose(level[place == block, channel], expected, rtol=1e-9)
