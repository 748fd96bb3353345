"""Stars of any part of the sky at any epoch, from the catalogue that ships with the package and one of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from skyquilt.core import CatalogueStars
from skyquilt.core.sky import separation_deg
from skyquilt.errors import BadInput, UsageError
from skyquilt.io.catalogue.cells import N_CELLS, cells_within
from skyquilt.io.catalogue.packed import PackedSky, open_packed
from skyquilt.io.catalogue.user_file import read_user_catalogue

__all__ = ["Catalogue", "open_catalogue"]

_SAME_STAR_ARCSEC = 2.0
_SAME_STAR_MAG = 1.5
_MAS_PER_DEG = 3.6e6


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """
    One or two packed catalogues, read as one; of a star in both, the entry of the first counts.

    Attributes
    ----------
    parts : tuple of PackedSky
    """

    parts: tuple[PackedSky, ...]

    def __len__(self) -> int:
        """Return the number of entries, those of a star in both parts counted twice."""
        return sum(len(part) for part in self.parts)

    @property
    def source(self) -> str:
        """What the stars are from, in words."""
        return "; ".join(part.source for part in self.parts)

    def cone(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_deg: float,
        *,
        epoch_year: float,
        limit_mag: float | None = None,
        brightest: int | None = None,
    ) -> CatalogueStars:
        """
        Return the stars within a circle, brightest first.

        Parameters
        ----------
        ra_deg, dec_deg, radius_deg : float, degrees
            ICRS; any RA is brought into one turn; a radius of 180 is the whole sky.
        epoch_year : float
            Julian year of the frame, e.g. 2025.23; the stars are where they were then, within 0.1 arcsec.
        limit_mag : float or None
            Only stars as bright as this (VT, or BT where there is no VT).
        brightest : int or None
            At most so many.

        Raises
        ------
        UsageError
            If the circle is none: a declination beyond a pole, a negative radius, NaN.
        """
        if not (np.isfinite(ra_deg) and -90.0 <= dec_deg <= 90.0 and radius_deg >= 0.0 and np.isfinite(epoch_year)):
            raise UsageError(
                f"a cone at RA {ra_deg:g}, Dec {dec_deg:g} with radius {radius_deg:g} degrees, epoch {epoch_year:g}, "
                "is no part of the sky"
            )
        found = [self._cone_of(part, ra_deg % 360.0, dec_deg, radius_deg, epoch_year, limit_mag) for part in self.parts]
        stars = found[0] if len(found) == 1 else merged(*found)
        stars = stars.take(np.argsort(stars.mag, kind="stable"))
        return stars if brightest is None else stars.brightest(brightest)

    @staticmethod
    def _cone_of(
        part: PackedSky, ra_deg: float, dec_deg: float, radius_deg: float, epoch_year: float, limit_mag: float | None
    ) -> CatalogueStars:
        # cells hold the stars where they were in 2000: a fast one may have come in from outside
        moved = part.fastest_mas * abs(epoch_year - 2000.0) / _MAS_PER_DEG
        cells = cells_within(ra_deg, dec_deg, radius_deg + moved)
        stars = part.stars_of(cells, epoch_year=epoch_year, limit_mag=limit_mag)
        return stars.take(separation_deg(stars.ra_deg, stars.dec_deg, ra_deg, dec_deg) <= radius_deg)

    def brightest_of_cells(self, n: int, *, epoch_year: float) -> CatalogueStars:
        """Return the `n` brightest stars of every cell (about one square degree) of the sky, brightest first."""
        cells = np.arange(N_CELLS)
        found = [part.stars_of(cells, epoch_year=epoch_year, brightest_of_cell=n) for part in self.parts]
        stars = found[0] if len(found) == 1 else merged(*found)
        return stars.take(np.argsort(stars.mag, kind="stable"))


def merged(first: CatalogueStars, second: CatalogueStars) -> CatalogueStars:
    """Return the stars of both; one of the second within 2 arcsec and 1.5 mag of one of the first is the same star."""
    if not len(first) or not len(second):
        return second if not len(first) else first
    from scipy.spatial import KDTree

    reach = 2.0 * np.sin(np.radians(_SAME_STAR_ARCSEC / 3600.0) / 2.0)
    near = KDTree(first.vectors).query_ball_point(second.vectors, reach)
    mag = first.mag
    is_new = np.array(
        [
            not any(abs(mag[one] - own) <= _SAME_STAR_MAG for one in around)
            for around, own in zip(near, second.mag, strict=True)
        ]
    )
    second = second.take(is_new)
    return CatalogueStars(
        np.concatenate([first.ra_deg, second.ra_deg]),
        np.concatenate([first.dec_deg, second.dec_deg]),
        np.concatenate([first.vt_mag, second.vt_mag]),
        np.concatenate([first.bt_mag, second.bt_mag]),
    )


def open_catalogue(own: Path | None = None, *, use: str = "merge") -> Catalogue:
    """
    Return the catalogue: Tycho-2 as it ships with the package, and a file of the user's.

    Parameters
    ----------
    own : Path or None
        A deeper catalogue: CSV, FITS table (`user_file` names the columns), or a packed one.
    use : "merge" or "instead"
        Whether the user's stars are added to Tycho-2 or take its place.

    Raises
    ------
    BadInput
        If the user's file cannot be read as a catalogue; one sentence says why.
    UsageError
        If `use` is another word.
    """
    if use not in ("merge", "instead"):
        raise UsageError(f"a catalogue is used to 'merge' or 'instead', not to {use!r}")
    shipped = Path(str(files("skyquilt.io.catalogue").joinpath("data/tycho2.skycat")))
    if own is None:
        return Catalogue((open_packed(shipped),))
    if not own.is_file():
        raise BadInput(f"the catalogue {own} is no file")
    with own.open("rb") as file:
        is_packed = file.read(8) == b"SKYQCAT1"
    added = open_packed(own) if is_packed else read_user_catalogue(own)
    return Catalogue((added,) if use == "instead" else (open_packed(shipped), added))
