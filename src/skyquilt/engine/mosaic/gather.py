"""The frames of a mosaic: from all folders, whatever their target names, joined by what they show the sky through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skyquilt.core import Cfa, Event, LeftOut, LightGroup, Listener, Session
from skyquilt.engine.budget import memory_budget, n_processors, release_memory
from skyquilt.engine.cache import MeasurementCache, clear_cache
from skyquilt.engine.calibration import Calibrator
from skyquilt.engine.ceiling import lower_saturation
from skyquilt.engine.light import Light
from skyquilt.engine.measuring import LookRunner, looks_on_threads, measure_lights
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.engine.planning import frame_threads
from skyquilt.engine.result import RunOptions
from skyquilt.engine.run import scratch_of
from skyquilt.engine.stack import find_groups
from skyquilt.errors import NoUsableInput
from skyquilt.io.discover import safe_name

if TYPE_CHECKING:
    from skyquilt.engine.executors.cluster import Cluster

__all__ = ["FieldSet", "MosaicRun", "Part", "find_field_sets", "measure_field_set"]

_MOST_STARS = 400
"""Stars kept of a frame: enough to tie it to its neighbours, few enough for thousands of frames."""

_MOST_STARS_IN_ALL = 8_000_000  # half a GB: tens of thousands of frames keep fewer each
_LEAST_STARS = 100


@dataclass(eq=False)
class FieldSet:
    """
    All frames that go onto one canvas or, where they show islands apart, onto several.

    Attributes
    ----------
    name : str
        Fit for a folder name.
    target, filter : str or None
    groups : list of (Session, LightGroup)
    strays : list of LeftOut
    """

    name: str
    target: str | None
    filter: str | None
    groups: list[tuple[Session, LightGroup]]
    strays: list[LeftOut]

    @property
    def n_lights(self) -> int:
        return sum(len(group.lights) for _, group in self.groups)


@dataclass(eq=False)
class Part:
    """The lights of one group, with what calibrates them."""

    calibrator: Calibrator
    cfa: Cfa | None
    lights: list[Light]


@dataclass(eq=False)
class MosaicRun:
    """
    A field set on its way.

    Attributes
    ----------
    folder : Path
        Where the products go.
    parts : list of Part
    lights : list of Light
        Of all parts in frame order, those that were left out included.
    cluster : Cluster or None
        Who measures and integrates; None: threads of this process.
    """

    fields: FieldSet
    folder: Path
    recipe: MosaicRecipe
    options: RunOptions
    listener: Listener
    n_threads: int
    budget: int
    parts: list[Part] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    cluster: Cluster | None = None

    @property
    def threads_of_process(self) -> int:
        """Threads that may share the memory of one process."""
        return self.cluster.threads_of_worker if self.cluster else self.n_threads

    @property
    def frames_at_once(self) -> int:
        """Whole frames that the memory of one process carries at once."""
        largest = max(light.file.meta.width * light.file.meta.height for part in self.parts for light in part.lights)
        return frame_threads(self.budget, largest, self.threads_of_process)

    @property
    def scratch(self) -> Path:
        return scratch_of(self.folder, self.options)

    @property
    def kept(self) -> list[Light]:
        return [light for light in self.lights if light.is_in]

    def leave_out(self, light: Light, stage: str, code: str, reason: str) -> None:
        """Take a frame out of the run, and tell."""
        light.leave_out(stage, code, reason)
        self.listener(Event("left_out", stage, f"{light.file.name}: {reason}"))


def find_field_sets(
    roots: Sequence[Path], recipe: MosaicRecipe, listener: Listener, frame_list: Path | None
) -> tuple[list[Session], list[FieldSet]]:
    """
    Return the sessions below all folders and the field sets that their lights make: one a filter and kind of pixels.

    Frames of any size, pattern and camera go together; strays of one session are left out with the reason, as in a
    stack.

    Raises
    ------
    NoUsableInput
        If no folder holds light frames.
    """
    sessions: list[Session] = []
    members: dict[tuple[str, bool], list[tuple[Session, LightGroup]]] = {}
    strays: list[LeftOut] = []
    failures: list[NoUsableInput] = []
    for root in roots:
        try:
            session, groups, left_out = find_groups(root, recipe, listener, frame_list, take_stacks=True)
        except NoUsableInput as error:
            failures.append(error)
            continue
        sessions.append(session)
        strays += left_out
        for group in groups:
            meta = group.lights[0].meta
            is_colour = meta.cfa is not None or meta.n_planes == 3
            members.setdefault(((group.filter or "").casefold(), is_colour), []).append((session, group))
    if not members:
        raise failures[0] if failures else NoUsableInput("no folder was given", "give the folders with the frames")
    sets = [_field_set(groups, strays, len(members) > 1) for _, groups in sorted(members.items())]
    return sessions, sorted(sets, key=lambda one: (-one.n_lights, one.name))


def _field_set(groups: list[tuple[Session, LightGroup]], strays: list[LeftOut], is_one_of_many: bool) -> FieldSet:
    targets = {group.target for _, group in groups if group.target}
    target = targets.pop() if len(targets) == 1 else None
    filters = {group.filter for _, group in groups if group.filter}
    colour = groups[0][1].lights[0].meta
    kind = "colour" if colour.cfa is not None or colour.n_planes == 3 else "mono"
    told = filters.copy().pop() if len(filters) == 1 else kind
    name = target or "mosaic"
    return FieldSet(
        safe_name(f"{name}_{told}" if is_one_of_many else name),
        target,
        filters.pop() if len(filters) == 1 else None,
        groups,
        strays,
    )


def measure_field_set(
    fields: FieldSet,
    folder: Path,
    recipe: MosaicRecipe,
    options: RunOptions,
    listener: Listener,
    cluster: Cluster | None = None,
) -> MosaicRun:
    """Calibrate and measure the lights of a field set; what was measured before is taken from the cache."""
    n_threads = recipe.threads or n_processors()
    run = MosaicRun(fields, folder, recipe, options, listener, n_threads, memory_budget(recipe.memory), cluster=cluster)
    if options.refresh_cache:
        clear_cache(run.scratch, "measurements")
    calibrators: dict[int, Calibrator] = {}
    largest: dict[Cfa | None, int] = {}
    for session, group in fields.groups:
        meta = group.lights[0].meta
        n_at_frames = frame_threads(run.budget, meta.width * meta.height, n_threads)
        largest[meta.cfa] = max(meta.width * meta.height, largest.get(meta.cfa, 0))
        calibrator = calibrators.setdefault(
            id(session), Calibrator(session, recipe, listener, n_at_frames, options.should_stop)
        )
        calibrations = calibrator.calibrate_group(group.lights, meta.cfa)
        lights = [
            Light(file, calibration, digest)
            for file, (calibration, digest) in zip(group.lights, calibrations, strict=True)
        ]
        release_memory()
        lower_saturation(lights, listener)
        run.parts.append(Part(calibrator, meta.cfa, lights))
    for cfa, n_pixels in largest.items():  # all groups together: those of panels have one frame each
        lights = [light for part in run.parts if part.cfa == cfa for light in part.lights]
        looks = _looks(run, n_pixels)
        measure_lights(lights, cfa, looks, listener, should_stop=options.should_stop, most_stars=_most_stars(fields))
        release_memory()
    run.lights = sorted((light for part in run.parts for light in part.lights), key=_moment)
    _leave_out_twins(run)
    return run


def _most_stars(fields: FieldSet) -> int:
    """Return how many stars of a frame are kept; halved by and by, so that a few frames more seldom change it."""
    most = _MOST_STARS
    while most * fields.n_lights > _MOST_STARS_IN_ALL and most > _LEAST_STARS:
        most //= 2
    return most


def _looks(run: MosaicRun, frame_pixels: int) -> LookRunner:
    """Return who looks at the lights."""
    options = run.options
    at_once = frame_threads(run.budget, frame_pixels, run.threads_of_process)
    if run.cluster is not None and not options.dry_run:
        from skyquilt.engine.measuring_tasks import looks_on_cluster

        return looks_on_cluster(run.cluster, run.scratch, at_once=at_once, keeps=options.use_cache)
    cache = MeasurementCache(run.scratch if options.use_cache and not options.dry_run else None)
    return looks_on_threads(cache, min(at_once, run.n_threads))


def _moment(light: Light) -> tuple[str, str, str]:
    return light.file.meta.date_obs or "", light.file.name, str(light.file.path)


def _leave_out_twins(run: MosaicRun) -> None:
    """Leave out what was given twice, in whichever folder: the same bytes would count twice."""
    first: dict[str, Light] = {}
    for light in run.lights:
        if light.sha256 is None or not light.is_in:
            continue
        twin = first.setdefault(light.sha256, light)
        if twin is not light:
            run.leave_out(light, "discover", "duplicate", f"it holds the same bytes as {twin.file.name}")
