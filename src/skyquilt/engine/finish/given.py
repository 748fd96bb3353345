"""Settings of combinations from what a person gives, and the names there are to give."""

from __future__ import annotations

import math

from skyquilt.errors import UsageError
from skyquilt.steps.finish import COLOURMAPS, ContinuumSettings, DuobandSettings, LrgbSettings, PaletteSettings

__all__ = ["colourmap_names", "continuum_settings", "duoband_settings", "lrgb_settings", "palette_settings"]


def colourmap_names() -> tuple[str, ...]:
    """Return the names of the colour maps."""
    return tuple(COLOURMAPS)


def lrgb_settings(*, method: str = "direct", weight: float = 1.0, chroma: float = 1.0) -> LrgbSettings:
    """Return settings of LRGB; raises UsageError."""
    return LrgbSettings(method, weight, chroma)


def palette_settings(*, palette: str = "HOO") -> PaletteSettings:
    """Return settings of a palette; raises UsageError."""
    return PaletteSettings(palette)


def continuum_settings(*, scale: float | None = None, strength: float = 1.0) -> ContinuumSettings:
    """Return settings of a continuum; raises UsageError."""
    return ContinuumSettings(scale, strength)


def duoband_settings(response: str | None = None) -> DuobandSettings:
    """
    Return settings of a duo-band filter.

    Parameters
    ----------
    response : str or None
        Six or nine numbers: rows red, green, blue; None: that of a Sony sensor.

    Raises
    ------
    UsageError
    """
    if response is None:
        return DuobandSettings()
    try:
        numbers = [float(part) for part in response.replace(";", ",").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (6, 9) or not all(math.isfinite(number) for number in numbers):
        raise UsageError(
            f"--response {response} is not six or nine numbers", "write --response 1,0.04,0.08,0.9,0.03,0.6"
        )
    n = len(numbers) // 3
    return DuobandSettings(tuple(tuple(numbers[k * n : (k + 1) * n]) for k in range(3)))
