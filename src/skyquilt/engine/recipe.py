"""
Every setting of a run, validated: the one schema behind command-line options, TOML, JSON, web forms and reference docs.

A field carries its help text, its unit and its group; `Recipe.model_json_schema()` is the published form.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Set
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from skyquilt.errors import UsageError

__all__ = ["PRESETS", "Recipe", "parse_bytes", "parse_memory", "recipe_field"]

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}


def parse_bytes(text: Any) -> Any:
    """Return the number of bytes that "512MB", "2GB", "1.5G" or "1GiB" mean; None and numbers pass unchanged."""
    if text is None or isinstance(text, int | float):
        return text
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)(i?)b?\s*", str(text).lower())
    if not match:
        raise ValueError(f"{text!r} is not an amount of memory; write for example 512MB or 2GB")
    number, unit, binary = match.groups()
    base = 1024 ** "kmgt".index(unit) * 1024 if binary and unit else _UNITS[unit]
    return int(float(number) * base)


def parse_memory(text: str | None) -> int | None:
    """
    Return the bytes that an amount of memory means.

    Raises
    ------
    UsageError
        If it means none.
    """
    try:
        found = parse_bytes(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return None if found is None else int(found)


Bytes = Annotated[int, BeforeValidator(parse_bytes)]


def recipe_field(default: Any, group: str, text: str, **limits: Any) -> Any:
    """One setting: its default, its group in forms and help, and its help text."""
    return Field(default=default, description=text, json_schema_extra={"group": group}, **limits)


class Recipe(BaseModel):
    """The settings of a stack. Unknown keys are errors; every field is used."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    # input
    cfa: Literal["auto", "none", "RGGB", "BGGR", "GRBG", "GBRG"] = recipe_field(
        "auto", "input", "Colour filter array: auto takes the header's word; none treats the frames as mono."
    )
    exclude: tuple[str, ...] = recipe_field((), "input", "File-name patterns (such as '*_bad.fit') to leave out.")
    join: bool = recipe_field(
        False, "input", "Stack groups of one target that differ only in filter or camera settings together."
    )

    # calibration
    dark: str = recipe_field(
        "auto", "calibration", "auto: match by gain, exposure, temperature; none; or a folder or master."
    )
    flat: str = recipe_field(
        "auto", "calibration", "auto: match by size, pattern and filter; none; or a folder or master."
    )
    bias: str = recipe_field("auto", "calibration", "auto: match by gain and size; none; or a folder or master.")
    temperature_tolerance_c: float = recipe_field(
        5.0, "calibration", "How far the sensor temperature of darks may differ, degrees C.", ge=0, le=100
    )
    cosmetic: Literal["auto", "darks", "lights", "off"] = recipe_field(
        "auto",
        "calibration",
        "Where the map of hot and cold pixels comes from; auto: darks if there are any, else lights.",
    )

    # selection
    keep: float = recipe_field(1.0, "selection", "Share of the frames to keep, the best by score.", gt=0, le=1)
    max_fwhm_px: float | None = recipe_field(None, "selection", "Leave out frames with a larger FWHM, px.", gt=0)
    max_eccentricity: float | None = recipe_field(
        None, "selection", "Leave out frames whose stars are more elongated (0 round, 1 a line).", ge=0, le=1
    )
    min_stars: int | None = recipe_field(None, "selection", "Leave out frames with fewer stars.", ge=0)
    max_background_adu: float | None = recipe_field(
        None, "selection", "Leave out frames with a brighter sky, ADU.", gt=0
    )
    min_transparency: float | None = recipe_field(
        None, "selection", "Leave out frames that got less star light than this share of the reference's.", ge=0
    )
    reference: str = recipe_field("best", "selection", "best, first, most_stars, or the name of a frame.")

    # debayer and resampling
    debayer: Literal["auto", "malvar", "rcd", "bilinear", "superpixel", "cfa", "rgb", "none", "bayer-first"] = (
        recipe_field(
            "auto",
            "debayer",
            "How colour is made: a method applied to each frame (auto takes the one that measured best), cfa to sample "
            "the colour planes straight from the sensor, bayer-first to stack the mosaic with whole-pixel shifts and "
            "debayer once, none to keep the mosaic, rgb for bilinear.",
        )
    )
    kernel: Literal["auto", "nearest", "bilinear", "catmull_rom", "least_squares", "lanczos3"] = recipe_field(
        "auto", "debayer", "Interpolation of the one resampling."
    )
    window_px: float = recipe_field(
        0.5, "debayer", "Width (sigma) of the sampling window of --debayer cfa, px.", gt=0.1, le=2
    )

    # registration
    model: Literal["auto", "shift", "similarity", "affine", "homography", "polynomial"] = recipe_field(
        "auto", "registration", "Model of the transform; auto chooses by the residual."
    )
    align_mode: Literal["auto", "integer", "rgb_affine"] = recipe_field(
        "auto",
        "registration",
        "integer: whole even pixels (keeps the Bayer mosaic); rgb_affine: sub-pixel; auto decides by the rotation.",
    )
    framing: str = recipe_field(
        "reference", "registration", "Canvas: reference, union, intersection, or a coverage such as 80%."
    )

    # the sky
    solve: Literal["auto", "blind", "off"] = recipe_field(
        "auto",
        "sky",
        "Find where on the sky the stack lies, from its stars: auto where the header says about where it points, blind "
        "by a search of the whole sky too, off.",
    )
    catalogue: str | None = recipe_field(
        None, "sky", "A deeper star catalogue of yours (CSV or FITS table), used beside the one that comes along."
    )

    # normalisation and weights
    normalise: Literal["none", "additive", "multiplicative", "both"] = recipe_field(
        "both", "normalisation", "Bring the frames to the reference's level: sky, flux scale, or both."
    )
    surface_order: int = recipe_field(
        1, "normalisation", "Order of the sky difference surface: 0 constant, 1 plane, 2 quadratic.", ge=0, le=2
    )
    weights: Literal["point_source", "noise", "fwhm", "stars", "transparency", "exposure", "none"] = recipe_field(
        "point_source", "normalisation", "What the weight of a frame follows."
    )

    # rejection and combination
    rejection: Literal[
        "auto", "sigma", "winsorized", "mad", "linear_fit", "esd", "percentile", "noise_model", "none"
    ] = recipe_field("auto", "rejection", "Rule that finds satellites, cosmic rays and other strays.")
    sigma_low: float = recipe_field(3.0, "rejection", "Limit below the centre, in sigmas.", gt=0, le=100)
    sigma_high: float = recipe_field(3.0, "rejection", "Limit above the centre, in sigmas.", gt=0, le=100)
    max_iterations: int = recipe_field(10, "rejection", "Most iterations of the rule.", ge=1, le=100)
    percentile_low: float = recipe_field(
        0.2, "rejection", "percentile rule: share below the median to reject.", ge=0, le=1
    )
    percentile_high: float = recipe_field(
        0.1, "rejection", "percentile rule: share above the median to reject.", ge=0, le=10
    )
    combine: Literal["mean", "median", "sum", "min", "max"] = recipe_field(
        "mean", "rejection", "How the survivors are put together."
    )
    trails: bool = recipe_field(True, "rejection", "Find satellite trails and mask their whole length.")
    feather_px: float = recipe_field(
        0.0, "rejection", "Fade each frame out over this many pixels from its edge.", ge=0, le=2000
    )
    radial_feather: float = recipe_field(
        0.0, "rejection", "Fade each frame's weight towards its corners: 0 off, 1 strong.", ge=0, le=1
    )

    # output
    unit: Literal["normalised", "adu"] = recipe_field(
        "normalised", "output", "normalised: 65535 ADU becomes 1, as Siril and PixInsight expect; adu keeps ADU."
    )
    crop: float | None = recipe_field(
        None, "output", "Crop the previews to the pixels that at least this share of the exposure covers.", gt=0, le=1
    )
    quicklook: bool = recipe_field(True, "output", "Write the stretched PNG and TIFF previews.")
    maps: bool = recipe_field(True, "output", "Write the coverage, variance and rejection maps.")
    save_masters: bool = recipe_field(True, "output", "Write the master calibration frames.")

    # resources
    memory: Bytes | None = recipe_field(
        None,
        "resources",
        "Most memory the run may take, such as 512MB or 2GB; default: half of what is free, at most 1GB.",
    )
    threads: int | None = recipe_field(
        None, "resources", "Threads; default: the processors of the machine.", ge=1, le=1024
    )
    schedule: Literal["auto", "cube", "sweep", "live"] = recipe_field(
        "auto",
        "resources",
        "cube: all samples of a tile at once; sweep: frame after frame; auto decides by size; live: frame after frame "
        "as they were taken, the first ones decide for all, as skyquilt watch does.",
    )

    def digest(self, also_neutral: Set[str] = frozenset()) -> str:
        """Return the SHA-256 of all settings that can change a pixel (resources and output choices are left out)."""
        neutral = {"memory", "threads", "quicklook", "maps", "save_masters", "crop", *also_neutral}
        return hashlib.sha256(self.model_dump_json(exclude=neutral).encode()).hexdigest()


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {"debayer": "superpixel", "trails": False, "maps": False},
    "best": {"kernel": "lanczos3", "surface_order": 2},
    "lowmem": {"memory": "512MB"},
    "dwarf3": {"keep": 0.92, "max_iterations": 5},
}
