"""The settings of a mosaic: those of a stack, and where and how its canvas lies on the sky."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Literal, Self

from pydantic import model_validator

from skyquilt.engine.framing import parse_framing
from skyquilt.engine.recipe import Recipe, recipe_field

__all__ = ["NOT_OF_A_MOSAIC", "MosaicRecipe", "parse_centre", "parse_rotation", "parse_size"]

NOT_OF_A_MOSAIC = ("join", "reference", "align_mode", "model")
"""Settings of a stack that mean nothing on the sky: frames are laid by their coordinates, not on a reference frame."""

_WITHOUT_MEANING = {
    "join": "frames of one filter are joined in any case",
    "align_mode": "frames are laid by their coordinates on the sky",
    "model": "frames are laid by their coordinates on the sky",
    "reference": "there is no reference frame",
}


class MosaicRecipe(Recipe):
    """The settings of a mosaic. Unknown keys are errors; every field is used."""

    framing: str = recipe_field(
        "union",
        "registration",
        "Canvas: union of all frames, or where a share (20%) of the deepest coverage is reached.",
    )
    feather_px: float = recipe_field(
        48.0, "rejection", "Fade each frame out over this many pixels from its edge.", ge=0, le=2000
    )
    solve: Literal["auto", "blind", "off"] = recipe_field(
        "auto",
        "sky",
        "How frames find their place: auto by their stars about where the header says, blind by a search of the whole "
        "sky too, off by the coordinates (WCS) in their headers alone.",
    )
    schedule: Literal["auto", "cube", "sweep"] = recipe_field(
        "auto", "resources", "cube: all samples of a tile at once; sweep: frame after frame; auto decides by size."
    )
    scale_arcsec: float | None = recipe_field(
        None, "mosaic", "Pixel scale of the canvas, arcsec; default: that of the frames.", gt=0.01, lt=1000
    )
    rotation: str = recipe_field(
        "north", "mosaic", "north: up; auto: the smallest canvas; or the position angle of up, degrees."
    )
    projection: Literal["auto", "tan", "zea"] = recipe_field(
        "auto", "mosaic", "tan: gnomonic; zea: zenithal equal-area; auto: tan up to ten degrees, zea beyond."
    )
    centre: str | None = recipe_field(
        None, "mosaic", "Centre of the canvas as RA,DEC in degrees, ICRS; default: the middle of the frames."
    )
    size: str | None = recipe_field(None, "mosaic", "Size of the canvas as WIDTHxHEIGHT px; default: all frames.")
    canvas: str | None = recipe_field(
        None, "mosaic", "A FITS file whose coordinates and size the canvas takes (its pixels are not used)."
    )
    joint: bool = recipe_field(
        True, "mosaic", "Fit the places of all frames together, overlaps included; off: each frame by itself."
    )
    blend: Literal["feather", "multiband"] = recipe_field(
        "feather",
        "mosaic",
        "feather: frames fade out towards their edges; multiband: large structures fade over a wide zone, small ones "
        "over a narrow one.",
    )
    bits: Literal["float32", "uint16"] = recipe_field(
        "float32",
        "output",
        "Numbers of the mosaic's FITS file: float32; or uint16, in 65535 equal steps between its limits.",
    )
    axes: Literal["planes first", "planes last"] = recipe_field(
        "planes first",
        "output",
        "Order of the axes of a colour mosaic as programs see it: planes first (c, y, x), the custom of FITS, or last.",
    )
    hips: bool = recipe_field(
        False, "output", "Also write a HiPS with its coverage (MOC), the form in which Aladin shows large images."
    )

    @model_validator(mode="after")
    def _only_what_is_meant(self) -> Self:
        for name, reason in _WITHOUT_MEANING.items():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} means nothing in a mosaic: {reason}")
        if self.debayer in ("none", "bayer-first"):
            raise ValueError(
                f"debayer {self.debayer} keeps the pattern of one sensor, which a mosaic turns: choose another"
            )
        if self.combine == "sum":
            raise ValueError("combine sum has steps where coverage changes: choose mean")
        if self.canvas and (self.centre or self.size or self.scale_arcsec or self.rotation != "north"):
            raise ValueError("canvas gives centre, size, scale and rotation: leave those out")
        if parse_framing(self.framing) in ("reference", "intersection"):
            raise ValueError(f"framing {self.framing} means nothing in a mosaic: write union, or a share such as 20%")
        parse_rotation(self.rotation)
        parse_centre(self.centre)
        parse_size(self.size)
        return self

    def digest(self, also_neutral: Set[str] = frozenset()) -> str:
        """Return the SHA-256 of all settings that can change a pixel."""
        return super().digest({"bits", "axes", "hips", *also_neutral})


def parse_rotation(text: str) -> str | float:
    """Return "north", "auto", or an angle in degrees."""
    word = text.strip().lower()
    if word in ("north", "auto"):
        return word
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"rotation {text!r} is none of north, auto and an angle in degrees") from None


def parse_centre(text: str | None) -> tuple[float, float] | None:
    """Return (ra, dec), degrees."""
    if text is None:
        return None
    try:
        ra, dec = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"centre {text!r} is not RA,DEC in degrees, such as 192.72,41.12") from None
    if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
        raise ValueError(f"centre {text!r} is no direction: RA 0 to 360, Dec -90 to 90 degrees")
    return ra % 360.0, dec


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height), px."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    if not match or not (0 < int(match[1]) <= 200_000 and 0 < int(match[2]) <= 200_000):
        raise ValueError(f"size {text!r} is not WIDTHxHEIGHT in px, such as 6000x4000")
    return int(match[1]), int(match[2])
