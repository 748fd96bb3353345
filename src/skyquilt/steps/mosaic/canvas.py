"""The canvas that holds many frames: projection, scale, rotation, size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyquilt.core import F32, F64, Box, SkyGrid, Wcs
from skyquilt.core.sky import directions, separation_deg
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.kernels.coverage import coverage_box
from skyquilt.kernels.polygons import count_polygons
from skyquilt.steps.mosaic.cap import enclosing_cap
from skyquilt.steps.mosaic.footprints import Footprints, footprints_of
from skyquilt.steps.mosaic.frame_index import FrameIndex, outlines_on
from skyquilt.steps.mosaic.overlaps import find_islands, find_overlaps

__all__ = ["CanvasSettings", "choose_canvas"]

_TAN_REACH_DEG = 5.0  # where a pixel of the tangent plane covers 1.1 % less sky than in the middle
_FARTHEST_DEG = 80.0  # from the middle of the canvas
_MOST_SIDE_PX = 200_000
_FINEST_SHARE = 10.0  # per cent of the frames may be finer than "finest": a wrong solution has no say
_CELL_PX = 4
_MOST_CELLS = 1024
_SMALLEST_GAIN = 1e-4  # of the area: what a turned canvas must save to be preferred to one turned less
_POLE_DEG = 1e-6


@dataclass(frozen=True, slots=True)
class CanvasSettings:
    """
    What is wished of a canvas.

    Attributes
    ----------
    scale : float (arcsec/px), "median" or "finest"
        Of the frames' own scales: the median, or the one that a tenth of the frames go below.
    rotation : float (degrees) or "auto"
        Position angle of the picture's upward direction, from north through east; 0: north up. "auto": the turn of at
        most 45 degrees that makes the canvas smallest.
    projection : "auto", "TAN" or "ZEA"
        "auto": TAN while every pixel lies within 5 degrees of the reference point, else ZEA.
    centre_deg : (float, float) or None, degrees
        Direction (ra, dec) of the middle of the canvas; None: the middle of the smallest circle that holds all frames
        is the reference point, and the canvas no larger than the frames need.
    width, height : int or None, px
        None: as the frames need.
    least_coverage : float in (0, 1] or None
        Crop to where this share of the usual number of frames overlaps (the median where there are any).
    least_frames : int or None
        Crop to where so many frames overlap.
    row_order : "BOTTOM-UP" or "TOP-DOWN"
        Whether the first row is the lowest of the picture, as FITS says, or the highest. East is left either way.
    grid : SkyGrid or None
        A canvas given whole, e.g. by `SkyGrid.from_header`; everything else must then be left as it is.
    most_side_px : int
        A canvas with a longer side is refused.

    Raises
    ------
    UsageError
        If a value cannot be meant, or two of them contradict each other.
    """

    scale: float | str = "median"
    rotation: float | str = 0.0
    projection: str = "auto"
    centre_deg: tuple[float, float] | None = None
    width: int | None = None
    height: int | None = None
    least_coverage: float | None = None
    least_frames: int | None = None
    row_order: str = "BOTTOM-UP"
    grid: SkyGrid | None = None
    most_side_px: int = _MOST_SIDE_PX

    def __post_init__(self) -> None:
        _check_word_or_number("scale", self.scale, ("median", "finest"), lowest=0.0)
        _check_word_or_number("rotation", self.rotation, ("auto",), lowest=-math.inf)
        if self.projection not in ("auto", "TAN", "ZEA"):
            raise UsageError(f"the projection {self.projection!r} is not known", "write auto, TAN or ZEA")
        if self.row_order not in ("BOTTOM-UP", "TOP-DOWN"):
            raise UsageError(f"the order of rows {self.row_order!r} is not known", "write BOTTOM-UP or TOP-DOWN")
        if self.centre_deg is not None and not (
            math.isfinite(self.centre_deg[0]) and -90.0 <= self.centre_deg[1] <= 90.0
        ):
            raise UsageError(f"the centre {self.centre_deg} is no place on the sky", "give ra and dec in degrees")
        for name, least in (("width", self.width), ("height", self.height), ("least_frames", self.least_frames)):
            if least is not None and least < 1:
                raise UsageError(f"{name} is {least}: at least 1 was expected")
        if self.least_coverage is not None and not 0.0 < self.least_coverage <= 1.0:
            raise UsageError(f"least_coverage is {self.least_coverage:g}: a share above 0 up to 1 was expected")
        if self.least_coverage is not None and self.least_frames is not None:
            raise UsageError("a least coverage is given both as a share and as a number of frames", "give one of them")
        is_placed = self.centre_deg is not None or self.width is not None or self.height is not None
        if self.is_cropped and is_placed:
            raise UsageError("a canvas with a given centre or size cannot be cropped to the coverage too")
        if self.grid is not None and replace(self, grid=None, most_side_px=_MOST_SIDE_PX) != CanvasSettings():
            raise UsageError("a canvas given whole leaves nothing else to choose", "leave the other settings out")

    @property
    def is_cropped(self) -> bool:
        """Whether the canvas ends where the coverage falls below the one asked for."""
        return self.least_coverage is not None or self.least_frames is not None


def choose_canvas(frames: Sequence[SkyGrid], settings: CanvasSettings | None = None) -> SkyGrid:
    """
    Return the canvas for frames.

    Parameters
    ----------
    frames : sequence of SkyGrid
        Coordinates and sizes; their order changes nothing.
    settings : CanvasSettings or None
        None: north up, the frames' median scale, all that any frame covers.

    Raises
    ------
    NoUsableInput
        If there are no frames, or none touches a canvas whose place was given.
    UsageError
        If one canvas cannot hold the frames, would be larger than is sensible, or no rectangle is covered as asked.

    Notes
    -----
    The reference point is rounded to 1e-6 degrees and the scale to five digits, so that cards are short and the same
    for about the same frames. Whole pixels: every corner of every frame's pixel lies on the canvas.
    """
    settings = settings or CanvasSettings()
    footprints = footprints_of(frames)
    footprints = footprints.take(footprints.order())
    if settings.grid is not None:
        _check_side(settings.grid.width, settings.grid.height, settings)
        return _touched(settings.grid, footprints)
    scale = _choose_scale(footprints, settings)
    centre = _choose_centre(footprints, settings)
    if settings.projection != "auto":
        return _lay(footprints, settings, scale, centre, settings.projection)
    wide = _lay(footprints, settings, scale, centre, "ZEA")
    if _reach_deg(wide) > _TAN_REACH_DEG:
        return wide
    flat = _lay(footprints, settings, scale, centre, "TAN")
    return flat if _reach_deg(flat) <= _TAN_REACH_DEG else wide


def _choose_scale(footprints: Footprints, settings: CanvasSettings) -> float:
    """Return the scale, arcsec/px."""
    scales = footprints.scale_arcsec
    if settings.scale == "median":
        return float(f"{np.median(scales):.5g}")
    if settings.scale == "finest":
        return float(f"{np.percentile(scales, _FINEST_SHARE, method='lower'):.5g}")
    return float(settings.scale)


def _choose_centre(footprints: Footprints, settings: CanvasSettings) -> tuple[float, float]:
    """Return the reference point, degrees; refuse frames that lie too far from it, unless the size is given."""
    if settings.centre_deg is not None:
        centre = settings.centre_deg[0] % 360.0, settings.centre_deg[1]
    else:
        middle, _ = enclosing_cap(footprints.outline.reshape(-1, 3))
        ra, dec = (float(angle) for angle in directions(middle))
        centre = (round(ra, 6) % 360.0, round(dec, 6))
        if abs(dec) > 90.0 - _POLE_DEG:  # where the right ascension is the noise of the last digit
            centre = (0.0, math.copysign(90.0, dec))
    if settings.width is None or settings.height is None:
        away = float(separation_deg(*directions(footprints.outline), *centre).max())
        if away > _FARTHEST_DEG:
            raise UsageError(
                f"some frames lie {away:.0f} degrees from the middle of the canvas: no canvas holds all of them",
                _advice(footprints, "leave out those far away"),
            )
    return centre


def _lay(
    footprints: Footprints, settings: CanvasSettings, scale: float, centre: tuple[float, float], projection: str
) -> SkyGrid:
    """Return the canvas in one projection."""
    plane = Wcs(centre, (0.0, 0.0), _matrix(scale, 0.0), None, projection)
    x, y, _ = outlines_on(plane, footprints)
    is_sized = settings.width is not None and settings.height is not None
    is_centred = settings.centre_deg is not None
    rotation = settings.rotation
    if isinstance(rotation, str):
        rotation = _smallest_turn(x, y, is_centred)
    plane = replace(plane, cd=_matrix(scale, rotation))
    x, y, slack = outlines_on(plane, footprints)
    box = _frame(x, y, slack, settings)
    _check_side(box.width, box.height, settings, footprints)
    if settings.is_cropped:
        box = _crop(x, y, box, settings)
    wcs = plane.shifted(box.x0, box.y0)
    if settings.row_order == "TOP-DOWN":
        wcs = wcs.flipped(box.height)
    canvas = SkyGrid(wcs, box.width, box.height)
    return _touched(canvas, footprints) if is_centred or is_sized else canvas


def _matrix(scale_arcsec: float, rotation_deg: float) -> F64:
    """Return the matrix of a picture whose y axis points to a position angle, east on the left of north."""
    c, s = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    return scale_arcsec / 3600.0 * np.array([[-c, s], [s, c]])


def _smallest_turn(x: F64, y: F64, is_centred: bool) -> float:
    """
    Return the turn in [-45, 45] degrees, to 0.01, of the smallest rectangle round points.

    It has a side along one of the convex hull (Freeman & Shapira 1975, Comm. ACM 18, 409). With `is_centred`, its
    middle is the origin. Of turns that save next to nothing against each other the smallest is taken.
    """
    from scipy.spatial import ConvexHull

    points = np.stack([x[np.isfinite(x + y)], y[np.isfinite(x + y)]], axis=1)
    if is_centred:
        points = np.concatenate([points, -points])
    if len(points) < 3:
        return 0.0
    hull = points[ConvexHull(points).vertices]
    side = np.roll(hull, -1, axis=0) - hull
    turns = np.degrees(np.arctan2(side[:, 1], side[:, 0]))
    turns = np.unique(np.concatenate([[0.0], np.round((turns + 45.0) % 90.0 - 45.0, 2)]))
    c, s = np.cos(np.radians(turns))[:, None], np.sin(np.radians(turns))[:, None]
    area = np.ptp(c * hull[:, 0] + s * hull[:, 1], axis=1) * np.ptp(c * hull[:, 1] - s * hull[:, 0], axis=1)
    good = turns[area <= (1.0 + _SMALLEST_GAIN) * area.min()]
    return float(good[np.lexsort((-good, np.abs(good)))[0]])


def _frame(x: F64, y: F64, slack: F64, settings: CanvasSettings) -> Box:
    """Return the box of whole pixels that holds all outlines, or has the size given."""
    x0, x1 = _extent(x, slack, settings.width, settings.centre_deg is not None)
    y0, y1 = _extent(y, slack, settings.height, settings.centre_deg is not None)
    return Box(x0, y0, x1, y1)


def _extent(at: F64, slack: F64, size: int | None, is_centred: bool) -> tuple[int, int]:
    """Return the first pixel and the one after the last along one axis."""
    is_known = np.isfinite(at).all(axis=1)
    low = float((at.min(axis=1) - slack)[is_known].min()) if is_known.any() else 0.0
    high = float((at.max(axis=1) + slack)[is_known].max()) if is_known.any() else 0.0
    if is_centred and size is None:
        reach = math.ceil(max(-low, high) - 0.5)
        return -reach, reach + 1
    first, after = math.floor(low + 0.5), math.ceil(high + 0.5)
    if size is None:
        return first, after
    first = -(size // 2) if is_centred else (first + after - size) // 2
    return first, first + size


def _crop(x: F64, y: F64, box: Box, settings: CanvasSettings) -> Box:
    """Return the part of a box that enough frames cover at all corners of cells of at least 4 px."""
    cell = max(_CELL_PX, -(-max(box.width, box.height) // _MOST_CELLS))
    count = np.zeros((-(-box.height // cell) + 1, -(-box.width // cell) + 1), np.int32)
    count_polygons((x - box.x0 + 0.5) / cell, (y - box.y0 + 0.5) / cell, count)
    if settings.least_frames is not None:
        least: float = settings.least_frames
        words = f"{settings.least_frames} frames"
    else:
        assert settings.least_coverage is not None
        least = settings.least_coverage * float(np.median(count[count > 0])) if count.any() else 1.0
        words = f"{settings.least_coverage:.0%} of the usual number of frames"
    is_enough = count >= max(least - 1e-6, 1.0)
    is_enough = is_enough[:-1, :-1] & is_enough[:-1, 1:] & is_enough[1:, :-1] & is_enough[1:, 1:]
    enough: F32 = is_enough.astype(np.float32)
    cells = coverage_box(enough, 0.5) if enough.any() else Box(0, 0, 0, 0)
    if cells.is_empty:
        raise UsageError(f"no rectangle of the sky is covered by {words}", "choose a lower coverage")
    return Box(
        box.x0 + cells.x0 * cell,
        box.y0 + cells.y0 * cell,
        min(box.x1, box.x0 + cells.x1 * cell),
        min(box.y1, box.y0 + cells.y1 * cell),
    )


def _reach_deg(canvas: SkyGrid) -> float:
    """Return how far the outermost pixel lies from the reference point, degrees; 180 beyond the projection's edge."""
    away = separation_deg(*canvas.outline(), *canvas.wcs.crval_deg)
    return float(away.max()) if np.isfinite(away).all() else 180.0


def _touched(canvas: SkyGrid, footprints: Footprints) -> SkyGrid:
    """Return the canvas if any frame touches it."""
    if not len(FrameIndex(canvas, footprints, 0.0).touching(Box(0, 0, canvas.width, canvas.height))):
        ra, dec = canvas.centre_deg
        raise NoUsableInput(
            f"no frame touches the canvas about ra {ra:.2f}, dec {dec:.2f} degrees", "look at its centre and size"
        )
    return canvas


def _check_side(width: int, height: int, settings: CanvasSettings, footprints: Footprints | None = None) -> None:
    """Refuse a canvas with a side that is too long."""
    if max(width, height) > settings.most_side_px:
        advice = "choose a smaller one"
        if footprints is not None:
            advice = _advice(footprints, "choose a coarser scale, or a width and a height")
        raise UsageError(f"the canvas would have {width}x{height} px, more than {settings.most_side_px} a side", advice)


def _advice(footprints: Footprints, otherwise: str) -> str:
    """Return what to do with frames that lie far apart."""
    n = len(find_islands(footprints, find_overlaps(footprints)))
    return f"they form {n} islands that share no sky: process these one at a time" if n > 1 else otherwise


def _check_word_or_number(name: str, value: float | str, words: tuple[str, ...], lowest: float) -> None:
    """Refuse another word, and a number that is not above `lowest`."""
    if isinstance(value, str):
        if value not in words:
            raise UsageError(f"the {name} {value!r} is not known", f"write {' or '.join(words)}, or a number")
    elif not (math.isfinite(value) and value > lowest):
        raise UsageError(f"the {name} {value} cannot be meant", f"write {' or '.join(words)}, or a number")
