"""The star list that others are laid on."""

from __future__ import annotations

import numpy as np

from skyquilt.core import I64, Stars
from skyquilt.kernels.patterns import Grid, Triangles, triangles_of

__all__ = ["Reference"]


class Reference:
    """
    A star list ready to be matched against, many times: its grids and triangles are made once.

    Parameters
    ----------
    stars : Stars
        Brightest first.
    width, height : int, px
    """

    def __init__(self, stars: Stars, width: int, height: int) -> None:
        usable = np.isfinite(stars.x) & np.isfinite(stars.y)
        self.index: I64 = np.flatnonzero(usable)
        self.stars = stars if usable.all() else stars.take(usable)
        self.width, self.height = width, height
        self._grids: dict[int, Grid] = {}
        self._triangles: dict[tuple[int, bool], Triangles] = {}
        if len(self.stars):
            self.grid(len(self.stars))
            self.triangles(80, False)

    def __len__(self) -> int:
        return len(self.stars)

    def grid(self, n_stars: int) -> Grid:
        """Return the grid of the brightest `n_stars`."""
        n = min(n_stars, len(self.stars))
        if n not in self._grids:
            self._grids[n] = Grid.of(self.stars.x[:n], self.stars.y[:n])
        return self._grids[n]

    def triangles(self, n_stars: int, is_scale_free: bool) -> Triangles:
        """Return the triangles of the brightest `n_stars`, sorted as `match_triangles` asks."""
        n = min(n_stars, len(self.stars))
        if (n, is_scale_free) not in self._triangles:
            found = triangles_of(self.stars.x[:n], self.stars.y[:n])
            key = found.sides[:, 1] / found.sides[:, 0] if is_scale_free else found.sides[:, 0]
            self._triangles[n, is_scale_free] = found.sorted_by(key)
        return self._triangles[n, is_scale_free]
