"""A canvas written as a HiPS, tile by tile, the deepest tiles first."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from skyquilt.core import F32, I64, U8, Mask, PixelSource
from skyquilt.core.sky import (
    SkyGrid,
    healpix_corner_reach_deg,
    healpix_directions,
    healpix_side_deg,
    separation_deg,
)
from skyquilt.errors import NoUsableInput, OutputBlocked, UsageError
from skyquilt.io.atomic import blocked, write_atomically
from skyquilt.io.fits import write_image
from skyquilt.io.hips.moc import joined_ranges, sky_fraction, write_moc
from skyquilt.io.hips.resample import sample_sky
from skyquilt.io.hips.tiles import (
    LOWEST_ORDER,
    SHIFT,
    WIDTH,
    deepest_order,
    fits_rows,
    halved,
    picture_rows,
    tile_cards,
    tile_path,
    tile_pixels,
)
from skyquilt.io.images import Stretcher, encode_jpeg, encode_png

__all__ = ["HipsLabels", "export_hips"]

_ALLSKY_PX = 64
_MOC_SHIFT = 7  # cells of 4 x 4 pixels of the deepest tiles
_BEGUN = ".skyquilt-hips"  # there while an export is under way, or was killed
_ORDER = re.compile(r"Norder\d+")
_BUILDER = f"{'hips_builder':<20} = skyquilt".encode("ascii")
_SUFFIX = {"png": "png", "jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class HipsLabels:
    """
    What a HiPS says of itself.

    Attributes
    ----------
    identifier : str
        ``creator_did``: an IVOA identifier, e.g. "ivo://skyquilt.user/P/M31".
    title : str
    created : str
        ``hips_release_date``, e.g. "2026-01-31T20:15Z".
    others : dict
        Further keywords of the properties file: obs_copyright, t_min ...
    """

    identifier: str
    title: str
    created: str
    others: dict[str, str] = field(default_factory=dict)


def export_hips(
    folder: Path,
    source: PixelSource,
    grid: SkyGrid,
    labels: HipsLabels,
    *,
    stretch: Stretcher | None = None,
    picture: Literal["png", "jpeg"] = "png",
    channel: int | None = None,
    unit: str = "",
    on_tile: Callable[[int, int], None] | None = None,
) -> int:
    """
    Write a canvas as a HiPS (IVOA recommendation HiPS 1.0, 2017) and return its deepest order.

    Parameters
    ----------
    folder : Path
        Made if it is missing. An earlier export in it is removed first. The properties file is written last: with it
        the HiPS is whole.
    source : PixelSource
        The canvas (`TiledCanvas`, or any other); read box by box. One or three channels.
    grid : SkyGrid
        Where it lies on the sky.
    labels : HipsLabels
    stretch : Stretcher or None
        With it every tile is also written as a picture. None: FITS tiles alone.
    picture : "png" or "jpeg"
        PNG shows through where nothing is known, JPEG is black there.
    channel : int or None
        Which channel the FITS tiles hold: they have one plane. None: the mean of all.
    unit : str
        BUNIT of the FITS tiles, and hips_bunit.
    on_tile : callable or None
        Told order and number of each tile that was written.

    Raises
    ------
    NoUsableInput
        If no pixel of the canvas is known.
    UsageError
        If channels or labels cannot be written.
    NotEnoughDisk, OutputBlocked
        If the system refuses to write, or the folder holds a HiPS that was not made here.

    Notes
    -----
    Tiles of 512 x 512 pixels from order 3 to the first order whose pixels are not larger than those of the canvas.
    The deepest ones are sampled from the canvas at the centres of the HEALPix pixels (`kernels.cubic`): values stay
    values of the canvas, per canvas pixel. A pixel of any other is the mean of the known ones of its four children.
    In memory: one tile and the box of the canvas under it, and a quarter of a tile for each order and child.
    """
    if source.n_channels not in (1, 3):
        raise UsageError(f"a HiPS is written of 1 or 3 channels, the canvas has {source.n_channels}")
    if channel is not None and not 0 <= channel < source.n_channels:
        raise UsageError(f"the canvas has no channel {channel}", f"choose one from 0 to {source.n_channels - 1}")
    words = [labels.identifier, labels.title, labels.created, *labels.others, *labels.others.values()]
    if any("\n" in word or "\r" in word for word in words) or any("=" in name for name in labels.others):
        raise UsageError("a label of a HiPS is one line, and its keyword has no =", "take line breaks out")
    folder = Path(folder)
    _clear(folder)
    writer = _Writer(folder, source, grid, stretch, picture, channel, unit, on_tile)
    writer.write_all()
    if not writer.ranges:
        raise NoUsableInput("no pixel of the canvas is known: there is nothing to export", "stack it first")
    writer.write_allsky()
    ranges = joined_ranges(np.concatenate(writer.ranges))
    write_moc(folder / "Moc.fits", writer.moc_order, ranges)
    text = "".join(f"{name:<20} = {value}\n" for name, value in _properties(writer, labels, ranges).items())
    write_atomically(folder / "properties", text.encode("utf-8"))
    (folder / _BEGUN).unlink(missing_ok=True)
    return writer.order


def _clear(folder: Path) -> None:
    """Make the folder; remove what an earlier export left, whole or not, and nothing else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        orders = [path for path in folder.iterdir() if _ORDER.fullmatch(path.name)]
        properties = folder / "properties"
        is_ours = (folder / _BEGUN).exists() or (properties.exists() and _BUILDER in properties.read_bytes())
        if (orders or properties.exists()) and not is_ours:
            raise OutputBlocked(f"{folder} holds a HiPS of another program", "choose another folder")
        (folder / _BEGUN).write_bytes(b"")
        properties.unlink(missing_ok=True)
        for path in orders:
            shutil.rmtree(path)
    except OSError as error:
        raise blocked(folder / "properties", error) from error


class _Writer:
    """The tiles of one HiPS on their way to the disk."""

    def __init__(
        self,
        folder: Path,
        source: PixelSource,
        grid: SkyGrid,
        stretch: Stretcher | None,
        picture: Literal["png", "jpeg"],
        channel: int | None,
        unit: str,
        on_tile: Callable[[int, int], None] | None,
    ) -> None:
        self.folder, self.source, self.grid = folder, source, grid
        self.stretch, self.picture, self.channel, self.unit = stretch, picture, channel, unit
        self.on_tile = on_tile
        self.order = deepest_order(grid.wcs.scale_arcsec)
        self.moc_order = self.order + _MOC_SHIFT
        self.ranges: list[I64] = []
        self.thumbnails: dict[int, F32] = {}
        self.lowest, self.highest, self.n_tiles = np.inf, -np.inf, 0

    def write_all(self) -> None:
        """Write all tiles, and keep a small picture of those of the lowest order."""
        numbers = np.arange(12 << 2 * LOWEST_ORDER, dtype=np.int64)
        for number in numbers[self._may_touch(LOWEST_ORDER, numbers)]:
            tile = self._make(LOWEST_ORDER, int(number))
            if tile is not None:
                while tile.shape[1] > _ALLSKY_PX:
                    tile = halved(tile)
                self.thumbnails[int(number)] = tile

    def _may_touch(self, order: int, numbers: I64) -> Mask:
        """Return which tiles lie so near that they may have a part of the canvas."""
        ra, dec = healpix_directions(order, numbers)
        reach = self.grid.radius_deg + healpix_corner_reach_deg(order)
        near: Mask = separation_deg(ra, dec, *self.grid.centre_deg) <= reach
        return near

    def _make(self, order: int, number: int) -> F32 | None:
        """Write a tile and all below it; return it [channel, ix, iy], None if it is empty."""
        if order == self.order:
            tile = sample_sky(self.source, self.grid, *healpix_directions(order + SHIFT, tile_pixels(number)))
            if tile is not None:
                is_known: Mask = np.logical_or.reduce(np.isfinite(tile), axis=0)
                self._note_coverage(number, is_known)
        else:
            tile = self._make_of_children(order, number)
        if tile is not None:
            self._write(order, number, tile)
        return tile

    def _make_of_children(self, order: int, number: int) -> F32 | None:
        numbers = 4 * number + np.arange(4, dtype=np.int64)
        half = WIDTH // 2
        tile: F32 | None = None
        for child, is_near in zip(numbers, self._may_touch(order + 1, numbers), strict=True):
            part = self._make(order + 1, int(child)) if is_near else None
            if part is None:
                continue
            if tile is None:
                tile = np.full((self.source.n_channels, WIDTH, WIDTH), np.nan, np.float32)
            x, y = half * int(child & 1), half * int(child >> 1 & 1)
            tile[:, x : x + half, y : y + half] = halved(part)
        return tile

    def _note_coverage(self, number: int, is_known: Mask) -> None:
        """Keep the cells of the coverage map in which a pixel is known, as ranges."""
        side = 1 << _MOC_SHIFT
        cell = WIDTH // side
        has_any = is_known.reshape(side, cell, side, cell).any(axis=(1, 3))
        first = tile_pixels(number) >> 2 * (SHIFT - _MOC_SHIFT)
        cells = np.sort(first[::cell, ::cell][has_any])
        self.ranges.append(joined_ranges(np.stack([cells, cells + 1], axis=1)))

    def _plane(self, tile: F32) -> F32:
        """Return the plane of the FITS tiles."""
        if self.channel is not None or len(tile) == 1:
            plane: F32 = tile[self.channel or 0]
            return plane
        mean: F32 = tile.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    def _cards(self) -> list[tuple[str, object, str]]:
        return [("BUNIT", self.unit, "unit of the pixels")] if self.unit else []

    def _write(self, order: int, number: int, tile: F32) -> None:
        path = tile_path(self.folder, order, number, "fits")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise blocked(path, error) from error
        plane = self._plane(tile)
        write_image(path, np.ascontiguousarray(fits_rows(plane)), [*tile_cards(order, number), *self._cards()])
        known = plane[np.isfinite(plane)]
        if known.size and order == self.order:
            self.lowest = min(self.lowest, float(known.min()))
            self.highest = max(self.highest, float(known.max()))
        if self.stretch is not None:
            data = self._encoded(self.stretch, picture_rows(tile))
            write_atomically(tile_path(self.folder, order, number, _SUFFIX[self.picture]), data)
        self.n_tiles += 1
        if self.on_tile is not None:
            self.on_tile(order, number)

    def _encoded(self, stretch: Stretcher, rows: F32) -> bytes:
        """Return values, float32 (channel, y, x), as a file of a picture."""
        shown: U8 = stretch.apply(np.ascontiguousarray(rows), np.uint8)
        is_known: Mask = np.logical_and.reduce(np.isfinite(rows), axis=0)
        rgb = np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown
        rgb = np.where(is_known[:, :, None], rgb, np.uint8(0))
        if self.picture == "jpeg":
            return encode_jpeg(rgb)
        opacity = np.where(is_known, np.uint8(255), np.uint8(0))
        return encode_png(np.concatenate([rgb, opacity[:, :, None]], axis=2))

    def write_allsky(self) -> None:
        """Write the small pictures of all tiles of order 3 side by side, 27 a row, the first at the upper left."""
        n = 12 << 2 * LOWEST_ORDER
        columns = int(np.sqrt(n))
        shape = (-(-n // columns) * _ALLSKY_PX, columns * _ALLSKY_PX)
        whole = np.full((self.source.n_channels, *shape), np.nan, np.float32)
        for number, tile in self.thumbnails.items():
            row, column = number // columns * _ALLSKY_PX, number % columns * _ALLSKY_PX
            whole[:, row : row + _ALLSKY_PX, column : column + _ALLSKY_PX] = picture_rows(tile)
        path = self.folder / f"Norder{LOWEST_ORDER}"
        # in FITS the uppermost row is the last one
        rows = np.ascontiguousarray(self._plane(whole)[::-1])
        write_image(path / "Allsky.fits", rows, [("ORDER", LOWEST_ORDER, "HiPS order of the tiles"), *self._cards()])
        if self.stretch is not None:
            data = self._encoded(self.stretch, whole)
            write_atomically(path / f"Allsky.{_SUFFIX[self.picture]}", data)

    def cut(self) -> tuple[float, float]:
        """Return the range of values that a client should show."""
        planes = [self._plane(tile) for tile in self.thumbnails.values()]
        known = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
        low, high = (float(value) for value in np.quantile(known, (0.01, 0.995)))
        return (low, high) if high > low else (low, low + 1.0)


def _properties(writer: _Writer, labels: HipsLabels, ranges: I64) -> dict[str, str]:
    """Return the keywords of the properties file (HiPS 1.0, section 4.4.1)."""
    ra, dec = writer.grid.centre_deg
    low, high = writer.cut()
    formats = ["fits"] if writer.stretch is None else [writer.picture, "fits"]
    properties = {
        "creator_did": labels.identifier,
        "obs_title": labels.title,
        "dataproduct_type": "image",
        "hips_version": "1.4",
        "hips_builder": "skyquilt",
        "hips_release_date": labels.created,
        "hips_creation_date": labels.created,
        "hips_status": "private master clonableOnce",
        "hips_frame": "equatorial",
        "hips_order": str(writer.order),
        "hips_order_min": str(LOWEST_ORDER),
        "hips_tile_width": str(WIDTH),
        "hips_tile_format": " ".join(formats),
        "hips_pixel_bitpix": "-32",
        "hips_pixel_cut": f"{low:.7g} {high:.7g}",
        "hips_data_range": f"{writer.lowest:.7g} {writer.highest:.7g}",
        "hips_pixel_scale": f"{healpix_side_deg(writer.order + SHIFT):.7g}",
        "s_pixel_scale": f"{writer.grid.wcs.scale_arcsec / 3600.0:.7g}",
        "hips_initial_ra": f"{ra:.6f}",
        "hips_initial_dec": f"{dec:.6f}",
        "hips_initial_fov": f"{2.2 * writer.grid.radius_deg:.6f}",
        "hips_nb_tiles": str(writer.n_tiles),
        "moc_sky_fraction": f"{sky_fraction(writer.moc_order, ranges):.6g}",
        "obs_regime": "Optical",
    }
    if writer.stretch is not None and writer.source.n_channels == 3:
        properties["dataproduct_subtype"] = "color"
    if writer.unit:
        properties["hips_bunit"] = writer.unit
    return properties | labels.others
