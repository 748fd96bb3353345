"""
Compile the kernels once a machine, in two processes side by side, before the first run.

The compiler keeps its results on disk; a marker beside them says for which sources and processor they were made.
Without this, the first run would compile one kernel after the other, each at the moment when it is first called.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import skyquilt.kernels
from skyquilt.core import (
    F32,
    U8,
    Box,
    Calibration,
    Cfa,
    Event,
    Listener,
    Mask,
    Normalisation,
    Registration,
    Tile,
    Trail,
    Transform,
)
from skyquilt.engine.frames import look_at
from skyquilt.kernels.backend import cache_folder_of, compiler_version
from skyquilt.kernels.calibrate import calibrate_box
from skyquilt.kernels.decode import decode_int16
from skyquilt.steps import calibrate, integrate, normalise, quality, register, resample, stars, trails

__all__ = ["compile_kernels", "is_compiled"]

_SIDE = 128
_PATTERN = "RGGB"


def _marker(parts: Sequence[str]) -> Path:
    """Return the file whose presence says that these kernels are compiled for this processor and their sources."""
    digest = hashlib.sha256(compiler_version().encode())
    for source in sorted(Path(skyquilt.kernels.__path__[0]).glob("*.py")):
        facts = source.stat()
        digest.update(f"{source.name} {facts.st_size} {facts.st_mtime_ns}".encode())
    return (
        cache_folder_of(calibrate_box)
        / f"skyquilt-{digest.hexdigest()[:16]}{_SWEEP if _SWEEP in parts else ''}.compiled"
    )


def is_compiled() -> bool:
    """Return whether the kernels that every run needs were compiled before."""
    return _marker(_ALWAYS).exists()


def compile_kernels(listener: Listener, *, with_sweep: bool = False) -> None:
    """
    Compile the kernels if they are not yet, telling so; a part that fails is compiled when it is first used.

    Parameters
    ----------
    with_sweep : bool
        Those of the sweep too, which only very large stacks and live ones need.
    """
    if not is_compiled():
        _compile(_ALWAYS, listener)
    if with_sweep and not _marker((_SWEEP,)).exists():
        _compile((_SWEEP,), listener)


def _compile(names: Sequence[str], listener: Listener) -> None:
    """Compile some parts, each in a process of its own."""
    listener(Event("notice", "compile", "compiling the kernels for this machine: once, some seconds"))
    # a compiler makes many objects and drops few: collecting them would take a tenth of the time of these short lives
    code = "import gc, sys; gc.disable(); from skyquilt.engine.warmup import run_part; run_part(sys.argv[1])"
    nothing = subprocess.DEVNULL
    parts = [
        subprocess.Popen([sys.executable, "-c", code, part], stdin=nothing, stdout=nothing, stderr=nothing)
        for part in names
    ]
    if sum(part.wait() for part in parts) == 0:
        with contextlib.suppress(OSError):  # a cache that cannot be written is looked for again next time
            _marker(names).touch()


class _Plane:
    """A raw frame in memory."""

    n_channels = 1
    bounds = Box(0, 0, _SIDE, _SIDE)

    def __init__(self, pixels: F32) -> None:
        self._pixels = pixels

    def read(self, box: Box) -> Tile:
        pixels = np.zeros((1, *box.shape), dtype=np.float32)
        mask: Mask = np.zeros(box.shape, dtype=np.bool_)
        inside = box.intersect(self.bounds)
        rows, columns = inside.slices(box)
        pixels[0, rows, columns] = self._pixels[inside.slices(self.bounds)]
        mask[rows, columns] = True
        return Tile(pixels, mask, box)


def _frame(seed: int) -> F32:
    """Return a small frame of stars on noise."""
    random = np.random.default_rng(seed)
    places = np.random.default_rng(0)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE]
    frame = random.normal(1000.0, 10.0, (_SIDE, _SIDE))
    for cx, cy, flux in zip(
        places.uniform(8, 120, 40), places.uniform(8, 120, 40), places.uniform(3, 30, 40), strict=True
    ):
        frame += 100.0 * flux * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 5.0)
    return frame.astype(np.float32)


def _trail_planes(cfa: Cfa) -> tuple[list[F32], list[Transform], list[Normalisation], F32]:
    """Return binned frames, how they lie, and their median, as the search for trails takes them."""
    planes = [trails.bin_plane(stars.halve(_frame(seed), cfa, 65535.0).pixels, 4) for seed in range(3)]
    same = [Transform.identity()] * 3
    terms = [Normalisation(np.ones(3), np.zeros((3, 3)), (64.0, 64.0), 64.0, 1.0)] * 3
    return planes, same, terms, trails.first_result(planes, same, terms, (_SIDE, _SIDE), 4)


def _compile_the_look_at_frames() -> None:
    """Stars, registration, trails: the kernels that look at single frames."""
    cfa = Cfa(_PATTERN)
    frames = [_frame(seed) for seed in range(3)]
    measured = [stars.measure(frame, cfa, saturation_adu=65535.0) for frame in frames]
    stars.measure(frames[0], None, saturation_adu=65535.0)
    reference = register.Reference(measured[0].stars, _SIDE, _SIDE)
    for measurement in measured:
        match = register.match(measurement.stars, reference)
        if isinstance(match, Registration):
            normalise.find_row_step(measurement, measured[0], match)
            normalise.fit_normalisation(measurement, measured[0], match)
    planes, same, terms, first = _trail_planes(cfa)  # the other part has compiled these by now
    planes[0][:, planes[0].shape[1] // 3] += 100.0  # a trail, so that it is measured too
    trails.find_trails(planes[0], first, same[0], terms[0], factor=4, fwhm_px=3.0, noise_adu=10.0)


def _compile_the_integration() -> None:
    """Calibration, debayering, warping, rejection: the kernels that every sample passes."""
    cfa = Cfa(_PATTERN)
    _trail_planes(cfa)  # not with the rest of its room, so that both parts take about as long
    frames = [_frame(seed) for seed in range(9)]
    decode_int16(np.zeros(_SIDE, np.uint16), _SIDE, 0.0, np.zeros(_SIDE, np.float32), 0, _SIDE, _SIDE, 1)
    words = np.full((_SIDE, _SIDE), 0x0102, dtype=np.uint16)
    calibrate.stored_profile(words)
    stack = integrate.StoredStack(9, _SIDE, 8, integrate.IntegrateSettings(jitter_px=0.0, blur_px2=0.0))
    stack.mean(8, None, np.ones(9))
    defects = calibrate.find_defects(frames[0], cfa)
    calibrate.find_defects_in_lights(frames[:4], cfa)
    calibration = Calibration(np.zeros_like(frames[0]), np.ones_like(frames[0]), defects)
    look_at(frames[0].copy(), calibration, cfa, 65535.0, np.empty((_SIDE // 2, _SIDE // 2), np.float32))
    samplers = [
        resample.CanvasSampler(
            _Plane(frame),
            cfa=cfa,
            calibration=calibration,
            to_frame=Transform.shift(0.3, 0.2),
            saturation_adu=2500.0,  # of a few stars
            trails=(Trail(0.0, 0.0, 9.0, 9.0, 2.0, 9.0),),
        )
        for frame in frames
    ]
    ones = np.ones((9, 3))
    terms = integrate.FrameTerms(np.ones(9), np.ones(9), 10.0 * ones, 0.1 * ones, 1000.0 * ones)
    for n in (2, 3, 9):
        part = terms.take(list(range(n)))
        integrate.integrate_cube(samplers[:n], Box(8, 8, 72, 40), part, integrate.IntegrateSettings())
    quality.background_noise(frames[0], 1)


def _compile_the_sweep() -> None:
    """The kernels of the sweep alone."""
    random = np.random.default_rng(0)
    frames = [_Samples(random.normal(100.0, 5.0, (3, 16, 64)).astype(np.float32)) for _ in range(9)]
    ones = np.ones((9, 3))
    terms = integrate.FrameTerms(np.ones(9), np.ones(9), 5.0 * ones, 0.1 * ones, 100.0 * ones)
    box = Box(0, 0, 64, 16)
    for n in (3, 9):
        integrate.integrate_sweep(frames[:n], box, terms.take(list(range(n))), integrate.IntegrateSettings(), 3)


class _Samples:
    """A registered frame in memory."""

    n_channels = 3
    weight_channels = 1

    def __init__(self, values: F32) -> None:
        self._values = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        values[:] = self._values[:, box.y0 + 1 : box.y1 + 1, box.x0 + 1 : box.x1 + 1]
        weights[:] = 255


_SWEEP = "sweep"
_ALWAYS = ("frames", "integration")
_PARTS: dict[str, Callable[[], None]] = {
    "frames": _compile_the_look_at_frames,
    "integration": _compile_the_integration,
    _SWEEP: _compile_the_sweep,
}


def run_part(name: str) -> None:
    """Compile one part; what a child process does."""
    _PARTS[name]()
