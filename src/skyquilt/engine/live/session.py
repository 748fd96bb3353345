"""A live session: a growing folder is looked at, and the group of its newest frame is what the picture shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from skyquilt.core import Event, FrameFile, LightGroup, Listener, Session, silent
from skyquilt.engine.arrange import arrange_groups
from skyquilt.engine.budget import available_memory, memory_budget, n_processors, release_memory, resident_memory
from skyquilt.engine.calibration import Calibrator
from skyquilt.engine.light import record_of
from skyquilt.engine.live.choice import Choice
from skyquilt.engine.live.folder import FolderWatch
from skyquilt.engine.live.group import LiveGroup
from skyquilt.engine.live.picture import measure_picture, write_picture
from skyquilt.engine.live.record import LiveRecord
from skyquilt.engine.lock import locked
from skyquilt.engine.opening import check_live_recipe
from skyquilt.engine.placing import SkyPlacer
from skyquilt.engine.planning import frame_threads
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.result import RunOptions, RunResult
from skyquilt.engine.run import SCRATCH, GroupRun
from skyquilt.engine.stack import stack_session
from skyquilt.engine.warmup import compile_kernels
from skyquilt.errors import Interrupted, NoUsableInput
from skyquilt.io.atomic import write_atomically
from skyquilt.io.discover import discover

__all__ = ["WatchOptions", "watch_folder"]

_MEMORY_SHARE = 0.7  # of what is free: the canvas stays in memory for hours
_MOST_AT_ONCE = 12  # of many frames that wait: the picture is shown in between
_SLEEP_SHARE = 4.0  # a look at a large folder takes at most a fifth of the time
_VALUES = "live.npy"
_TOLD = {
    "file",
    "status",
    "code",
    "reason",
    "is_reference",
    "date_obs",
    "exposure_s",
    "background_adu",
    "noise_adu",
    "n_stars",
    "fwhm_px",
    "eccentricity",
    "transparency",
    "rotation_deg",
    "weight",
}
"""Fields of a frame's record that its figures are."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """
    How a folder is watched.

    Attributes
    ----------
    until : int or None
        End when so many frames are in the picture.
    idle_s : float or None
        End when nothing has come for so long.
    poll_s : float
        How often the folder is looked at.
    settle_s : float
        How long a file must have rested to be complete.
    should_finish : callable
        Polled; when it returns True the session ends and the products are written.
    run : RunOptions
        `should_stop` ends the session at once, without products; it can be gone on with.
    """

    until: int | None = None
    idle_s: float | None = None
    poll_s: float = 0.1
    settle_s: float = 0.3
    should_finish: Callable[[], bool] = _never
    run: RunOptions = field(default_factory=RunOptions)


def watch_folder(
    root: Path,
    out: Path,
    recipe: Recipe | None = None,
    *,
    listener: Listener = silent,
    options: WatchOptions | None = None,
) -> RunResult:
    """
    Stack a folder while it grows; write the products of a stack at the end.

    Parameters
    ----------
    root : Path
        It must exist; it may be empty as yet.
    out : Path
        Products go to ``out / <group name>``, the picture so far to `live.png` there.
    recipe : Recipe or None
        Its schedule is "auto" or "live". None: the defaults.
    listener : callable
        Is told every `Event`; those of the phase "live" carry the figures of the picture.
    options : WatchOptions or None

    Returns
    -------
    RunResult
        What `stack_session` with the schedule "live" makes of the same frames: the same bits.

    Raises
    ------
    NoUsableInput
        If there is no folder `root`, or no frame has come by the end.
    UsageError
        If a setting needs all frames at once.
    Interrupted
        On request; the same call goes on where this one stopped.
    """
    recipe = recipe or Recipe()
    check_live_recipe(recipe)
    recipe = recipe.model_copy(update={"schedule": "live"})
    options = options or WatchOptions()
    if not root.is_dir():
        raise NoUsableInput(f"there is no folder {root}", "give the folder into which the frames come")
    compile_kernels(listener, with_sweep=True)
    with threadpool_limits(1), _LiveSession(root, out, recipe, listener, options) as session:
        session.watch()
        frames = session.finish()
    result = stack_session(root, out, recipe, listener=listener, options=replace(options.run, frame_list=frames))
    for path in (frames, frames.with_name(_VALUES)):
        path.unlink(missing_ok=True)
    return result


@dataclass(slots=True, eq=False)
class _Shown:
    """The group that is shown, with the record of what it came through."""

    live: LiveGroup
    record: LiveRecord
    folder: Path
    n_told: int = -1


class _LiveSession:
    """What is known of the folder, and the group that is shown."""

    def __init__(self, root: Path, out: Path, recipe: Recipe, listener: Listener, options: WatchOptions) -> None:
        self._root, self._out, self._recipe = root, out, recipe
        self._listener, self._options = listener, options
        self._folder = FolderWatch(root, recipe.exclude, options.settle_s)
        self._choice = Choice(out)
        self._excluded: frozenset[str] = frozenset()
        self._shown: _Shown | None = None
        self._groups: list[LightGroup] = []
        self._told: set[str] = set()
        self._pending: list[Path] = []
        self._taken: set[Path] = set()
        self._held = ExitStack()
        self._look_took_s = 0.0

    def __enter__(self) -> _LiveSession:
        return self

    def __exit__(self, *of_error: object) -> None:
        self._let_go()

    def watch(self) -> None:
        """Look and take until the end that was asked for."""
        self._listener(Event("phase", "live", str(self._root)))
        last = time.monotonic()
        while True:
            if self._options.run.should_stop():
                raise Interrupted("stopped on request")
            if self._look():
                last = time.monotonic()
            if self._is_to_end(last):
                return
            if not self._pending:
                time.sleep(max(self._options.poll_s, _SLEEP_SHARE * self._look_took_s))

    def _is_to_end(self, last: float) -> bool:
        if self._options.should_finish():
            return True
        if self._pending:
            return False
        if self._options.until is not None and self._n_in() >= self._options.until:
            return True
        idle_s = self._options.idle_s
        return idle_s is not None and time.monotonic() - last >= idle_s and not self._folder.n_waiting

    def _n_in(self) -> int:
        return 0 if self._shown is None else len(self._shown.live.run.kept)

    def _look(self) -> bool:
        """Take what has come or was chosen since the last look; return whether anything was."""
        now = time.monotonic()
        arrived, problems = self._folder.look(now)
        self._look_took_s = time.monotonic() - now
        for problem in problems:
            self._tell(Event("left_out", "live", f"{problem.path.name}: {problem.reason}"))
        self._pending += arrived
        excluded = self._choice.excluded()
        is_chosen = excluded != self._excluded
        if not self._pending and not is_chosen:
            return bool(problems)
        new, self._pending = self._pending[:_MOST_AT_ONCE], self._pending[_MOST_AT_ONCE:]
        self._taken.update(new)
        self._excluded = excluded
        self._take(new)
        return True

    def _take(self, new: list[Path]) -> None:
        """Arrange the frames so far, and give the group of the newest one its frames."""
        session = self._discover()
        if session is None:
            return
        lights = [light for group in session.groups for light in group.lights]
        wanted = [light for light in lights if light.path in self._taken and light.name not in self._excluded]
        groups, strays = arrange_groups(session, self._recipe, wanted)
        strays = [stray for stray in strays if stray.code != "not_listed"]
        for stray in [*session.left_out, *strays]:
            if stray.path in new:
                self._tell(Event("left_out", "discover", f"{stray.path.name}: {stray.reason}"))
        self._groups = groups
        group = self._newest(groups, new)
        if group is not None:
            shown = self._show(session, group)
            shown.live.take(session, group, strays)
            self._tell_picture(shown, new)
        elif not new:
            self._let_go()  # all frames of the group that was shown are excluded

    def _discover(self) -> Session | None:
        """Return the session as it is now; None while nothing is there, or the disk is away."""
        try:
            return discover(self._root, exclude=self._recipe.exclude, open_file=self._folder.open_file)
        except NoUsableInput:
            return None

    def _newest(self, groups: list[LightGroup], new: list[Path]) -> LightGroup | None:
        """Return the group of the newest frame that came; the one that is shown where none came."""
        by_path = {light.path: group for group in groups for light in group.lights}
        found = [by_path[path] for path in new if path in by_path]
        if found:
            return found[-1]
        name = self._shown.live.run.group.name if self._shown else None
        return next((group for group in groups if group.name == name), None)

    def _show(self, session: Session, group: LightGroup) -> _Shown:
        """Return the group at work; another one than before, or other calibration frames, begin anew."""
        shown = self._shown
        if shown is not None and shown.folder == self._out / group.name and _same_calibration(shown, session):
            return shown
        self._let_go()
        folder = self._out / group.name
        self._held.enter_context(locked(folder / SCRATCH))
        live = LiveGroup(self._run_of(session, group, folder))
        self._shown = _Shown(live, LiveRecord(folder / SCRATCH / "live.jsonl"), folder)
        return self._shown

    def _run_of(self, session: Session, group: LightGroup, folder: Path) -> GroupRun:
        recipe, run = self._recipe, self._options.run
        n_threads = recipe.threads or n_processors()
        if recipe.memory is None:
            budget = resident_memory() + int(_MEMORY_SHARE * available_memory())
        else:
            budget = memory_budget(recipe.memory)
        meta = group.lights[0].meta
        n_at_frames = frame_threads(budget, meta.width * meta.height, n_threads)
        calibrator = Calibrator(session, recipe, self._listener, n_at_frames, run.should_stop)
        placer = SkyPlacer(recipe, silent, run.sky_cache)
        return GroupRun(session, group, folder, recipe, run, self._hear, [], n_threads, budget, calibrator, [], placer)

    def _hear(self, event: Event) -> None:
        """Pass on which frames are left out and what is odd; the steps of so small a run are of no interest."""
        if event.kind in ("left_out", "warning"):
            self._tell(event)

    def _tell(self, event: Event) -> None:
        """Tell something once."""
        if event.message not in self._told:
            self._told.add(event.message)
            self._listener(event)

    def _tell_picture(self, shown: _Shown, new: list[Path]) -> None:
        """Write the picture, and tell its figures."""
        live, run = shown.live, shown.live.run
        is_anew = live.n_begun != shown.n_told
        shown.n_told = live.n_begun
        kept = run.kept if live.canvas is not None else []
        line: dict[str, Any] = {
            "group": run.group.name,
            "n_in": len(kept),
            "n_left_out": sum(not light.is_in for light in run.lights),
            "exposure_s": sum(light.file.meta.exposure_s or 0.0 for light in kept),
        }
        place: dict[str, Any] = {}
        if live.canvas is not None:
            values = live.canvas.values()
            level, noise = measure_picture(values)
            expected = live.canvas.expected_noise()
            line |= {"level_adu": level, "noise_adu": noise, "expected_adu": float(expected[len(expected) // 2])}
            array = shown.folder / SCRATCH / _VALUES
            write_picture(values, array, shown.folder / "live.png")
            place = {"picture": str(shown.folder / "live.png"), "values": str(array)}
        now = time.monotonic()
        line["delay_s"] = round(min((now - self._folder.since(path) for path in new), default=0.0), 3)
        before = shown.record.lines[-1] if shown.record.lines else {}
        if line["n_in"] and any(line[name] != before.get(name) for name in ("n_in", "n_left_out", "noise_adu")):
            shown.record.add(line)
        told = run.lights if is_anew else [light for light in run.lights if light.file.path in new]
        data = {
            **line,
            **place,
            "problem": live.problem,
            "excluded": sorted(self._excluded),
            "frames": [record_of(light).model_dump(mode="json", include=_TOLD) for light in told],
            "history": shown.record.curve() if is_anew else [],
        }
        text = f"{line['n_in']} frames in the picture" if kept else f"no picture yet: {live.problem}"
        self._listener(Event("progress", "live", text, line["n_in"], self._options.until or 0, data))

    def finish(self) -> Path:
        """Leave the picture to the run over the finished folder; return the list of the frames that it takes."""
        if not self._groups or self._shown is None:
            raise NoUsableInput(f"no frame has come into {self._root}", "look at the messages above")
        self._shown.live.hand_over()
        path = self._shown.folder / SCRATCH / "live_frames.txt"
        lights = [light for group in self._groups for light in group.lights]
        write_atomically(
            path, "".join(f"{light.path.relative_to(self._root).as_posix()}\n" for light in lights).encode()
        )
        self._let_go()
        return path

    def _let_go(self) -> None:
        if self._shown is not None:
            self._shown.live.run.placer.close()
        self._shown = None
        self._held.close()
        release_memory()


def _same_calibration(shown: _Shown, session: Session) -> bool:
    """Whether the calibration frames are those that the shown group was begun with."""
    begun = shown.live.run.calibrator.session
    kinds = ("darks", "flats", "biases", "flat_darks", "masters")
    return all(
        [_identity(frame) for frame in getattr(begun, kind)] == [_identity(frame) for frame in getattr(session, kind)]
        for kind in kinds
    )


def _identity(frame: FrameFile) -> tuple[Path, int, int]:
    return frame.path, frame.size_bytes, frame.mtime_ns
