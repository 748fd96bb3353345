"""Another image, laid on the grid of the one that is being finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box, SkyGrid, Tile, Wcs
from skyquilt.engine.finish.master import Master, open_master
from skyquilt.errors import NotRegistered
from skyquilt.steps import mosaic, resample

__all__ = ["OtherImage", "lay_on_grid", "read_on_grid"]

_KERNEL = "lanczos3"
_TILE_ROWS = 256


@dataclass(frozen=True, slots=True, eq=False)
class OtherImage:
    """
    An image on the grid of another.

    Attributes
    ----------
    pixels : float32 (c, y, x)
        NaN where it does not reach.
    is_linear : bool
        Whether it is light as measured.
    laid_on_by : "pixels" or "coordinates"
        It had the grid, or was resampled on it.
    sha256 : str
        Of its file.
    """

    pixels: F32
    is_linear: bool
    laid_on_by: str
    sha256: str


class _ArraySource:
    """An array as a `PixelSource`; what is not finite is masked."""

    def __init__(self, pixels: F32) -> None:
        self._known = np.isfinite(pixels).all(axis=0)
        self._pixels = np.where(self._known, pixels, np.float32(0.0))
        self.n_channels = len(pixels)
        self.bounds = Box.of_shape(pixels.shape[1], pixels.shape[2])

    def read(self, box: Box) -> Tile:
        pixels = np.zeros((self.n_channels, *box.shape), dtype=np.float32)
        mask = np.zeros(box.shape, dtype=np.bool_)
        inside = box.intersect(self.bounds)
        if not inside.is_empty:
            there, here = inside.slices(self.bounds), inside.slices(box)
            pixels[:, here[0], here[1]] = self._pixels[:, there[0], there[1]]
            mask[here] = self._known[there]
        return Tile(pixels, mask, box)


def read_on_grid(path: Path, shape: tuple[int, int], wcs: Wcs | None) -> OtherImage:
    """
    Return the image of a file on a grid.

    Parameters
    ----------
    path : Path
    shape : (y, x)
        Of the grid.
    wcs : Wcs or None
        Its coordinates.

    Raises
    ------
    NotRegistered
        If the file has another size, and it or the grid no coordinates.
    UnreadableFrame, NoUsableInput, UsageError
        As `open_master`.
    """
    return lay_on_grid(open_master(path), shape, wcs)


def lay_on_grid(master: Master, shape: tuple[int, int], wcs: Wcs | None) -> OtherImage:
    """Return an image on a grid; see `read_on_grid`."""
    pixels, digest = master.pixels(), master.sha256()
    if master.wcs is not None and wcs is not None and not _is_same(master.wcs, wcs, master.shape[1:], shape):
        return OtherImage(_resampled(pixels, master.wcs, shape, wcs), not master.is_picture, "coordinates", digest)
    if master.shape[1:] == shape:
        return OtherImage(pixels, not master.is_picture, "pixels", digest)
    missing = master.path.name if master.wcs is None else "the image it is laid on"
    raise NotRegistered(
        f"{master.path.name} is {master.shape[2]}x{master.shape[1]} px, the image {shape[1]}x{shape[0]} px, and"
        f" {missing} has no coordinates to lay them on each other",
        "solve the masters first: skyquilt solve FILE --update-header",
    )


def _is_same(one: Wcs, other: Wcs, one_shape: tuple[int, int], other_shape: tuple[int, int]) -> bool:
    """Return whether two grids are one, to a hundredth of a pixel."""
    if one_shape != other_shape:
        return False
    x, y = np.meshgrid(np.linspace(0, one_shape[1] - 1, 5), np.linspace(0, one_shape[0] - 1, 5))
    to_x, to_y = other.to_pixels(*one.to_sky(x, y))
    return bool(np.nanmax(np.hypot(to_x - x, to_y - y)) < 0.01)


def _resampled(pixels: F32, its_wcs: Wcs, shape: tuple[int, int], wcs: Wcs) -> F32:
    """Return the image on the grid, surface brightness kept, interpolated once."""
    source = _ArraySource(pixels)
    frame = SkyGrid(its_wcs, pixels.shape[2], pixels.shape[1])
    warped = resample.Warped(source, mosaic.SkyMap(wcs, frame), _KERNEL)
    out = np.full((len(pixels), *shape), np.nan, dtype=np.float32)
    for y0 in range(0, shape[0], _TILE_ROWS):
        box = Box(0, y0, shape[1], min(y0 + _TILE_ROWS, shape[0]))
        tile = warped.read(box)
        out[:, box.y0 : box.y1] = np.where(tile.mask, tile.pixels, np.float32(np.nan))
    return out
