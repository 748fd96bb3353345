"""Another image, laid on the grid of the one that is being finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box, Mask, Registration, SkyGrid, Stars, Tile, Wcs
from skyquilt.engine.finish.look import find_stars
from skyquilt.engine.finish.master import Master, open_master
from skyquilt.errors import NotRegistered
from skyquilt.steps import mosaic, register, resample

__all__ = ["Grid", "OtherImage", "lay_on_grid", "read_on_grid"]

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
    laid_on_by : "pixels", "coordinates" or "stars"
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
        self._known: Mask = np.asarray(np.isfinite(pixels).all(axis=0))
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


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """
    The grid that images are laid on.

    Attributes
    ----------
    shape : (y, x)
    wcs : Wcs or None
        Its coordinates.
    stars : callable
        Returns the stars of the image that has the grid, in its pixels: asked for where coordinates are missing.
    """

    shape: tuple[int, int]
    wcs: Wcs | None
    stars: Callable[[], Stars]


def read_on_grid(path: Path, grid: Grid) -> OtherImage:
    """
    Return the image of a file on a grid: by the coordinates of both, else by the stars of both, else as it is.

    Raises
    ------
    NotRegistered
        If its size is another, and neither coordinates nor stars tell how it lies.
    UnreadableFrame, NoUsableInput, UsageError
        As `open_master`.
    """
    return lay_on_grid(open_master(path), grid)


def lay_on_grid(master: Master, grid: Grid) -> OtherImage:
    """Return an image on a grid; see `read_on_grid`."""
    pixels, digest, is_linear = master.pixels(), master.sha256(), not master.is_picture
    if master.wcs is not None and grid.wcs is not None:
        if _is_same(master.wcs, grid.wcs, master.shape[1:], grid.shape):
            return OtherImage(pixels, is_linear, "pixels", digest)
        frame = SkyGrid(master.wcs, pixels.shape[2], pixels.shape[1])
        laid = _resampled(pixels, mosaic.SkyMap(grid.wcs, frame), grid.shape)
        return OtherImage(laid, is_linear, "coordinates", digest)
    reason = "it is a picture"
    if is_linear:
        found = register.match(
            find_stars(pixels, master.full_scale),
            register.Reference(grid.stars(), grid.shape[1], grid.shape[0]),
            scale_hint=None,
            allow_mirror=True,
        )
        if isinstance(found, Registration):
            return OtherImage(_resampled(pixels, found.transform.inverse(), grid.shape), is_linear, "stars", digest)
        reason = found.reason
    if master.shape[1:] == grid.shape:
        return OtherImage(pixels, is_linear, "pixels", digest)
    raise NotRegistered(
        f"{master.path.name} ({master.shape[2]}x{master.shape[1]} px) cannot be laid on the image"
        f" ({grid.shape[1]}x{grid.shape[0]} px): coordinates are missing, and {reason}",
        "solve both first: skyquilt solve FILE --update-header",
    )


def _is_same(one: Wcs, other: Wcs, one_shape: tuple[int, int], other_shape: tuple[int, int]) -> bool:
    """Return whether two grids are one, to a hundredth of a pixel."""
    if one_shape != other_shape:
        return False
    x, y = np.meshgrid(np.linspace(0, one_shape[1] - 1, 5), np.linspace(0, one_shape[0] - 1, 5))
    to_x, to_y = other.to_pixels(*one.to_sky(x, y))
    return bool(np.nanmax(np.hypot(to_x - x, to_y - y)) < 0.01)


def _resampled(pixels: F32, to_image: resample.PixelMap, shape: tuple[int, int]) -> F32:
    """Return the image on the grid, surface brightness kept, interpolated once."""
    # Warped needs the inverse of a Transform for its bounds only, which are not asked for here
    warped = resample.Warped(_ArraySource(pixels), to_image, _KERNEL)  # type: ignore[arg-type]
    out = np.full((len(pixels), *shape), np.nan, dtype=np.float32)
    for y0 in range(0, shape[0], _TILE_ROWS):
        box = Box(0, y0, shape[1], min(y0 + _TILE_ROWS, shape[0]))
        tile = warped.read(box)
        out[:, box.y0 : box.y1] = np.where(tile.mask, tile.pixels, np.float32(np.nan))
    return out
