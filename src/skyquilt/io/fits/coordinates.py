"""Where a FITS image lies on the sky, from what a solver left beside it or from its header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skyquilt.core import F64, Sip, Wcs
from skyquilt.core.sky import project
from skyquilt.errors import BadInput, NotRegistered
from skyquilt.io.fits.header import CARD, Header
from skyquilt.io.fits.opening import open_frame, read_header

__all__ = ["read_wcs"]

_LARGEST_SIDECAR = 1 << 20
_ORDER = 4  # of the polynomial that stands for another projection
_NODES = 21
_CLOSE_ENOUGH_PX = 0.05
_NEEDED = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")  # their defaults are never meant


def read_wcs(path: Path) -> Wcs:
    """
    Return the coordinates of an image: those of ``name.wcs`` or ``name.fits.wcs`` beside it, else of its header.

    A sidecar comes first: someone solved the image, whose header may hold no more than what the telescope believed.
    Projections other than TAN, TAN-SIP and ZEA, and frames other than ICRS, are fitted by a TAN-SIP to 0.05 px.

    Raises
    ------
    UnreadableFrame
        If the file is no image.
    NotRegistered
        If neither the header nor a sidecar holds coordinates.
    BadInput
        If they are damaged, or of a kind that cannot be used.
    """
    meta = open_frame(path).meta
    for header in _headers(path):
        if header.text("CTYPE1") and header.text("CTYPE2"):
            try:
                return Wcs.from_header(header)
            except BadInput as refusal:
                if any(header.number(keyword) is None for keyword in _NEEDED):
                    raise
                return _fitted(header, meta.width, meta.height, refusal)
    raise NotRegistered(
        f"{path.name} has no coordinates, neither in its header nor in {path.stem}.wcs",
        f"solve it first: skyquilt solve {path.name}",
    )


def _headers(path: Path) -> list[Header]:
    """Return the headers of the image's sidecars, then its own."""
    headers = []
    for sidecar in (path.with_suffix(".wcs"), path.with_name(f"{path.name}.wcs")):
        if sidecar != path and sidecar.is_file() and sidecar.stat().st_size <= _LARGEST_SIDECAR:
            content = sidecar.read_bytes()
            is_text = b"\n" in content[: 4 * CARD]
            headers.append(
                Header.from_text(content.decode("latin-1")) if is_text else Header.from_bytes(_up_to_end(content))
            )
    return [*headers, read_header(path)]


def _up_to_end(content: bytes) -> bytes:
    """Return the cards before END of a header in FITS form."""
    for at in range(0, len(content), CARD):
        if content[at : at + 8] == b"END     ":
            return content[:at]
    return content


def _fitted(header: Header, width: int, height: int, refusal: BadInput) -> Wcs:
    """Return a TAN-SIP that stands for another kind of coordinates; raise the refusal where there is none."""
    import warnings

    from astropy import wcs as astropy_wcs
    from astropy.coordinates import SkyCoord
    from astropy.io import fits

    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, width - 1, _NODES), np.linspace(0, height - 1, _NODES)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cards = fits.Header.fromstring("\n".join(header.lines), sep="\n")
            place = astropy_wcs.WCS(cards).celestial.pixel_to_world(x, y)
            if not isinstance(place, SkyCoord):
                raise refusal
            icrs = place.icrs
            ra, dec = np.asarray(icrs.ra.deg, np.float64), np.asarray(icrs.dec.deg, np.float64)
    except BadInput:
        raise
    except Exception:  # astropy raises many kinds for headers that make no sense
        raise refusal from None
    if not np.isfinite(ra + dec).all():
        raise refusal
    wcs = _tan_sip(x, y, ra, dec)
    back_x, back_y = wcs.to_pixels(ra, dec)
    if not (np.hypot(back_x - x, back_y - y) < _CLOSE_ENOUGH_PX).all():
        raise refusal
    return wcs


def _tan_sip(x: F64, y: F64, ra: F64, dec: F64) -> Wcs:
    """Return the least-squares TAN-SIP through points on a grid that is symmetric about its middle one."""
    middle = len(x) // 2
    crval, crpix0 = (float(ra[middle]), float(dec[middle])), (float(x[middle]), float(y[middle]))
    xi, eta = project(ra, dec, *crval)
    u, v = x - crpix0[0], y - crpix0[1]
    radius = max(float(np.abs(u).max()), float(np.abs(v).max()), 1.0)
    powers = [(i, j) for i in range(_ORDER + 1) for j in range(_ORDER + 1 - i) if i + j > 0]
    terms = np.stack([(u / radius) ** i * (v / radius) ** j for i, j in powers], axis=1)
    found = np.linalg.lstsq(terms, np.stack([xi, eta], axis=1), rcond=None)[0]
    by_power = {power: row / radius ** sum(power) for power, row in zip(powers, found, strict=True)}
    cd = np.stack([by_power[1, 0], by_power[0, 1]], axis=1)
    a, b = np.zeros((_ORDER + 1, _ORDER + 1)), np.zeros((_ORDER + 1, _ORDER + 1))
    for (i, j), row in by_power.items():
        if i + j > 1:
            a[i, j], b[i, j] = np.linalg.solve(cd, row)
    return Wcs(crval, crpix0, cd, Sip(a, b))
