"""
How fast a tile is integrated: `python bench/integrate.py [N ...]`.

Prints million samples a second of CPU time on one core, rules by numbers of frames: kernels only (intervals, sums,
maps; the samples lie in memory already), for a tile of 128 x 32 px in three channels, 1 % outliers.
The first line is the CPU time of the first call: with an empty compiler cache it is the time to compile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from skyquilt.core import F32, U8, Box
from skyquilt.steps.integrate import CubeScratch, FrameTerms, IntegrateSettings, SweepState, integrate_cube
from skyquilt.steps.integrate.cube import Cube, combine_cube, find_cube_intervals

BOX = Box(0, 0, 128, 32)
RULES = ("auto", "sigma", "winsorized", "mad", "linear_fit", "esd", "percentile", "noise_model", "none")
REPEATS = 15


class Sky:
    """A frame of noise with 1 % outliers."""

    n_channels = 3
    weight_channels = 1

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.pixels = rng.normal(1000, 30, (3, 34, 130)).astype(np.float32)
        self.pixels[rng.random(self.pixels.shape) < 0.01] += 5000

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        values[...] = self.pixels[:, : box.height, : box.width]
        weights[...] = 255


def best(work: Callable[[], object]) -> float:
    """Return the least CPU time of several calls, seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def terms_of(n_frames: int) -> FrameTerms:
    flat = np.ones((n_frames, 3))
    return FrameTerms(np.ones(n_frames), np.full(n_frames, 10.0), flat * 30, flat * 0, flat * 1000)


def cube_rate(n_frames: int, rule: str, sources: list[Sky], scratch: CubeScratch) -> float:
    """Return samples a second of one tile."""
    settings = IntegrateSettings(rule=rule)
    outer = BOX.grow(1) if settings.needs_structure else BOX
    cube = Cube.empty(outer, n_frames, 3, 1, scratch)
    for row, source in enumerate(sources):
        source.sample(outer, *cube.frame(row))
    cube.weights[-16:] = 0
    terms = terms_of(n_frames)
    taken = best(lambda: combine_cube(cube, BOX, terms, find_cube_intervals(cube, terms, settings), settings))
    return n_frames * 3 * BOX.n_pixels / taken


def sweep_rate(n_frames: int, sources: list[Sky]) -> float:
    """Return samples a second of adding frames to a sweep, sampling included."""
    terms = terms_of(n_frames)
    state = SweepState.start(sources[:32], BOX, terms, IntegrateSettings())
    one = terms.take([0])
    taken = best(lambda: [state.add(source, one) for source in sources])
    return n_frames * 3 * BOX.n_pixels / taken


def main() -> None:
    numbers = [int(text) for text in sys.argv[1:]] or [5, 20, 60, 200, 1000]
    start = time.process_time()
    first = [Sky(seed) for seed in range(9)]
    integrate_cube(first, BOX, terms_of(9), IntegrateSettings())
    print(f"first call {time.process_time() - start:.2f} s of CPU time")
    print(f"{'Msamples/s':12}" + "".join(f"{f'N={n}':>9}" for n in numbers))
    sources = [Sky(seed) for seed in range(max(numbers))]
    scratch = CubeScratch()
    for rule in RULES:
        rates = [cube_rate(n, rule, sources[:n], scratch) for n in numbers]
        print(f"{rule:12}" + "".join(f"{rate / 1e6:9.0f}" for rate in rates), flush=True)
    print(f"{'sweep':12}" + "".join(f"{sweep_rate(n, sources[:n]) / 1e6:9.0f}" for n in numbers))


if __name__ == "__main__":
    main()
