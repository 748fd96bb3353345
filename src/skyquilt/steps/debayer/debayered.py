"""Debayering of a whole frame or of any box of it."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Box, Cfa, Mask, PixelSource, Tile
from skyquilt.errors import UsageError
from skyquilt.kernels.debayer import REACH, debayer_bilinear, debayer_malvar, debayer_superpixel
from skyquilt.kernels.debayer_rcd import debayer_rcd
from skyquilt.kernels.glare import hold_colours

__all__ = ["METHODS", "Debayered", "debayer"]

_LOOPS = {"bilinear": debayer_bilinear, "rcd": debayer_rcd, "superpixel": debayer_superpixel}
METHODS = ("bilinear", "malvar", "rcd", "superpixel")
NEUTRAL = (1.0, 1.0)


def _check(method: str) -> None:
    if method not in METHODS:
        raise UsageError(f"{method!r} is not a way of debayering", f"one of: {', '.join(METHODS)}")


def _run(method: str, plane: F32, red_site: tuple[int, int], star_colour: tuple[float, float], out: F32) -> None:
    """Run the loop of a method."""
    if method == "malvar":
        debayer_malvar(plane, *red_site, star_colour, out)
    else:
        _LOOPS[method](plane, *red_site, out)


def debayer(pixels: F32, cfa: Cfa, method: str = "malvar", star_colour: tuple[float, float] = NEUTRAL) -> F32:
    """
    Return red, green and blue of a colour filter array.

    Parameters
    ----------
    pixels : float32 (h, w), any unit
    cfa : Cfa
        Pattern of `pixels`, counted from its first pixel.
    method : "bilinear", "malvar", "rcd" or "superpixel"
    star_colour : (float, float)
        Red over green and blue over green of a usual star, to which "malvar" is balanced.

    Returns
    -------
    float32 (3, h, w), or (3, h // 2, w // 2) for "superpixel"
        The centre of superpixel (i, j) lies at (2 i + 0.5, 2 j + 0.5) of the full frame.

    Raises
    ------
    UsageError
        If the method is not known, or the image is smaller than 2 x 2.

    Notes
    -----
    Definitions: `kernels.debayer_definition`, bit for bit. Beyond the edges the image is mirrored about its outermost
    pixels, which keeps the pattern. Adding a constant adds it to the result; all but "rcd" are linear.
    """
    _check(method)
    if min(pixels.shape) < 2:
        raise UsageError(f"a colour filter array of {pixels.shape[1]} x {pixels.shape[0]} px has not all the colours")
    height, width = pixels.shape
    reach = REACH[method]
    mirrored = np.pad(np.asarray(pixels, dtype=np.float32), reach, mode="reflect") if reach else pixels
    plane = np.array(mirrored, dtype=np.float32, order="C")
    size = (height // 2, width // 2) if method == "superpixel" else (height, width)
    out = np.empty((*size, 4), dtype=np.float32)
    _run(method, plane, cfa.red_site, star_colour, out)
    return np.ascontiguousarray(out[..., :3].transpose(2, 0, 1))


class Debayered:
    """
    A CFA source as a colour one: a `PixelSource` that reads a margin of the method's reach.

    Parameters
    ----------
    source : PixelSource
        One channel.
    cfa : Cfa
        Pattern of the source, counted from its pixel (0, 0).
    method : str
        As `debayer`; "superpixel" gives a source of half the size.
    star_colour : (float, float)
        As `debayer`.
    is_held : bool
        Whether the colours are held near what the sites around them measured (`kernels.glare.hold_colours`): what the
        samples beside saturated pixels are taken from. Superpixels need no holding.

    Notes
    -----
    A pixel is masked where any raw pixel that has a part in it is (see `REACH`: the square of that reach), except that
    pixels beyond the source's bounds do not count: they are mirrored.
    """

    def __init__(
        self,
        source: PixelSource,
        cfa: Cfa,
        method: str = "malvar",
        star_colour: tuple[float, float] = NEUTRAL,
        *,
        is_held: bool = False,
    ) -> None:
        _check(method)
        self.source = source
        self.cfa = cfa
        self.method = method
        self.star_colour = star_colour
        self.is_held = is_held

    @property
    def n_channels(self) -> int:
        return 3

    @property
    def bounds(self) -> Box:
        bounds = self.source.bounds
        if self.method != "superpixel":
            return bounds
        return Box(-(-bounds.x0 // 2), -(-bounds.y0 // 2), bounds.x1 // 2, bounds.y1 // 2)

    def read(self, box: Box) -> Tile:
        """Return red, green and blue of a box, (3, box.height, box.width); masked and 0 outside of the bounds."""
        pixels = np.zeros((3, *box.shape), dtype=np.float32)
        mask = np.zeros(box.shape, dtype=np.bool_)
        inside = box.intersect(self.bounds)
        if not inside.is_empty:
            there = inside.slices(box)
            pixels[:, there[0], there[1]], mask[there] = self._read_inside(inside)
        return Tile(pixels, mask, box)

    def _read_inside(self, box: Box) -> tuple[F32, Mask]:
        """Return pixels and mask of a box within the bounds."""
        if self.method == "superpixel":
            tile = self.source.read(Box(2 * box.x0, 2 * box.y0, 2 * box.x1, 2 * box.y1))
            usable = np.asarray(tile.mask.reshape(box.height, 2, box.width, 2).all(axis=(1, 3)))
            return debayer(tile.pixels[0], self.cfa, self.method), usable
        reach = REACH[self.method]
        wanted = box.grow(reach)
        columns = _mirror(np.arange(wanted.x0, wanted.x1), self.source.bounds.x0, self.source.bounds.x1)
        rows = _mirror(np.arange(wanted.y0, wanted.y1), self.source.bounds.y0, self.source.bounds.y1)
        piece = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        tile = self.source.read(piece)
        grid = np.ix_(rows - piece.y0, columns - piece.x0)
        plane = np.ascontiguousarray(tile.pixels[0][grid])
        out = np.empty((*box.shape, 4), dtype=np.float32)
        red_site = self.cfa.shifted(box.x0, box.y0).red_site
        _run(self.method, plane, red_site, self.star_colour, out)
        colours = out[..., :3].transpose(2, 0, 1)
        if self.is_held:
            rows_with_one, columns_with_one = wanted.grow(1 - reach).slices(wanted)
            colours = hold_colours(colours, plane[rows_with_one, columns_with_one], red_site)
        return colours, _erode(tile.mask[grid], reach)


def _mirror(
    index: np.ndarray[tuple[int], np.dtype[np.int64]], low: int, high: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the pixels that stand for `index` when an axis is mirrored about `low` and `high` - 1."""
    period = max(1, 2 * (high - 1 - low))
    folded = (index - low) % period
    return low + np.minimum(folded, period - folded)


def _erode(mask: Mask, reach: int) -> Mask:
    """Return where the whole square of that reach may be used; smaller than `mask` by the reach on every side."""
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(mask, 2 * reach + 1, axis=axis)
        mask = np.asarray(windows.all(axis=-1))
    return mask
