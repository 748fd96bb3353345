"""A process that writes tiles of a canvas: started by test_tiled, killed by it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from skyquilt.core import Box, CanvasTile
from skyquilt.io.tiled import TiledCanvas

WIDTH, HEIGHT, CHANNELS, CHUNK = 300, 210, 3, 64


def a_tile(box: Box, key: str = "a", n_channels: int = CHANNELS) -> CanvasTile:
    """Return the pixels of a tile, the same for the same box and key, with holes."""
    rng = np.random.default_rng([box.x0 % 2**32, box.y0, *key.encode()])
    shape = (n_channels, *box.shape)
    value = rng.normal(1000, 30, shape).astype(np.float32)
    coverage = rng.integers(0, 4, box.shape).astype(np.float32) * 10
    value[:, coverage == 0] = np.nan
    return CanvasTile(
        box,
        value,
        rng.random(shape).astype(np.float32),
        coverage,
        rng.integers(0, 9, shape).astype(np.uint16),
        rng.integers(0, 9, shape).astype(np.uint16),
    )


def counts_of(box: Box) -> dict[str, np.ndarray]:
    return {"counts": np.arange(30).reshape(10, 3) + box.x0, "names": np.array(["one", "two"])}


def make(folder: Path, writer: str = "main", key: str = "k") -> TiledCanvas:
    return TiledCanvas.create(folder, key, WIDTH, HEIGHT, CHANNELS, chunk=CHUNK, writer=writer)


def main(folder: Path, writer: str, seed: int, part: int, n_parts: int, is_endless: bool) -> None:
    """Write every n-th tile in random order; `is_endless`: go on with other keys until killed."""
    canvas = TiledCanvas.open(folder, "k", writer=writer)
    boxes = list(canvas.tiles())[part::n_parts]
    rng = np.random.default_rng(seed)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for attempt in range(10**6 if is_endless else 1):
        for k in rng.permutation(len(boxes)):
            key = f"{seed}.{attempt}"
            canvas.write(a_tile(boxes[k], key), key, counts_of(boxes[k]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *(int(word) for word in sys.argv[3:6]), sys.argv[6] == "endless")
