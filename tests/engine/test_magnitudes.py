"""The photometry of a finished image: a picture of real catalogue stars, drawn with a known zero point."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from skyquilt.core import F32, SkyGrid, Wcs
from skyquilt.engine.photometry import Photometry, measure_photometry
from skyquilt.io.catalogue import open_catalogue
from skyquilt.kernels.render import add_gaussian_stars

SIDE, SCALE, EXPOSURE, FULL = 900, 4.0, 10.0, 65535.0
ZERO = {"R": 18.6, "G": 19.2, "B": 18.4}
SLOPE = {"R": -0.4, "G": 0.1, "B": 0.7}
SKY = {"R": 300.0, "G": 420.0, "B": 250.0}
NOISE, FWHM = 6.0, 3.0
WCS = Wcs((305.0, 40.0), (450.0, 440.0), np.array([[-SCALE, 0.6], [0.6, SCALE]]) / 3600.0)
EPOCH = 2026.4


@cache
def picture(channels: str) -> F32:
    """The stars of a field in Cygnus in the unit of a normalised master, with a corner that was never exposed."""
    rng = np.random.default_rng(20)
    grid = SkyGrid(WCS, SIDE, SIDE)
    stars = open_catalogue().cone(*grid.centre_deg, grid.radius_deg, epoch_year=EPOCH)
    stars = stars.take(np.isfinite(stars.vt_mag) & np.isfinite(stars.bt_mag) & (stars.vt_mag > 7.0))
    x, y = WCS.to_pixels(stars.ra_deg, stars.dec_deg)
    planes = np.zeros((len(channels), SIDE, SIDE), dtype=np.float32)
    for plane, name in zip(planes, channels, strict=True):
        colour = stars.bt_mag - stars.vt_mag - 0.7
        flux = EXPOSURE * 10 ** (0.4 * (ZERO[name] + SLOPE[name] * colour - stars.vt_mag))
        table = np.zeros((2, 2), dtype=np.int64)
        add_gaussian_stars(plane, table, x, y, np.ascontiguousarray(flux[:, None], float), FWHM / 2.3548, 0.01)
        plane += SKY[name] + rng.normal(0.0, NOISE, plane.shape).astype(np.float32)
    planes[:, :60, :40] = np.nan
    return planes / np.float32(FULL)


def photometry(channels: str, **changes: object) -> Photometry:
    settings: dict[str, object] = {
        "adu_per_unit": FULL,
        "exposure_s": EXPOSURE,
        "epoch_year": EPOCH,
        "saturation_adu": FULL,
        "has_pedestal": False,
    }
    return measure_photometry(picture(channels), picture(channels).shape, WCS, open_catalogue(), **(settings | changes))  # type: ignore[arg-type]


def test_the_figures_of_every_channel_are_those_that_were_drawn() -> None:
    record = photometry("RGB")
    assert [channel.channel for channel in record.channels] == ["R", "G", "B"]
    assert record.n_catalogue > 100 and "Tycho-2" in record.catalogue
    assert record.scale_arcsec == pytest.approx(WCS.scale_arcsec)
    for channel in record.channels:
        name = channel.channel
        assert channel.reason is None and channel.n_stars > 60
        assert channel.zero_point_mag == pytest.approx(ZERO[name], abs=0.02)
        assert channel.colour_term == pytest.approx(SLOPE[name], abs=0.06)
        assert channel.fwhm_arcsec == pytest.approx(FWHM * WCS.scale_arcsec, rel=0.06)
        sky = ZERO[name] - 2.5 * np.log10(SKY[name] / EXPOSURE / WCS.scale_arcsec**2)
        assert channel.sky_mag_arcsec2 == pytest.approx(sky, abs=0.03)
        limit = ZERO[name] - 2.5 * np.log10(5 * NOISE * np.sqrt(2.266) * FWHM / EXPOSURE)
        assert limit - 0.2 < channel.limiting_mag < limit + 0.02  # faint stars in the sky count as noise


def test_pixels_that_hold_a_pedestal_say_nothing_of_the_sky() -> None:
    (channel,) = photometry("G", has_pedestal=True).channels
    assert channel.channel == "L"
    assert channel.sky_mag_arcsec2 is None and channel.limiting_mag is not None


def test_an_image_without_stars_or_without_coordinates_that_fit_says_why() -> None:
    blank = np.full((1, 200, 200), 0.01, np.float32)
    (channel,) = measure_photometry(
        blank, blank.shape, WCS, open_catalogue(), adu_per_unit=FULL, exposure_s=EXPOSURE, epoch_year=EPOCH,
        saturation_adu=FULL, has_pedestal=False,
    ).channels  # fmt: skip
    assert channel.zero_point_mag is None and channel.reason == "no stars were found in the image"
    off = Wcs((100.0, 40.0), WCS.crpix0, WCS.cd)
    (channel,) = measure_photometry(
        picture("G"), picture("G").shape, off, open_catalogue(), adu_per_unit=FULL, exposure_s=EXPOSURE,
        epoch_year=EPOCH, saturation_adu=FULL, has_pedestal=False,
    ).channels  # fmt: skip
    assert channel.zero_point_mag is None and "stars of the catalogue" in (channel.reason or "")


def test_the_record_survives_json() -> None:
    record = photometry("G")
    assert Photometry.model_validate_json(record.model_dump_json()) == record
