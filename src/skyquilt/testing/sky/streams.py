"""Where every random number of the synthetic sky comes from: one stream a purpose, none shared."""

from __future__ import annotations

import numpy as np

__all__ = [
    "CALIBRATION",
    "COSMICS",
    "FAINT",
    "GLOW",
    "MOUNT",
    "NOISE",
    "PANELS",
    "SENSOR",
    "STRANGE",
    "TRAILS",
    "WEATHER",
    "random_stream",
]

FAINT, GLOW, MOUNT, WEATHER, NOISE, SENSOR, TRAILS, COSMICS, CALIBRATION, STRANGE, PANELS = range(11)
_ABOVE_ZERO = 1 << 20  # seeds take no negative numbers, cells of the sky may be negative


def random_stream(seed: int, purpose: int, *index: int) -> np.random.Generator:
    """Return the generator of one purpose and index: the same numbers whatever else the session holds."""
    return np.random.default_rng([seed, purpose, *(i + _ABOVE_ZERO for i in index)])
