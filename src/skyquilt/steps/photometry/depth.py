"""How deep an image is and how bright its sky was, in magnitudes."""

from __future__ import annotations

import numpy as np

from skyquilt.steps.photometry.zero_point import ZeroPoint

__all__ = ["limiting_mag", "noise_area_px", "sky_brightness_mag"]


def noise_area_px(fwhm_px: float) -> float:
    """
    Return the noise-equivalent area of a Gaussian star, px: the sky that a best fit of its flux has to fight.

    Definition: 1 / sum of the squared profile = 4 pi sigma² = 2.266 FWHM² (King 1983, PASP 95, 163).
    """
    return float(np.pi / (2.0 * np.log(2.0)) * fwhm_px**2)


def limiting_mag(
    zero_point: ZeroPoint, *, noise_adu: float, fwhm_px: float, exposure_s: float, sigmas: float = 5.0
) -> float:
    """
    Return VT of the sun-like star whose flux is `sigmas` times its error; NaN where noise or FWHM are not known.

    Parameters
    ----------
    noise_adu : float, ADU
        Noise of the sky per pixel, as it counts over an area of the size of a star: in a resampled image k times the
        noise of means over k x k pixels, not that of single pixels.
    fwhm_px : float, px
    exposure_s : float, s
        The exposure whose counts the pixels hold (a mean of frames: that of one frame).
    """
    flux = sigmas * noise_adu * np.sqrt(noise_area_px(fwhm_px))
    return float(zero_point.magnitude(flux / exposure_s))


def sky_brightness_mag(zero_point: ZeroPoint, *, sky_adu: float, scale_arcsec: float, exposure_s: float) -> float:
    """
    Return the brightness of the sky in VT mag/arcsec², as of a sun-like colour; NaN where the sky is not above 0.

    Parameters
    ----------
    sky_adu : float, ADU per pixel
        Light of the sky alone: bias and dark current taken off.
    """
    return float(zero_point.magnitude(sky_adu / exposure_s / scale_arcsec**2))
