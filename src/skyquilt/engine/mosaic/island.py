"""One island on its way: canvas, fluxes and skies, weights, trails, then the job that its tiles are made by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from skyquilt.core import F64, Box, Event, Normalisation, SkyGrid, Stars, Transform
from skyquilt.engine.budget import release_memory
from skyquilt.engine.kept_calibrations import kept_calibrations
from skyquilt.engine.light import Light
from skyquilt.engine.masking import Masked, Search, TrailRunner, mask_trails, trails_on_threads
from skyquilt.engine.mosaic.canvas import canvas_for
from skyquilt.engine.mosaic.fitting import Fitted, fit_fluxes, weigh_frames
from skyquilt.engine.mosaic.gather import MosaicRun
from skyquilt.engine.mosaic.job import (
    GridData,
    MosaicJob,
    WcsData,
    tile_frame,
    write_job,
)
from skyquilt.engine.mosaic.panels import Island
from skyquilt.engine.mosaic.planning import MosaicPlan, choose_pieces, make_plan
from skyquilt.engine.mosaic.solution import Kept, keep_solution, kept_solution, settle_frames
from skyquilt.engine.mosaic.tidy import clear_mosaic
from skyquilt.engine.placing import homography_between
from skyquilt.engine.run import scratch_of
from skyquilt.engine.sampling import Sampling, choose_sampling
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source
from skyquilt.steps import mosaic, stars

__all__ = ["IslandRun", "begin_island"]

_GRID = 7  # points a side at which two frames are compared
_RIM_PX = 3.0
_NO_SKY = np.zeros((0, 0, 0), dtype=np.float32)


@dataclass(eq=False)
class IslandRun:
    """
    An island with everything its mosaic is made of.

    Attributes
    ----------
    grid : SkyGrid
        The canvas.
    photometry : PhotometricSolution
    job : MosaicJob
    plan : MosaicPlan
    """

    run: MosaicRun
    island: Island
    fitted: Fitted
    grid: SkyGrid
    photometry: mosaic.PhotometricSolution
    reference: Light
    job: MosaicJob
    plan: MosaicPlan

    @property
    def name(self) -> str:
        return self.island.name

    @property
    def folder(self) -> Path:
        return self.island.folder

    @property
    def scratch(self) -> Path:
        return scratch_of(self.folder, self.run.options)

    @property
    def kept(self) -> list[Light]:
        """The lights of the job's frames, in their order."""
        return [light for light in self.island.lights if light.is_in]

    @cached_property
    def panel_of(self) -> dict[int, str]:
        """The name of the pointing by the identity of the light."""
        return {id(self.island.lights[k]): one.name for one in self.island.pointings for k in one.frames}

    @property
    def full_scale_adu(self) -> float:
        """The ADU that become 1 in the normalised unit: the largest value the frames can hold, 1 for floats."""
        known = [light.file.meta.saturation_adu for light in self.island.lights]
        return max((value for value in known if np.isfinite(value)), default=1.0)

    def write_job(self) -> Path:
        """Write the job for the tiles; return its file."""
        calibrations = {light.calibration_key: light.calibration for light in self.kept}
        return write_job(self.scratch, self.job, calibrations)

    def without(self, gone: dict[int, str]) -> None:
        """Go on without frames that cannot be read any more: number in the job, and reason."""
        kept = self.kept
        for number, reason in sorted(gone.items()):
            light = kept[number]
            code = "changed" if light.file.path.exists() else "vanished"
            self.run.leave_out(light, "integrate", code, reason)
        frames = [frame for k, frame in enumerate(self.job.frames) if k not in gone]
        self.job = self.job.with_frames(frames)


def begin_island(run: MosaicRun, island: Island, fitted: Fitted) -> IslandRun:
    """Decide everything that an island's mosaic depends on, up to its plan and its job."""
    lights = list(island.lights)
    grids = [fitted.grid_of(light) for light in lights]
    sampling = _sampling(run, lights)
    asked = run.recipe.digest()
    scratch = scratch_of(island.folder, run.options)
    if run.options.refresh_cache and not run.options.dry_run:
        clear_mosaic(scratch)
    kept = kept_solution(scratch, asked)
    grid = canvas_for(grids, run.recipe, sampling.cell)
    if kept is not None and _holds(kept.canvas.grid(), grids):
        grid = kept.canvas.grid()
    reference = max(range(len(lights)), key=lambda k: (lights[k].score or 0.0, lights[k].file.name))
    run.listener(Event("phase", "normalise", "one solution for all fluxes and skies", total=1))
    photometry = fit_fluxes(
        lights, fitted, grid, island.pointings, reference, run.recipe.normalise, run.recipe.surface_order
    )
    run.listener(Event("progress", "normalise", done=1, total=1))
    _leave_out_dim(run, lights)
    weigh_frames(lights, run.recipe.weights)
    colour = kept.star_colour if kept is not None else _colour(lights[reference])
    if sampling.is_balanced:
        sampling = replace(sampling, star_colour=colour)
    index = mosaic.FrameIndex(grid, mosaic.footprints_of(grids))
    box = grid_box(grid)
    weight_channels = sampling.n_channels if sampling.method == "cfa" else 1
    pieces = choose_pieces(
        index, box, sampling.n_channels, weight_channels, run.recipe, run.budget, run.threads_of_process
    )
    panels = [_panel(one, lights) for one in island.pointings]
    n_processes = run.cluster.n_workers if run.cluster else 1
    plan = make_plan(island.name, grids, grid, panels, sampling.n_channels, pieces, index, run.recipe, n_processes)
    for line in plan.lines:
        run.listener(Event("notice", "plan", line))
    job = MosaicJob(
        recipe=run.recipe,
        canvas=GridData(wcs=WcsData.of(grid.wcs), width=grid.width, height=grid.height),
        method=sampling.method,
        kernel=sampling.kernel,
        window_px=sampling.window_px,
        n_channels=sampling.n_channels,
        cell=sampling.cell,
        star_colour=sampling.star_colour,
        schedule=pieces.schedule,
        sub_tile=pieces.sub_tile,
        frames=[],
    )
    made = IslandRun(run, island, fitted, grid, photometry, lights[reference], job, plan)
    if not run.options.dry_run:
        _mask(made)
        _complete_calibrations(run, island)
        frames = [tile_frame(light, fitted.wcs[id(light)], sampling.n_channels) for light in made.kept]
        frames = settle_frames(frames, kept, grid, kept_calibrations(scratch))
        made.job = job.with_frames(frames)
        scratch.mkdir(parents=True, exist_ok=True)
        keep_solution(
            scratch, Kept(asked=asked, canvas=made.job.canvas, star_colour=sampling.star_colour, frames=frames)
        )
    _let_go(lights)
    return made


def _let_go(lights: Sequence[Light]) -> None:
    """Forget the stars and the skies of frames that have been fitted: only their figures are still asked for."""
    for light in lights:
        if light.measurement is not None:
            light.measurement = replace(light.measurement, stars=Stars.empty(), background=_NO_SKY)
    release_memory()


def grid_box(grid: SkyGrid) -> Box:
    return Box.of_shape(grid.height, grid.width)


def _sampling(run: MosaicRun, lights: Sequence[Light]) -> Sampling:
    """Return how the frames are laid on the canvas: as colour ones if any of them is."""
    patterned = next((light.file.meta for light in lights if light.file.meta.cfa is not None), None)
    meta = patterned or lights[0].file.meta
    return choose_sampling(run.recipe, meta.cfa, meta.n_planes, is_rotated=True)


def _holds(canvas: SkyGrid, grids: Sequence[SkyGrid]) -> bool:
    """Return whether the canvas of an earlier run holds all frames, but for a rim that two solutions may differ by."""
    for grid in grids:
        x, y = canvas.wcs.to_pixels(*grid.outline(8))
        if not canvas.holds(x, y, margin_px=-_RIM_PX).all():
            return False
    return True


def _leave_out_dim(run: MosaicRun, lights: Sequence[Light]) -> None:
    least = run.recipe.min_transparency
    if least is None:
        return
    for light in lights:
        if light.normalisation is not None and light.normalisation.transparency < least:
            reason = f"transparency {light.normalisation.transparency:.2f} < {least:.2f}"
            run.leave_out(light, "select", "not_transparent", reason)


def _colour(reference: Light) -> tuple[float, float]:
    """Return the colour of the stars of a frame."""
    cfa = reference.file.meta.cfa
    if cfa is None or reference.measurement is None:
        return stars.NEUTRAL
    try:
        source = frame_source(reference.file)
        return stars.star_colour(source.read(source.bounds).pixels[0], cfa, reference.measurement.stars)
    except UnreadableFrame:
        return stars.NEUTRAL  # the integration leaves it out


def _panel(pointing: mosaic.Pointing, lights: Sequence[Light]) -> dict[str, object]:
    exposures = [lights[k].file.meta.exposure_s or 0.0 for k in pointing.frames]
    return {
        "name": pointing.name,
        "ra_deg": pointing.centre_deg[0],
        "dec_deg": pointing.centre_deg[1],
        "n_frames": len(pointing.frames),
        "exposure_s": float(sum(exposures)) or None,
    }


def _mask(island: IslandRun) -> None:
    """Find the trails of every pointing's frames, in the residuals against a first rough result of that pointing."""
    run, recipe = island.run, island.run.recipe
    if not recipe.trails or recipe.rejection == "none":
        return
    searches = []
    for pointing in island.island.pointings:
        members = [island.island.lights[k] for k in pointing.frames if island.island.lights[k].is_in]
        if len(members) > 1:
            reference = max(members, key=lambda light: (light.score or 0.0, light.file.name))
            meta = reference.file.meta
            lights = [_masked(light, reference, island) for light in members]
            searches.append(Search(lights, (meta.height, meta.width), meta.cfa))
    mask_trails(searches, _trail_runner(run), run.listener, run.options.should_stop)


def _trail_runner(run: MosaicRun) -> TrailRunner:
    """Return who looks for trails."""
    if run.cluster is None:
        return trails_on_threads(run.parts[0].calibrator.n_threads)
    from skyquilt.engine.mosaic.trail_tasks import trails_on_cluster

    return trails_on_cluster(run.cluster, run.scratch, run.frames_at_once)


def _masked(light: Light, reference: Light, island: IslandRun) -> Masked:
    """Return how a frame lies on another of its pointing, by the places and the terms of both."""
    assert light.measurement is not None
    figures, fitted = light.measurement.figures, island.fitted
    matrix: F64 = np.eye(3)
    if light is not reference:
        matrix = homography_between(fitted.grid_of(light), fitted.wcs[id(reference)])
    return Masked(
        light,
        Transform.from_matrix(matrix, "homography"),
        _on_frame(light, reference, island),
        figures.fwhm_px,
        figures.noise_adu,
    )


def _on_frame(light: Light, reference: Light, island: IslandRun) -> Normalisation:
    """
    Return what brings a frame to the level of another one of its pointing, in pixels of that one.

    Both have terms on the canvas; their difference is fitted by a quadratic at 7 x 7 points of the other frame.
    """
    mine, theirs = light.normalisation, reference.normalisation
    assert mine is not None and theirs is not None
    meta = reference.file.meta
    x, y = (
        axis.ravel()
        for axis in np.meshgrid(np.linspace(0, meta.width - 1, _GRID), np.linspace(0, meta.height - 1, _GRID))
    )
    at = island.grid.wcs.to_pixels(*island.fitted.wcs[id(reference)].to_sky(x, y))
    centre, radius = ((meta.width - 1) / 2, (meta.height - 1) / 2), max(meta.width, meta.height) / 2
    difference = (surface_at(mine, *at) - surface_at(theirs, *at)) / theirs.scale[:, None]
    u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    surface: F64 = np.asarray(np.linalg.lstsq(terms, difference.T, rcond=None)[0].T, dtype=np.float64)
    scale = mine.scale / theirs.scale
    return Normalisation(scale, surface, centre, radius, float(mine.transparency / theirs.transparency))


def surface_at(terms: Normalisation, x: F64, y: F64) -> F64:
    """Return the surface of a normalisation at canvas positions, float64 (n_channels, n)."""
    u, v = (x - terms.centre[0]) / terms.radius, (y - terms.centre[1]) / terms.radius
    powers = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])
    level: F64 = terms.surface @ powers[: terms.surface.shape[1]]
    return level


def _complete_calibrations(run: MosaicRun, island: Island) -> None:
    """Take in the hot and cold pixels that the frames themselves tell, where no dark does."""
    own = {id(light) for light in island.lights}
    for part in run.parts:
        lights = [light for light in part.lights if light.is_in and id(light) in own]
        if not lights:
            continue
        completed = part.calibrator.complete(
            [light.file for light in lights], [light.calibration for light in lights], part.cfa
        )
        for light, (calibration, key) in zip(lights, completed, strict=True):
            light.complete_calibration(calibration, key)
    release_memory()
