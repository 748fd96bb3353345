"""Where the pixels of an image lie on the sky: TAN with an optional polynomial (TAN-SIP), and ZEA."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval2d

from skyquilt.core.arrays import F64
from skyquilt.core.sky.sphere import deproject, deproject_equal_area, project, project_equal_area
from skyquilt.errors import BadInput

__all__ = ["CardValue", "HeaderLike", "Sip", "Wcs"]

CardValue = tuple[str, str | float | int | bool, str]

_NEWTON_STEPS = 20
_CONVERGED_PX = 1e-9
_UNDONE_PX = 1e-6
_MOST_ORDER = 9  # of the SIP convention
_PROJECTIONS = {"TAN": "gnomonic", "ZEA": "equal area"}


class HeaderLike(Protocol):
    """What `Wcs.from_header` asks of a header: a look-up that answers None for an absent keyword."""

    def get(self, keyword: str, /) -> object: ...


@dataclass(frozen=True, slots=True, eq=False)
class Sip:
    """
    Polynomial distortion of the SIP convention, in pixels about the reference pixel.

    Attributes
    ----------
    a, b : float64 (order + 1, order + 1)
        ``u' = u + sum a[i, j] u^i v^j`` and ``v' = v + sum b[i, j] u^i v^j``.
    ap, bp : float64 (order + 1, order + 1), or None
        The same for the way back, as other programs use it (`Wcs.to_pixels` inverts a and b themselves).

    Notes
    -----
    Source: Shupe et al. 2005, ASP Conf. Ser. 347, 491.
    """

    a: F64
    b: F64
    ap: F64 | None = None
    bp: F64 | None = None

    @property
    def order(self) -> int:
        return len(self.a) - 1

    def apply(self, u: F64, v: F64) -> tuple[F64, F64]:
        """Return distorted offsets from the reference pixel, px."""
        return u + polyval2d(u, v, self.a), v + polyval2d(u, v, self.b)

    def undo(self, u: F64, v: F64) -> tuple[F64, F64]:
        """Return the offsets that `apply` takes to (u, v), by Newton steps to 1e-9 px; NaN where there are none."""
        slopes = (polyder(self.a, axis=0), polyder(self.a, axis=1), polyder(self.b, axis=0), polyder(self.b, axis=1))
        p, q = np.array(u, np.float64), np.array(v, np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(_NEWTON_STEPS):
                to_u, to_v = self.apply(p, q)
                miss_u, miss_v = to_u - u, to_v - v
                if not np.any(np.hypot(miss_u, miss_v) > _CONVERGED_PX):
                    break
                uu, uv, vu, vv = (polyval2d(p, q, slope) for slope in slopes)
                uu, vv = uu + 1.0, vv + 1.0
                determinant = uu * vv - uv * vu
                p = p - (vv * miss_u - uv * miss_v) / determinant
                q = q - (uu * miss_v - vu * miss_u) / determinant
            to_u, to_v = self.apply(p, q)
            is_undone = np.hypot(to_u - u, to_v - v) < _UNDONE_PX
        return np.where(is_undone, p, np.nan), np.where(is_undone, q, np.nan)

    def stretch(self, u: F64, v: F64) -> F64:
        """Return the area of the distorted picture of a pixel at offsets (u, v), px2; negative where it is mirrored."""
        uu, uv = polyval2d(u, v, polyder(self.a, axis=0)), polyval2d(u, v, polyder(self.a, axis=1))
        vu, vv = polyval2d(u, v, polyder(self.b, axis=0)), polyval2d(u, v, polyder(self.b, axis=1))
        area: F64 = (1.0 + uu) * (1.0 + vv) - uv * vu
        return area

    def scaled(self, factor: float) -> Sip:
        """Return the same distortion counted in pixels `factor` times as fine."""

        def scale(terms: F64 | None) -> F64 | None:
            if terms is None:
                return None
            total = np.add.outer(np.arange(len(terms)), np.arange(len(terms)))
            scaled: F64 = terms * factor ** (1.0 - total)
            return scaled

        a, b = scale(self.a), scale(self.b)
        assert a is not None and b is not None
        return Sip(a, b, scale(self.ap), scale(self.bp))

    def mirrored(self) -> Sip:
        """Return the same distortion with the sign of v turned."""

        def turn(terms: F64 | None, sign: float) -> F64 | None:
            return None if terms is None else sign * terms * (-1.0) ** np.arange(len(terms))[None, :]

        a, b = turn(self.a, 1.0), turn(self.b, -1.0)
        assert a is not None and b is not None
        return Sip(a, b, turn(self.ap, 1.0), turn(self.bp, -1.0))

    def with_inverse(self, crpix0: tuple[float, float], width: int, height: int) -> Sip:
        """
        Return this distortion with `ap` and `bp` fitted over an image of `width` by `height` px.

        The inverse has one order more than the distortion; least squares on 24 x 24 points of the image.
        """
        order = min(self.order + 1, _MOST_ORDER)
        x, y = np.meshgrid(np.linspace(0, width - 1, 24), np.linspace(0, height - 1, 24))
        u, v = x.ravel() - crpix0[0], y.ravel() - crpix0[1]
        to_u, to_v = self.apply(u, v)
        radius = max(float(np.abs(to_u).max()), float(np.abs(to_v).max()), 1.0)
        powers = [(i, j) for i in range(order + 1) for j in range(order + 1 - i) if i + j > 0]
        terms = np.stack([(to_u / radius) ** i * (to_v / radius) ** j for i, j in powers], axis=1)
        found = np.linalg.lstsq(terms, np.stack([u - to_u, v - to_v], axis=1), rcond=None)[0]
        ap, bp = np.zeros((order + 1, order + 1)), np.zeros((order + 1, order + 1))
        for (i, j), (along_u, along_v) in zip(powers, found, strict=True):
            ap[i, j], bp[i, j] = along_u / radius ** (i + j), along_v / radius ** (i + j)
        return Sip(self.a, self.b, ap, bp)


@dataclass(frozen=True, slots=True, eq=False)
class Wcs:
    """
    World coordinates of an image: a zenithal projection about a point, with an optional SIP distortion. ICRS.

    Attributes
    ----------
    crval_deg : (float, float), degrees
        Right ascension and declination of the tangent point.
    crpix0 : (float, float), px
        Where the tangent point lies, (x, y) with the first pixel's centre at 0 (the card CRPIX counts from 1).
    cd : float64 (2, 2), degrees/px
        Rows: xi (east) and eta (north); columns: x and y.
    sip : Sip or None
        Only with TAN.
    projection : "TAN" or "ZEA"
        Gnomonic, or zenithal equal area, in which every pixel covers the same area of the sky.

    Raises
    ------
    BadInput
        If the projection is another one, or is ZEA with a distortion.
    """

    crval_deg: tuple[float, float]
    crpix0: tuple[float, float]
    cd: F64
    sip: Sip | None = None
    projection: str = "TAN"

    def __post_init__(self) -> None:
        if self.projection not in _PROJECTIONS:
            raise BadInput(f"the projection {self.projection} is not known: only TAN and ZEA are")
        if self.sip is not None and self.projection != "TAN":
            raise BadInput(f"a SIP distortion goes with TAN, not with {self.projection}")

    def to_sky(self, x: F64 | float, y: F64 | float) -> tuple[F64, F64]:
        """Return (ra, dec) in degrees of pixel positions; float64, shapes kept."""
        u = np.asarray(x, np.float64) - self.crpix0[0]
        v = np.asarray(y, np.float64) - self.crpix0[1]
        if self.sip is not None:
            u, v = self.sip.apply(u, v)
        cd = self.cd
        if self.projection == "ZEA":
            return deproject_equal_area(cd[0, 0] * u + cd[0, 1] * v, cd[1, 0] * u + cd[1, 1] * v, *self.crval_deg)
        return deproject(cd[0, 0] * u + cd[0, 1] * v, cd[1, 0] * u + cd[1, 1] * v, *self.crval_deg)

    def to_pixels(self, ra_deg: F64 | float, dec_deg: F64 | float) -> tuple[F64, F64]:
        """Return (x, y) in px of directions in degrees; NaN where the plane or the distortion has no such point."""
        onto = project if self.projection == "TAN" else project_equal_area
        xi, eta = onto(ra_deg, dec_deg, *self.crval_deg)
        inverse = np.linalg.inv(self.cd)
        u = inverse[0, 0] * xi + inverse[0, 1] * eta
        v = inverse[1, 0] * xi + inverse[1, 1] * eta
        if self.sip is not None:
            u, v = self.sip.undo(u, v)
        return u + self.crpix0[0], v + self.crpix0[1]

    def pixel_area_arcsec2(self, x: F64 | float, y: F64 | float) -> F64:
        """
        Return the solid angle of a pixel that is centred on (x, y), square arcseconds; float64, shape kept.

        To first order, from the derivatives at its centre. NaN outside of the picture of the sky (ZEA).
        """
        u = np.asarray(x, np.float64) - self.crpix0[0]
        v = np.asarray(y, np.float64) - self.crpix0[1]
        area = np.full(np.broadcast_shapes(u.shape, v.shape), self.scale_arcsec**2)
        if self.sip is not None:
            area = area * np.abs(self.sip.stretch(u, v))
            u, v = self.sip.apply(u, v)
        xi, eta = np.radians(self.cd[0, 0] * u + self.cd[0, 1] * v), np.radians(self.cd[1, 0] * u + self.cd[1, 1] * v)
        square = xi * xi + eta * eta
        if self.projection == "ZEA":
            return np.where(square <= 4.0, area, np.nan)
        shrunk: F64 = area / ((1.0 + square) * np.sqrt(1.0 + square))
        return shrunk

    @property
    def scale_arcsec(self) -> float:
        """Pixel scale at the reference pixel, arcsec/px: the square root of the area of a pixel."""
        return 3600.0 * math.sqrt(abs(float(np.linalg.det(self.cd))))

    @property
    def rotation_deg(self) -> float:
        """Position angle of the +y axis at the reference pixel, degrees from north through east, in (-180, 180]."""
        return math.degrees(math.atan2(self.cd[0, 1], self.cd[1, 1]))

    @property
    def parity(self) -> int:
        """Sign of det(cd): -1 for the sky as seen when y points up (east left of north), 1 for its mirror image."""
        return -1 if float(np.linalg.det(self.cd)) < 0.0 else 1

    def shifted(self, x0: float, y0: float) -> Wcs:
        """Return the coordinates of the part of the image that begins at pixel (x0, y0)."""
        return replace(self, crpix0=(self.crpix0[0] - x0, self.crpix0[1] - y0))

    def scaled(self, factor: float) -> Wcs:
        """Return the coordinates of the same image on pixels `factor` times as fine, corner kept on corner."""
        crpix0 = ((self.crpix0[0] + 0.5) * factor - 0.5, (self.crpix0[1] + 0.5) * factor - 0.5)
        sip = None if self.sip is None else self.sip.scaled(factor)
        return replace(self, crpix0=crpix0, cd=self.cd / factor, sip=sip)

    def flipped(self, height: int) -> Wcs:
        """Return the coordinates of the image with its rows in the opposite order."""
        crpix0 = (self.crpix0[0], height - 1 - self.crpix0[1])
        cd = self.cd * np.array([1.0, -1.0])
        return replace(self, crpix0=crpix0, cd=cd, sip=None if self.sip is None else self.sip.mirrored())

    def cards(self) -> list[CardValue]:
        """
        Return the header cards: CD matrix alone (no PC, CDELT or CROTA), CRPIX from 1, ICRS, PLTSOLVD.

        SIP needs the inverse for other programs: give the distortion `Sip.with_inverse` first.
        """
        kind = self.projection if self.sip is None else f"{self.projection}-SIP"
        words = _PROJECTIONS[self.projection]
        cards: list[CardValue] = [
            ("WCSAXES", 2, "number of world axes"),
            ("CTYPE1", f"RA---{kind}", f"right ascension, {words}"),
            ("CTYPE2", f"DEC--{kind}", f"declination, {words}"),
            ("CUNIT1", "deg", "unit of CRVAL1 and CD1_j"),
            ("CUNIT2", "deg", "unit of CRVAL2 and CD2_j"),
            ("CRVAL1", float(self.crval_deg[0]), "[deg] right ascension of the reference pixel"),
            ("CRVAL2", float(self.crval_deg[1]), "[deg] declination of the reference pixel"),
            ("CRPIX1", float(self.crpix0[0]) + 1.0, "reference pixel, first is 1"),
            ("CRPIX2", float(self.crpix0[1]) + 1.0, "reference pixel, first is 1"),
            ("CD1_1", float(self.cd[0, 0]), "[deg/px] east along x"),
            ("CD1_2", float(self.cd[0, 1]), "[deg/px] east along y"),
            ("CD2_1", float(self.cd[1, 0]), "[deg/px] north along x"),
            ("CD2_2", float(self.cd[1, 1]), "[deg/px] north along y"),
            ("LONPOLE", 180.0, "[deg] of the celestial pole"),
            ("RADESYS", "ICRS", "frame of the coordinates"),
            ("EQUINOX", 2000.0, "[yr] equinox of the coordinates"),
        ]
        if self.sip is not None:
            cards += _sip_cards(self.sip)
        cards.append(("PLTSOLVD", True, "astrometric solution present"))
        return cards

    @classmethod
    def from_header(cls, header: HeaderLike) -> Wcs:
        """
        Return the coordinates that a header describes.

        Parameters
        ----------
        header : HeaderLike
            `skyquilt.io.fits.Header`, an astropy header, or a dict of keywords.

        Raises
        ------
        BadInput
            If the header has no celestial coordinates, or of a kind that is not TAN, TAN-SIP or ZEA in ICRS or J2000.
        """
        kinds = (_text(header, "CTYPE1"), _text(header, "CTYPE2"))
        if not all(kinds):
            raise BadInput("the header has no world coordinates (no CTYPE1, CTYPE2)", "solve the image first")
        if kinds not in [(f"RA---{kind}", f"DEC--{kind}") for kind in ("TAN", "TAN-SIP", "ZEA")]:
            raise BadInput(f"the header's coordinates are {kinds[0]}, {kinds[1]}: only TAN, TAN-SIP and ZEA are known")
        _check_frame(header)
        crval = (_must(header, "CRVAL1"), _must(header, "CRVAL2"))
        if crval[1] >= 90.0 and _number(header, "LONPOLE") is None:  # the default of LONPOLE is 0 there, else 180
            crval = (crval[0] + 180.0, crval[1])
        crpix0 = (_must(header, "CRPIX1") - 1.0, _must(header, "CRPIX2") - 1.0)
        cd = _read_matrix(header)
        if not abs(float(np.linalg.det(cd))) > 0.0:
            raise BadInput("the header's matrix of pixel scales is singular", "solve the image again")
        sip = _read_sip(header) if kinds[0].endswith("-SIP") else None
        return cls((crval[0] % 360.0, crval[1]), crpix0, cd, sip, kinds[0][5:8])


def _sip_cards(sip: Sip) -> list[CardValue]:
    cards: list[CardValue] = []
    for word, terms in (("A", sip.a), ("B", sip.b), ("AP", sip.ap), ("BP", sip.bp)):
        if terms is None:
            continue
        cards.append((f"{word}_ORDER", len(terms) - 1, "order of the distortion"))
        for i, j in np.argwhere(terms != 0.0):
            cards.append((f"{word}_{i}_{j}", float(terms[i, j]), ""))
    return cards


def _text(header: HeaderLike, keyword: str) -> str:
    value = header.get(keyword)
    return value.strip().upper() if isinstance(value, str) else ""


def _number(header: HeaderLike, keyword: str) -> float | None:
    """Return the finite number of a card, also where it was written as text; None where there is none."""
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _must(header: HeaderLike, keyword: str) -> float:
    number = _number(header, keyword)
    if number is None:
        raise BadInput(f"the header's world coordinates lack {keyword}", "solve the image again")
    return number


def _check_frame(header: HeaderLike) -> None:
    """Refuse units, frames and poles that `to_sky` would read wrongly."""
    for keyword in ("CUNIT1", "CUNIT2"):
        unit = _text(header, keyword)
        if unit not in ("", "DEG", "DEGREE", "DEGREES"):
            raise BadInput(f"the header's {keyword} is {unit}: degrees were expected")
    frame = _text(header, "RADESYS") or _text(header, "RADECSYS")
    equinox = _number(header, "EQUINOX")
    is_fk5 = frame == "FK5" and (equinox is None or abs(equinox - 2000.0) < 0.01)  # within 0.03 arcsec of ICRS
    is_bare = frame == "" and (equinox is None or abs(equinox - 2000.0) < 0.01)
    if not (frame == "ICRS" or is_fk5 or is_bare):
        raise BadInput(f"the header's coordinates are {frame or 'of'} equinox {equinox}: ICRS or J2000 were expected")
    pole = _number(header, "LONPOLE")
    if pole is not None and abs(pole - 180.0) > 1e-9:
        raise BadInput(f"the header's LONPOLE is {pole:g}: 180 was expected")


def _read_matrix(header: HeaderLike) -> F64:
    """Return the CD matrix of CDi_j, of PCi_j with CDELTi, or of CDELTi with CROTA2."""
    words = ("1_1", "1_2", "2_1", "2_2")
    cd = [_number(header, f"CD{word}") for word in words]
    if any(value is not None for value in cd):
        return np.array([value or 0.0 for value in cd], np.float64).reshape(2, 2)
    steps = np.array([_must(header, "CDELT1"), _must(header, "CDELT2")])
    pc = [_number(header, f"PC{word}") for word in words]
    if any(value is not None for value in pc):
        default = (1.0, 0.0, 0.0, 1.0)
        matrix = [one if value is None else value for value, one in zip(pc, default, strict=True)]
        product: F64 = steps[:, None] * np.array(matrix, np.float64).reshape(2, 2)
        return product
    angle = math.radians(_number(header, "CROTA2") or 0.0)
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[steps[0] * c, -steps[1] * s], [steps[0] * s, steps[1] * c]])


def _read_sip(header: HeaderLike) -> Sip | None:
    a, b = _read_terms(header, "A"), _read_terms(header, "B")
    if a is None and b is None:
        return None
    order = max(len(terms) for terms in (a, b) if terms is not None)
    return Sip(_padded(a, order), _padded(b, order), _read_terms(header, "AP"), _read_terms(header, "BP"))


def _read_terms(header: HeaderLike, word: str) -> F64 | None:
    order = _number(header, f"{word}_ORDER")
    if order is None:
        return None
    if not 0 <= order <= _MOST_ORDER or order != int(order):
        raise BadInput(f"the header's {word}_ORDER is {order:g}: a whole number up to {_MOST_ORDER} was expected")
    terms = np.zeros((int(order) + 1, int(order) + 1))
    for i in range(int(order) + 1):
        for j in range(int(order) + 1 - i):
            terms[i, j] = _number(header, f"{word}_{i}_{j}") or 0.0
    return terms


def _padded(terms: F64 | None, size: int) -> F64:
    """Return the coefficients in a square of `size`; zeros where there are none."""
    square = np.zeros((size, size))
    if terms is not None:
        square[: len(terms), : len(terms)] = terms
    return square
