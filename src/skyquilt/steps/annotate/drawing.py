"""Grid, stars and objects of a picture as one drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, CatalogueStars, DeepSkyObject, Drawing, Line, Ring, SkyGrid
from skyquilt.core.sky import deproject
from skyquilt.steps.annotate.grid import GridLine, sky_lines
from skyquilt.steps.annotate.labels import Sheet, TextWidth, around
from skyquilt.steps.annotate.star_names import names_of

__all__ = ["Annotation", "TextWidth", "annotate_sky"]

_GRID, _STAR, _OBJECT, _TEXT = "#6fb7e9", "#ffd479", "#8be38b", "#ffffff"
_SHORT_SIDE = 1000.0  # px of a picture whose type is 15 px high
_TYPE = 15.0
_LINE = 1.3
_SMALLEST_OBJECT = 8.0
_UNKNOWN_OBJECT = 10.0
_WIDE_SHARE = 0.3  # of the picture: a label goes inside of such an object
_MOST_OBJECTS = 100
_LABELLED_STARS = 10
_ELLIPSE = np.linspace(0.0, 2.0 * np.pi, 73)


@dataclass(frozen=True, slots=True)
class Annotation:
    """
    The drawing, and what it shows.

    Attributes
    ----------
    drawing : Drawing
    objects : tuple of DeepSkyObject
        Those marked, the best known first.
    named_stars : tuple of str
    n_stars : int
        Stars marked.
    n_without_label : int
        Marks whose label found no room.
    """

    drawing: Drawing
    objects: tuple[DeepSkyObject, ...]
    named_stars: tuple[str, ...]
    n_stars: int
    n_without_label: int


@dataclass(frozen=True, slots=True, eq=False)
class _Mark:
    """A mark that wants a label: where, how far it reaches, and what it is called."""

    x: float
    y: float
    reach: tuple[float, float]
    text: str
    colour: str


def annotate_sky(
    grid: SkyGrid,
    stars: CatalogueStars,
    objects: Sequence[DeepSkyObject],
    *,
    text_width: TextWidth,
    with_grid: bool = True,
    caption: str = "",
) -> Annotation:
    """
    Return what to draw over a picture of the sky.

    Parameters
    ----------
    grid : SkyGrid
        Of the picture: its pixels, first row on top.
    stars : CatalogueStars
        To be marked, brightest first; those outside of the picture are passed over.
    objects : sequence of DeepSkyObject
        Marked where their centre lies in the picture, at most 100, the best known first.
    text_width : callable
        (text, size in px) -> px, of the type that will be used.
    caption : str
        A line for the lower left corner.

    Notes
    -----
    Labels never cover each other: caption, compass, objects, named stars, then the numbers of the grid, then magnitudes
    look for room in that order, around their mark; a mark without room has no label.
    """
    unit = min(grid.width, grid.height) / _SHORT_SIDE
    sheet = Sheet(grid.width, grid.height, text_width)
    size = _TYPE * unit
    margin = 0.6 * size
    if caption:
        sheet.place(caption, size, _TEXT, [(margin, grid.height - 1.2 * size - margin)])
    lines = _compass(grid, sheet, unit)
    shown = _shown(grid, objects)
    rings, marks = [], []
    for thing, x, y in shown:
        outline, ring, mark = _object_mark(grid, thing, x, y, unit)
        lines += [outline] if outline else []
        rings += [ring] if ring else []
        marks.append(mark)
    star_rings, named, magnitudes = _star_marks(grid, stars, unit)
    for mark in (*marks, *named, *magnitudes):
        sheet.keep_clear(mark.x, mark.y, min(mark.reach))
    for ring in star_rings:
        sheet.keep_clear(ring.x, ring.y, ring.radius_px)
    lost = _place_all(sheet, [*marks, *named], 1.05 * size)
    if with_grid:
        meshes = sky_lines(grid)
        lines = [Line(mesh.points, _GRID, unit) for mesh in meshes] + lines
        for mesh in meshes:
            _place_on_edge(sheet, grid, mesh, 0.85 * size)
    _place_all(sheet, magnitudes, 0.8 * size)
    drawing = Drawing(grid.width, grid.height, tuple(lines), (*rings, *star_rings), tuple(sheet.labels))
    return Annotation(
        drawing, tuple(thing for thing, _, _ in shown), tuple(mark.text for mark in named), len(star_rings), lost
    )


def _shown(grid: SkyGrid, objects: Sequence[DeepSkyObject]) -> list[tuple[DeepSkyObject, float, float]]:
    """Return the objects in the picture with their places, the best known first."""
    found = []
    for thing in objects:
        x, y = grid.wcs.to_pixels(thing.ra_deg, thing.dec_deg)
        if bool(grid.holds(x, y)):
            fame = (not thing.is_messier, not thing.common_name, -(thing.major_arcmin or 0.0), thing.name)
            found.append((fame, thing, float(x), float(y)))
    return [(thing, x, y) for _, thing, x, y in sorted(found, key=lambda one: one[0])[:_MOST_OBJECTS]]


def _object_mark(
    grid: SkyGrid, thing: DeepSkyObject, x: float, y: float, unit: float
) -> tuple[Line | None, Ring | None, _Mark]:
    """Return the outline of an object where it is large enough to have one, else a ring, and its label."""
    text = f"{thing.name} {thing.common_name}".strip()
    outline = _outline(grid, thing)
    half = np.ptp(outline, axis=0) / 2.0 if len(outline) else np.zeros(2)
    if not np.isfinite(half).all() or half.max() < _SMALLEST_OBJECT * unit:
        radius = (_SMALLEST_OBJECT if half.max() > 0.0 else _UNKNOWN_OBJECT) * unit
        ring = Ring(x, y, radius, _OBJECT, _LINE * unit)
        return None, ring, _Mark(x, y, (radius, radius), text, _OBJECT)
    reach = (float(half[0]), float(half[1]))
    if half[0] > _WIDE_SHARE * grid.width or half[1] > _WIDE_SHARE * grid.height:
        reach = (0.25 * reach[0], 0.25 * reach[1])
    return Line(outline, _OBJECT, _LINE * unit), None, _Mark(x, y, reach, text, _OBJECT)


def _outline(grid: SkyGrid, thing: DeepSkyObject) -> F64:
    """Return the ellipse of an object in the picture, (n, 2) px; without a position angle or minor axis a circle."""
    if not thing.major_arcmin:
        return np.zeros((0, 2))
    major = thing.major_arcmin / 120.0
    is_ellipse = thing.minor_arcmin is not None and thing.position_angle_deg is not None
    minor = thing.minor_arcmin / 120.0 if is_ellipse and thing.minor_arcmin else major
    angle = np.radians(thing.position_angle_deg or 0.0)
    along, across = major * np.cos(_ELLIPSE), minor * np.sin(_ELLIPSE)
    east = along * np.sin(angle) + across * np.cos(angle)
    north = along * np.cos(angle) - across * np.sin(angle)
    ra, dec = deproject(east, north, thing.ra_deg, thing.dec_deg)
    return np.stack(grid.wcs.to_pixels(ra, dec), axis=1)


def _star_marks(grid: SkyGrid, stars: CatalogueStars, unit: float) -> tuple[list[Ring], list[_Mark], list[_Mark]]:
    """Return rings that grow with brightness, the names of the stars that have one, and magnitudes of the brightest."""
    x, y = grid.wcs.to_pixels(stars.ra_deg, stars.dec_deg)
    inside = np.flatnonzero(grid.holds(x, y))
    if not len(inside):
        return [], [], []
    chosen, x, y = stars.take(inside), x[inside], y[inside]
    faintest = float(chosen.mag.max())
    radius = unit * np.clip(4.0 + 1.6 * (faintest - chosen.mag), 4.0, 16.0)
    rings = [
        Ring(float(a), float(b), float(r), _STAR, 0.9 * _LINE * unit) for a, b, r in zip(x, y, radius, strict=True)
    ]
    names = names_of(chosen)
    named, magnitudes = [], []
    for k in range(len(chosen)):
        text = names.get(k, "")
        reach = (float(radius[k]), float(radius[k]))
        if text:
            named.append(_Mark(float(x[k]), float(y[k]), reach, text, _STAR))
        elif k < _LABELLED_STARS:
            magnitudes.append(_Mark(float(x[k]), float(y[k]), reach, f"{chosen.mag[k]:.1f}", _STAR))
    return rings, named, magnitudes


def _place_all(sheet: Sheet, marks: Sequence[_Mark], size: float) -> int:
    """Label marks; return how many found no room."""
    lost = 0
    for mark in marks:
        box = sheet.size_of(mark.text, size)
        lost += not sheet.place(mark.text, size, mark.colour, around(mark.x, mark.y, mark.reach, box, 0.3 * size))
    return lost


def _place_on_edge(sheet: Sheet, grid: SkyGrid, mesh: GridLine, size: float) -> None:
    """Label a line of the grid where it leaves the picture; meridians above and below, parallels left and right."""
    width, height = sheet.size_of(mesh.text, size)
    gap = 0.3 * size
    corners = []
    for x, y in mesh.ends:
        left = min(max(x - width / 2.0, gap), grid.width - width - gap)
        top = min(max(y - height / 2.0, gap), grid.height - height - gap)
        is_side = min(x, grid.width - 1 - x) < min(y, grid.height - 1 - y)
        beside = (left, top + height * 0.6), (left, top - height * 0.6)
        corners.append((is_side == mesh.is_meridian, [(left, top), *beside]))
    ordered = [corner for _, group in sorted(corners, key=lambda one: one[0]) for corner in group]
    sheet.place(mesh.text, size, _GRID, ordered)


def _compass(grid: SkyGrid, sheet: Sheet, unit: float) -> list[Line]:
    """Return the arrows to north and east in the lower right corner, and place their letters."""
    length, size = 34.0 * unit, 0.9 * _TYPE * unit
    x0, y0 = grid.width - 75.0 * unit, grid.height - 75.0 * unit
    ra, dec = grid.wcs.to_sky(x0, y0)
    step = grid.wcs.scale_arcsec * length / 3600.0
    lines = []
    for text, (east, north) in (("N", (0.0, step)), ("E", (step, 0.0))):
        x, y = (float(v) for v in grid.wcs.to_pixels(*deproject(east, north, float(ra), float(dec))))
        far = float(np.hypot(x - x0, y - y0))
        if not far > 0.0:
            continue
        ux, uy = (x - x0) / far, (y - y0) / far
        tip = np.array([x0 + length * ux, y0 + length * uy])
        barbs = [tip + 9.0 * unit * np.array([-0.8 * ux - s * 0.45 * uy, -0.8 * uy + s * 0.45 * ux]) for s in (1, -1)]
        lines.append(Line(np.array([[x0, y0], tip]), _TEXT, _LINE * unit))
        lines.append(Line(np.array([barbs[0], tip, barbs[1]]), _TEXT, _LINE * unit))
        width, height = sheet.size_of(text, size)
        at = tip + 13.0 * unit * np.array([ux, uy])
        sheet.place(text, size, _TEXT, [(float(at[0]) - width / 2.0, float(at[1]) - height / 2.0)])
    sheet.keep_clear(x0, y0, length)
    return lines
