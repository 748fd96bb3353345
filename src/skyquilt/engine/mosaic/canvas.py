"""From the wishes of the recipe to the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skyquilt.core import SkyGrid, Wcs
from skyquilt.engine.framing import parse_framing
from skyquilt.engine.mosaic.recipe import MosaicRecipe, parse_centre, parse_rotation, parse_size
from skyquilt.errors import BadInput, SkyquiltError, UnreadableFrame, UsageError
from skyquilt.io.fits import open_frame, read_header
from skyquilt.steps import mosaic

__all__ = ["canvas_for", "named_canvas"]


def canvas_for(frames: Sequence[SkyGrid], recipe: MosaicRecipe, cell: int = 1) -> SkyGrid:
    """
    Return the canvas for placed frames, as the recipe wishes it.

    Parameters
    ----------
    frames : sequence of SkyGrid
    recipe : MosaicRecipe
    cell : int
        Frame pixels a canvas pixel, where the debayering halves the resolution.

    Raises
    ------
    UsageError
        If no canvas can be as it is wished.
    """
    if recipe.canvas is not None:
        return mosaic.choose_canvas(frames, mosaic.CanvasSettings(grid=named_canvas(Path(recipe.canvas))))
    rotation = parse_rotation(recipe.rotation)
    size = parse_size(recipe.size)
    framing = parse_framing(recipe.framing)
    scale: float | str = "median" if recipe.scale_arcsec is None else recipe.scale_arcsec
    if scale == "median" and cell > 1:
        scale = cell * sorted(frame.wcs.scale_arcsec for frame in frames)[len(frames) // 2]
    return mosaic.choose_canvas(
        frames,
        mosaic.CanvasSettings(
            scale=scale,
            rotation=0.0 if rotation == "north" else rotation,
            projection=recipe.projection if recipe.projection == "auto" else recipe.projection.upper(),
            centre_deg=parse_centre(recipe.centre),
            width=size[0] if size else None,
            height=size[1] if size else None,
            least_coverage=framing if isinstance(framing, float) else None,
            row_order="TOP-DOWN",
        ),
    )


def named_canvas(path: Path) -> SkyGrid:
    """
    Return coordinates and size of a FITS file.

    Raises
    ------
    UsageError
        If it is no image with coordinates.
    """
    try:
        meta = open_frame(path).meta
        return SkyGrid(Wcs.from_header(read_header(path)), meta.width, meta.height)
    except (BadInput, UnreadableFrame) as error:
        reason = error.message if isinstance(error, SkyquiltError) else str(error)
        raise UsageError(f"--canvas {path.name}: {reason}", "give a FITS image that has been solved") from error
