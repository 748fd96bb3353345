"""The share of a star's light in an aperture, against the integral of its profile."""

import numpy as np
import pytest

from skyquilt.kernels.detect_fit import light_within, moffat_profile


@pytest.mark.parametrize("inverse_beta", [0.0, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("radius_fwhm", [0.5, 1.5, 3.0])
def test_the_share_is_the_integral_of_the_profile(inverse_beta: float, radius_fwhm: float) -> None:
    if inverse_beta == 0.0:
        r = np.linspace(0.0, 20.0, 2_000_001)
        profile = np.exp(-4.0 * np.log(2.0) * r**2)
    else:
        r = np.geomspace(1e-6, 1e7, 2_000_001)
        profile = (1.0 + 4.0 * (2.0**inverse_beta - 1.0) * r**2) ** (-1.0 / inverse_beta)
    light = np.append(0.0, np.cumsum(0.5 * (profile[1:] * r[1:] + profile[:-1] * r[:-1]) * np.diff(r)))
    expected = np.interp(radius_fwhm, r, light) / light[-1]
    assert light_within(radius_fwhm, inverse_beta) == pytest.approx(expected, abs=2e-5)


def test_half_of_a_gaussian_lies_within_half_of_its_width() -> None:
    assert light_within(0.5, 0.0) == pytest.approx(0.5)
    assert moffat_profile(0.0)[2] == pytest.approx(2.0 * np.pi)
