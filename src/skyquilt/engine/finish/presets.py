"""Chains that are there by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from skyquilt.engine.finish.chain import Chain, Step
from skyquilt.errors import UsageError

__all__ = ["PRESET_TITLES", "preset_chain", "preset_names"]

_Row = tuple[str, dict[str, Any]]

_SKY: tuple[_Row, ...] = (("crop", {}), ("gradient", {}), ("neutral", {}))
_PRESETS: dict[str, tuple[_Row, ...]] = {
    "preview": (
        *_SKY,
        ("scnr", {}),
        ("noise", {}),
        ("auto_stretch", {}),
    ),
    "galaxy": (
        *_SKY,
        ("balance", {"method": "catalogue"}),
        ("scnr", {"spare_sigma": 1.0}),
        ("noise", {}),
        ("hyperbolic_stretch", {"target": 0.12}),
        ("saturation", {"factor": 1.35, "shadows": 0.3}),
    ),
    "nebula": (
        *_SKY,
        ("balance", {"method": "catalogue"}),
        ("scnr", {"spare_sigma": 1.0}),
        ("noise", {}),
        ("hyperbolic_stretch", {"target": 0.15}),
        ("saturation", {"factor": 1.4, "shadows": 0.3}),
    ),
    "cluster": (
        *_SKY,
        ("balance", {"method": "catalogue"}),
        ("noise", {}),
        ("asinh_stretch", {"target": 0.1}),
        ("saturation", {"factor": 1.3, "shadows": 0.3}),
    ),
    "duoband": (
        ("crop", {}),
        ("gradient", {}),
        ("duoband", {}),
        ("noise", {}),
        ("palette", {"palette": "bicolour", "level": 3.0}),
        ("neutral", {}),
        ("hyperbolic_stretch", {"target": 0.12}),
        ("saturation", {"factor": 1.2, "shadows": 0.3}),
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
