"""Chains that are there by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from skyquilt.engine.finish.chain import Chain, Step
from skyquilt.errors import UsageError

__all__ = ["PRESET_TITLES", "preset_chain", "preset_names"]

_Row = tuple[str, dict[str, Any]]

_SKY: tuple[_Row, ...] = (("crop", {}), ("gradient", {}), ("neutral", {}))
_COLOUR: tuple[_Row, ...] = (("balance", {"method": "catalogue"}), ("scnr", {"spare_sigma": 1.0}))
# After noise reduction the sky's scatter is small: black lies more of it below the sky, or what is left of the noise
# would be stretched to what it was. White is the brightest star, so that cores keep their shape.
_DEEP = {"black_sigma": -5.0, "white_quantile": 1.0}
_PRESETS: dict[str, tuple[_Row, ...]] = {
    "preview": (
        *_SKY,
        ("scnr", {}),
        ("noise", {}),
        ("auto_stretch", {"target": 0.2, "shadows_sigma": -6.0}),
    ),
    "galaxy": (
        *_SKY,
        *_COLOUR,
        ("noise", {}),
        ("hyperbolic_stretch", {"target": 0.12, **_DEEP}),
        ("saturation", {"factor": 0.85}),
    ),
    "nebula": (
        *_SKY,
        *_COLOUR,
        ("noise", {}),
        ("hyperbolic_stretch", {"colours": "linked", "target": 0.14, **_DEEP}),
        ("saturation", {"factor": 1.7, "shadows": 0.35}),
    ),
    "cluster": (
        *_SKY,
        ("balance", {"method": "catalogue"}),
        ("noise", {}),
        ("asinh_stretch", {"target": 0.1, **_DEEP}),
        ("saturation", {"factor": 0.9}),
    ),
    "duoband": (
        ("crop", {}),
        ("gradient", {}),
        ("duoband", {}),
        ("noise", {}),
        ("palette", {"palette": "bicolour", "level": 3.0}),
        ("neutral", {}),
        ("hyperbolic_stretch", {"colours": "linked", "target": 0.12, **_DEEP}),
        ("saturation", {"factor": 1.3, "shadows": 0.3}),
    ),
    "none": (),
}
PRESET_TITLES = {
    "preview": "A quick picture: crop, gradient, neutral sky, green, noise, automatic stretch.",
    "galaxy": "A dark sky, white balance by the catalogue, bright cores kept.",
    "nebula": "Faint light lifted, colours strong.",
    "cluster": "Stars and their colours.",
    "duoband": "H-alpha and [OIII] of a duo-band filter as red and blue-green.",
    "none": "Nothing: only the steps that are given.",
}
"""What each is for."""


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets."""
    return tuple(_PRESETS)


def preset_chain(name: str) -> Chain:
    """
    Return a preset; its steps are passed over where an image does not allow them.

    Raises
    ------
    UsageError
        With the nearest name, if there is none.
    """
    if name not in _PRESETS:
        near = get_close_matches(name, list(_PRESETS), n=1)
        raise UsageError(
            f"there is no preset {name}", f"did you mean {near[0]}?" if near else f"one of {', '.join(_PRESETS)}"
        )
    return Chain(tuple(Step.of(operation, optional=True, **values) for operation, values in _PRESETS[name]))
