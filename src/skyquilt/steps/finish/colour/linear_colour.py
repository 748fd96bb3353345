"""Linear maps of channels, pixel by pixel: gains, offsets, matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import UsageError

__all__ = ["LinearColour"]


@dataclass(frozen=True, slots=True, eq=False)
class LinearColour:
    """
    out_i = sum_j matrix_ij v_j + offset_i: what all operations come to that scale, shift or mix channels.

    Attributes
    ----------
    matrix : float64 (n_out, n_in)
    offset : float64 (n_out,), unit of the image
    """

    matrix: F64
    offset: F64

    @classmethod
    def of_gains(cls, gains: F64, about: F64 | None = None) -> LinearColour:
        """Return gains on what lies above the levels `about` (0 by default): a pixel of these levels stays."""
        offset = np.zeros(len(gains)) if about is None else about * (1.0 - gains)
        return cls(np.diag(gains), offset)

    @property
    def gains(self) -> F64:
        """Diagonal of the matrix."""
        return np.diag(self.matrix)

    def apply(self, tile: F32) -> F32:
        """
        Return the mapped pixels, float32 (n_out, y, x).

        Parameters
        ----------
        tile : float32 (n_in, y, x)
            NaN in a channel reaches those that it is mixed into.

        Raises
        ------
        UsageError
            If the tile has another number of channels.
        """
        n_out, n_in = self.matrix.shape
        if len(tile) != n_in:
            raise UsageError(f"the image has {len(tile)} channels, this operation takes {n_in}", "check its colours")
        out = np.empty((n_out, *tile.shape[1:]), dtype=np.float32)
        for row in range(n_out):
            used = np.flatnonzero(self.matrix[row])
            offset = np.float32(self.offset[row])
            if not len(used):
                out[row] = offset
                continue
            if len(used) == 1 and self.matrix[row, used[0]] == 1.0:
                np.add(tile[used[0]], offset, out=out[row])
                continue
            np.multiply(tile[used[0]], np.float32(self.matrix[row, used[0]]), out=out[row])
            for column in used[1:]:
                out[row] += tile[column] * np.float32(self.matrix[row, column])
            if offset:
                out[row] += offset
        return out
