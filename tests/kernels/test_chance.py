"""The bound on the tail of a binomial distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from skyquilt.kernels.chance import log10_tail


@pytest.mark.parametrize("n", [4, 20, 300])
@pytest.mark.parametrize("p", [1e-4, 0.02, 0.3])
def test_the_bound_is_above_the_tail_and_not_far(n: int, p: float) -> None:
    for k in range(1, n + 1):
        exact = float(binom.logsf(k - 1, n, p)) / np.log(10)
        if not np.isfinite(exact):  # beyond what a float holds
            continue
        bound = log10_tail(n, p, k)
        assert bound >= exact - 1e-9
        assert bound <= exact + 2.2 or bound == 0.0
