"""How likely a number of coincidences is by chance."""

from __future__ import annotations

import numpy as np

__all__ = ["log10_tail"]


def log10_tail(n: int, p: float, k: int) -> float:
    """Return the decimal logarithm of P(binomial(n, p) >= k), from above (Chernoff-Hoeffding)."""
    if k <= n * p or k <= 0:
        return 0.0
    if k >= n:
        return n * float(np.log10(p))
    q = k / n
    return -n * float(q * np.log10(q / p) + (1 - q) * np.log10((1 - q) / (1 - p)))
