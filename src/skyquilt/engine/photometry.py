"""The photometry of a finished, solved image: zero points, depth and sky of its channels, as a record."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict

from skyquilt.core import F32, CatalogueStars, SkyGrid, Stars, Wcs
from skyquilt.io.catalogue import Catalogue
from skyquilt.steps import photometry, quality, stars

__all__ = ["ChannelPhotometry", "Photometry", "measure_photometry"]

_NAMES = {1: ("L",), 3: ("R", "G", "B")}
_LEAST_SNR = 10.0
_REACH_FWHM = 1.0
_LEAST_REACH_PX = 2.0
_ALONE_FWHM = 4.0  # apertures of the fluxes reach two FWHM
_EDGE_PX = 8.0
_MOST_STARS = 1000


class ChannelPhotometry(BaseModel):
    """
    One channel in magnitudes; `reason` says why where there are none.

    VT = zero_point_mag - 2.5 log10(ADU/s) + colour_term (BT - VT - 0.7). `limiting_mag` is VT of the sun-like star at
    five times its error, `sky_mag_arcsec2` the sky per square arcsecond on the same system; None where the pixels still
    hold bias or dark current. Fluxes are those within two FWHM of a star.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    channel: str
    zero_point_mag: float | None = None
    zero_point_error_mag: float | None = None
    colour_term: float | None = None
    colour_term_error: float | None = None
    scatter_mag: float | None = None
    n_stars: int = 0
    n_clipped: int = 0
    fwhm_arcsec: float | None = None
    limiting_mag: float | None = None
    sky_mag_arcsec2: float | None = None
    reason: str | None = None


class Photometry(BaseModel):
    """The photometry of an image: what it was measured against, and each channel."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    catalogue: str
    epoch_year: float
    scale_arcsec: float
    n_catalogue: int
    channels: list[ChannelPhotometry]


def measure_photometry(
    planes: Iterable[F32],
    shape: tuple[int, int, int],
    wcs: Wcs,
    catalogue: Catalogue,
    *,
    adu_per_unit: float,
    exposure_s: float,
    epoch_year: float,
    saturation_adu: float,
    has_pedestal: bool,
) -> Photometry:
    """
    Return zero point, limiting magnitude and sky brightness of each channel of an image.

    Parameters
    ----------
    planes : iterable of float32 (y, x), in the unit of the image
        Its channels, one after the other, so that only one has to be held; linear, not finite where nothing was
        exposed.
    shape : (c, y, x)
    wcs : Wcs
        Of these pixels.
    adu_per_unit : float
        ADU that are 1 in the image (65535 for a normalised 16-bit master, 1 for ADU).
    exposure_s : float, s
        Whose counts the pixels hold: that of one frame where the image is a mean.
    epoch_year : float
        Julian year of the exposures.
    saturation_adu : float, ADU
        Stars that reach 95 % of it take no part.
    has_pedestal : bool
        Whether the pixels still hold bias or dark current: then nothing is said of the sky.
    """
    n_channels, height, width = shape
    grid = SkyGrid(wcs, width, height)
    entries = catalogue.cone(*grid.centre_deg, grid.radius_deg, epoch_year=epoch_year)
    entries = entries.take(grid.holds(*wcs.to_pixels(entries.ra_deg, entries.dec_deg), margin_px=_EDGE_PX))
    names = _NAMES.get(n_channels, tuple(str(k + 1) for k in range(n_channels)))
    channels = []
    for name, channel in zip(names, planes, strict=True):
        plane = _filled(channel) * np.float32(adu_per_unit)
        channels.append(_measure(name, plane, wcs, entries, exposure_s, saturation_adu, has_pedestal))
    return Photometry(
        catalogue=catalogue.source,
        epoch_year=epoch_year,
        scale_arcsec=wcs.scale_arcsec,
        n_catalogue=len(entries),
        channels=channels,
    )


def _measure(
    name: str,
    plane: F32,
    wcs: Wcs,
    entries: CatalogueStars,
    exposure_s: float,
    saturation_adu: float,
    has_pedestal: bool,
) -> ChannelPhotometry:
    """Return the record of one plane, (y, x) in ADU."""
    measured = stars.measure(plane, None, saturation_adu=saturation_adu, max_stars=_MOST_STARS)
    fwhm = measured.figures.fwhm_px
    if not math.isfinite(fwhm):
        return ChannelPhotometry(channel=name, reason="no stars were found in the image")
    found = _good(measured.stars)
    pairs = photometry.match_catalogue(
        found, wcs, entries, reach_px=max(_LEAST_REACH_PX, _REACH_FWHM * fwhm), alone_px=_ALONE_FWHM * fwhm
    )
    zero = photometry.fit_zero_point(
        found.flux[pairs.star],
        found.flux_error[pairs.star],
        entries.vt_mag[pairs.entry],
        entries.bt_mag[pairs.entry],
        exposure_s=exposure_s,
    )
    width_arcsec = fwhm * wcs.scale_arcsec
    if isinstance(zero, photometry.NoZeroPoint):
        return ChannelPhotometry(channel=name, n_stars=zero.n_stars, fwhm_arcsec=width_arcsec, reason=zero.reason)
    sky = None
    if not has_pedestal:
        level = measured.figures.background_adu
        sky = photometry.sky_brightness_mag(zero, sky_adu=level, scale_arcsec=wcs.scale_arcsec, exposure_s=exposure_s)
    limit = photometry.limiting_mag(zero, noise_adu=_noise(plane, fwhm), fwhm_px=fwhm, exposure_s=exposure_s)
    return ChannelPhotometry(
        channel=name,
        zero_point_mag=zero.zero_point_mag,
        zero_point_error_mag=zero.zero_point_error_mag,
        colour_term=zero.colour_term,
        colour_term_error=_finite(zero.colour_term_error),
        scatter_mag=zero.scatter_mag,
        n_stars=zero.n_stars,
        n_clipped=zero.n_clipped,
        fwhm_arcsec=width_arcsec,
        limiting_mag=_finite(limit),
        sky_mag_arcsec2=_finite(sky),
    )


def _good(found: Stars) -> Stars:
    """Return the stars whose flux can be trusted."""
    return found.take(~found.is_saturated & (found.flux > _LEAST_SNR * found.flux_error))


def _noise(plane: F32, fwhm_px: float) -> float:
    """Return the noise per pixel, ADU, as it counts over the area of a star: resampled pixels share theirs."""
    block = max(1, round(math.sqrt(math.pi / (2.0 * math.log(2.0))) * fwhm_px))
    return block * quality.background_noise(plane, block)


def _filled(channel: F32) -> F32:
    """Return the plane with its median where nothing was exposed: stars are looked for in what there is."""
    known = np.isfinite(channel)
    if known.all():
        return channel
    level = np.median(channel[known]) if known.any() else np.float32(0.0)
    return np.where(known, channel, level).astype(np.float32)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
