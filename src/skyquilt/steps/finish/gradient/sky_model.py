"""A model of the sky over an image: a coarse grid of values and the smooth surface through them, by tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skyquilt.core import F32, F64, I64, Mask
from skyquilt.errors import UsageError

__all__ = ["SkyModel"]

_DEGREE = 3


@dataclass(frozen=True, eq=False)
class SkyModel:
    """
    The sky of an image.

    Attributes
    ----------
    nodes : float64 (c, ny, nx), unit of the image
        The sky at the centres of the cells. With `across` and `down` it is all that evaluation needs, and small: it is
        what a product of the model holds.
    across, down : float64 (nx,) and (ny,), px
        Where the nodes lie; 4 or more each.
    height, width : int, px
        Of the image.
    level : float64 (c,), unit of the image
        Median of the nodes: the sky that `apply` leaves where the level is kept.
    mode : "subtract" or "divide"
    keep_level : bool
    kind : "polynomial", "mesh" or "radial"
    order : int
        Of the polynomial, or of that under the mesh or the radial functions.
    free : bool (ny, nx)
        Cells in which nothing but sky was found.
    loss : dict of int to float
        How well each order that was tried explains the cells (`search.SkyCells`).
    source : "sky", "colours" or "envelope"
        Where the surface comes from. "envelope" (and to a lesser degree "colours") say that no part of the image is
        free of emission: the level of the sky is then a guess, and the gradient one within the limits told there.

    swing : float
        What the sky under objects may be wrong by, of the sky (`search.SkyCells`); NaN where no cell is free.

    Notes
    -----
    Definition: the tensor product of cubic splines (not-a-knot) through the nodes, continued beyond the outermost by
    half a cell. Polynomials up to order 3 are met exactly, of order 4 to 1e-5 of their height. Each pixel is the sum of
    4 x 4 products in a fixed order, so that tiles give the bits of the whole image.
    """

    nodes: F64
    across: F64
    down: F64
    height: int
    width: int
    level: F64
    mode: str
    keep_level: bool
    kind: str
    order: int
    free: Mask
    loss: dict[int, float]
    source: str
    swing: float = np.nan

    @cached_property
    def _splines(self) -> tuple[F64, F64, F64]:
        """Knots along y and x, and coefficients (c, ny, nx)."""
        knots_y, knots_x = _knots(self.down), _knots(self.across)
        along_y = np.linalg.inv(_collocation(knots_y, self.down))
        along_x = np.linalg.inv(_collocation(knots_x, self.across))
        return knots_y, knots_x, along_y @ self.nodes @ along_x.T

    def evaluate(self, x0: int, y0: int, width: int, height: int) -> F32:
        """Return the sky over a box of the image, float32 (c, y, x), unit of the image."""
        out = np.empty((len(self.nodes), height, width), dtype=np.float32)
        for row, values in enumerate(self._rows(x0, y0, width, height)):
            out[:, row] = values
        return out

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32:
        """
        Return a tile of the image without its gradient.

        Parameters
        ----------
        tile : float32 (c, y, x)
            NaN stays NaN.
        x0, y0 : int, px
            Where it begins in the image.

        Raises
        ------
        UsageError
            If the tile has other channels than the model, or the sky to divide by is not positive.

        Notes
        -----
        Definition:: v - (sky - level) or v * level / sky; level is 0 or 1 where it is not kept.
        """
        if tile.shape[0] != len(self.nodes):
            raise UsageError(
                f"the model of the sky has {len(self.nodes)} channels, the image {tile.shape[0]}",
                "make the model from the same image",
            )
        if self.mode == "divide" and not (self.nodes > 0.0).all():
            raise UsageError("the sky is not positive everywhere, so that nothing can be divided by it", "subtract it")
        out = np.empty(tile.shape, dtype=np.float32)
        kept = self.level[:, None] if self.keep_level else np.full((len(self.level), 1), float(self.mode == "divide"))
        for row, sky in enumerate(self._rows(x0, y0, tile.shape[2], tile.shape[1])):
            if self.mode == "divide":
                np.multiply(tile[:, row], (kept / sky).astype(np.float32), out=out[:, row])
            else:
                np.subtract(tile[:, row], (sky - kept).astype(np.float32), out=out[:, row])
        return out

    def _rows(self, x0: int, y0: int, width: int, height: int) -> Iterator[F64]:
        """Yield the sky along each row of a box, float64 (c, width)."""
        knots_y, knots_x, coefficients = self._splines
        first_x, basis_x = _basis(knots_x, np.arange(x0, x0 + width, dtype=np.float64))
        first_y, basis_y = _basis(knots_y, np.arange(y0, y0 + height, dtype=np.float64))
        top, bottom = int(first_y[0]), int(first_y[-1]) + _DEGREE + 1  # the rows of nodes that reach the box
        near = coefficients[:, top:bottom]
        strips = near[:, :, first_x] * basis_x[:, 0]
        for k in range(1, _DEGREE + 1):
            strips += near[:, :, first_x + k] * basis_x[:, k]
        for row in range(height):
            first = first_y[row] - top
            sky = strips[:, first] * basis_y[row, 0]
            for k in range(1, _DEGREE + 1):
                sky += strips[:, first + k] * basis_y[row, k]
            yield sky


def _knots(places: F64) -> F64:
    """Return the knots of the cubic spline through places that has no knot at the second and the last but one."""
    return np.concatenate([np.full(4, places[0]), places[2:-2], np.full(4, places[-1])])


def _collocation(knots: F64, places: F64) -> F64:
    """Return the values of all B-splines at the places, float64 (n, n)."""
    matrix = np.zeros((len(places), len(places)))
    first, values = _basis(knots, places)
    for k in range(_DEGREE + 1):
        matrix[np.arange(len(places)), first + k] = values[:, k]
    return matrix


def _basis(knots: F64, at: F64) -> tuple[I64, F64]:
    """Return the first of the four cubic B-splines that reach each place, (n,), and their values, (n, 4)."""
    n = len(knots) - _DEGREE - 1
    span = np.clip(np.searchsorted(knots, at, side="right") - 1, _DEGREE, n - 1)
    values = np.ones((len(at), 1))
    for degree in range(1, _DEGREE + 1):  # Cox and de Boor
        wider = np.zeros((len(at), degree + 1))
        for j in range(degree):
            left, right = knots[span - degree + 1 + j], knots[span + 1 + j]
            share = values[:, j] / (right - left)
            wider[:, j] += share * (right - at)
            wider[:, j + 1] += share * (at - left)
        values = wider
    return span - _DEGREE, values
