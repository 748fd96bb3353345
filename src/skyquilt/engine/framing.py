"""Which part of the sky the canvas covers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from skyquilt.core import Box, Transform
from skyquilt.errors import UsageError
from skyquilt.kernels.coverage import coverage_box

__all__ = ["frame_canvas", "parse_framing"]

_CELL_PX = 16
_LARGEST_FACTOR = 4.0


def parse_framing(text: str) -> str | float:
    """Return "reference", "union", "intersection", or a coverage as a share of the frames."""
    word = text.strip().lower()
    if word in ("reference", "union", "intersection"):
        return word
    try:
        share = float(word.removesuffix("%")) / (100.0 if word.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 < share <= 1.0:
        raise UsageError(
            f"--framing {text!r} is not understood", "write reference, union, intersection, or a coverage such as 80%"
        )
    return share


def frame_canvas(
    framing: str, reference: Box, frames: Sequence[tuple[Box, Transform]], *, cell_px: int = _CELL_PX
) -> Box:
    """
    Return the canvas, a box in the pixels of the reference.

    Parameters
    ----------
    framing : str
        As `parse_framing` reads it.
    reference : Box
        The reference frame's own pixels.
    frames : sequence of (Box, Transform)
        Each frame's box and its transform to the reference.
    """
    wanted = parse_framing(framing)
    if wanted == "reference" or not frames:
        return reference
    corners = [transform.image_of(box) for box, transform in frames]
    outer = Box(
        math.floor(min(c[0] for c in corners)),
        math.floor(min(c[1] for c in corners)),
        math.ceil(max(c[2] for c in corners)) + 1,
        math.ceil(max(c[3] for c in corners)) + 1,
    )
    if outer.n_pixels > _LARGEST_FACTOR**2 * reference.n_pixels:
        raise UsageError(
            f"the frames span {outer.width}x{outer.height} px, far more than one field",
            "make a mosaic of them instead, or choose --framing reference",
        )
    if wanted == "union":
        return outer
    share = 1.0 if wanted == "intersection" else float(wanted)
    xs = np.arange(outer.x0 + cell_px / 2, outer.x1, cell_px)
    ys = np.arange(outer.y0 + cell_px / 2, outer.y1, cell_px)
    grid_x, grid_y = np.meshgrid(xs, ys)
    count = np.zeros(grid_x.shape, dtype=np.float32)
    for box, transform in frames:
        u, v = transform.inverse()(grid_x, grid_y)
        count += (u >= box.x0) & (u <= box.x1 - 1) & (v >= box.y0) & (v <= box.y1 - 1)
    enough = (count >= share * len(frames) - 1e-3).astype(np.float32)
    cells = coverage_box(enough, 0.5) if enough.any() else Box(0, 0, 0, 0)
    if cells.is_empty:
        raise UsageError(
            f"no part of the sky is covered by {share:.0%} of the frames", "choose a lower coverage with --framing"
        )
    return Box(
        outer.x0 + cells.x0 * cell_px,
        outer.y0 + cells.y0 * cell_px,
        min(outer.x1, outer.x0 + cells.x1 * cell_px),
        min(outer.y1, outer.y0 + cells.y1 * cell_px),
    )
