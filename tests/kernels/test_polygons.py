"""Common areas and counts of polygons, beside plain definitions."""

from __future__ import annotations

import numpy as np

from skyquilt.core.sky import deproject, tangent_frame, unit_vectors
from skyquilt.kernels.polygons import count_polygons, overlap_shares


def holds(polygon_x: np.ndarray, polygon_y: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points lie in a polygon: a ray to the left crosses it an odd number of times."""
    inside = np.zeros(x.shape, bool)
    for k in range(len(polygon_x)):
        x0, y0 = polygon_x[k], polygon_y[k]
        x1, y1 = polygon_x[(k + 1) % len(polygon_x)], polygon_y[(k + 1) % len(polygon_y)]
        spans = (y0 <= y) != (y1 <= y)
        if y0 != y1:
            inside ^= spans & (x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x)
    return inside


def quadrilaterals(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Convex ones of about a degree on a plane, some mirrored."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, (n, 1)) + np.arange(4) * np.pi / 2 * rng.choice([-1, 1], (n, 1))
    angle = angle + rng.uniform(-0.3, 0.3, (n, 4))
    x, y = rng.uniform(-0.6, 0.6, (2, n, 1))
    return x + 0.7 * np.cos(angle), y + 0.7 * np.sin(angle)


def test_shares_are_those_of_points_that_lie_in_both() -> None:
    place = (12.0, 88.0)
    x, y = quadrilaterals(40, 1)
    corners = unit_vectors(*deproject(x, y, *place))
    first, second = (index.astype(np.int64) for index in np.triu_indices(40, 1))
    share = np.empty(len(first))
    overlap_shares(corners, first, second, share)
    grid_x, grid_y = np.meshgrid(np.linspace(-1.4, 1.4, 141), np.linspace(-1.4, 1.4, 141))
    inside = np.stack([holds(x[k], y[k], grid_x, grid_y).ravel() for k in range(40)]).astype(np.float64)
    both = inside @ inside.T
    size = np.diag(both)
    truth = (both / np.minimum(size[:, None], size))[first, second]
    assert np.abs(share - truth).max() < 0.02
    assert (truth > 0.1).sum() > 300 and (truth == 0.0).sum() > 5


def test_shares_of_the_same_of_neighbours_and_of_one_within_the_other() -> None:
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    moved = [square + np.array([along, 0.0]) for along in (2.0, 1.0, 9.0)]
    planes = np.stack([square, square[::-1], moved[0], 0.5 * square, moved[1], moved[2]])
    local = np.concatenate([np.radians(planes), np.ones((6, 4, 1))], axis=2)
    corners = local / np.linalg.norm(local, axis=2, keepdims=True) @ tangent_frame(0.0, 90.0)
    first, second = np.array([0, 0, 0, 0, 0, 0]), np.arange(6)
    share = np.empty(6)
    overlap_shares(corners, first, second, share)
    assert np.abs(share - [1.0, 1.0, 0.0, 1.0, 0.5, 0.0]).max() < 2e-3  # 0.5 of a plane is a little more of the sphere
    assert share[1] > 1.0 - 1e-12 and share[2] < 1e-12 and share[5] == 0.0
    swapped = np.empty(6)
    overlap_shares(corners, second, first, swapped)
    assert np.abs(swapped - share).max() < 1e-12


def test_quadrilaterals_that_no_plane_shows_share_nothing() -> None:
    corners = np.stack([unit_vectors([0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0])] * 2)
    corners[1] *= -1.0
    share = np.full(1, 9.0)
    overlap_shares(corners, np.array([0]), np.array([1]), share)
    assert share[0] == 0.0


def test_counts_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(2)
    angle = np.sort(rng.uniform(0, 2 * np.pi, (30, 9)), axis=1)
    radius = rng.uniform(3.0, 30.0, (30, 9))  # starlike, with inward corners
    x = rng.uniform(-10, 60, (30, 1)) + radius * np.cos(angle)
    y = rng.uniform(-10, 50, (30, 1)) + radius * np.sin(angle)
    x[3], y[3] = np.round(x[3]), np.round(y[3])  # corners on centres
    x[7, 2] = np.nan
    count = np.zeros((41, 53), np.int32)
    count_polygons(x, y, count)
    grid_x, grid_y = np.meshgrid(np.arange(53.0), np.arange(41.0))
    truth = sum(holds(x[k], y[k], grid_x, grid_y).astype(int) for k in range(30) if k != 7)
    assert np.array_equal(count, truth)
    assert count.max() > 5
