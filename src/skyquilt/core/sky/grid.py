"""A canvas on the sky: coordinates and a size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core.arrays import F64, Mask
from skyquilt.core.sky.sphere import separation_deg
from skyquilt.core.sky.wcs import CardValue, HeaderLike, Wcs
from skyquilt.errors import BadInput

__all__ = ["SkyGrid"]


@dataclass(frozen=True, slots=True)
class SkyGrid:
    """
    The pixels of an image and where they lie on the sky.

    Attributes
    ----------
    wcs : Wcs
    width, height : int, px
    """

    wcs: Wcs
    width: int
    height: int

    @classmethod
    def from_header(cls, header: HeaderLike) -> SkyGrid:
        """
        Return the canvas that a header describes: its coordinates (`Wcs.from_header`), NAXIS1 and NAXIS2.

        Raises
        ------
        BadInput
            If it has no coordinates that are known, or no size.
        """
        size = [header.get(keyword) for keyword in ("NAXIS1", "NAXIS2")]
        width, height = (int(n) if isinstance(n, int | float | str) and str(n).strip().isdigit() else 0 for n in size)
        if width < 1 or height < 1:
            raise BadInput("the header has no size (NAXIS1, NAXIS2)", "take the header of an image")
        return cls(Wcs.from_header(header), width, height)

    @property
    def centre_deg(self) -> tuple[float, float]:
        """Direction (ra, dec) of the middle of the image, degrees."""
        ra, dec = self.wcs.to_sky((self.width - 1) / 2.0, (self.height - 1) / 2.0)
        return float(ra), float(dec)

    @property
    def radius_deg(self) -> float:
        """Radius of the circle about the centre that holds every pixel, degrees."""
        ra, dec = self.outline()
        return float(separation_deg(ra, dec, *self.centre_deg).max())

    def outline(self, n: int = 16) -> tuple[F64, F64]:
        """Return (ra, dec), float64 (4 n,) degrees, of points along the outer edge of the pixels, going round."""
        left, right, bottom, top = -0.5, self.width - 0.5, -0.5, self.height - 0.5
        along_x = np.linspace(left, right, n, endpoint=False)
        along_y = np.linspace(bottom, top, n, endpoint=False)
        back_x, back_y = right + left - along_x, top + bottom - along_y
        x = np.concatenate([along_x, np.full(n, right), back_x, np.full(n, left)])
        y = np.concatenate([np.full(n, bottom), along_y, np.full(n, top), back_y])
        return self.wcs.to_sky(x, y)

    def holds(self, x: F64, y: F64, margin_px: float = 0.0) -> Mask:
        """Return which pixel positions lie in the image, `margin_px` inside its edge; NaN lies nowhere."""
        inside: Mask = (
            (x >= margin_px - 0.5)
            & (x <= self.width - 0.5 - margin_px)
            & (y >= margin_px - 0.5)
            & (y <= self.height - 0.5 - margin_px)
        )
        return inside

    def cards(self) -> list[CardValue]:
        """Return the cards of the coordinates with those of the centre: RA, DEC, OBJCTRA, OBJCTDEC."""
        ra, dec = self.centre_deg
        return [
            ("RA", ra, "[deg] right ascension of the centre, ICRS"),
            ("DEC", dec, "[deg] declination of the centre, ICRS"),
            ("OBJCTRA", _sexagesimal(ra / 15.0, 2, 24), "[h m s] right ascension of the centre"),
            ("OBJCTDEC", ("-" if dec < 0 else "+") + _sexagesimal(abs(dec), 1), "[d m s] declination of the centre"),
            *self.wcs.cards(),
        ]


def _sexagesimal(value: float, digits: int, turn: int = 360) -> str:
    """Return ``dd mm ss.s`` of a value that is not negative; a rounded 60 carries over, a full `turn` is 0."""
    ticks = round(value * 3600 * 10**digits) % (turn * 3600 * 10**digits)
    seconds, part = divmod(ticks, 10**digits)
    return f"{seconds // 3600:02d} {seconds // 60 % 60:02d} {seconds % 60:02d}.{part:0{digits}d}"
