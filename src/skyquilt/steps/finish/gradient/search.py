"""Which cells of an image are sky, and of which order its surface is: found together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyquilt.core import F64, I64, Mask
from skyquilt.steps.finish.gradient.emission import emission_free
from skyquilt.steps.finish.gradient.objects import box_mean, cell_noise, find_objects, grow
from skyquilt.steps.finish.gradient.polynomial import (
    design,
    fit_alike,
    fit_lower,
    fit_robust,
    left_out_residuals,
    n_terms,
    solve_weighted,
)

__all__ = ["SkyCells", "search_sky"]

_ROUNDS = 12
_DESCENT = 9
_FLOOR_QUANTILE = 0.05
_DARKEST_QUANTILE = 0.01
_LEAST_LEVEL = 20.0  # noise of a pixel
_LEAST_FREE = 0.08  # of the cells: fewer are no proof that there is sky at all
_CUT = 3.0
_HOLE = 10.0  # a cell below the sky is a contradiction, one above it an object
_BLOCKS = 3
_GAIN_OF_SECOND, _GAIN_OF_HIGHER = 0.95, 0.6  # to what part a higher order must lower the loss to be believed
_EXPLAINED = 1.2  # a loss that no higher order can improve on: noise alone gives about 1
_MOST_SWING = (
    0.04  # of the sky: a curve that leaving out one part of nine moves by more is not continued across objects
)
_MOST_LEFT = 2.5
_MAD_TO_SIGMA = 1.4826
_SITES = 6  # across and down: places where the sky is looked for
_DRAWS = {1: 400, 2: 1500}
_SCORED = 400
_DESCENDED = 700
_TRIED, _REFINED = 4, 2


@dataclass(frozen=True, slots=True, eq=False)
class SkyCells:
    """
    The sky among the cells of an image.

    Attributes
    ----------
    coefficients : float64 (c, n_terms), unit of the image
        Of the polynomial in u, v (`polynomial.design`).
    order : int
    free : bool (gy, gx)
        Cells that show nothing but sky.
    loss : dict of int to float
        By order that was tried: mean over all cells of the cost of z, the residual in units of the error, of free cells
        as the others predict them: z² up to 9; 9 for objects; up to 100 for cells below the sky.
    swing : float
        How far the surface moves at most where one of nine parts of the image is left out, of the sky: what its
        continuation across objects may be wrong by. NaN where no cell is free.
    noise : float64 (c,)
        Of a cell's level.
    source : "sky", "colours" or "envelope"
        What the surface was fitted to: free cells; where there are none, the sum of channels that cancels the emission;
        where that does not help either, the darkest cells.
    """

    coefficients: F64
    order: int
    free: Mask
    loss: dict[int, float]
    swing: float
    noise: F64
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Levels (c, n) of the known cells, their terms (n, k), where they lie (n,) and what they are judged by."""

    level: F64
    known: Mask  # (gy, gx)
    u: F64
    v: F64
    noise: F64  # (c,)
    floor: F64  # (c,)
    scale: F64  # (c,): what shares of the sky are counted by
    sky: F64 | None  # (n,), emission-free
    sky_noise: float
    kappa: float
    grow_cells: int
    tolerance: float

    @property
    def error(self) -> F64:
        """What the level of a sky cell may miss the surface by, (c,): noise, and what no low order follows."""
        error: F64 = np.hypot(self.noise, self.tolerance * self.scale)
        return error

    def on_grid(self, values: F64) -> F64:
        """Return values (n,) as (gy, gx), 0 where a cell is unknown."""
        grid = np.zeros(self.known.shape)
        grid[self.known] = values
        return grid


def search_sky(
    level: F64,
    pixel_sigma: F64,
    u: F64,
    v: F64,
    orders: Sequence[int],
    *,
    kappa: float,
    grow_cells: int,
    tolerance: float,
    use_colours: bool,
) -> SkyCells:
    """
    Return the sky among cells.

    Parameters
    ----------
    level : float64 (c, gy, gx)
        NaN where unknown; a cell counts where it is known in all channels.
    pixel_sigma : float64 (c,)
        Noise of a pixel: 20 times that stands for the level of a sky that was brought to 0 before.
    u, v : float64 (gy, gx)
        Coordinates of the cells, about -1 to 1.
    orders : sequence of int
        Orders to choose from, rising.
    kappa : float
        Sigma from which a group of cells is an object.
    grow_cells : int
        By how much objects are widened.
    tolerance : float
        Of the sky: light that is fainter than that over 7x7 cells is no object.
    use_colours : bool
        Whether the sky's colour may be taken as the same everywhere, to tell it from coloured emission.

    Notes
    -----
    For each order the surfaces of all channels start from a lower envelope, from the emission-free sum of channels
    (`emission.emission_free`) and from draws of the darkest cells of 36 parts of the image (Fischler & Bolles 1981,
    RANSAC); a narrowing window lets them come to rest where many cells agree and hardly any lies below. Then objects
    are found on the residuals of every channel, on three scales, and the others fitted, until nothing changes. A higher
    order is taken only where it explains the cells much better than the lower: light of a nebula that is as smooth and
    as wide as the sky is not told from it by shape.
    """
    known: Mask = np.asarray(np.isfinite(level).all(axis=0))
    noise = np.array([cell_noise(channel) for channel in level])
    floor = np.array([np.quantile(channel[known], _FLOOR_QUANTILE) for channel in level])
    scale = np.maximum(np.abs(floor), _LEAST_LEVEL * pixel_sigma)
    sky = emission_free(level, known, floor, noise) if use_colours and (floor >= scale).all() else None
    # without any noise (a drawn image) a part of the level stands for it
    noise = np.maximum(noise, 1e-7 * np.abs(level[:, known]).max(axis=1) + 1e-30)
    values, spread = (None, 0.0) if sky is None else (sky[0][known], sky[1])
    scene = _Scene(
        level[:, known], known, u[known], v[known], noise, floor, scale, values, spread, kappa, grow_cells, tolerance
    )
    # objects as wide as asked for, or as found where hardly anything is left beside them
    for grow_by in dict.fromkeys((grow_cells, 0)):
        best, loss = _choose(replace(scene, grow_cells=grow_by), orders)
        if best is not None:
            return replace(best, loss=loss)
    return _without_sky(scene, orders[0])


def _choose(scene: _Scene, orders: Sequence[int]) -> tuple[SkyCells | None, dict[int, float]]:
    """Return the sky of the order that is believed, and the losses of all that could be fitted."""
    best: tuple[SkyCells, float] | None = None
    loss: dict[int, float] = {}
    for order in orders:
        if best is not None and order > 2 and best[1] < _EXPLAINED:
            break
        candidate = _fit(scene, order)
        if candidate is None:
            continue
        loss[order] = candidate[1]
        gain = _GAIN_OF_SECOND if order <= 2 else _GAIN_OF_HIGHER
        if best is None or candidate[1] < gain * best[1]:
            best = candidate
    return (None if best is None else best[0]), loss


def _fit(scene: _Scene, order: int) -> tuple[SkyCells, float] | None:
    """Return the best sky of one order and its loss; None if no start leads to enough free cells to hold it."""
    terms = design(scene.u, scene.v, order)
    step = max(1, len(terms) // _DESCENDED)
    part = slice(None, None, step)
    tried = []
    for start in _starts(scene, terms, order):
        surfaces = _descend(terms[part], scene.level[:, part], start, scene.error)
        z = (scene.level[:, part] - surfaces @ terms[part].T) / scene.error[:, None]
        tried.append((float(_cost(z)), surfaces))
    best = None
    refined: list[F64] = []
    for _, surfaces in sorted(tried, key=lambda pair: pair[0])[:_REFINED]:
        values = surfaces @ terms[part].T
        if any((np.abs(values - other) < 0.3 * scene.error[:, None]).all() for other in refined):
            continue
        refined.append(values)
        candidate = _refine(scene, terms, order, surfaces)
        if candidate is None:
            continue
        loss, swing = _loss(scene, terms, candidate)
        if (order == 1 or swing < _MOST_SWING) and (best is None or loss < best[1]):
            best = replace(candidate, swing=swing), loss
    return best


def _refine(scene: _Scene, terms: F64, order: int, surfaces: F64) -> SkyCells | None:
    """Find objects and fit what is free of them in turn."""
    free = np.zeros(len(terms), dtype=bool)
    for _ in range(_ROUNDS):
        residual = scene.level - surfaces @ terms.T
        now = ~grow(_objects(scene, residual), scene.grow_cells)[scene.known]
        if now.sum() < max(4 * n_terms(order), _LEAST_FREE * len(now)):
            return None
        if np.array_equal(now, free):
            break
        free = now
        surfaces = fit_alike(terms[free], scene.level[:, free], scene.scale)
    mask = np.zeros(scene.known.shape, dtype=bool)
    mask[scene.known] = free
    return SkyCells(surfaces, order, mask, {}, np.nan, scene.noise, "sky")


def _objects(scene: _Scene, residual: F64) -> Mask:
    objects = np.zeros(scene.known.shape, dtype=bool)
    for channel, noise, scale in zip(residual, scene.noise, scene.scale, strict=True):
        least = scene.tolerance * float(scale)
        grid = scene.on_grid(channel)
        objects |= find_objects(grid, scene.known, float(noise), kappa=scene.kappa, least=least)
    return objects


def _descend(terms: F64, level: F64, surfaces: F64, error: F64) -> F64:
    """Let the surfaces come to rest on the floor: a window about them narrows, what is above it loses its say."""
    residual = level - surfaces @ terms.T
    for step in range(_DESCENT):
        window = 1.5 * error * 3.0 ** max(0.0, 1.0 - step / (_DESCENT - 4))
        z = residual / window[:, None]
        above = np.exp(-0.5 * np.maximum(z.max(axis=0), 0.0) ** 2)
        weight = np.where(z > 0.0, above, above / np.maximum(1.0, -z))
        surfaces = np.stack([solve_weighted(terms, c, w) for c, w in zip(level, weight, strict=True)])
        residual = level - surfaces @ terms.T
    return surfaces


def _cost(z: F64) -> F64:
    """Return the mean cost of residuals z (..., c, n) in units of the error, joint over the channels."""
    highest, lowest = z.max(axis=-2), z.min(axis=-2)
    inside = np.mean(np.minimum(np.abs(z), _CUT) ** 2, axis=-2)
    cost = np.where(highest > _CUT, _CUT**2, inside)
    cost = np.where(lowest < -_CUT, np.minimum(lowest**2, _HOLE**2), cost)
    result: F64 = cost.mean(axis=-1)
    return result


def _smooth(scene: _Scene) -> F64:
    """Return the mean of the 3x3 known cells around each known cell, (c, n)."""
    return np.stack([box_mean(scene.on_grid(c), scene.known, 3)[0][scene.known] for c in scene.level])


def _darkest(scene: _Scene, smooth: F64) -> I64:
    """Return one cell of each of 6x6 parts of the image, the darkest, as indices of known cells."""
    gy, gx = scene.known.shape
    rows, columns = np.nonzero(scene.known)
    part = (rows * _SITES // gy) * _SITES + columns * _SITES // gx
    order = np.lexsort(((smooth / scene.scale[:, None]).mean(axis=0), part))
    return np.asarray(order[np.unique(part[order], return_index=True)[1]], dtype=np.int64)


def _starts(scene: _Scene, terms: F64, order: int) -> list[F64]:
    starts = [np.stack([fit_lower(terms, channel) for channel in scene.level])]
    if scene.sky is not None:
        surfaces = scene.floor[:, None] * fit_robust(terms, scene.sky)
        surfaces[:, 0] += np.quantile(scene.level - surfaces @ terms.T, _FLOOR_QUANTILE, axis=1)
        starts.append(surfaces)
    return starts + _drawn(scene, terms, min(order, 2))


def _drawn(scene: _Scene, terms: F64, order: int) -> list[F64]:
    """Return the surfaces of low order through some of the darkest cells that explain the others best."""
    smooth, n = _smooth(scene), n_terms(order)
    sites = _darkest(scene, smooth)
    if len(sites) <= n:
        return []
    draws = np.argsort(np.random.default_rng(7).random((_DRAWS[order], len(sites))), axis=1)[:, :n]
    matrix = terms[sites][:, :n][draws]
    good = np.abs(np.linalg.det(matrix)) > 1e-6
    values = np.moveaxis(smooth[:, sites][:, draws[good]], 0, -1)
    solution = np.linalg.solve(matrix[good], values)  # (draw, term, c)
    part = slice(None, None, max(1, len(terms) // _SCORED))
    predicted = np.swapaxes(terms[part, :n] @ solution, 1, 2)
    cost = _cost((scene.level[:, part] - predicted) / scene.error[:, None])
    best = []
    for index in np.argsort(cost, kind="stable")[:_TRIED]:
        surfaces = np.zeros((len(scene.level), terms.shape[1]))
        surfaces[:, :n] = solution[index].T
        best.append(surfaces)
    return best


def _loss(scene: _Scene, terms: F64, found: SkyCells) -> tuple[float, float]:
    """
    Return the cost of all cells, each predicted by the free cells of the other parts, and the swing of the surface.

    The swing, in units of the sky, is how far it moves at most when one part is left out.
    """
    gy, gx = found.free.shape
    rows, columns = np.nonzero(scene.known)
    block = rows * _BLOCKS // gy * _BLOCKS + columns * _BLOCKS // gx
    free = found.free[scene.known]
    pairs = [left_out_residuals(terms, channel, block, free) for channel in scene.level]
    residual = np.stack([pair[0] for pair in pairs])
    swing = max(pair[1] / scale for pair, scale in zip(pairs, scene.scale, strict=True))
    return float(_cost(residual / scene.error[:, None])), float(swing)


def _without_sky(scene: _Scene, order: int) -> SkyCells:
    """
    Return the surfaces where no part of the image is free of emission: from the colours, or the lower envelope.

    The colours are believed where what they leave is little more than noise: else there is emission of several.
    """
    terms = design(scene.u, scene.v, order)
    nothing = np.zeros(scene.known.shape, dtype=bool)
    if scene.sky is not None:
        shape = fit_robust(terms, scene.sky)
        left = _MAD_TO_SIGMA * float(np.median(np.abs(scene.sky - terms @ shape)))
        if left < _MOST_LEFT * np.hypot(scene.sky_noise, scene.tolerance):
            level = np.quantile(_smooth(scene) / (terms @ shape), _DARKEST_QUANTILE, axis=1)
            return SkyCells(level[:, None] * shape, order, nothing, {}, np.nan, scene.noise, "colours")
    surfaces = np.stack([fit_lower(terms, channel) for channel in scene.level])
    return SkyCells(surfaces, order, nothing, {}, np.nan, scene.noise, "envelope")
