"""The coarse sky of frames, brought to places on the canvas that frames have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64, Mask, Measurement
from skyquilt.kernels.background import sample_map

__all__ = ["FrameSky", "Lattice", "frame_sky", "make_lattice", "surface_terms"]

_CUBIC = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]
_CELLS_FOR_CUBIC = 4  # along each side
_FEWEST_ALONG = 2


@dataclass(frozen=True, slots=True, eq=False)
class FrameSky:
    """
    The coarse sky of one frame and where its cells lie on the canvas.

    Attributes
    ----------
    level : float32 (n_channels, gy, gx), ADU
        `Measurement.background`; NaN where unknown.
    noise_adu : float64 (n_channels,), ADU
        Sky noise of one pixel; the error of a cell is taken as proportional to it.
    across, down : float64 (gx,) and (gy,), px
        Centres of the cells in the frame.
    width, height : int, px of the frame
    x, y : float64 (gy, gx), px
        Centres of the cells on the canvas.
    centre : (float, float), px
        Middle of the frame on the canvas.
    radius : float, px
        Half the longer side of the frame, on the canvas.
    """

    level: F32
    noise_adu: F64
    across: F64
    down: F64
    width: int
    height: int
    x: F64
    y: F64
    centre: tuple[float, float]
    radius: float


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """
    What all frames show at the points of one lattice on the canvas.

    Attributes
    ----------
    step_px : float
        Between neighbouring points, px of the canvas: the usual side of a cell.
    frame, point : int64 (n,)
        Which frame shows which point; sorted by (point, frame).
    x, y : float64 (n,), px
        Of the point on the canvas.
    level : float64 (n, n_channels), ADU of the frame
        Known in all channels.
    n_frames, n_points : int
    n_covered : int64 (n_frames,)
        Points that each frame covers, those included that no other shows, whether they are listed or not.
    """

    step_px: float
    frame: I64
    point: I64
    x: F64
    y: F64
    level: F64
    n_frames: int
    n_points: int
    n_covered: I64

    def thinned(self, every: int) -> Lattice:
        """Return every so many points."""
        kept = self.point % every == 0
        n_points = -(-self.n_points // every)
        return Lattice(
            self.step_px, self.frame[kept], self.point[kept] // every, self.x[kept], self.y[kept], self.level[kept],
            self.n_frames, n_points, self.n_covered // every,
        )  # fmt: skip

    def joined(self, coarse: Lattice, pointing: I64) -> Lattice:
        """
        Return the looks of this lattice beside those by which another one compares frames of one pointing.

        Parameters
        ----------
        coarse : Lattice
            What the same frames show elsewhere too, all over the canvas.
        pointing : int64 (n_frames,)

        Notes
        -----
        The step stays that of this lattice. `n_covered` is such that the share of each frame that others show is the
        larger of what both tell.
        """
        inner = coarse._within(pointing)
        n_looks = sum(np.bincount(one.frame, minlength=self.n_frames) for one in (self, inner))
        share = np.maximum(self._shares(), coarse._shares())
        covered = np.where(share > 0, np.ceil(n_looks / np.maximum(share, 1e-9)), 0.0)
        return Lattice(
            self.step_px,
            np.concatenate([self.frame, inner.frame]),
            np.concatenate([self.point, self.n_points + inner.point]),
            np.concatenate([self.x, inner.x]),
            np.concatenate([self.y, inner.y]),
            np.concatenate([self.level, inner.level]),
            self.n_frames,
            self.n_points + inner.n_points,
            covered.astype(np.int64),
        )

    def _within(self, pointing: I64) -> Lattice:
        """Return the points at which frames of one pointing meet, those of each pointing by themselves."""
        own = pointing[self.frame] * self.n_points + self.point
        _, point, size = np.unique(own, return_inverse=True, return_counts=True)
        shared = np.flatnonzero(size[point] >= 2)
        order = shared[np.lexsort((self.frame[shared], point[shared]))]
        number = np.cumsum(size >= 2) - 1
        return Lattice(
            self.step_px, self.frame[order], number[point[order]].astype(np.int64), self.x[order], self.y[order],
            self.level[order], self.n_frames, int((size >= 2).sum()), self.n_covered,
        )  # fmt: skip

    def _shares(self) -> F64:
        """Return the share of each frame that others show too, float64 (n_frames,)."""
        shared = np.bincount(self.point, minlength=self.n_points)[self.point] >= 2
        n_shared = np.bincount(self.frame[shared], minlength=self.n_frames)
        share: F64 = np.minimum(n_shared / np.maximum(self.n_covered, 1), 1.0)
        return share


def frame_sky(measurement: Measurement, to_canvas: Callable[[F64, F64], tuple[F64, F64]]) -> FrameSky:
    """
    Return the sky of a measured frame with its place on the canvas.

    Parameters
    ----------
    measurement : Measurement
    to_canvas : callable
        From pixels (x, y) of the frame to pixels of the canvas, float64 arrays of any shape.

    Notes
    -----
    Outer rows and columns of cells in which nothing is known (slivers that the cells' size leaves over) are left off:
    the map is continued from the last that is known, as it is at the other edges.
    """
    rows, columns = _known_part(measurement.background)
    across, down = (axis[part] for axis, part in zip(measurement.cell_axes(), (columns, rows), strict=True))
    x, y = to_canvas(*np.meshgrid(across, down))
    right, bottom = measurement.width - 1.0, measurement.height - 1.0
    # middle, and the ends of both axes through it
    px = np.array([right / 2, -0.5, right + 0.5, right / 2, right / 2])
    py = np.array([bottom / 2, bottom / 2, bottom / 2, -0.5, bottom + 0.5])
    cx, cy = to_canvas(px, py)
    sides = (np.hypot(cx[2] - cx[1], cy[2] - cy[1]), np.hypot(cx[4] - cx[3], cy[4] - cy[3]))
    return FrameSky(
        measurement.background[:, rows, columns],
        measurement.noise_adu,
        across,
        down,
        measurement.width,
        measurement.height,
        x,
        y,
        (float(cx[0]), float(cy[0])),
        float(max(sides)) / 2.0,
    )


def _known_part(background: F32) -> tuple[slice, slice]:
    """Return the rows and columns of cells between the outermost in which anything is known; all if nothing is."""
    known = np.all(np.isfinite(background), axis=0)
    if not known.any():
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def surface_terms(u: F64, v: F64, order: int) -> F64:
    """Return 1, u, v, u², uv, v² up to an order, float64 (n, 1, 3 or 6)."""
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v][: (1, 3, 6)[order]], axis=-1)


def make_lattice(maps: Sequence[FrameSky]) -> Lattice:
    """
    Return what the frames show at common points of the canvas.

    Points are the multiples of the step in canvas pixels. A map is sampled at the place in the frame that a cubic
    through the centres of its cells gives: its own cubic, and bilinearly what that leaves
    (`kernels.background.sample_map`). A frame of fewer than 2 x 2 cells shows nothing.
    """
    n_channels = len(maps[0].level) if maps else 1
    sides = [_cell_side(one) for one in maps]
    step = float(np.nanmedian(sides)) if np.isfinite(sides).any() else 1.0
    frames, columns, rows, levels = [], [], [], []
    for number, one in enumerate(maps):
        if min(one.level.shape[1:]) < _FEWEST_ALONG:
            continue
        column, row, level = _sample(one, step)
        frames.append(np.full(len(column), number, dtype=np.int64))
        columns.append(column)
        rows.append(row)
        levels.append(level)
    if not frames:
        none = np.zeros(0, dtype=np.int64)
        return Lattice(
            step,
            none,
            none,
            np.zeros(0),
            np.zeros(0),
            np.zeros((0, n_channels)),
            len(maps),
            0,
            np.zeros(len(maps), np.int64),
        )
    frame, column, row = np.concatenate(frames), np.concatenate(columns), np.concatenate(rows)
    level = np.concatenate(levels)
    least = (int(row.min()), int(column.min())) if len(row) else (0, 0)
    across = int(column.max()) - least[1] + 1 if len(column) else 1
    places, point = np.unique((row - least[0]) * across + column - least[1], return_inverse=True)
    order = np.lexsort((frame, point))
    return Lattice(
        step, frame[order], point[order].astype(np.int64), step * column[order].astype(np.float64),
        step * row[order].astype(np.float64), level[order], len(maps), len(places),
        np.bincount(frame, minlength=len(maps)).astype(np.int64),
    )  # fmt: skip


def _cell_side(one: FrameSky) -> float:
    """Return the distance of neighbouring cells on the canvas; NaN for a map of one cell."""
    steps = np.concatenate(
        [
            np.hypot(np.diff(one.x, axis=axis), np.diff(one.y, axis=axis)).ravel()
            for axis in (0, 1)
            if one.x.shape[axis] > 1
        ]
        or [np.array([np.nan])]
    )
    return float(np.median(steps))


def _sample(one: FrameSky, step: float) -> tuple[I64, I64, F64]:
    """Return column, row and level of the points of the lattice where the frame's sky is known in all channels."""
    reach = 1.5 * float(np.hypot(np.ptp(one.x), np.ptp(one.y))) / min(one.level.shape[1:])
    column = np.arange(int(np.ceil((one.x.min() - reach) / step)), int(np.floor((one.x.max() + reach) / step)) + 1)
    row = np.arange(int(np.ceil((one.y.min() - reach) / step)), int(np.floor((one.y.max() + reach) / step)) + 1)
    columns, rows = np.meshgrid(column, row)
    fx, fy = _place_in_frame(one, step * columns.astype(np.float64), step * rows.astype(np.float64))
    level = np.empty((*columns.shape, len(one.level)))
    found = np.empty(columns.shape)
    bent, shape = _bend(one)
    for channel, grid in enumerate(one.level):
        rest = (grid - bent(one.x, one.y) @ shape[:, channel]).astype(np.float32)
        sample_map(rest, one.across, one.down, float(one.width), float(one.height), fx, fy, found)
        level[..., channel] = found
    level += bent(step * columns.astype(np.float64), step * rows.astype(np.float64)) @ shape
    known: Mask = np.all(np.isfinite(level), axis=-1)
    return columns[known].astype(np.int64), rows[known].astype(np.int64), level[known]


def _cubic_of(one: FrameSky) -> Callable[[F64, F64], F64]:
    """Return the function that gives the terms of a cubic about the frame's middle; of a plane where cells are few."""
    exponents = _CUBIC if min(one.x.shape) >= _CELLS_FOR_CUBIC else _CUBIC[:3]

    def terms(x: F64, y: F64) -> F64:
        u, v = (x - one.centre[0]) / one.radius, (y - one.centre[1]) / one.radius
        return np.stack([u**i * v**j for i, j in exponents], axis=-1)

    return terms


def _bend(one: FrameSky) -> tuple[Callable[[F64, F64], F64], F64]:
    """
    Return terms and coefficients (n_terms, n_channels) of the map's own cubic; 0 where it is not known well enough.

    Only the rest is interpolated, and continued by half a cell at the edges: a line that is continued there misses the
    bend of a large nebula, at the edges of both frames of an overlap, which would flatten it.
    """
    terms = _cubic_of(one)
    known = np.all(np.isfinite(one.level), axis=0)
    design = terms(one.x[known], one.y[known])
    if len(design) < 2 * design.shape[1]:
        return terms, np.zeros((design.shape[1], len(one.level)))
    values = one.level[:, known].T.astype(np.float64)
    middle = values.mean(axis=0)  # taken off first, for the rounding
    coefficients = np.linalg.lstsq(design, values - middle, rcond=None)[0]
    coefficients[0] += middle
    return terms, coefficients


def _place_in_frame(one: FrameSky, x: F64, y: F64) -> tuple[F64, F64]:
    """Return frame positions of points of the canvas, by the polynomial that leads the cells' centres back."""
    terms = _cubic_of(one)
    fx, fy = np.meshgrid(one.across, one.down)
    design = terms(one.x.ravel(), one.y.ravel())
    found = np.linalg.lstsq(design, np.stack([fx.ravel(), fy.ravel()], axis=1), rcond=None)[0]
    place = terms(x, y) @ found
    return np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1])
