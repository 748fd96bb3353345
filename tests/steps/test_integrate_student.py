"""Student's quantiles against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit

from skyquilt.steps.integrate.student import normal_share, student_quantile


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 2.0, 3.0, 6.0, 20.0])
def test_quantiles_are_those_of_the_reference(sigma: float) -> None:
    freedom = np.concatenate([np.arange(1.0, 100.0), [1000.0, 20000.0]])
    share = float(normal_share(-sigma))
    assert share == pytest.approx(float(ndtr(-sigma)), rel=1e-12)
    np.testing.assert_allclose(student_quantile(share, freedom), -stdtrit(freedom, share), rtol=1e-9)


def test_every_freedom_may_have_its_own_probability() -> None:
    freedom = np.arange(1.0, 200.0)
    shares = 0.05 / (2.0 * (freedom + 2.0))
    np.testing.assert_allclose(student_quantile(shares, freedom), -stdtrit(freedom, shares), rtol=1e-9)


def test_nothing_exceeds_an_infinite_deviation() -> None:
    assert np.isinf(student_quantile(0.0, np.array([1.0, 7.0]))).all()
    assert normal_share(np.array([[0.0, np.inf], [-np.inf, 0.0]])).tolist() == [[0.5, 1.0], [0.0, 0.5]]
