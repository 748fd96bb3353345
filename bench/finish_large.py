"""
Measure the memory and the time of a chain on 20,000x20,000 px: ``python bench/finish_large.py WORK [SIDE]``.

WORK is a folder with about five times the image's size free (4.8 GB at full size). The image is drawn there once: a sky
with a gradient, stars of one profile, noise; float32, three colours, a FITS file that is mapped while it is drawn. What
is printed: the peak of the resident memory, CPU and wall time of each step, and the sizes of what was written.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np

from skyquilt.core.event import Event
from skyquilt.engine.finish import FinishSettings, finish_master, preset_chain

MEMORY = 3_600_000_000
BLOCK = 1000
SKY = (420.0, 570.0, 370.0)
NOISE = 12.0
STARS_A_BLOCK = 300
STAMP = 15


def draw(path: Path, side: int) -> None:
    """Write the image, block by block."""
    cards = [
        "SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    3",
        f"NAXIS1  = {side:>20}", f"NAXIS2  = {side:>20}", "NAXIS3  =                    3", "BUNIT   = 'adu     '",
        "END",
    ]  # fmt: skip
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    n_bytes = 12 * side * side
    with path.open("wb") as file:
        file.write(header)
        file.truncate(2880 + n_bytes + -n_bytes % 2880)
    pixels = np.memmap(path, dtype=">f4", mode="r+", offset=2880, shape=(3, side, side))
    for y0 in range(0, side, BLOCK):
        for x0 in range(0, side, BLOCK):
            height, width = min(BLOCK, side - y0), min(BLOCK, side - x0)
            random = np.random.default_rng((y0, x0))
            light = _stars(random, height, width)
            across = np.linspace(x0, x0 + width, width, dtype=np.float32)[None] / side
            down = np.linspace(y0, y0 + height, height, dtype=np.float32)[:, None] / side
            gradient = 1.0 + 0.06 * across - 0.04 * down + 0.03 * across * down
            for channel, sky in enumerate(SKY):
                noise = random.standard_normal((height, width), dtype=np.float32) * np.float32(NOISE)
                place = slice(y0, y0 + height), slice(x0, x0 + width)
                pixels[channel][place] = sky * gradient + light * (1.0 + 0.1 * (channel - 1)) + noise
    pixels.flush()


def _stars(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    out = np.zeros((height, width), dtype=np.float32)
    offset = np.arange(-STAMP, STAMP + 1)
    for _ in range(STARS_A_BLOCK):
        x, y = random.uniform(STAMP + 1, width - STAMP - 2), random.uniform(STAMP + 1, height - STAMP - 2)
        row, column = round(y), round(x)
        square = (offset[None] + column - x) ** 2 + (offset[:, None] + row - y) ** 2
        peak = 40.0 * random.pareto(0.9)
        out[row - STAMP : row + STAMP + 1, column - STAMP : column + STAMP + 1] += (
            min(peak, 40000.0) / (1.0 + square / 4.5) ** 3
        )
    return out


def peak_memory() -> float:
    """Return the most memory that the process ever held, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(work: Path, side: int) -> None:
    """Draw, run, print."""
    work.mkdir(parents=True, exist_ok=True)
    master = work / f"large_{side}.fits"
    if not master.exists():  # by a process of its own: the pages of a mapped file would count as memory of the chain
        drawing = multiprocessing.get_context("spawn").Process(target=draw, args=(master, side))
        drawing.start()
        drawing.join()
    sys.stdout.write(f"{side}x{side}x3, {master.stat().st_size / 1e9:.1f} GB\n")
    last = [time.perf_counter(), time.process_time()]

    def told(event: Event) -> None:
        if event.kind == "progress":
            now = [time.perf_counter(), time.process_time()]
            sys.stdout.write(
                f"{event.message:<20}{now[0] - last[0]:>8.1f} s wall{now[1] - last[1]:>8.1f} s CPU"
                f"{peak_memory():>8.2f} GB peak\n"
            )
            sys.stdout.flush()
            last[:] = now

    outputs = (work / "large.tif", work / "large.jpg")
    settings = FinishSettings(
        chain=preset_chain("galaxy"), outputs=outputs, save_linear=work / "large_linear.fits", memory=MEMORY
    )
    begin = time.perf_counter(), time.process_time()
    finish_master(master, settings, listener=told)
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    sys.stdout.write(f"all: {wall:.0f} s wall, {cpu:.0f} s CPU, {peak_memory():.2f} GB peak\n")
    for path in (*outputs, work / "large_linear.fits"):
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1e9:.2f} GB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000)
