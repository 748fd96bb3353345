"""A solved image as a picture with grid, stars and objects drawn over it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from skyquilt.core import F32, U8, CatalogueStars, FrameMeta, SkyGrid, Wcs
from skyquilt.errors import UsageError
from skyquilt.io.atomic import write_atomically
from skyquilt.io.catalogue import Catalogue
from skyquilt.io.deepsky import objects_within
from skyquilt.io.drawings import draw_picture, drawing_svg, text_width
from skyquilt.io.fits import frame_source, open_frame, read_wcs
from skyquilt.io.images import encode_png
from skyquilt.steps.annotate import annotate_sky
from skyquilt.steps.debayer import debayer
from skyquilt.steps.finish import auto_stretch

__all__ = ["AnnotatedImage", "annotate_image"]

_LONGEST_SIDE = 4000
_SHORTEST_SIDE = 900
_UNDATED_YEAR = 2020.0
_J2000 = datetime(2000, 1, 1, 12)


class AnnotatedImage(BaseModel):
    """What was drawn, and where the image lies (degrees, ICRS; arcsec/px of the image itself)."""

    model_config = ConfigDict(extra="forbid")

    file: str
    output: str
    width: int
    height: int
    ra_deg: float
    dec_deg: float
    scale_arcsec: float
    epoch_year: float
    n_stars: int
    named_stars: list[str]
    objects: list[str]
    n_without_label: int
    notes: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """Stretched pixels, uint8 (y, x) or (y, x, 3), first row on top, and where they lie."""

    pixels: U8
    grid: SkyGrid


def annotate_image(
    path: Path,
    output: Path,
    catalogue: Catalogue,
    *,
    n_stars: int = 40,
    with_objects: bool = True,
    with_grid: bool = True,
) -> AnnotatedImage:
    """
    Write the stretched picture of a solved image with grid, stars and deep-sky objects, as PNG or SVG.

    Parameters
    ----------
    path : Path
        FITS with coordinates in a sidecar ``.wcs`` or in its header; mono, colour, or a raw colour filter array.
    output : Path
        ``.png`` or ``.svg``; replaced if it is there.
    catalogue : Catalogue
    n_stars : int
        The brightest so many are marked; 0 for none.

    Raises
    ------
    UsageError
        If the output has another ending, or is the image.
    NotRegistered, BadInput
        As `read_wcs`.

    Notes
    -----
    A colour filter array is shown at half size. Pictures longer than 4000 px are reduced, small ones enlarged by whole
    steps, so that labels can be read.
    """
    path, output = Path(path), Path(output)
    kind = output.suffix.lower()
    if kind not in (".png", ".svg"):
        raise UsageError(f"the picture {output.name} is neither .png nor .svg", "give --out NAME.png or NAME.svg")
    if output.exists() and path.exists() and output.samefile(path):
        raise UsageError(f"{output.name} is the image itself", "give another name with --out")
    frame, wcs = open_frame(path), read_wcs(path)
    tile = frame_source(frame).read(frame_source(frame).bounds)
    picture = _picture(np.where(tile.mask, tile.pixels, np.float32(np.nan)), wcs, frame.meta)
    centre, radius = picture.grid.centre_deg, picture.grid.radius_deg
    year, notes = _year(frame.meta)
    stars = CatalogueStars.empty()
    if n_stars:
        found = catalogue.cone(*centre, radius, epoch_year=year)
        inside = picture.grid.holds(*picture.grid.wcs.to_pixels(found.ra_deg, found.dec_deg))
        stars = found.take(inside).brightest(n_stars)
    annotation = annotate_sky(
        picture.grid,
        stars,
        objects_within(*centre, radius) if with_objects else [],
        text_width=text_width,
        with_grid=with_grid,
        caption=_caption(frame.meta, picture.grid, wcs),
    )
    if kind == ".svg":
        title = frame.meta.object_name or path.stem
        content = drawing_svg(picture.pixels, annotation.drawing, title=title).encode()
    else:
        content = encode_png(draw_picture(picture.pixels, annotation.drawing))
    write_atomically(output, content)
    return AnnotatedImage(
        file=path.name,
        output=str(output),
        width=picture.grid.width,
        height=picture.grid.height,
        ra_deg=centre[0],
        dec_deg=centre[1],
        scale_arcsec=wcs.scale_arcsec,
        epoch_year=year,
        n_stars=annotation.n_stars,
        named_stars=list(annotation.named_stars),
        objects=[f"{thing.name} {thing.common_name}".strip() for thing in annotation.objects],
        n_without_label=annotation.n_without_label,
        notes=notes,
    )


def _picture(planes: F32, wcs: Wcs, meta: FrameMeta) -> _Picture:
    """Return the picture of the pixels (c, y, x), right side up and of a size that labels can be read on."""
    if meta.cfa is not None and len(planes) == 1:
        planes, wcs = debayer(planes[0], meta.cfa, "superpixel"), wcs.scaled(0.5)
    _, height, width = planes.shape
    step = -(-max(height, width) // _LONGEST_SIDE)
    if step > 1:
        planes, wcs = _reduced(planes, step), wcs.scaled(1.0 / step)
    pixels = auto_stretch(planes).apply(planes)
    if meta.row_order == "BOTTOM-UP":
        pixels, wcs = pixels[::-1], wcs.flipped(pixels.shape[0])
    larger = -(-_SHORTEST_SIDE // min(pixels.shape[:2]))
    if larger > 1 and larger * max(pixels.shape[:2]) <= _LONGEST_SIDE:
        pixels, wcs = np.repeat(np.repeat(pixels, larger, axis=0), larger, axis=1), wcs.scaled(larger)
    mono = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return _Picture(np.ascontiguousarray(mono, dtype=np.uint8), SkyGrid(wcs, pixels.shape[1], pixels.shape[0]))


def _reduced(planes: F32, step: int) -> F32:
    """Return the planes, each cell of step x step pixels averaged; rests at the edge are cut off."""
    channels, height, width = planes.shape
    height, width = height // step * step, width // step * step
    cells = planes[:, :height, :width].reshape(channels, height // step, step, width // step, step)
    small: F32 = cells.mean(axis=(2, 4), dtype=np.float32)
    return small


def _year(meta: FrameMeta) -> tuple[float, list[str]]:
    """Return the Julian year of the exposure, and a note where the header does not tell it."""
    if meta.date_obs is None:
        return _UNDATED_YEAR, [f"the header has no date: stars are drawn where they were in {_UNDATED_YEAR:g}"]
    days = (datetime.fromisoformat(meta.date_obs) - _J2000).total_seconds() / 86400.0
    return 2000.0 + days / 365.25, []


def _caption(meta: FrameMeta, grid: SkyGrid, wcs: Wcs) -> str:
    """Return what the picture is, where it lies and how large it is, in one line."""
    ra, dec = grid.centre_deg
    minutes = round(ra * 4.0) % 1440
    arcmin = round(abs(dec) * 60.0)
    place = f"{minutes // 60}h{minutes % 60:02d}m {'-' if dec < 0 else '+'}{arcmin // 60}°{arcmin % 60:02d}'"
    width, height = (side * grid.wcs.scale_arcsec / 3600.0 for side in (grid.width, grid.height))
    parts = [place, f"{width:.2f}° x {height:.2f}°", f'{wcs.scale_arcsec:.2f}"/px']
    if meta.object_name:
        parts.insert(0, " ".join(meta.object_name.split())[:60])
    return "  ·  ".join(parts)
