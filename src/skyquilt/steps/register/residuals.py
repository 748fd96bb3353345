"""What a registration leaves of its pairs, in one figure."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64

__all__ = ["BRIGHT_PAIRS", "rms_of"]

BRIGHT_PAIRS = 30
"""So many of the brightest pairs tell how good a transform is."""


def rms_of(residual: F64) -> float:
    """Return the root mean square per axis of residuals (n, 2), px; NaN of none."""
    return float(np.sqrt(np.mean(residual**2))) if len(residual) else float("nan")
