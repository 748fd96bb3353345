"""Cropping: to what is covered well enough, or to a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import Box, Mask
from skyquilt.engine.finish.look import Look
from skyquilt.engine.finish.operation import Planned
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import coverage_box

__all__ = ["CropSettings", "plan_crop"]

_MOST_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class CropSettings:
    """
    What is kept.

    Attributes
    ----------
    coverage : float, 0 to 1
        Keep the largest box whose rows and columns have at least this share of the largest exposure, by the map of
        exposure beside the master; without one, by which pixels have data.
    box : (int, int, int, int) or None, px
        Keep this box instead: left, top, right, bottom in pixels of the image, right and bottom not included.
    """

    coverage: float = 0.8
    box: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.coverage <= 1.0:
            raise UsageError(f"a coverage of {self.coverage:g} is out of range", "give 0 to 1")
        if self.box is not None and (len(self.box) != 4 or Box(*self.box).is_empty):
            raise UsageError(f"a box of {self.box} holds no pixel", "give left, top, right, bottom in pixels")


def plan_crop(look: Look, settings: CropSettings) -> Planned:
    """Return the crop of an image."""
    _, height, width = look.shape
    bounds = Box.of_shape(height, width)
    if settings.box is not None:
        box = Box(*settings.box).intersect(bounds)
        if box.is_empty:
            raise UsageError(f"the box {settings.box} lies outside of the image of {width}x{height} px")
        return _planned(look, box, "the settings")
    exposure = look.around.coverage()
    source = "the map of exposure" if exposure is not None else "the pixels that have data"
    step = max(1, int(np.ceil(np.sqrt(width * height / _MOST_PIXELS))))
    if exposure is not None:
        seen = exposure[look.box.y0 : look.box.y1 : step, look.box.x0 : look.box.x1 : step]
    else:
        rows = [look.image.read(Box(0, y, width, y + 1))[:, :, ::step] for y in range(0, height, step)]
        known: Mask = np.asarray(np.isfinite(np.concatenate(rows, axis=1)).all(axis=0))
        seen = known.astype(np.float32)
    found = (
        coverage_box(np.ascontiguousarray(seen), settings.coverage) if seen.max(initial=0.0) > 0.0 else Box(0, 0, 0, 0)
    )
    if found.is_empty:
        raise NoUsableInput(
            f"no box of the image has {100 * settings.coverage:g} % of the largest exposure", "ask for less coverage"
        )
    inner = Box(found.x0 * step, found.y0 * step, (found.x1 - 1) * step + 1, (found.y1 - 1) * step + 1)
    right = width if found.x1 * step >= width else inner.x1
    bottom = height if found.y1 * step >= height else inner.y1
    return _planned(look, Box(inner.x0, inner.y0, right, bottom), source)


def _planned(look: Look, box: Box, source: str) -> Planned:
    kept = box.n_pixels / (look.shape[1] * look.shape[2])
    facts = {"box": [box.x0, box.y0, box.x1, box.y1], "kept": round(kept, 4), "by": source}
    return Planned(lambda tile, x0, y0: tile, look.shape[0], facts=facts, box=box)
