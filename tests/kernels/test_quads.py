"""Quads of stars: their code, how the index is made, and how a frame's quads are found in it; beside plain NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from skyquilt.core import CatalogueStars
from skyquilt.core.sky import deproject, directions, project, unit_vectors
from skyquilt.kernels.quads import (
    count_brighter,
    find_neighbours,
    frame_quads,
    look_up_quads,
    quad_code,
    quads_of_row,
)
from skyquilt.steps.solve.index import SkyIndex, _cells, build_index


def code_of(x: np.ndarray, y: np.ndarray) -> tuple[list[int], list[float], float]:
    """The definition: A and B farthest apart at 0 and 1; Re C <= Re D, Re C + Re D <= 1."""
    z = x + 1j * y
    a, b = max(itertools.combinations(range(4), 2), key=lambda pair: abs(z[pair[0]] - z[pair[1]]))
    c, d = (k for k in range(4) if k not in (a, b))

    def place(k: int) -> complex:
        return complex((z[k] - z[a]) / (z[b] - z[a]))

    if place(c).real + place(d).real > 1.0:
        a, b = b, a
    if place(c).real > place(d).real:
        c, d = d, c
    code = [place(c).real, place(c).imag, place(d).real, place(d).imag]
    return [a, b, c, d], code, float(abs(z[b] - z[a]))


def kernel_code(x: np.ndarray, y: np.ndarray) -> tuple[list[int], np.ndarray, float]:
    corner, code = np.empty(4, np.int64), np.empty(4)
    side = quad_code(np.ascontiguousarray(x), np.ascontiguousarray(y), corner, code)
    return corner.tolist(), code, side


@pytest.mark.parametrize("seed", range(200))
def test_the_code_is_its_definition(seed: int) -> None:
    x, y = np.random.default_rng(seed).uniform(0, 1000, (2, 4))
    corner, code, side = kernel_code(x, y)
    assert (corner, side) == (code_of(x, y)[0], pytest.approx(code_of(x, y)[2]))
    assert code == pytest.approx(code_of(x, y)[1], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_code_stays_under_shift_rotation_and_scale_and_turns_under_reflection(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1000, (2, 4))
    order = rng.permutation(4)
    z = (x + 1j * y)[order] * (0.3 * np.exp(1j * rng.uniform(0, 6))) + complex(30, -70)
    code = kernel_code(x, y)[1]
    assert kernel_code(z.real, z.imag)[1] == pytest.approx(code, abs=1e-9)
    mirrored = kernel_code(z.real, -z.imag)[1]
    assert mirrored == pytest.approx(code * [1, -1, 1, -1], abs=1e-9)


# --- the index


def sky(n: int, seed: int = 0) -> CatalogueStars:
    """Stars all over the sky, crowded at the north pole and along RA = 0."""
    rng = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    ra = rng.uniform(0, 360, n)
    dec[: n // 8] = 90.0 - rng.uniform(0, 12, n // 8)
    ra[n // 8 : n // 4] = rng.normal(0, 5, n // 4 - n // 8) % 360
    mag = np.sort(rng.uniform(4, 12, n)).astype(np.float32)
    return CatalogueStars(ra, dec, mag, mag)


@pytest.mark.parametrize("radius", [1.5, 6.0])
def test_the_brightest_of_their_surroundings_are_kept(radius: float) -> None:
    stars = sky(3000)
    vectors = stars.vectors.astype(np.float32)
    candidates = np.random.default_rng(1).uniform(size=3000) < 0.8
    kept = np.empty(3000, dtype=bool)
    cells = _cells(stars.ra_deg, stars.dec_deg, 2.0)
    count_brighter(vectors, stars.ra_deg, stars.dec_deg, *cells[:3], 2.0, radius, 5, candidates, kept)
    wide = vectors.astype(np.float64)
    near = (wide @ wide.T > np.cos(np.radians(radius))) & candidates[None, :]
    brighter = np.array([np.count_nonzero(near[i, :i]) for i in range(3000)])
    assert np.array_equal(kept, candidates & (brighter < 5))
    assert 0 < kept.sum() < candidates.sum()


def test_neighbours_are_the_nearest_of_the_level() -> None:
    stars = sky(1500)
    vectors = stars.vectors.astype(np.float32)
    rows = np.flatnonzero(np.random.default_rng(2).uniform(size=1500) < 0.6)
    row_of = np.full(1500, -1, dtype=np.int64)
    row_of[rows] = np.arange(len(rows))
    near = np.empty((len(rows), 4), dtype=np.int64)
    first, start, order, cell = _cells(stars.ra_deg[rows], stars.dec_deg[rows], 3.0)
    place = (vectors, stars.ra_deg, stars.dec_deg)
    find_neighbours(*place, first, start, rows[order], cell, 8.0, row_of, rows, near)
    wide = vectors[rows].astype(np.float64)
    distance2 = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance2, np.inf)
    nearest = np.argsort(distance2, axis=1)[:, :4]
    limit = 2 - 2 * np.cos(np.radians(8.0))
    expected = np.where(np.take_along_axis(distance2, nearest, axis=1) <= limit, nearest, -1)
    assert np.array_equal(near, expected)
    assert (near < 0).any()


@pytest.fixture(scope="module")
def small_index() -> tuple[SkyIndex, CatalogueStars]:
    stars = sky(40_000, 3)
    return build_index(stars), stars


def test_every_quad_of_the_index_stands_in_the_cell_of_its_code_once(
    small_index: tuple[SkyIndex, CatalogueStars],
) -> None:
    index, stars = small_index
    members = np.empty(4, dtype=np.int64)
    seen: set[tuple[int, ...]] = set()
    cells = np.repeat(np.arange(len(index.bin_start) - 1), np.diff(index.bin_start))
    rng = np.random.default_rng(4)
    for k in rng.choice(index.n_quads, 500, replace=False):
        quads_of_row(int(index.entries[k]), index.star_of, index.near, members)
        ra, dec = directions(index.vectors[members].astype(float).mean(axis=0))
        x, y = project(stars.ra_deg[members], stars.dec_deg[members], float(ra), float(dec))
        code = np.array(code_of(x, y)[1])
        column = np.clip(((code - [0, -0.87, 0, -0.87]) / 0.03).astype(int), 0, [33, 57, 33, 57])
        cell = ((column[0] * 58 + column[1]) * 34 + column[2]) * 58 + column[3]
        on_edge = np.abs((code - [0, -0.87, 0, -0.87]) / 0.03 % 1.0 - 0.5).max() > 0.49
        assert cell == cells[k] or on_edge
        level = int(np.searchsorted(index.row_start, index.entries[k] // 4, side="right"))
        seen.add((level, *sorted(members.tolist())))
    assert len(seen) == 500


def test_levels_thin_out_and_rows_point_to_their_own_level(small_index: tuple[SkyIndex, CatalogueStars]) -> None:
    index, _ = small_index
    sizes = np.diff(index.row_start)
    assert (sizes[:-1] >= sizes[1:]).all() and sizes[-1] > 0
    for k in range(len(sizes)):
        rows = index.near[index.row_start[k] : index.row_start[k + 1]]
        known = rows[rows >= 0]
        assert known.min() >= index.row_start[k] and known.max() < index.row_start[k + 1]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_frame_of_the_index_is_found_at_its_place(
    small_index: tuple[SkyIndex, CatalogueStars], mirrored: bool
) -> None:
    index, stars = small_index
    ra0, dec0, scale = 123.0, 34.0, 15.0 / 3600
    xi, eta = project(stars.ra_deg, stars.dec_deg, ra0, dec0)
    inside = (np.abs(xi) < 4) & (np.abs(eta) < 4)
    z = (xi[inside] + 1j * eta[inside]) / scale * np.exp(0.7j)
    x, y = z.real.copy(), (-z.imag if mirrored else z.imag.copy())
    quads = np.empty((40 * 20, 4), dtype=np.int64)
    n = frame_quads(x[:40], y[:40], 6, 60.0, quads)
    out = np.zeros((5, 9))
    arcsec = np.pi / 648000
    tested = look_up_quads(
        x[:40], y[:40], quads[:n], 1.0, 0.005, 1 * arcsec, 60 * arcsec, index.vectors, index.level, index.star_of,
        index.near, index.row_start, index.bin_start, index.entries, index.first, index.start, index.order,
        index.cell_deg, out,
    )  # fmt: skip
    assert tested > 0
    assert out[0, 0] >= 20
    assert np.hypot(out[0, 4], out[0, 5]) == pytest.approx(np.radians(scale), rel=0.01)
    assert out[0, 8] == (1.0 if mirrored else 0.0)
    # the frame's origin is the point that it was made around
    ra, dec = directions(out[0, 1:4])
    place = deproject(np.degrees(out[0, 6]), np.degrees(out[0, 7]), float(ra), float(dec))
    assert unit_vectors(*place) @ unit_vectors(ra0, dec0) > np.cos(np.radians(0.05))


def test_quads_of_a_frame_are_each_star_with_three_of_its_nearest() -> None:
    x, y = np.random.default_rng(5).uniform(0, 500, (2, 25))
    quads = np.empty((25 * 20 + 1, 4), dtype=np.int64)
    n = frame_quads(x, y, 6, 150.0, quads)
    expected = set()
    for i in range(25):
        d2 = (x - x[i]) ** 2 + (y - y[i]) ** 2
        nearest = [k for k in np.argsort(d2) if k != i][:6]
        for three in itertools.combinations(nearest, 3):
            members = sorted([i, *three])
            longest = max(np.hypot(x[a] - x[b], y[a] - y[b]) for a, b in itertools.combinations(members, 2))
            if longest >= 150.0:
                expected.add(tuple(int(k) for k in members))
    assert {tuple(quad) for quad in quads[:n].tolist()} == expected
