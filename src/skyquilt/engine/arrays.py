"""
The engine on whole arrays, for notebooks and scripts: the same steps as a run, without folders.

Images are (channel, y, x) float32; everything is held in memory, so this suits tens of frames, not thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, U8, Box, Calibration, Cfa, FrameFile, Mask, Measurement, Registration, SampleSource
from skyquilt.engine.budget import n_processors
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.integration import cube_scratch
from skyquilt.errors import SkyquiltError, UnreadableFrame
from skyquilt.io.fits import frame_source, open_frame, write_image
from skyquilt.steps import debayer as debayering
from skyquilt.steps import finish, integrate, quality, register, resample, stars

__all__ = [
    "AlignedFrame",
    "Stacked",
    "align_frames",
    "asinh_stretch",
    "coverage_box",
    "debayer",
    "read_pixels",
    "score_frames",
    "stack_arrays",
    "write_pixels",
]


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFrame:
    """
    One frame brought onto the reference.

    Attributes
    ----------
    path : Path
    image : float32 (channel, y, x) or None
        None if the frame does not match.
    mask : bool (y, x) or None
        True where the frame covers the canvas.
    registration : Registration or None
    reason : str
        Why it does not match, or "".
    """

    path: Path
    image: F32 | None
    mask: Mask | None
    registration: Registration | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """
    A stack of arrays.

    Attributes
    ----------
    image : float32 (channel, y, x); 0 where nothing landed
    coverage : float32 (y, x), frames (feathered edges count in part)
    rejected_share : float
    """

    image: F32
    coverage: F32
    rejected_share: float


def read_pixels(path: Path) -> F32:
    """Return all pixels of a FITS image, float32 (channel, y, x), ADU."""
    source = frame_source(open_frame(path))
    return source.read(source.bounds).pixels


def write_pixels(path: Path, pixels: F32) -> None:
    """Write float32 (channel, y, x) or (y, x) as a FITS image."""
    write_image(path, np.ascontiguousarray(pixels, dtype=np.float32), [("ROWORDER", "TOP-DOWN", "order of the rows")])


def debayer(mosaic: F32, pattern: str, method: str) -> F32:
    """Return the colour image float32 (3, y, x) of a mosaic (y, x); superpixel halves the size."""
    return debayering.debayer(np.ascontiguousarray(mosaic, dtype=np.float32), Cfa(pattern), method)


def coverage_box(coverage: F32, min_fraction: float) -> Box:
    """Return the box that at least this share of the largest coverage fills (see `steps.finish.coverage_box`)."""
    return finish.coverage_box(coverage, min_fraction)


def asinh_stretch(pixels: F32, a: float, black: float, white: float) -> F32:
    """Return the asinh stretch (see `steps.finish.asinh_stretch`)."""
    return finish.asinh_stretch(pixels, a, black, white)


def _measure(frame: FrameFile) -> Measurement:
    source = frame_source(frame)
    pixels = source.read(source.bounds).pixels
    if source.n_channels == 1:
        return stars.measure(pixels[0], frame.meta.cfa, saturation_adu=frame.meta.saturation_adu)
    return stars.measure_cube(pixels, saturation_adu=frame.meta.saturation_adu)


def score_frames(paths: Sequence[Path]) -> list[tuple[Path, float | None, str]]:
    """Return (path, score, reason) of every frame, in the order given; score None with the reason if unusable."""

    def work(path: Path) -> tuple[FrameFile, Measurement] | SkyquiltError:
        try:
            frame = open_frame(path)
            return frame, _measure(frame)
        except UnreadableFrame as error:
            return error

    results = list(run_in_order(work, paths, n_threads=n_processors()))
    measured = [result for result in results if not isinstance(result, SkyquiltError)]
    qualities = quality.score(
        [measurement for _, measurement in measured],
        [frame.name for frame, _ in measured],
        [frame.meta.exposure_s for frame, _ in measured],
    )
    verdicts = quality.select(qualities, quality.SelectSettings())
    judged = iter(zip(qualities, verdicts, strict=True))
    scored: list[tuple[Path, float | None, str]] = []
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, SkyquiltError):
            scored.append((path, None, result.message))
            continue
        figures, verdict = next(judged)
        scored.append((path, figures.score if verdict.kept else None, verdict.reason))
    return scored


def align_frames(
    paths: Sequence[Path],
    reference: Path,
    *,
    pattern: str | None = None,
    method: str = "auto",
    n_threads: int | None = None,
) -> list[AlignedFrame]:
    """
    Return every frame debayered and resampled once onto the reference, in the order given.

    Parameters
    ----------
    paths : sequence of Path
    reference : Path
    pattern : str or None
        Colour filter array to use instead of the header's.
    method : str
        Debayer method; "superpixel" gives canvases of half the size.
    n_threads : int or None

    Raises
    ------
    UnreadableFrame
        If the reference cannot be read.
    """
    first = open_frame(reference)
    measured = _measure(first)
    target = register.Reference(measured.stars, measured.width, measured.height)
    wanted = resample.DEFAULT_METHOD if method == "auto" else method
    has_pattern = first.meta.n_planes == 1 and (pattern is not None or first.meta.cfa is not None)
    cell = 2 if wanted == "superpixel" and has_pattern else 1
    canvas = Box(0, 0, first.meta.width // cell, first.meta.height // cell)

    def work(path: Path) -> AlignedFrame:
        try:
            frame = open_frame(path)
            match = register.match(_measure(frame).stars, target)
            if not isinstance(match, Registration):
                return AlignedFrame(path, None, None, None, match.reason)
            return _resampled(path, frame, match, canvas, cell, Cfa(pattern) if pattern else frame.meta.cfa, wanted)
        except UnreadableFrame as error:
            return AlignedFrame(path, None, None, None, error.message)

    return list(run_in_order(work, paths, n_threads=n_threads or n_processors()))


def _resampled(
    path: Path, frame: FrameFile, match: Registration, canvas: Box, cell: int, cfa: Cfa | None, method: str
) -> AlignedFrame:
    from skyquilt.engine.sampling import Sampling

    lay = Sampling(method, resample.DEFAULT_KERNEL, 0.5, cfa, 3 if cfa else frame.meta.n_planes, cell)
    sampler = resample.CanvasSampler(
        frame_source(frame),
        cfa=cfa,
        calibration=Calibration(),
        to_frame=lay.to_reference().then(match.transform.inverse()),
        method=method,
        kernel=resample.DEFAULT_KERNEL,
        normalisation=None,
        saturation_adu=stars.saturation_limit(frame.meta.saturation_adu),
    )
    image = np.empty((sampler.n_channels, *canvas.shape), dtype=np.float32)
    weights = np.empty((sampler.weight_channels, *canvas.shape), dtype=np.uint8)
    sampler.sample(canvas, image, weights)
    mask: Mask = np.asarray((weights > 0).all(axis=0))
    image[:, ~mask] = 0.0
    return AlignedFrame(path, image, mask, match, "")


class _ArraySampler:
    """Samples of an array that lies on the canvas already."""

    weight_channels = 1

    def __init__(self, image: F32, weights: U8) -> None:
        self._image = image
        self._weights = weights
        self._bounds = Box.of_shape(*weights.shape)

    @property
    def n_channels(self) -> int:
        return int(self._image.shape[0])

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        values[:] = 0.0
        weights[:] = 0
        inside = box.intersect(self._bounds)
        if not inside.is_empty:
            there, here = inside.slices(box), inside.slices(self._bounds)
            values[:, there[0], there[1]] = self._image[:, here[0], here[1]]
            weights[0][there] = self._weights[here]


def stack_arrays(
    frames: Sequence[F32],
    masks: Sequence[Mask] | None = None,
    *,
    rule: str = "sigma",
    sigma: float = 3.0,
    max_iterations: int = 5,
    feather_px: float = 0.0,
) -> Stacked:
    """
    Return the robust mean of aligned images, by the same engine as a run.

    Parameters
    ----------
    frames : sequence of float32 (channel, y, x), all of one shape
    masks : sequence of bool (y, x), or None
        True where a frame may be used.
    feather_px : float
        A frame's weight rises linearly over this distance from the edge of its mask.
    """
    samplers: list[SampleSource] = []
    sigmas = []
    for k, frame in enumerate(frames):
        mask = np.ones(frame.shape[1:], dtype=bool) if masks is None else np.asarray(masks[k]) > 0.5
        weights = np.rint(255.0 * _feather(mask, feather_px)).astype(np.uint8)
        samplers.append(_ArraySampler(np.ascontiguousarray(frame, dtype=np.float32), weights))
        sigmas.append([max(quality.background_noise(plane, 1), 1e-6) for plane in frame])
    sky_sigma = np.array(sigmas, dtype=np.float64)
    n = len(frames)
    levels = np.array([[float(np.median(plane)) for plane in frame] for frame in frames])
    terms = integrate.FrameTerms(np.ones(n), np.ones(n), sky_sigma, np.zeros_like(sky_sigma), levels)
    settings = integrate.IntegrateSettings(rule=rule, low=sigma, high=sigma, max_iterations=max_iterations)
    bounds = Box.of_shape(*frames[0].shape[1:])
    image = np.empty(frames[0].shape, dtype=np.float32)
    coverage = np.empty(bounds.shape, dtype=np.float32)

    def work(box: Box) -> integrate.IntegratedTile:
        return integrate.integrate_cube(samplers, box, terms, settings, cube_scratch())

    rejected = landed = 0
    for tile in run_in_order(work, bounds.tiles(256, 64), n_threads=n_processors()):
        rows, columns = tile.box.slices(bounds)
        image[:, rows, columns] = np.nan_to_num(tile.value)
        coverage[rows, columns] = tile.coverage
        rejected += int(tile.frame_rejected.sum())
        landed += int(tile.frame_samples.sum())
    return Stacked(image, coverage, rejected / landed if landed else 0.0)


def _feather(mask: Mask, width_px: float) -> F32:
    """Return 0..1: the distance to the nearest pixel outside the mask over `width_px`, at most 1."""
    if width_px <= 0:
        return mask.astype(np.float32)
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(mask, 1)
    distance = distance_transform_edt(padded)[1:-1, 1:-1]
    ramp: F32 = np.clip(distance / width_px, 0.0, 1.0).astype(np.float32)
    return ramp
