"""Master calibration frames: matched to the lights, judged, integrated by the same engine as the lights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from skyquilt.core import F32, Calibration, Cfa, Event, FrameFile, FrameMeta, Listener, Mask, Session
from skyquilt.engine.cache import calibration_digest
from skyquilt.engine.masters import KINDS, UNREADABLE, Master, average_frames, judge_frames, master_record
from skyquilt.engine.recipe import Recipe
from skyquilt.errors import UnreadableFrame, UsageError
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.steps import calibrate

__all__ = ["Calibrator"]

_SPREAD_LIGHTS = 16


@dataclass(eq=False)
class Calibrator:
    """
    Chooses, judges and makes the masters of a session; each is made once.

    After `calibrate_group`, `masters`, `table`, `warnings` and `n_defects` tell what was done.
    """

    session: Session
    recipe: Recipe
    listener: Listener
    n_threads: int
    should_stop: Callable[[], bool]
    masters: list[Master] = field(default_factory=list)
    table: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    n_defects: int = 0
    _made: dict[tuple[object, ...], Master | None] = field(default_factory=dict)
    _known: dict[FrameMeta, tuple[Calibration, bool]] = field(default_factory=dict)
    _without_map: set[Path] = field(default_factory=set)
    _found: dict[tuple[Path, ...], Mask | None] = field(default_factory=dict)
    _full: dict[tuple[int, int], tuple[Calibration, Mask, Calibration]] = field(default_factory=dict)
    _digests: dict[int, tuple[Calibration, str]] = field(default_factory=dict)

    def match(self, meta: FrameMeta) -> calibrate.CalibrationMatch:
        """Return the calibration frames that fit lights with these settings, as the recipe allows."""
        darks, dark_master = self._offered("dark", self.recipe.dark, self.session.darks)
        flats, flat_master = self._offered("flat", self.recipe.flat, self.session.flats)
        biases, bias_master = self._offered("bias", self.recipe.bias, self.session.biases)
        kinds_off = {kind for kind in ("dark", "flat", "bias") if getattr(self.recipe, kind) != "auto"}
        found = [master for master in self.session.masters if master.meta.kind.value not in kinds_off]
        return calibrate.match_calibration(
            meta,
            darks,
            flats,
            biases,
            self.session.flat_darks,
            [*found, *dark_master, *flat_master, *bias_master],
            calibrate.MatchRules(temperature_limit_c=self.recipe.temperature_tolerance_c),
        )

    def _offered(
        self, kind: str, wanted: str, found: Sequence[FrameFile]
    ) -> tuple[Sequence[FrameFile], Sequence[FrameFile]]:
        """Return the single frames and the masters of one kind that may serve."""
        if wanted == "auto":
            return found, ()
        if wanted == "none":
            return (), ()
        path = Path(wanted)
        if not path.exists():
            raise UsageError(f"the {kind} {wanted} does not exist", f"give a folder or a master to --{kind}, or none")
        files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
        frames = []
        for file in files:
            try:
                frame = open_frame(file)
            except UnreadableFrame as error:
                self._warn(f"{kind} {file.name} is left out: {error.message}")
                continue
            frames.append(replace(frame, meta=replace(frame.meta, kind=KINDS[kind])))
        return ((), frames) if path.is_file() else (frames, ())

    def calibrate_group(
        self, lights: Sequence[FrameFile], cfa: Cfa | None, first: int | None = None
    ) -> list[tuple[Calibration, str]]:
        """
        Return the calibration of every light and a digest of it; lights of one gain and exposure share one.

        Their temperature is that of the `first` of these (None: of all), in the middle.
        """
        shared: dict[tuple[float | None, float | None], tuple[Calibration, str]] = {}
        kinds = sorted({_setting(light) for light in lights}, key=str)
        for setting in kinds:
            alike = [light for light in lights if _setting(light) == setting]
            calibration = self._calibrate(alike, cfa, alike[:first])
            shared[setting] = (calibration, self._digest(calibration))
        return [shared[_setting(light)] for light in lights]

    def _calibrate(self, lights: Sequence[FrameFile], cfa: Cfa | None, looked_at: Sequence[FrameFile]) -> Calibration:
        temperatures = [light.meta.temperature_c for light in looked_at if light.meta.temperature_c is not None]
        meta = replace(lights[0].meta, cfa=cfa, temperature_c=median(temperatures) if temperatures else None)
        if meta not in self._known:
            self._known[meta] = self._calibration_for(meta, cfa)
        calibration, is_without_map = self._known[meta]
        if is_without_map:
            self._without_map |= {light.path for light in lights}
        return calibration

    def _calibration_for(self, meta: FrameMeta, cfa: Cfa | None) -> tuple[Calibration, bool]:
        """Return the calibration of such lights, and whether their hot pixels are still to be found in themselves."""
        if meta.n_planes != 1:
            return Calibration(), False
        match = self.match(meta)
        self._tell(match)
        bias = self._master("bias", match.bias, match.bias_is_master)
        dark = self._master("dark", match.dark, match.dark_is_master, bias=bias)
        subtract = _to_subtract(dark, bias, match.dark_scale)
        inverse_flat, bad_flat = self._flat(match, bias, cfa)
        defects = self._defects_of_dark(dark, cfa)
        if bad_flat is not None and bad_flat.any():
            defects = bad_flat if defects is None else defects | bad_flat
        if defects is not None:
            self.n_defects = max(self.n_defects, int(defects.sum()))
            defects = defects if defects.any() else None
        return Calibration(subtract, inverse_flat, defects), dark is None or self.recipe.cosmetic == "lights"

    def _tell(self, match: calibrate.CalibrationMatch) -> None:
        rows = [asdict(row) for row in match.table]
        new = [row for row in rows if row not in self.table]
        self.table += new
        if new:
            self.listener(Event("table", "calibrate", "calibration frames", data={"rows": new}))
        for reason in match.reasons:
            self.listener(Event("notice", "calibrate", reason))
        for warning in match.warnings:
            self._warn(warning)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self.listener(Event("warning", "calibrate", text))

    def _flat(
        self, match: calibrate.CalibrationMatch, bias: Master | None, cfa: Cfa | None
    ) -> tuple[F32 | None, Mask | None]:
        flat_dark = self._master("flat_dark", match.flat_dark, match.flat_dark_is_master, bias=bias)
        flat = self._master("flat", match.flat, match.flat_is_master, bias=flat_dark or bias)
        if flat is None:
            return None, None
        try:
            return calibrate.normalise_flat(flat.pixels, cfa)
        except ValueError as error:
            self._warn(f"the flats are not used: {error}")
            return None, None

    def _defects_of_dark(self, dark: Master | None, cfa: Cfa | None) -> Mask | None:
        if self.recipe.cosmetic not in ("auto", "darks"):
            return None
        if dark is None:
            if self.recipe.cosmetic == "darks":
                self._warn("no darks to find hot pixels in; use --cosmetic lights or auto")
            return None
        return calibrate.find_defects(dark.pixels, cfa)

    def complete(
        self,
        lights: Sequence[FrameFile],
        calibrations: Sequence[Calibration],
        cfa: Cfa | None,
        looked_at: Sequence[FrameFile] | None = None,
    ) -> list[tuple[Calibration, str]]:
        """
        Return the calibrations with the hot and cold pixels found in the lights themselves, where no dark tells them.

        This is the last step before the integration, over the frames that take part: so a frame that is left out
        changes nothing, and measurements stay valid when frames are added. With `looked_at` they are found in those
        frames alone.
        """
        asked = lights if looked_at is None else looked_at
        needy = [light for light in asked if light.path in self._without_map]
        found = self._defects_of_lights(needy, cfa) if self.recipe.cosmetic in ("auto", "lights") else None
        completed = []
        for light, calibration in zip(lights, calibrations, strict=True):
            full = calibration
            if found is not None and light.path in self._without_map:
                full = self._with_defects(calibration, found)
            completed.append((full, self._digest(full)))
        return completed

    def _with_defects(self, calibration: Calibration, found: Mask) -> Calibration:
        """Return a calibration with further defects; the same ones give the same object."""
        key = id(calibration), id(found)
        if key not in self._full:
            defects = found if calibration.defects is None else calibration.defects | found
            self.n_defects = max(self.n_defects, int(defects.sum()))
            self._full[key] = calibration, found, replace(calibration, defects=defects)
        return self._full[key][2]

    def _digest(self, calibration: Calibration) -> str:
        """Return the digest of a calibration, taken at most once."""
        if id(calibration) not in self._digests:
            self._digests[id(calibration)] = calibration, calibration_digest(calibration)
        return self._digests[id(calibration)][1]

    def _defects_of_lights(self, lights: Sequence[FrameFile], cfa: Cfa | None) -> Mask | None:
        """Return the persistent hot and cold pixels of the lights, None where there are none; looked for once."""
        if len(lights) < 2:
            return None
        paths = tuple(light.path for light in lights)
        if paths not in self._found:
            self._found[paths] = self._look_for_defects(lights, cfa)
        return self._found[paths]

    def _look_for_defects(self, lights: Sequence[FrameFile], cfa: Cfa | None) -> Mask | None:
        places = np.linspace(0, len(lights) - 1, min(len(lights), _SPREAD_LIGHTS)).round().astype(int)
        pixels = self._pixels_of([lights[k] for k in places])
        first = next(pixels, None)
        if first is None:
            return None
        found = calibrate.find_defects_in_lights(chain([first], pixels), cfa)
        return found if found.any() else None

    def _pixels_of(self, lights: Sequence[FrameFile]) -> Iterator[F32]:
        """Yield the raw pixels of those that can be read; the integration tells of the others."""
        for light in lights:
            try:
                source = frame_source(light)
                yield source.read(source.bounds).pixels[0]
            except UnreadableFrame:
                continue

    def _master(
        self, kind: str, files: Sequence[FrameFile], is_master: bool, bias: Master | None = None
    ) -> Master | None:
        """Return the master of the frames, made at most once; None if there are none or none is good."""
        if not files:
            return None
        key = (kind, tuple(str(file.path) for file in files), bias is not None)
        if key not in self._made:
            self._made[key] = self._take(kind, files[0]) if is_master else self._make(kind, files, bias)
            if (made := self._made[key]) is not None:
                self.masters.append(made)
        if self._made[key] is None:
            self._refuse(kind, files)
        return self._made[key]

    def _refuse(self, kind: str, files: Sequence[FrameFile]) -> None:
        """Say in the table that a set which fits could not be used after all."""
        places = {files[0].name, files[0].path.parent.name}
        for row in self.table:
            if (
                row["kind"] == kind
                and row["verdict"] in ("used", "scaled")
                and row["where"].split(" and ")[0] in places
            ):
                row.update(verdict="refused", reason="it fits, but none of its frames is good")

    def _take(self, kind: str, file: FrameFile) -> Master | None:
        """Take a master that exists already."""
        try:
            source = frame_source(file)
            pixels = source.read(source.bounds).pixels[0]
        except UnreadableFrame as error:
            self._warn(f"the master {kind} {file.name} is not used: {error.message}")
            return None
        return Master(pixels, master_record(kind, [file], {}, file.meta.n_stacked, pixels), file.meta)

    def _make(self, kind: str, files: Sequence[FrameFile], bias: Master | None) -> Master | None:
        """Judge the frames and integrate the good ones."""
        self.listener(Event("phase", "calibrate", f"master {kind} of {len(files)} frames", total=len(files)))
        good, verdicts = judge_frames(
            KINDS[kind],
            files,
            bias.record.median_adu if bias else None,
            n_threads=self.n_threads,
            should_stop=self.should_stop,
        )
        for verdict in verdicts:
            if verdict.code and verdict.code != UNREADABLE:
                state = "is used, but" if verdict.is_good else "is left out:"
                self._warn(f"{kind} {verdict.name} {state} {verdict.reason}")
        if not good:
            self._warn(f"no {kind} is used: none of the {len(files)} frames is good")
            return None
        subtract = bias.pixels if kind == "flat" and bias is not None else None
        pixels = average_frames(
            good, subtract, is_flat=kind == "flat", n_threads=self.n_threads, should_stop=self.should_stop
        )
        left_out = {verdict.name: verdict.reason for verdict in verdicts if not verdict.is_good}
        frames = [frame.file for frame in good]
        return Master(pixels, master_record(kind, frames, left_out, len(good), pixels), frames[0].meta)


def _setting(light: FrameFile) -> tuple[float | None, float | None]:
    return light.meta.gain, light.meta.exposure_s


def _to_subtract(dark: Master | None, bias: Master | None, scale: float | None) -> F32 | None:
    """Return the plane to subtract: dark, scaled dark on the bias, or bias alone."""
    if dark is None:
        return bias.pixels if bias else None
    if scale is None or bias is None:
        return dark.pixels
    return bias.pixels + np.float32(scale) * (dark.pixels - bias.pixels)
