"""One frame as samples on the canvas: calibrated, debayered, resampled and normalised in one compiled pass."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skyquilt.core import F32, F64, I32, U8, Box, Calibration, Cfa, Mask, Normalisation, PixelSource, Trail
from skyquilt.errors import UsageError
from skyquilt.kernels.calibrate import NO_DARK, NO_DEFECTS, NO_FLAT
from skyquilt.kernels.debayer import REACH
from skyquilt.kernels.glare import shield_samples
from skyquilt.kernels.warp import feather_weights, find_footprint, mask_trails, warp_cfa, warp_mono, warp_rgb
from skyquilt.kernels.warp_piece import (
    spread_bilinear,
    spread_cfa,
    spread_cube,
    spread_malvar,
    spread_mono,
    spread_rcd,
    spread_superpixel,
)
from skyquilt.kernels.warp_prepare import INFLUENCE, calibrate_piece, mark_bad, scatter_cfa
from skyquilt.kernels.warp_table import KERNELS, gaussian_table, kernel_table
from skyquilt.steps.resample.nodes import NodeGrid, PixelMap

__all__ = [
    "DEFAULT_KERNEL",
    "DEFAULT_KERNEL_WITHOUT_CFA",
    "DEFAULT_METHOD",
    "DEFAULT_WINDOW_PX",
    "KERNELS",
    "METHODS",
    "CanvasSampler",
]

# Chosen by the figures of bench/debayer.py; docs/concepts/debayer.md says why.
DEFAULT_METHOD = "malvar"
DEFAULT_KERNEL = "least_squares"
# Where nothing is debayered there is no sharpness to win back, and the smaller lobes ring less beside blooming columns.
DEFAULT_KERNEL_WITHOUT_CFA = "catmull_rom"
DEFAULT_WINDOW_PX = 0.6

_SPREAD: dict[str, Callable[..., None]] = {
    "malvar": spread_malvar,
    "rcd": spread_rcd,
    "bilinear": spread_bilinear,
    "superpixel": spread_superpixel,
    "cfa": spread_cfa,
}
METHODS = tuple(_SPREAD)
_NOT_POSITIVE = ("malvar", "rcd")  # the ways with weights below 0
_NO_MASK: Mask = np.zeros((0, 0), dtype=np.bool_)
_NO_PLACES: I32 = np.zeros(0, dtype=np.int32)
_NO_STARS: I32 = np.zeros((0, 2), dtype=np.int32)
_NO_FLAGS: F32 = np.zeros((0, 0, 0), dtype=np.float32)


class _Scratch(threading.local):
    """Working space of one thread, each part as large as the largest box so far."""

    def __init__(self) -> None:
        self._parts: dict[str, F32] = {}

    def take(self, part: str, *shape: int) -> F32:
        """Return an array of that shape, its content whatever was there."""
        n = math.prod(shape)
        buffer = self._parts.get(part, _NO_FLAGS)
        if buffer.size < n:
            buffer = self._parts[part] = np.zeros(n, dtype=np.float32)
        return buffer[:n].reshape(shape)


_scratch = _Scratch()


class _Piece(NamedTuple):  # made a thousand times a second: a dataclass takes four times as long
    """
    A piece of the frame, ready to be resampled.

    Attributes
    ----------
    box : Box
        Which pixels (superpixels) it holds.
    pixels : float32 (h, w, 4 or 1), ADU
    flags : float32 (h, w, 4 or 1)
        For those whose pixels have no lane for the validity: that validity (mono), or the bad sites in the lane of
        their colour ("cfa"); of size 0 where nothing is bad.
    raw : float32 (c, h', w'), ADU
        What was read for it, calibrated and mended.
    read_box : Box
    saturated : int32 (n,)
        Places ``y * w' + x`` in `raw`.
    """

    box: Box
    pixels: F32
    flags: F32
    raw: F32
    read_box: Box
    saturated: I32


class CanvasSampler:
    """
    One frame made ready for the canvas: a `SampleSource`.

    Parameters
    ----------
    raw : PixelSource
        The frame's raw pixels, ADU; its bounds begin at (0, 0). `read_into(box, out)` is used where it exists.
    cfa : Cfa or None
        Pattern of the raw pixels; None for mono frames (one channel) and colour cubes (three).
    calibration : Calibration
    to_frame : Transform (any `PixelMap`)
        Canvas pixels to frame pixels.
    method : str
        How colours are made of a CFA, one of `METHODS`; "cfa" takes samples straight from the sites of each colour.
    kernel : str
        Interpolation, one of `KERNELS`; not used by "cfa".
    window_px : float, px
        Width p of the Gaussian exp(-r² / (2 p²)) of "cfa".
    star_colour : (float, float)
        Red over green and blue over green of a usual star, to which "malvar" is balanced.
    normalisation : Normalisation or None
        None leaves the values in the frame's own ADU.
    saturation_adu : float
        Raw values at or above it are saturated.
    saturated_stars : int32 (n, 2) or None
        (x, y) of the first of the 2 x 2 px at the centres of stars that saturate in other frames, if not in this one:
        their surroundings are treated alike.
    feather_px : float, px of the frame
        Over which the weight rises from 2 at the frame's edge to 255.
    radial_feather : float, 0..1
        Share of the half diagonal over which the weight falls towards the corners; 0 for none.
    trails : tuple of Trail
        Bands of the frame that take no part.

    Notes
    -----
    Definition: ``scale * Warped(Debayered(Calibrated(raw))) + surface``, to float32 rounding, at absolute coordinates:
    any tiling gives the same bits. Within `glare_px` of a saturated pixel or star, where it may have a part, it is
    `Shielded` in place of `Warped`; "cfa" and "nearest", which cannot overshoot, are not. Weights: 255 for a sample; 0
    where a pixel of its footprint lies outside of the frame or on a trail; 1 (stopgap) where more than a quarter of an
    error of the mended and saturated pixels would reach it (`kernels.warp.BAD_SHARE`). Safe under threads; `sample`
    holds the interpreter lock for some 30 µs only.
    """

    def __init__(
        self,
        raw: PixelSource,
        *,
        cfa: Cfa | None,
        calibration: Calibration,
        to_frame: PixelMap,
        method: str = DEFAULT_METHOD,
        kernel: str = DEFAULT_KERNEL,
        window_px: float = DEFAULT_WINDOW_PX,
        star_colour: tuple[float, float] = (1.0, 1.0),
        normalisation: Normalisation | None = None,
        saturation_adu: float = 65535.0,
        saturated_stars: I32 | None = None,
        feather_px: float = 0.0,
        radial_feather: float = 0.0,
        trails: tuple[Trail, ...] = (),
    ) -> None:
        if method not in _SPREAD:
            raise UsageError(f"{method!r} is not a way of debayering", f"one of: {', '.join(METHODS)}")
        if kernel not in KERNELS:
            raise UsageError(f"{kernel!r} is not an interpolation kernel", f"one of: {', '.join(KERNELS)}")
        bounds = raw.bounds
        self._raw = raw
        self._width, self._height = bounds.x1, bounds.y1
        self._is_cube = cfa is None and raw.n_channels == 3
        self._n_channels = 1 if cfa is None and raw.n_channels == 1 else 3
        self._method = method if cfa is not None else "none"
        self._spread = _SPREAD[method] if cfa is not None else spread_cube if self._is_cube else spread_mono
        self._reach = REACH[method] if cfa is not None else 0
        self._step = 2 if cfa is not None else 1
        self._pitch = 2 if self._method == "superpixel" else 1
        self._origin = cfa.red_site if cfa is not None else (0, 0)
        self._star_colour = (float(star_colour[0]), float(star_colour[1]))
        self._table = gaussian_table(window_px) if self._method == "cfa" else kernel_table(kernel)
        self._is_held = self._method in _NOT_POSITIVE
        overshoots = kernel != "nearest" and (self._is_held or self._table.shape[1] > 2)
        self._is_shielded = overshoots and self._method != "cfa"
        self._seen = self._reach + (1 if self._is_shielded and self._n_channels == 1 else 0)
        self._dark = _plane(calibration.dark, NO_DARK)
        self._inverse_flat = _plane(calibration.inverse_flat, NO_FLAT)
        self._defects = _plane(calibration.defects, NO_DEFECTS)
        self._defect_rows = calibration.defect_rows
        self._saturation = float(saturation_adu)
        self._stars = _NO_STARS if saturated_stars is None else np.ascontiguousarray(saturated_stars, dtype=np.int32)
        scale = np.ones(self._n_channels) if normalisation is None else normalisation.scale
        last = len(scale) - 1
        self._scale = (float(scale[0]), float(scale[min(1, last)]), float(scale[min(2, last)]))
        half_diagonal = 0.5 * float(np.hypot(self._width, self._height))
        self._feather = (float(feather_px), float(radial_feather) * half_diagonal)
        self._trails = np.array([[t.x0, t.y0, t.x1, t.y1, t.half_width] for t in trails]).reshape(-1, 5)
        self._nodes = NodeGrid(to_frame, self._n_channels, normalisation)

    @property
    def n_channels(self) -> int:
        return self._n_channels

    @property
    def weight_channels(self) -> int:
        return 3 if self._method == "cfa" else 1

    @property
    def glare_px(self) -> int:
        """
        How far the glare of a saturated pixel reaches, in pixels of what is resampled (superpixels); 0 if nowhere.

        The reach of the debayering and half the kernel, and a pixel more for mono frames, whose plateau has a flank
        that is nearly as steep as its edge.
        """
        return self._seen + self._table.shape[1] // 2 if self._is_shielded else 0

    def source_box(self, box: Box) -> Box:
        """Return the frame pixels that `sample` will read for a canvas box; empty if the frame does not reach it."""
        piece = self._find_piece(self._nodes.cover(box), box)
        return Box(0, 0, 0, 0) if piece is None else self._find_read_box(piece, self._defects.size > 0)

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        """
        Fill the samples of one canvas box (see `SampleSource.sample`).

        Parameters
        ----------
        box : Box
        values : float32 (n_channels, box.height, box.width), written
        weights : uint8 (weight_channels, box.height, box.width), written
        """
        nodes = self._nodes.cover(box)
        piece = self._find_piece(nodes, box)
        if piece is None:
            values[...] = 0.0
            weights[...] = 0
            return
        filled = self._fill_piece(piece)
        piece, pixels, flags = filled.box, filled.pixels, filled.flags
        corners = (box.x0, box.y0, box.x1, box.y1)
        place = (piece.x0, piece.y0, self._width // self._pitch, self._height // self._pitch, self._pitch)
        if self._method == "cfa":
            warp_cfa(
                pixels,
                flags,
                self._red_site_of(piece),
                nodes,
                corners,
                place,
                self._table,
                self._scale,
                values,
                weights,
            )
        elif self._n_channels == 3:
            warp_rgb(pixels, nodes, corners, place, self._table, self._scale, values, weights)
        else:
            warp_mono(pixels, flags, nodes, corners, place, self._table, self._scale[0], values, weights)
        if self._is_shielded and (len(filled.saturated) > 0 or len(self._stars) > 0):
            frame = (filled.read_box.x0, filled.read_box.y0, self._width, self._height)
            shield_samples(
                filled.raw[0],
                frame,
                self._origin,
                filled.saturated,
                self._stars,
                self.glare_px,
                self._is_held,
                pixels,
                nodes,
                corners,
                place,
                self._scale,
                values,
                weights,
            )
        if self._feather != (0.0, 0.0):
            feather_weights(nodes, corners, (self._width, self._height), self._feather, weights)
        if len(self._trails):
            mask_trails(nodes, corners, self._trails, weights)

    def _fill_piece(self, piece: Box) -> _Piece:
        """Read, calibrate and debayer a piece of the frame."""
        raw, usable, read_box = self._read(piece)
        bad = _scratch.take("bad", 2, read_box.n_pixels + 1).view(np.int32)
        n_bad = calibrate_piece(
            raw,
            usable,
            self._dark,
            self._inverse_flat,
            self._defects,
            self._defect_rows,
            read_box.x0,
            read_box.y0,
            self._saturation,
            self._step,
            bad,
        )
        reach, pitch = self._reach, self._pitch
        lanes = 4 if self._n_channels == 3 else 1
        if lanes == 1 and read_box.contains(piece):  # nothing is mirrored: what was read is what is needed
            piece, pixels = read_box, raw.reshape(*read_box.shape, 1)
        else:
            pixels = _scratch.take("pixels", piece.height, piece.width, lanes)
            self._spread(
                raw,
                (read_box.x0, read_box.y0, self._width, self._height),
                (piece.x0, piece.y0, piece.x1, piece.y1),
                self._origin,
                self._star_colour,
                _scratch.take("planes", len(raw), piece.height * pitch + 2 * reach, piece.width * pitch + 2 * reach),
                pixels,
            )
        if n_bad == 0:
            return _Piece(piece, pixels, _NO_FLAGS, raw, read_box, _NO_PLACES)
        saturated = bad[1, 1 : bad[1, 0] + 1]
        validity = pixels
        if self._method == "cfa" or lanes == 1:
            validity = _scratch.take("validity", piece.height, piece.width, 1)
            validity[...] = 1.0
        from_piece = read_box.x0 - pitch * piece.x0, read_box.y0 - pitch * piece.y0
        mark_bad(bad[0, :n_bad], read_box.width, *from_piece, pitch, INFLUENCE[self._method], validity)
        if self._method != "cfa":
            return _Piece(piece, pixels, validity if lanes == 1 else _NO_FLAGS, raw, read_box, saturated)
        flags = _scratch.take("flags", piece.height, piece.width, lanes)
        scatter_cfa(1.0 - validity[:, :, 0], *self._red_site_of(piece), flags)
        return _Piece(piece, pixels, flags, raw, read_box, saturated)

    def _red_site_of(self, piece: Box) -> tuple[int, int]:
        """Return the parity of the red sites, counted from the first pixel of a piece."""
        return (self._origin[0] + piece.x0) & 1, (self._origin[1] + piece.y0) & 1

    def _find_piece(self, nodes: F64, box: Box) -> Box | None:
        """Return the grid pixels under the kernels of a box's samples, or None if the frame does not reach the box."""
        x_min, y_min, x_max, y_max = find_footprint(nodes, (box.x0, box.y0, box.x1, box.y1))
        pitch, taps = self._pitch, self._table.shape[1]
        width, height = self._width // pitch, self._height // pitch
        offset = 0.5 * (pitch - 1)
        x_min, y_min = (x_min - offset) / pitch, (y_min - offset) / pitch
        x_max, y_max = (x_max - offset) / pitch, (y_max - offset) / pitch
        if not (x_min <= width and y_min <= height and x_max >= -1.0 and y_max >= -1.0):
            return None
        # one pixel to spare for the rounding of positions; and never less than a whole kernel
        x0, y0 = int(max(x_min, -1.0) + 1.0) - 1 - taps // 2, int(max(y_min, -1.0) + 1.0) - 1 - taps // 2
        x1, y1 = int(min(x_max, width)) + taps // 2 + 2, int(min(y_max, height)) + taps // 2 + 2
        return Box(x0, y0, max(x1, x0 + taps), max(y1, y0 + taps))

    def _find_read_box(self, piece: Box, is_mended: bool) -> Box:
        """Return what must be read: the piece, the reach of the debayering, what is mirrored, room for the mending."""
        # the piece has a pixel to spare beyond the kernels: so whatever is within `glare_px` of a sample's four pixels
        # is seen
        pitch = self._pitch
        wanted = Box(piece.x0 * pitch, piece.y0 * pitch, piece.x1 * pitch, piece.y1 * pitch).grow(self._seen)
        x0, x1 = _with_mirrored(wanted.x0, wanted.x1, self._width)
        y0, y1 = _with_mirrored(wanted.y0, wanted.y1, self._height)
        margin = 2 * self._step if is_mended else 0
        return Box(x0, y0, x1, y1).grow(margin).intersect(Box(0, 0, self._width, self._height))

    def _read(self, piece: Box) -> tuple[F32, Mask, Box]:
        """Return raw pixels that may be written to, their mask (empty if all are good) and their box."""
        is_mended = self._defects.size > 0
        box = self._find_read_box(piece, is_mended)
        n_channels = 3 if self._is_cube else 1
        pixels = _scratch.take("raw", n_channels, *box.shape)
        read_into: Any = getattr(self._raw, "read_into", None)
        if read_into is not None and read_into(box, pixels):
            return pixels, _NO_MASK, box
        tile = self._raw.read(box)
        if not tile.mask.all() and not is_mended:
            box = self._find_read_box(piece, True)
            tile = self._raw.read(box)
            pixels = _scratch.take("raw", n_channels, *box.shape)
        pixels[...] = tile.pixels
        return pixels, _NO_MASK if tile.mask.all() else np.array(tile.mask, dtype=np.bool_, order="C"), box


def _plane(array: Any, nothing: Any) -> Any:
    """Return a contiguous array, or the empty one that stands for None."""
    return nothing if array is None else np.ascontiguousarray(array, dtype=nothing.dtype)


def _with_mirrored(low: int, high: int, size: int) -> tuple[int, int]:
    """Return the part of an axis that holds low..high and the mirror images of what lies beyond the axis' ends."""
    first, last = max(0, low), min(size, high)
    if low < 0:
        last = max(last, min(size, 1 - low))
    if high > size:
        first = min(first, max(0, 2 * size - 1 - high))
    return first, last
