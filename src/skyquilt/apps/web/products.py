"""What lies finished in the output folder: products, reports, where they are on the sky."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skyquilt.apps.web.finishing import FINISHED
from skyquilt.engine import Manifest
from skyquilt.engine.report import TRANSLATIONS, translated_page
from skyquilt.engine.viewing import MAPS, Footprint, footprints_of, sky_outline
from skyquilt.errors import SkyquiltError, UsageError
from skyquilt.io.fits import open_frame, read_wcs

__all__ = ["Group", "Product", "Products", "products_json"]

_LARGEST_MANIFEST = 512 << 20
_MOST_GROUPS = 500
_MASTERS = ("master_linear", "mosaic_linear")
_MAP_WORDS = {"coverage": "COVERAGE", "variance": "VARIANCE", "rejected_low": "REJ_LOW", "rejected_high": "REJ_HIGH"}
_PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".svg")
_IMAGES = (".fits", ".fit", ".xisf", *_PICTURES)
_MOST_FINISHED = 2000


@dataclass(frozen=True, slots=True)
class Product:
    """
    One file, or one image of a file.

    Attributes
    ----------
    name : str
        "master_linear", "master_maps/COVERAGE"
    kind : str
        "image", "map", "picture" or "other".
    hdu : int
    group : str
    """

    id: str
    name: str
    path: Path
    kind: str
    hdu: int
    group: str

    def as_json(self) -> dict[str, Any]:
        """Return the product as the page gets it."""
        status = self.path.stat()
        return {
            "id": self.id,
            "name": self.name,
            "file": self.path.name,
            "kind": self.kind,
            "size_bytes": status.st_size,
            "mtime": round(status.st_mtime, 3),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """A finished stack or mosaic: its folder, manifest and products."""

    name: str
    folder: Path
    manifest: Manifest
    products: tuple[Product, ...]
    report: str | None

    @property
    def master(self) -> Product | None:
        """The linear result."""
        return next((one for one in self.products if one.name in _MASTERS), None)

    def maps(self) -> list[dict[str, str]]:
        """Return the maps of the master, by name."""
        words = {word: name for name, word in _MAP_WORDS.items()}
        return [
            {"name": words[one.name.rsplit("/", 1)[-1]], "product": one.id}
            for one in self.products
            if one.kind == "map"
        ]


class Products:
    """
    The products below an output folder; what has not changed is read once.

    Parameters
    ----------
    out : Path
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._groups: dict[Path, tuple[tuple[int, int], Group]] = {}

    def groups(self) -> list[Group]:
        """Return every finished stack and mosaic, by name."""
        found: dict[Path, tuple[tuple[int, int], Group]] = {}
        for path in self._manifests():
            with contextlib.suppress(OSError):
                status = path.stat()
                stamp = (status.st_size, status.st_mtime_ns)
                kept = self._groups.get(path)
                if kept is not None and kept[0] == stamp:
                    found[path] = kept
                elif (group := self._read(path)) is not None:
                    found[path] = (stamp, group)
        self._groups = found
        return sorted((group for _, group in found.values()), key=lambda group: group.name)

    def finished(self) -> tuple[Product, ...]:
        """Return the finished images, by name."""
        folder = self._out / FINISHED
        with contextlib.suppress(OSError):
            paths = sorted(folder.iterdir())[:_MOST_FINISHED]
            return tuple(
                one
                for path in paths
                if _is_file_below(path, self._out) and path.suffix.lower() in _IMAGES
                for one in _products_of(path.stem, path, FINISHED)
            )
        return ()

    def get(self, product_id: str) -> tuple[Group | None, Product]:
        """Return a product and its group (None: a finished image), or raise `UsageError`."""
        for group in self.groups():
            for product in group.products:
                if product.id == product_id and _is_file_below(product.path, self._out):
                    return group, product
        for product in self.finished():
            if product.id == product_id:
                return None, product
        raise UsageError("there is no such product", "look at the list of products again")

    def find(self, path: Path) -> Product | None:
        """Return the image that a file is, or None."""
        everything = [one for group in self.groups() for one in group.products] + list(self.finished())
        return next((one for one in everything if one.kind == "image" and one.path == path), None)

    def report(self, report_id: str, ending: str) -> Path:
        """Return the report of a group as ".html" or ".json", or raise `UsageError`."""
        for manifest in self._manifests():
            path = manifest.parent / f"report{ending}"
            if _report_id(manifest.parent) == report_id and _is_file_below(path, self._out):
                return path
        raise UsageError("there is no such report", "look at the list of products again")

    def report_page(self, report_id: str, language: str | None) -> bytes:
        """
        Return the page of a report, in a language of `TRANSLATIONS` or else as the run wrote it.

        As the run wrote it too where its manifest cannot be read, or does not hold what the page tells.
        """
        path = self.report(report_id, ".html")
        page = path.read_bytes()
        if language is None or language not in TRANSLATIONS:
            return page
        group = next((one for one in self.groups() if one.folder == path.parent), None)
        if group is None:
            return page
        try:
            return translated_page(page, group.manifest, language)
        except (ArithmeticError, LookupError, TypeError, ValueError, SkyquiltError):
            return page

    def as_json(self) -> dict[str, Any]:
        """Return all groups as the page gets them."""
        groups: list[dict[str, Any]] = [
            {
                "name": group.name,
                "kind": "mosaic" if group.manifest.mosaic else "stack",
                "products": products_json(group.products),
                "report": group.report,
            }
            for group in self.groups()
        ]
        if finished := products_json(self.finished()):
            groups.append({"name": FINISHED, "kind": "finish", "products": finished, "report": None})
        return {"groups": groups}

    def of_groups(self, names: set[str]) -> list[dict[str, Any]]:
        """Return the products of some groups as the page gets them."""
        return [one for group in self.groups() if group.name in names for one in products_json(group.products)]

    def sky(self, frame_id: Callable[[str], str | None], size: tuple[int, int] | None) -> dict[str, Any]:
        """Return where everything lies on the sky (docs/reference/app-api.md, section 8)."""
        return {"groups": [_sky_of(group, frame_id, size) for group in self.groups()]}

    def footprints(self, group: Group, size: tuple[int, int] | None) -> list[Footprint]:
        """Return where the frames of a group lie; size is theirs, (width, height)."""
        master = group.master
        if master is None:
            return []
        try:
            wcs = read_wcs(master.path)
        except SkyquiltError:
            wcs = None
        return footprints_of(group.manifest, wcs, size or _size_of_frames(group))

    def _manifests(self) -> list[Path]:
        """Return the manifests that lie in the output folder or one below it."""
        folders = [self._out]
        with contextlib.suppress(OSError), os.scandir(self._out) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    folders.append(Path(entry.path))
                if len(folders) > _MOST_GROUPS:
                    break
        return [path for folder in folders if _is_file_below(path := folder / "run_manifest.json", self._out)]

    def _read(self, path: Path) -> Group | None:
        """Return the group of a manifest; None if it cannot be read."""
        try:
            if path.stat().st_size > _LARGEST_MANIFEST:
                return None
            manifest = Manifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        folder = path.parent
        products: list[Product] = []
        for output in manifest.outputs:
            file = folder / output.file
            if _is_file_below(file, self._out) and folder in file.parents:
                products += _products_of(output.name, file, manifest.group)
        products.sort(key=lambda one: one.name not in _MASTERS)  # what one wants to see comes first
        report = _report_id(folder) if (folder / "report.html").is_file() else None
        return Group(manifest.group, folder, manifest, tuple(products), report)


def products_json(products: tuple[Product, ...]) -> list[dict[str, Any]]:
    """Return those products that are still there."""
    found = []
    for product in products:
        with contextlib.suppress(OSError):
            found.append(product.as_json())
    return found


def _products_of(name: str, path: Path, group: str) -> list[Product]:
    """Return a file as a product, or as one a map."""
    if name.endswith("_maps"):
        return [
            Product(_id_of(f"{path}|{hdu}"), f"{name}/{_MAP_WORDS[word]}", path, "map", hdu, group)
            for word, hdu in MAPS.items()
        ]
    ending = path.suffix.lower()
    kind = "image" if ending in (".fits", ".fit") else "picture" if ending in _PICTURES else "other"
    return [Product(_id_of(f"{path}|0"), name, path, kind, 0, group)]


def _sky_of(group: Group, frame_id: Callable[[str], str | None], size: tuple[int, int] | None) -> dict[str, Any]:
    manifest, master = group.manifest, group.master
    sky, mosaic = manifest.sky, manifest.mosaic
    outline: list[tuple[float, float]] = []
    footprints: list[Footprint] = []
    if master is not None and sky is not None and sky.solved:
        with contextlib.suppress(SkyquiltError):
            meta = open_frame(master.path).meta
            wcs = read_wcs(master.path)
            outline = sky_outline(wcs, meta.width, meta.height)
            footprints = footprints_of(manifest, wcs, size or _size_of_frames(group))
    panels = {frame.file: frame.panel for frame in manifest.frames}
    coverage = next((one["product"] for one in group.maps() if one["name"] == "coverage"), None)
    return {
        "name": group.name,
        "solved": bool(outline),
        "reason": sky.reason if sky else "this stack was made without a look for its place",
        "ra_deg": sky.ra_deg if sky else None,
        "dec_deg": sky.dec_deg if sky else None,
        "outline": outline,
        "scale_arcsec": sky.scale_arcsec if sky else None,
        "frames": [
            {
                "id": frame_id(one.file),
                "file": one.file,
                "panel": panels.get(one.file),
                "status": "stacked",
                "outline": list(one.corners),
            }
            for one in footprints
        ],
        "coverage": coverage,
        "covered_deg2": mosaic.covered_deg2 if mosaic else None,
        "panels": [
            {"name": one.name, "ra_deg": one.ra_deg, "dec_deg": one.dec_deg, "n_frames": one.n_frames}
            for one in (mosaic.panels if mosaic else [])
        ],
    }


def _size_of_frames(group: Group) -> tuple[int, int] | None:
    """Return (width, height) of the frames of a stack whose canvas is that of its reference; else None."""
    manifest = group.manifest
    if manifest.mosaic is not None or manifest.recipe.get("framing") != "reference":
        return None
    x0, y0, x1, y1 = manifest.canvas
    cell = 2 if manifest.debayer_method == "superpixel" else 1
    return (x1 - x0) * cell, (y1 - y0) * cell


def _is_file_below(path: Path, folder: Path) -> bool:
    """Return whether a regular file lies below a folder by its true place, no link on the way."""
    try:
        return path.is_file() and folder.resolve() in path.resolve(strict=True).parents and not path.is_symlink()
    except OSError:
        return False


def _report_id(folder: Path) -> str:
    return _id_of(f"{folder}|report")


def _id_of(text: str) -> str:
    return "p" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
