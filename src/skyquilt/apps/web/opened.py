"""Two kinds of opened images: products, read by the server itself, and what the engine reads: frames, live pictures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt.apps.web.child import EngineChild, EngineGone, EngineRefusal
from skyquilt.core import F32, SkyGrid
from skyquilt.engine import viewing
from skyquilt.engine.viewing import ChannelFigures, ChannelHistogram, ViewedProduct

__all__ = ["ChildImage", "ProductImage"]

_SAMPLED_TILES = 6


@dataclass(eq=False)
class ProductImage:
    """A product on disk."""

    handle: str
    name: str
    kind: str
    product: ViewedProduct
    group: str
    maps: list[dict[str, str]]
    saved_from: Path | str | None
    revision: int = 1
    is_closed: bool = False

    @property
    def rough_from(self) -> int | None:
        """The first level of which only a first look is there, or None."""
        return self.product.pyramid.rough_from

    @property
    def grid(self) -> SkyGrid | None:
        return self.product.grid

    async def describe(self) -> dict[str, Any]:
        """Return the image as the page gets it."""
        return await asyncio.to_thread(self._describe)

    def _describe(self) -> dict[str, Any]:
        product, pyramid = self.product, self.product.pyramid
        document = _document(self.handle, self.name, self.kind, pyramid.shape, self.revision)
        grid = product.grid
        document |= {
            "unit": product.unit,
            "row_order": product.row_order,
            "rough_from": pyramid.rough_from,
            "statistics": [_figures_json(one, is_sampled=True) for one in pyramid.figures],
            "stretch": {word: _stf(product.stretch(linked=word == "linked")) for word in ("linked", "unlinked")},
            "header": [[card.keyword, card.value, card.comment] for card in product.cards],
            "maps": self.maps,
        }
        if grid is not None:
            document["wcs"] = {str(card[0]): card[1] for card in grid.wcs.cards()}
            document["sky"] = {
                "ra_deg": grid.centre_deg[0],
                "dec_deg": grid.centre_deg[1],
                "scale_arcsec": grid.wcs.scale_arcsec,
                "north_deg": viewing.north_deg(grid),
                "is_mirrored": viewing.is_mirrored(grid, product.row_order),
            }
            document["overlays"] = list(viewing.OVERLAYS)
        return document

    async def tile(self, level: int, x: int, y: int, *, is_exact: bool) -> tuple[bytes, bool] | None:
        """Return the bytes of a tile and whether it is a first look; None where there is no tile."""
        return await asyncio.to_thread(self._tile, level, x, y, is_exact=is_exact)

    def _tile(self, level: int, x: int, y: int, *, is_exact: bool) -> tuple[bytes, bool] | None:
        pyramid = self.product.pyramid
        box = viewing.tile_box(pyramid.size(level), x, y) if level < pyramid.n_levels else None
        if box is None:
            return None
        values, is_rough = pyramid.values(level, box)
        return viewing.encode_tile(values, is_exact=is_exact, is_rough=is_rough), is_rough

    async def histogram(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the histogram of every channel, and whether it is of a sample."""
        found, is_sampled = await asyncio.to_thread(lambda: self.product.pyramid.histograms)
        return [one.as_json() for one in found], is_sampled

    async def pixel(self, x: float, y: float) -> dict[str, Any]:
        """Return the values at a place, and its direction."""
        return await asyncio.to_thread(self._pixel, x, y)

    def _pixel(self, x: float, y: float) -> dict[str, Any]:
        _, height, width = self.product.pyramid.shape
        column, row = round(x), round(y)
        is_inside = 0 <= column < width and 0 <= row < height
        channels = self.product.pyramid.shape[0]
        values = self.product.pyramid.probe(column, row) if is_inside else (None,) * channels
        ra, dec = viewing.direction(self.grid, x, y)
        return {"x": x, "y": y, "values": list(values), "ra_deg": ra, "dec_deg": dec}

    def build(self, should_stop: Callable[[], bool]) -> None:
        """Make the levels that are a first look so far; see `Pyramid.build`."""
        self.product.pyramid.build(lambda: should_stop() or self.is_closed)

    async def close(self) -> None:
        """Let it go."""
        self.is_closed = True


@dataclass(eq=False)
class ChildImage:
    """
    An image that the engine reads: a raw frame, or a picture that grows.

    Attributes
    ----------
    image : str
        Its handle in the engine.
    path : Path or None
        The file of a frame, loaded again when the engine has been started anew.
    """

    handle: str
    name: str
    kind: str
    child: EngineChild
    exchange: Path
    image: str
    path: Path | None
    saved_from: Path | str | None
    revision: int = 1
    grid: SkyGrid | None = None
    _n_files: int = 0
    _engine: int = -1
    _sample: tuple[int, F32] | None = None

    @property
    def rough_from(self) -> int | None:
        """None: the engine makes every level when it is asked for."""
        return None

    def build(self, should_stop: Callable[[], bool]) -> None:
        """Do nothing: there are no levels to make."""

    async def ask(self, cmd: str, **fields: Any) -> Any:
        """Ask the engine about this image, which a new engine has to load first."""
        if self.path is not None and self._engine != self.child.n_restarts:
            self.image = (await self.child.request("load", path=str(self.path)))["imageId"]
            self._engine = self.child.n_restarts
        return await self.child.request(cmd, imageId=self.image, **fields)

    async def describe(self) -> dict[str, Any]:
        """Return the image as the page gets it."""
        info = await self.ask("imageInfo")
        shape = (int(info["channels"]), int(info["height"]), int(info["width"]))
        document = _document(self.handle, self.name, self.kind, shape, self.revision)
        figures = viewing.describe(await self._sampled())
        curves = {
            "linked": await self.ask("autoStretch", linked=True),
            "unlinked": await self.ask("autoStretch", linked=False),
        }
        document["unit"] = "adu"
        document["statistics"] = [_figures_json(one, is_sampled=True) for one in figures]
        document["stretch"] = {word: _listed(curve, shape[0]) for word, curve in curves.items()}
        return document

    async def tile(self, level: int, x: int, y: int, *, is_exact: bool) -> tuple[bytes, bool] | None:
        """Return the bytes of a tile; None where there is no tile. Half floats are the most exact that there is."""
        info = await self.ask("imageInfo")
        sizes = _level_sizes(int(info["width"]), int(info["height"]))
        if level >= len(sizes) or viewing.tile_box((sizes[level][1], sizes[level][0]), x, y) is None:
            return None
        halves, offset, scale = await self._halves(level, x, y)
        return await asyncio.to_thread(viewing.encode_halves, halves, offset, scale), False

    async def histogram(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the histogram of every channel, of a sample."""
        sample = await self._sampled()
        sums = viewing.HistogramSums(viewing.describe(sample))
        sums.add(sample)
        found: tuple[ChannelHistogram, ...] = sums.histograms()
        return [one.as_json() for one in found], True

    async def pixel(self, x: float, y: float) -> dict[str, Any]:
        """Return the values at a place, and its direction where the header tells it."""
        info = await self.ask("imageInfo")
        column, row = round(x), round(y)
        if not (0 <= column < int(info["width"]) and 0 <= row < int(info["height"])):
            return {"x": x, "y": y, "values": [None] * int(info["channels"]), "ra_deg": None, "dec_deg": None}
        found = await self.ask("probe", x=column, y=row)
        return {"x": x, "y": y, "values": found["values"], "ra_deg": found["ra_deg"], "dec_deg": found["dec_deg"]}

    async def close(self) -> None:
        """Let it go in the engine as well."""
        if self.path is not None and self._engine == self.child.n_restarts:
            with contextlib.suppress(EngineGone, EngineRefusal):
                await self.child.request("release", imageId=self.image)

    async def _sampled(self) -> F32:
        """Return the values of some tiles of full size, float32 (channel, 1, n)."""
        if self._sample is not None and self._sample[0] == self.revision:
            return self._sample[1]
        info = await self.ask("imageInfo")
        columns, rows = (-(-int(info[side]) // viewing.TILE_PX) for side in ("width", "height"))
        places = [(x, y) for y in range(rows) for x in range(columns)]
        step = max(1, len(places) // _SAMPLED_TILES)
        parts = []
        for x, y in places[step // 2 :: step][:_SAMPLED_TILES]:
            values = viewing.decode_halves(*await self._halves(0, x, y))
            parts.append(values.reshape(len(values), -1))
        sample: F32 = np.concatenate(parts, axis=1)[:, None]
        self._sample = (self.revision, sample)
        return sample

    async def _halves(self, level: int, x: int, y: int) -> tuple[Any, list[float], list[float]]:
        self._n_files += 1
        path = self.exchange / f"{self.handle}-{self._n_files}.f16"
        try:
            made = await self.ask("tile", level=level, column=x, row=y, outputPath=str(path))
            size = (int(made["channels"]), int(made["height"]), int(made["width"]))
            return await asyncio.to_thread(viewing.read_halves, path, *size), made["offset"], made["scale"]
        finally:
            path.unlink(missing_ok=True)


def _document(handle: str, name: str, kind: str, shape: tuple[int, int, int], revision: int) -> dict[str, Any]:
    """Return what every image has."""
    channels, height, width = shape
    sizes = _level_sizes(width, height)
    return {
        "handle": handle,
        "name": name,
        "kind": kind,
        "unit": "",
        "width": width,
        "height": height,
        "channels": channels,
        "channel_names": ["R", "G", "B"] if channels == 3 else ["L"],
        "row_order": "TOP-DOWN",
        "tile": viewing.TILE_PX,
        "levels": len(sizes),
        "level_sizes": sizes,
        "rough_from": None,
        "revision": revision,
        "wcs": None,
        "sky": None,
        "header": [],
        "statistics": [],
        "stretch": None,
        "maps": [],
        "overlays": [],
    }


def _level_sizes(width: int, height: int) -> list[list[int]]:
    sizes = [[width, height]]
    while max(sizes[-1]) > viewing.TILE_PX:
        sizes.append([-(-side // 2) for side in sizes[-1]])
    return sizes


def _figures_json(figures: ChannelFigures, *, is_sampled: bool) -> dict[str, Any]:
    return {
        "median": figures.median,
        "madn": figures.madn,
        "minimum": figures.minimum,
        "maximum": figures.maximum,
        "n_known": figures.n_known,
        "is_sampled": is_sampled,
    }


def _stf(stretch: Any) -> dict[str, list[float]]:
    return {word: list(getattr(stretch, word)) for word in ("shadows", "midtones", "highlights")}


def _listed(curve: dict[str, Any], channels: int) -> dict[str, list[float]]:
    """Return a curve of the engine, one number a channel."""
    found: dict[str, list[float]] = {}
    for word in ("shadows", "midtones", "highlights"):
        value = curve[word]
        found[word] = [float(one) for one in value] if isinstance(value, list) else [float(value)] * channels
    return found
