"""
Measure how fast a canvas on disk is written, read and exported, and how much room it takes; print the table.

Run: ``python bench/tiled.py [SIDE]``, the side of the canvas in px (default 4096, three channels). CPU time of all
threads, over the bytes of the pixels before they are packed (40 for each pixel of a tile, 12 for its values). Noise
as a stack has it: it packs no better.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skyquilt.core import Box, CanvasTile, SkyGrid, Wcs
from skyquilt.io.fits import write_bands
from skyquilt.io.hips import HipsLabels, export_hips
from skyquilt.io.tiled import TiledCanvas, reduce_to

CHUNK = 512
RNG = np.random.default_rng(1)
VALUE = RNG.normal(0.02, 0.0005, (3, CHUNK, CHUNK)).astype(np.float32)
VARIANCE = (2.5e-7 * (1.0 + VALUE) / (200 + RNG.integers(-3, 4, VALUE.shape))).astype(np.float32)
COVERAGE = np.repeat(2000.0 + 10.0 * (np.arange(CHUNK) // 40), CHUNK).reshape(CHUNK, CHUNK).astype(np.float32)
REJECTED = RNG.poisson(0.5, VALUE.shape).astype(np.uint16)
COUNTS = {"counts": np.arange(1500, dtype=np.uint32).reshape(500, 3)}


def a_tile(box: Box) -> CanvasTile:
    """Return a tile as a mosaic makes it."""
    h, w = box.shape
    cut = (..., slice(h), slice(w))
    return CanvasTile(box, VALUE[cut], VARIANCE[cut], COVERAGE[cut], REJECTED[cut], REJECTED[cut])


def show(what: str, n_bytes: float, work: Callable[[], object]) -> None:
    """Print a line: seconds, and MB a second."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{what:<44}{cpu:>9.2f}{wall:>9.2f}{n_bytes / 1e6 / max(cpu, 1e-9):>9.0f}")


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(side: int) -> None:
    """Print the table."""
    n_pixels = side * side
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        canvas = TiledCanvas.create(folder / "canvas", "bench", side, side, 3)
        print(f"{side} x {side} px, 3 channels, {len(list(canvas.tiles()))} tiles")
        print(f"{'':<44}{'CPU s':>9}{'wall s':>9}{'MB/CPU s':>9}")

        def write() -> None:
            for box in canvas.tiles():
                canvas.write(a_tile(box), "key", COUNTS)

        show("write tiles, with the overview", 40 * n_pixels, write)
        show("settle the overview", 40 * n_pixels, canvas.settle)
        show("verify all bytes", size_of(folder), canvas.verify)
        show("read values by rows", 12 * n_pixels, lambda: [rows.shape for _, rows in canvas.value_rows()])
        show("read all planes by rows", 40 * n_pixels, lambda: [band.box for band in canvas.bands()])
        show("open, and list what is done", 0, lambda: TiledCanvas.open(folder / "canvas").done())
        show("preview of 2000 px", 12 * n_pixels, lambda: reduce_to(canvas, 2000))
        show("FITS, float32", 12 * n_pixels, lambda: write_bands(folder / "a.fits", canvas, []))
        show("FITS, 16 bits", 12 * n_pixels, lambda: write_bands(folder / "b.fits", canvas, [], sixteen_bits="numbers"))
        on_disk = size_of(folder / "canvas")
        step = 2.4 / 3600
        middle = ((side - 1) / 2, (side - 1) / 2)
        grid = SkyGrid(Wcs((83.6, -5.4), middle, np.array([[-step, 0.0], [0.0, step]])), side, side)
        labels = HipsLabels("ivo://skyquilt.bench/P/a", "bench", "2026-01-01T00:00Z")
        n_tiles: list[int] = []
        show(
            "HiPS, FITS tiles",
            12 * n_pixels,
            lambda: export_hips(folder / "hips", canvas, grid, labels, on_tile=lambda order, _: n_tiles.append(order)),
        )
        deepest = n_tiles.count(max(n_tiles))
        print(f"HiPS: order {max(n_tiles)}, {deepest} deepest of {len(n_tiles)} tiles")
        print(f"on disk {on_disk / 1e6:.0f} MB with the overview: {on_disk / n_pixels / 40:.2f} of all planes,")
        print(f"{on_disk / n_pixels / 12:.2f} of a linear master alone")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)
