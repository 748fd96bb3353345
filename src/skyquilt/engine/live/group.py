"""One group of a live session: its frames are decided on and added as they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skyquilt.core import F32, Event, FrameFile, LeftOut, LightGroup, Session, silent
from skyquilt.engine.budget import release_memory, resident_memory
from skyquilt.engine.cache import MeasurementCache
from skyquilt.engine.ceiling import lower_saturation
from skyquilt.engine.journal import Journal
from skyquilt.engine.light import Light
from skyquilt.engine.live.canvas import LiveCanvas, canvas_bytes
from skyquilt.engine.masking import mask_trails_against
from skyquilt.engine.measuring import looks_on_threads, measure_lights
from skyquilt.engine.opening import LARGEST_OPENING, LOOKED_AT, follow, opening_size
from skyquilt.engine.run import Arrangement, GroupRun
from skyquilt.engine.sampling import FrameLostError, is_rotated
from skyquilt.engine.stack import arrange, find_spots
from skyquilt.errors import NotEnoughMemory, NotRegistered, NoUsableInput

__all__ = ["LiveGroup"]

_Identity = tuple[str, int, int]


@dataclass(eq=False)
class LiveGroup:
    """
    The frames of a group so far, and what they make.

    Parameters
    ----------
    run : GroupRun
        Its lights are those that were given to `take`; nothing is decided about them yet.

    Attributes
    ----------
    problem : str
        Why there is no picture yet, or "".
    n_begun : int
        How often the picture was begun anew.
    """

    run: GroupRun
    problem: str = ""
    n_begun: int = 0
    _arrangement: Arrangement | None = None
    _rough: F32 | None = None
    _canvas: LiveCanvas | None = None
    _known: dict[_Identity, Light] = field(default_factory=dict)
    _decided: list[Light] = field(default_factory=list)
    _looked_at: list[Light] = field(default_factory=list)
    _measured_with: dict[int, tuple[str, float]] = field(default_factory=dict)

    @property
    def canvas(self) -> LiveCanvas | None:
        """The picture, None as long as no two frames make one."""
        return self._canvas

    def take(self, session: Session, group: LightGroup, strays: Sequence[LeftOut]) -> None:
        """
        Take the group as it is now: decide on its new frames and add them; begin anew where others went.

        Raises
        ------
        Interrupted
            On request.
        NotEnoughMemory
            If the canvas does not fit.
        """
        self.run.session, self.run.group, self.run.strays = session, group, list(strays)
        self.run.lights = self._lights(group.lights)
        while True:
            self._measure()
            measured = [light for light in self.run.lights if light.measurement is not None and _may_be_in(light)]
            try:
                self._decide(measured)
                return
            except FrameLostError as lost:
                lost.light.leave_out("integrate", "vanished", lost.error.message)
                self._tell_left_out(lost.light)
                self._forget()
            except (NoUsableInput, NotRegistered) as error:
                self._forget()
                self.problem = error.message
                return

    def _lights(self, files: Sequence[FrameFile]) -> list[Light]:
        """Return the lights of the files, calibrated; those that are known stay the same objects."""
        run = self.run
        cfa = files[0].meta.cfa
        calibrations = run.calibrator.calibrate_group(files, cfa, LARGEST_OPENING)
        lights = []
        for file, (calibration, key) in zip(files, calibrations, strict=True):
            identity = (str(file.path), file.size_bytes, file.mtime_ns)
            light = self._known.get(identity)
            if light is None:
                light = self._known[identity] = Light(file, calibration, key)
            base = light.looked_with or (light.calibration, light.calibration_key)
            if base[1] != key:
                light.looked_with = None
                light.calibration, light.calibration_key = calibration, key
            lights.append(light)
        if self._looked_at != lights[:LOOKED_AT]:
            self._looked_at = lights[:LOOKED_AT]
            for light in lights:
                light.ceiling_adu = np.inf
            lower_saturation(lights, silent, self._looked_at)
        for light in lights:
            light.ceiling_adu = lights[0].ceiling_adu
        return lights

    def _measure(self) -> None:
        """Measure the frames that are new, or are looked at in another way than before."""
        run = self.run
        waiting = []
        for light in run.lights:
            base_key = light.looked_with[1] if light.looked_with else light.calibration_key
            way = base_key, light.saturation_adu
            if self._measured_with.get(id(light)) != way:
                self._measured_with[id(light)] = way
                light.measurement = light.left_out = light.plane = None
                waiting.append(light)
        if not waiting:
            return
        if any(light in self._decided for light in waiting):
            self._forget()
        cache = MeasurementCache(run.scratch)
        looks = looks_on_threads(cache, run.calibrator.n_threads, keep_planes=run.recipe.trails)
        cfa = run.lights[0].file.meta.cfa
        measure_lights(waiting, cfa, looks, run.listener, should_stop=run.options.should_stop)

    def _decide(self, measured: list[Light]) -> None:
        """Go on from the last time if the frames that were there then are the first ones now; else begin anew."""
        opening = self._arrangement.opening if self._arrangement else None
        if opening is not None:
            n, first = len(self._decided), self._decided.index(opening.frames[0])
            is_same = measured[:n] == self._decided and opening_size(len(measured) - first) == len(opening.frames)
            if is_same and self._go_on(measured[n:]):
                self._decided = measured
                return
        self._begin(measured)

    def _begin(self, measured: list[Light]) -> None:
        """Decide on all frames, and add them all to an empty canvas."""
        run = self.run
        self._forget()
        release_memory()
        for light in measured:
            light.begin_anew()
        arrangement = arrange(run, {})
        self._check_memory(arrangement)
        self._rough = find_spots(run, arrangement)
        self._canvas = LiveCanvas(run.job(arrangement), run.options.should_stop)
        self._arrangement, self._decided, self.problem = arrangement, measured, ""
        self.n_begun += 1

    def _go_on(self, new: list[Light]) -> bool:
        """Decide on frames after the opening and add those that are in; return whether that could be done."""
        run, arrangement = self.run, self._arrangement
        assert arrangement is not None and arrangement.opening is not None and self._canvas is not None
        for light in new:
            follow(light, arrangement.opening, run.recipe, run.listener, run.placer)
        kept = [light for light in new if light.is_in]
        meta = arrangement.reference.file.meta
        transforms = [light.registration.transform for light in kept if light.registration]
        if arrangement.sampling.keeps_mosaic and is_rotated(transforms, meta.width, meta.height):
            return False  # whole-pixel shifts do not align them: the sampling is another one from now on
        if not kept:
            return True
        cfa = arrangement.sampling.cfa
        mask_trails_against(
            self._rough, kept, cfa, silent, n_threads=run.calibrator.n_threads, should_stop=run.options.should_stop
        )
        files = [light.file for light in arrangement.opening.kept]
        completed = run.calibrator.complete(
            [light.file for light in kept], [light.calibration for light in kept], cfa, files
        )
        for light, (calibration, key) in zip(kept, completed, strict=True):
            light.complete_calibration(calibration, key)
        self._canvas.add(run.job(arrangement))
        return True

    def _check_memory(self, arrangement: Arrangement) -> None:
        needed = resident_memory() + canvas_bytes(arrangement.sampling.n_channels, arrangement.canvas.n_pixels)
        if needed > self.run.budget:
            raise NotEnoughMemory(
                f"{self.run.group.name}: {self.run.budget / 1e6:.0f} MB of memory are too few, with a live canvas of "
                f"{arrangement.canvas.width}x{arrangement.canvas.height} px the program holds {needed / 1e6:.0f} MB",
                "give --memory if the machine has more, or take --debayer superpixel: a quarter of the pixels",
            )

    def _forget(self) -> None:
        self._arrangement = self._canvas = self._rough = None
        self._decided = []

    def _tell_left_out(self, light: Light) -> None:
        if light.left_out is not None:
            text = f"{light.file.name}: {light.left_out.reason}"
            self.run.listener(Event("left_out", light.left_out.stage, text))

    def hand_over(self) -> None:
        """Leave the canvas in the journal of the run, so that a stack of the same frames need not make it again."""
        if self._canvas is None or self._arrangement is None:
            return
        run = self.run
        job = run.job(self._arrangement)
        journal = Journal(
            run.scratch / "journal", job.key(), self._canvas.tile, job.sampling.n_channels, len(job.lights)
        )
        try:
            for tile, counts in self._canvas.tiles():
                if tile.box not in journal.done:
                    journal.write(tile, counts)
        finally:
            journal.close()


def _may_be_in(light: Light) -> bool:
    """Whether nothing but a decision that can be made anew keeps a frame out."""
    return light.left_out is None or light.left_out.stage in ("select", "register")
