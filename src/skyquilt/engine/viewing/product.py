"""A product on disk as something that can be looked at: its pixels, its place on the sky, its header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box, SkyGrid, Wcs
from skyquilt.engine.viewing.pyramid import Pyramid
from skyquilt.errors import BadInput, NotRegistered
from skyquilt.io.fits import Card, FitsSource, frame_source, open_frame, read_header, read_wcs
from skyquilt.steps.finish import Stretch, auto_stretch

__all__ = ["MAPS", "ViewedProduct", "direction", "is_mirrored", "north_deg", "open_product", "sky_outline"]

MAPS = {"coverage": 0, "variance": 1, "rejected_low": 2, "rejected_high": 3}
"""The maps that lie beside a master, and in which HDU of their file."""

_MOST_CARDS = 400


@dataclass(frozen=True, slots=True, eq=False)
class ViewedProduct:
    """
    A FITS image that is looked at.

    Attributes
    ----------
    pyramid : Pyramid
    unit : str
        BUNIT, or "".
    row_order : str
        "TOP-DOWN" or "BOTTOM-UP".
    wcs : Wcs or None
        None where it is not known, or cannot be used.
    cards : tuple of Card
        The header, commentary left aside.
    """

    pyramid: Pyramid
    unit: str
    row_order: str
    wcs: Wcs | None
    cards: tuple[Card, ...]

    @property
    def grid(self) -> SkyGrid | None:
        """Its pixels on the sky, or None."""
        _, height, width = self.pyramid.shape
        return None if self.wcs is None else SkyGrid(self.wcs, width, height)

    def stretch(self, *, linked: bool) -> Stretch:
        """Return the curve that shows the sky at a quarter of the range, from the sample."""
        sample = self.pyramid.sample
        empty = ~np.asarray(np.isfinite(sample).any(axis=(1, 2)))
        if empty.any():  # a channel without any value is black, whatever the curve
            sample = np.where(empty[:, None, None], np.float32(0.0), sample)
        return auto_stretch(sample, linked=linked)


class _FitsPixels:
    """The pixels of a FITS file, NaN where it has no value."""

    def __init__(self, source: FitsSource) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._source.n_channels, *self._source.bounds.shape

    def values(self, box: Box) -> F32:
        tile = self._source.read(box)
        if tile.mask.all():
            return tile.pixels
        return np.where(tile.mask, tile.pixels, np.float32(np.nan))


def open_product(path: Path, folder: Path | None, hdu: int = 0) -> ViewedProduct:
    """
    Return a FITS product to look at; its file is only read.

    Parameters
    ----------
    path : Path
    folder : Path or None
        Where the levels of a large one are kept between two looks.
    hdu : int
        Which of its images.

    Raises
    ------
    UnreadableFrame
        If there is no such image.
    """
    frame = open_frame(path, hdu)
    name = f"{path.resolve()}|{hdu}|{frame.size_bytes}|{frame.mtime_ns}"
    key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    header = read_header(path, hdu)
    return ViewedProduct(
        pyramid=Pyramid(_FitsPixels(frame_source(frame)), folder, key),
        unit=(header.text("BUNIT") or "").strip(),
        row_order="BOTTOM-UP" if frame.meta.row_order == "BOTTOM-UP" else "TOP-DOWN",
        wcs=_wcs_of(path),
        cards=tuple(card for card in header.cards if card.keyword not in ("HISTORY", "COMMENT", ""))[:_MOST_CARDS],
    )


def _wcs_of(path: Path) -> Wcs | None:
    try:
        return read_wcs(path)
    except (NotRegistered, BadInput):  # an image without coordinates, or with damaged ones, is still an image
        return None


def sky_outline(wcs: Wcs, width: int, height: int) -> list[tuple[float, float]]:
    """Return the corners of an image on the sky, (ra, dec) in degrees, going round."""
    x = np.array([-0.5, width - 0.5, width - 0.5, -0.5])
    y = np.array([-0.5, -0.5, height - 0.5, height - 0.5])
    ra, dec = wcs.to_sky(x, y)
    return [(float(a), float(d)) for a, d in zip(ra, dec, strict=True)]


def direction(grid: SkyGrid | None, x: float, y: float) -> tuple[float | None, float | None]:
    """Return (ra, dec) in degrees of a place in the picture, None where it is not known."""
    if grid is None:
        return None, None
    ra, dec = (float(value) for value in grid.wcs.to_sky(x, y))
    return (ra, dec) if np.isfinite(ra) and np.isfinite(dec) else (None, None)


def north_deg(grid: SkyGrid) -> float:
    """Return where north lies at the middle of the picture, degrees from +y towards +x."""
    ra, dec = grid.centre_deg
    x, y = grid.wcs.to_pixels(ra, min(90.0, dec + 0.001))
    return float(np.degrees(np.arctan2(float(x) - (grid.width - 1) / 2.0, float(y) - (grid.height - 1) / 2.0)))


def is_mirrored(grid: SkyGrid, row_order: str) -> bool:
    """Return whether the picture, drawn in the order of its rows, shows the mirror image of the sky."""
    as_seen = 1 if row_order == "TOP-DOWN" else -1
    return grid.wcs.parity != as_seen
