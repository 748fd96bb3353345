"""Integrate the lights tile by tile: in memory that is bounded, in an order that does not matter, and resumable."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skyquilt import __version__
from skyquilt.core import F32, F64, I64, Box, CanvasTile, Event, Listener
from skyquilt.engine.budget import release_memory
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.journal import Journal, unfinished_tile
from skyquilt.engine.light import Light
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.sampling import Sampling, sample_variances, sampler_of
from skyquilt.steps import integrate

__all__ = [
    "IntegrationJob",
    "cube_scratch",
    "finished_tile",
    "frame_terms",
    "integrate_lights",
    "integrate_settings",
    "resumed_job",
    "smoothing_of",
]

_REPORTS = 200
_memory = threading.local()


@dataclass(frozen=True, slots=True)
class IntegrationJob:
    """
    What is to be integrated, and how.

    Attributes
    ----------
    lights : sequence of Light
        Those that take part, in frame order.
    canvas : Box
        In canvas pixels.
    tile : (int, int)
        Width and height of a tile, px.
    schedule : "cube", "sweep" or "live"
    n_first : int or None
        Of "live": the frames of the opening, from which the rejection starts.
    reference_sky_adu : float64 (n_channels,)
        Sky level of the reference, to which the frames are normalised.
    """

    lights: Sequence[Light]
    sampling: Sampling
    recipe: Recipe
    canvas: Box
    tile: tuple[int, int]
    schedule: str
    n_threads: int
    reference_sky_adu: F64
    n_first: int | None = None

    def tiles(self) -> list[Box]:
        """Return the tiles; their edges lie at multiples of the tile size in absolute coordinates."""
        return list(self.canvas.tiles(*self.tile))

    def key(self) -> str:
        """Return a digest of everything that decides the pixels; the tiling is the journal's own affair."""
        facts = [
            __version__,
            self.recipe.digest(),
            [self.schedule, self.n_first],
            [self.canvas.x0, self.canvas.y0, self.canvas.x1, self.canvas.y1],
            repr(self.sampling),
            self.reference_sky_adu.tolist(),
            [_facts(light) for light in self.lights],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def resumed_job(job: IntegrationJob, folder: Path) -> IntegrationJob:
    """
    Return the job with the tiles of an unfinished journal of the same pixels, so that they can be taken over.

    Only if they are no larger than the plan's: the plan knows how much memory there is now.
    """
    tile = unfinished_tile(folder, job.key())
    if tile is None or tile[0] * tile[1] > job.tile[0] * job.tile[1]:
        return job
    return replace(job, tile=tile)


def _facts(light: Light) -> list[object]:
    """Everything of a light that decides its samples, as JSON."""
    assert light.registration is not None and light.normalisation is not None and light.measurement is not None
    meta = light.file.meta
    return [
        light.sha256,
        light.calibration_key,
        light.registration.transform.to_dict(),
        light.normalisation.scale.tolist(),
        light.normalisation.surface.tolist(),
        light.weight,
        [meta.exposure_s, meta.gain_e_per_adu, light.saturation_adu],
        [light.measurement.noise_adu.tolist(), light.measurement.figures.background_adu],
        [] if light.saturated_stars is None else light.saturated_stars.tolist(),
        [[trail.x0, trail.y0, trail.x1, trail.y1, trail.half_width] for trail in light.trails],
    ]


def cube_scratch() -> integrate.CubeScratch:
    """Return the memory that the calling thread uses again for tile after tile."""
    scratch: integrate.CubeScratch | None = getattr(_memory, "scratch", None)
    if scratch is None:
        scratch = _memory.scratch = integrate.CubeScratch()
    return scratch


def integrate_settings(recipe: Recipe) -> integrate.IntegrateSettings:
    """Return the part of the recipe that the integration takes."""
    return integrate.IntegrateSettings(
        rule=recipe.rejection,
        low=recipe.sigma_low,
        high=recipe.sigma_high,
        max_iterations=recipe.max_iterations,
        combine=recipe.combine,
        percentile_low=recipe.percentile_low,
        percentile_high=recipe.percentile_high,
    )


def frame_terms(lights: Sequence[Light], n_channels: int, reference_sky_adu: F64) -> integrate.FrameTerms:
    """Return weight, exposure and noise model of every light, in normalised units."""
    sigma = np.zeros((len(lights), n_channels))
    shot = np.zeros((len(lights), n_channels))
    for k, light in enumerate(lights):
        assert light.measurement is not None and light.normalisation is not None
        noise = _per_channel(light.measurement.noise_adu, n_channels)
        scale = _per_channel(light.normalisation.scale, n_channels)
        sigma[k] = noise * scale
        gain = light.file.meta.gain_e_per_adu
        # without a known gain all of the sky's noise is taken for photon noise: an upper bound that never clips a star
        sky = max(light.measurement.figures.background_adu, 1.0)
        shot[k] = scale / gain if gain else scale * noise**2 / sky
    return integrate.FrameTerms(
        weight=np.array([light.weight for light in lights], dtype=np.float64),
        exposure_s=np.array([light.file.meta.exposure_s or 0.0 for light in lights], dtype=np.float64),
        sky_sigma=sigma,
        shot=shot,
        sky_level=np.broadcast_to(_per_channel(reference_sky_adu, n_channels), sigma.shape).copy(),
    )


def _per_channel(values: F64, n_channels: int) -> F64:
    """Return one value a canvas channel; a mosaic takes the green one, as does a mono canvas of colour frames."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) == n_channels:
        return array
    return np.full(n_channels, array[1] if len(array) == 3 else array[0])


def finished_tile(tile: integrate.IntegratedTile, smoothing: F32) -> tuple[CanvasTile, I64]:
    """Return a tile as the journal keeps it, and its frame counts, int64 (n_frames, 3): landed, rejected low, high."""
    canvas_tile = CanvasTile(
        tile.box,
        tile.value,
        # the noise model speaks of raw pixels, the scatter of many samples of the samples themselves
        np.where(tile.n_used < integrate.FEW_SAMPLES, tile.variance * smoothing, tile.variance),
        tile.coverage,
        tile.rejected_low,
        tile.rejected_high,
    )
    return canvas_tile, np.stack([tile.frame_samples, tile.frame_rejected[:, 0], tile.frame_rejected[:, 1]], axis=1)


def smoothing_of(job: IntegrationJob) -> F32:
    """Return the variance of a sample over that of a raw pixel, float32 (n_channels, 1, 1)."""
    meta = job.lights[0].file.meta
    shares = sample_variances(job.sampling, meta.n_planes)
    return np.asarray(shares, dtype=np.float32)[:, None, None]


def _place_of(job: IntegrationJob, folder: Path) -> dict[str, object]:
    """Return where the finished tiles can be read while the others are made, for a live picture."""
    box = job.canvas
    return {
        "canvas": [box.x0, box.y0, box.x1, box.y1],
        "channels": job.sampling.n_channels,
        "journal": str(folder),
    }


def integrate_lights(job: IntegrationJob, folder: Path, listener: Listener, should_stop: Callable[[], bool]) -> Journal:
    """
    Integrate every tile that is not done yet; return the complete journal.

    Raises
    ------
    Interrupted
        On request; what is done is kept.
    FrameLostError
        If a frame cannot be read any more: the caller leaves it out and starts anew.
    """
    n_channels = job.sampling.n_channels
    samplers = [sampler_of(light, job.sampling, job.recipe) for light in job.lights]
    terms = frame_terms(job.lights, n_channels, job.reference_sky_adu)
    settings = integrate_settings(job.recipe)
    journal = Journal(folder, job.key(), job.tile, n_channels, len(samplers))
    smoothing = smoothing_of(job)

    def work(box: Box) -> tuple[CanvasTile, I64]:
        if job.schedule == "cube":
            tile = integrate.integrate_cube(samplers, box, terms, settings, cube_scratch())
        else:
            tile = integrate.integrate_sweep(samplers, box, terms, settings, job.n_first)
        return finished_tile(tile, smoothing)

    tiles = job.tiles()
    missing = [box for box in tiles if box not in journal.done]
    done = len(tiles) - len(missing)
    if done:
        listener(Event("notice", "integrate", f"going on where an earlier run stopped: {done} of {len(tiles)} tiles"))
    listener(Event("phase", "integrate", done=done, total=len(tiles), data=_place_of(job, folder)))
    every = max(1, len(tiles) // _REPORTS)
    landed: list[list[int]] = []
    try:
        # closed before the journal is, so that no thread works on when a tile cannot be stored
        with closing(run_in_order(work, missing, n_threads=job.n_threads, should_stop=should_stop)) as results:
            for tile, counts in results:
                journal.write(tile, counts)
                done += 1
                landed.append([tile.box.x0, tile.box.y0, tile.box.x1, tile.box.y1])
                if done % every == 0 or done == len(tiles):
                    listener(Event("progress", "integrate", done=done, total=len(tiles), data={"boxes": landed}))
                    landed = []
    except BaseException:
        journal.close()
        raise
    release_memory()
    return journal
