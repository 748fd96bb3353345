"""
The names of dwarf3, on skyquilt's engine: scripts written for it run with another import line.

Images are (y, x) or (y, x, 3) here, as dwarf3 has them. The results are skyquilt's: exact rejection, sub-pixel
registration, every pattern; `StackConfig` fields that dwarf3 never read are not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyquilt.apps.api import make_recipe
from skyquilt.core import F32, Listener, Mask, Registration, silent
from skyquilt.engine import Manifest, RunOptions, arrays
from skyquilt.engine import stack_session as run_session
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.io.discover import discover

__all__ = [
    "AlignmentResult",
    "RejectedFrame",
    "StackConfig",
    "StackResult",
    "align_rgb_debayer_first_parallel",
    "apply_bayer_compensation",
    "asinh_stretch",
    "crop_to_coverage",
    "debayer_rggb",
    "list_lights",
    "read_fits",
    "select_frames",
    "sigma_clip_mask_aware_rgb",
    "stack_session",
    "write_fits",
]

_QUICKLOOK_PERCENTILES = (1.0, 99.5)


@dataclass(frozen=True, slots=True)
class StackConfig:
    """
    The settings of a stack, with dwarf3's names and defaults.

    Attributes
    ----------
    keep_fraction : float, 0..1
        Best share of the frames to keep.
    sigma, maxiters
        Rejection limit and most iterations.
    reference : "best", "first" or the name of a frame
    debayer : "none", "rgb", "superpixel", "bayer-first", or a method of skyquilt
        dwarf3's default "none" stacks the raw mosaic; skyquilt's default "auto" gives colour.
    align_mode : "auto", "integer", "rgb_affine"
    workers : int or None
    full_res : bool
        Sample the colour planes straight from the sensor at full resolution.
    use_gpu : bool
        The CPU is used all the same.
    write_quicklook : bool
    max_align_fail : int
        Give up when more frames than this cannot be aligned.
    """

    keep_fraction: float = 0.92
    sigma: float = 3.0
    maxiters: int = 5
    reference: str = "best"
    debayer: str = "auto"
    align_mode: str = "auto"
    workers: int | None = None
    full_res: bool = False
    use_gpu: bool = False
    write_quicklook: bool = True
    max_align_fail: int = 50

    def validate(self) -> None:
        """Raise ValueError if a value is out of its range."""
        if not 0.0 < self.keep_fraction <= 1.0:
            raise ValueError(f"keep_fraction is {self.keep_fraction}, it must be above 0 and at most 1")
        if not self.sigma > 0.0:
            raise ValueError(f"sigma is {self.sigma}, it must be above 0")
        if self.maxiters < 1:
            raise ValueError(f"maxiters is {self.maxiters}, it must be 1 or more")


@dataclass(frozen=True, slots=True)
class RejectedFrame:
    """A frame that was left out: its path, a short reason and the sentence."""

    path: Path
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class AlignmentResult:
    """What became of one frame: `transform` is the 3x3 matrix to the reference, or None."""

    path: str
    success: bool
    n_matches: int
    transform: NDArray[np.float64] | None
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class StackResult:
    """
    A finished stack.

    Attributes
    ----------
    session_id : str
    inputs, kept : list of Path
    rejected : list of RejectedFrame
    reference_frame : Path or None
    outputs : dict of name to path
    stats : dict
        n_frames_stacked, total_exposure_s, mean_clipped_fraction, snr_proxy (sky level over sky noise of the green or
        only channel), fwhm_px, output_shape.
    manifest : Manifest
        skyquilt's own, complete account.
    """

    session_id: str
    inputs: list[Path]
    kept: list[Path]
    rejected: list[RejectedFrame]
    reference_frame: Path | None
    outputs: dict[str, Path]
    stats: dict[str, Any]
    config: StackConfig
    manifest: Manifest | None = field(repr=False, default=None)


def stack_session(
    session: str | Path,
    output_root: str | Path = "processedData",
    config: StackConfig | None = None,
    dry_run: bool = False,
    quiet: bool = True,
    save_transforms: bool = False,
    load_transforms_path: str | Path | None = None,
    no_cache: bool = False,
    cache_refresh: bool = False,
    frame_list_path: str | Path | None = None,
    listener: Listener = silent,
) -> StackResult:
    """
    Stack the largest group of lights of a session folder.

    Parameters are dwarf3's; `quiet` changes nothing, as a library prints nothing: give a `listener` to follow the run.

    Raises
    ------
    ValueError
        If the configuration is out of range.
    SkyquiltError
        With a sentence and a hint, if the session cannot be stacked.
    """
    settings = config or StackConfig()
    settings.validate()
    recipe = make_recipe(
        keep=settings.keep_fraction,
        sigma_low=settings.sigma,
        sigma_high=settings.sigma,
        max_iterations=settings.maxiters,
        reference=settings.reference,
        debayer="cfa" if settings.full_res else settings.debayer,
        align_mode=settings.align_mode,
        threads=settings.workers,
        quicklook=settings.write_quicklook,
    )
    options = RunOptions(
        dry_run=dry_run,
        save_transforms=save_transforms,
        load_transforms=Path(load_transforms_path) if load_transforms_path else None,
        use_cache=not no_cache,
        refresh_cache=cache_refresh,
        frame_list=Path(frame_list_path) if frame_list_path else None,
    )
    result = run_session(Path(session), Path(output_root), recipe, listener=listener, options=options)
    lights = {light.name: light.path for light in result.session.groups[0].lights}
    if dry_run and result.plans:
        plan = result.plans[0]
        shape = (plan.n_channels, *plan.canvas.shape)
        stats: dict[str, Any] = {"n_frames_stacked": 0, "n_frames_planned": plan.n_frames, "output_shape": shape}
        return StackResult(Path(session).name, list(lights.values()), [], [], None, {}, stats, settings)
    if not result.stacks:
        raise result.failures[0].error if result.failures else NoUsableInput(f"nothing was stacked in {session}")
    return _result(Path(session).name, lights, result.stacks[0].manifest, result.stacks[0].outputs, settings)


def _result(
    name: str, lights: dict[str, Path], manifest: Manifest, outputs: dict[str, Path], config: StackConfig
) -> StackResult:
    kept = [lights[frame.file] for frame in manifest.frames if frame.status == "stacked"]
    rejected = [
        RejectedFrame(lights.get(frame.file, Path(frame.file)), frame.code or "", frame.reason or "")
        for frame in manifest.frames
        if frame.status == "left_out"
    ]
    n_failed = sum(frame.reason == "not_registered" for frame in rejected)
    if n_failed > config.max_align_fail:
        raise UsageError(
            f"{n_failed} frames could not be aligned, more than max_align_fail = {config.max_align_fail}",
            "raise max_align_fail if that is as it should be",
        )
    figures = manifest.statistics
    assert figures is not None
    channel = len(figures.noise) // 2
    noise = figures.noise[channel]
    stats = {
        "n_frames_stacked": figures.n_stacked,
        "total_exposure_s": figures.exposure_s or 0.0,
        "mean_clipped_fraction": figures.rejected_low + figures.rejected_high,
        "snr_proxy": figures.background[channel] / noise if noise > 0 else 0.0,
        "fwhm_px": figures.fwhm_px,
        "output_shape": (figures.n_channels, figures.height, figures.width),
    }
    reference = lights.get(manifest.reference or "")
    return StackResult(name, list(lights.values()), kept, rejected, reference, dict(outputs), stats, config, manifest)


def list_lights(session: str | Path) -> list[Path]:
    """Return the light frames of a session folder, sorted by name; failed and stacked ones are left out."""
    groups = discover(Path(session)).groups
    return sorted((light.path for group in groups for light in group.lights), key=lambda path: path.name)


def read_fits(path: str | Path) -> F32:
    """Return the pixels of a FITS image, float32, ADU: (y, x), or (y, x, 3) for a colour image."""
    pixels = arrays.read_pixels(Path(path))
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def write_fits(data: ArrayLike, path: str | Path) -> None:
    """Write (y, x) or (y, x, 3) as float32; colour planes come last in the file, as other programs expect."""
    array = np.asarray(data, dtype=np.float32)
    arrays.write_pixels(Path(path), np.moveaxis(array, -1, 0) if array.ndim == 3 else array)


def select_frames(
    frame_paths: Sequence[str | Path], config: StackConfig | None = None
) -> tuple[list[Path], list[RejectedFrame]]:
    """
    Return (kept, rejected): the best share of the frames, best first, and the others with their reasons.

    Raises
    ------
    ValueError
        If the configuration is out of range.
    """
    settings = config or StackConfig()
    settings.validate()
    scored = arrays.score_frames([Path(path) for path in frame_paths])
    usable = sorted(((score, path) for path, score, _ in scored if score is not None), key=lambda s: (-s[0], s[1].name))
    n_kept = max(1, int(settings.keep_fraction * len(usable)))
    rejected = [RejectedFrame(path, "unusable", reason) for path, score, reason in scored if score is None]
    rejected += [
        RejectedFrame(path, "low_quality_score", f"score {score:.4g} is not among the best {n_kept}")
        for score, path in usable[n_kept:]
    ]
    return [path for _, path in usable[:n_kept]], rejected


def debayer_rggb(bayer: ArrayLike, mode: str = "bilinear", pattern: str = "RGGB") -> F32:
    """Return the colour image (y, x, 3) of a raw mosaic; `mode` is bilinear, superpixel, malvar or rcd."""
    return np.ascontiguousarray(np.moveaxis(arrays.debayer(np.asarray(bayer, dtype=np.float32), pattern, mode), 0, -1))


def align_rgb_debayer_first_parallel(
    frame_paths: Sequence[str | Path],
    reference_rgb: ArrayLike,
    reference_path: str | Path,
    debayer_mode: str = "bilinear",
    max_failures: int = 50,
    show_progress: bool = False,
    workers: int | None = None,
) -> tuple[list[F32], list[AlignmentResult], list[Mask]]:
    """
    Return (images, results, masks): every frame debayered and brought onto the reference.

    Images and masks are those of the frames that match; `results` has one entry a path, in the order given. The shape
    of `reference_rgb` is checked against the canvas that `debayer_mode` gives; its pixels are not needed.

    Raises
    ------
    ValueError
        If the reference image has another shape.
    UsageError
        If more than `max_failures` frames do not match.
    """
    aligned = arrays.align_frames(
        [Path(path) for path in frame_paths], Path(reference_path), method=debayer_mode, n_threads=workers
    )
    results = [
        AlignmentResult(
            str(frame.path),
            frame.image is not None,
            frame.registration.n_matched if frame.registration else 0,
            _matrix(frame.registration),
            frame.reason,
        )
        for frame in aligned
    ]
    failures = [result for result in results if not result.success]
    if len(failures) > max_failures:
        raise UsageError(
            f"{len(failures)} frames do not match the reference, more than max_failures = {max_failures}",
            f"the first: {failures[0].error_message}",
        )
    images = [np.ascontiguousarray(np.moveaxis(frame.image, 0, -1)) for frame in aligned if frame.image is not None]
    expected = np.asarray(reference_rgb).shape
    if images and images[0].shape != expected:
        raise ValueError(f"the reference is {expected}, debayer_mode={debayer_mode!r} gives {images[0].shape}")
    return images, results, [frame.mask for frame in aligned if frame.mask is not None]


def _matrix(registration: Registration | None) -> NDArray[np.float64] | None:
    return registration.transform.matrix if registration else None


def sigma_clip_mask_aware_rgb(
    frames: Sequence[ArrayLike],
    masks: Sequence[ArrayLike] | None = None,
    sigma: float = 3.0,
    maxiters: int = 5,
    feather_width: float = 0,
) -> tuple[F32, F32]:
    """Return (image (y, x, 3), coverage (y, x) in frames): the robust mean of aligned frames."""
    planes = [np.moveaxis(np.asarray(frame, dtype=np.float32), -1, 0) for frame in frames]
    stacked = arrays.stack_arrays(
        planes,
        None if masks is None else [np.asarray(mask) > 0.5 for mask in masks],
        sigma=sigma,
        max_iterations=maxiters,
        feather_px=feather_width,
    )
    return np.ascontiguousarray(np.moveaxis(stacked.image, 0, -1)), stacked.coverage


def crop_to_coverage(
    image: ArrayLike, coverage: ArrayLike, min_coverage_fraction: float = 0.8
) -> tuple[F32, tuple[int, int, int, int]]:
    """Return (cropped image, (top, bottom, left, right)): the box that is covered well enough."""
    box = arrays.coverage_box(np.asarray(coverage, dtype=np.float32), min_coverage_fraction)
    array = np.asarray(image, dtype=np.float32)
    return array[box.y0 : box.y1, box.x0 : box.x1].copy(), (box.y0, box.y1, box.x0, box.x1)


def apply_bayer_compensation(
    rgb: ArrayLike, auto: bool = True, r_gain: float | None = None, b_gain: float | None = None
) -> F32:
    """
    Return the image with red and blue scaled to green.

    `auto` takes the gains from the medians of the exposed (non-zero) pixels; `r_gain` and `b_gain` overrule it.
    """
    image = np.array(rgb, dtype=np.float32)
    exposed = (image != 0).any(axis=-1)
    medians = [float(np.median(image[..., c][exposed])) if exposed.any() else 0.0 for c in range(3)]
    for c, given in ((0, r_gain), (2, b_gain)):
        gain = given if given is not None else (medians[1] / medians[c] if auto and medians[c] > 0 else 1.0)
        image[..., c] *= np.float32(gain)
    return image


def asinh_stretch(data: ArrayLike, a: float = 0.1, percentiles: tuple[float, float] = _QUICKLOOK_PERCENTILES) -> F32:
    """Return asinh(a t) / asinh(a), 0..1, of the data between two percentiles."""
    pixels = np.asarray(data, dtype=np.float32)
    black, white = (float(value) for value in np.percentile(pixels[np.isfinite(pixels)], percentiles))
    return arrays.asinh_stretch(pixels, a, black, white if white > black else black + 1.0)
