"""Select, register, normalise, weigh: from measured frames to frames that lie on one canvas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skyquilt.core import Event, Listener, Measurement, Registration, Transform
from skyquilt.engine.budget import n_processors
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.glare import share_glare
from skyquilt.engine.light import Light
from skyquilt.engine.placing import SkyPlacer
from skyquilt.engine.recipe import Recipe
from skyquilt.errors import NotRegistered, NoUsableInput, UsageError
from skyquilt.steps import normalise, quality, register

__all__ = ["PLACED", "align_lights", "glitch_of", "load_transforms", "select_lights", "select_settings"]

PLACED = "placed by its coordinates on the sky: by its stars alone it could not be matched to the reference"
"""Note of a frame."""

_OTHER_REFERENCES = 3


# by the identity of the reference, then of the frame
_MatchesOfOne = dict[int, Registration | register.NoMatch]
_Matches = dict[int, _MatchesOfOne]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A reference that was tried, and what could be matched to it."""

    light: Light
    matches: _MatchesOfOne

    @property
    def n_registered(self) -> int:
        return sum(isinstance(match, Registration) for match in self.matches.values())


def align_lights(
    lights: Sequence[Light],
    recipe: Recipe,
    listener: Listener,
    known: dict[str, Transform] | None = None,
    placer: SkyPlacer | None = None,
) -> Light:
    """
    Decide which frames take part and how each lies on the reference; return the reference.

    Every frame that is left out gets its reason; the others get score, registration, normalisation and weight. What
    cannot be matched to the reference star by star is placed by the coordinates of both, if there is a `placer`.

    Raises
    ------
    NoUsableInput
        If no frame can be used.
    NotRegistered
        If no two frames match.
    UsageError
        If the named reference is not among the frames.
    """
    select_lights(lights, recipe, listener)
    listener(Event("phase", "register", total=sum(light.is_in for light in lights)))
    matches: _Matches = {}
    # a frame that is left out must not have had a say in the choice of the reference: without it, it is chosen again
    while kept := [light for light in lights if light.is_in]:
        _score(kept)
        best = _choose_reference(kept, recipe, listener, known or {}, matches)
        if placer is not None:
            _place_by_sky(kept, best, recipe, placer)
        if _leave_out_strangers(kept, best, listener):
            continue
        best.light.is_reference = True
        while kept:
            _register(kept, best, recipe, known or {})
            _normalise(kept, best.light, recipe, listener)
            if all(light.is_in for light in kept):
                break
            kept = [light for light in kept if light.is_in]
        _weigh(kept, recipe)
        share_glare(kept, best.light)
        return best.light
    return _nothing_left(lights)


def _register(kept: list[Light], best: _Candidate, recipe: Recipe, known: dict[str, Transform]) -> None:
    """Give every light its registration: that which it was matched by, better where all together tell more."""
    registrations = []
    for light in kept:
        match = best.matches[id(light)]
        assert isinstance(match, Registration), "what could not be registered has been left out"
        registrations.append(match)
    # transforms that were loaded stand as they are, those of a live stack must not depend on what follows
    if recipe.model == "auto" and recipe.schedule != "live" and not known and best.light in kept:
        stars = [_measured(light).stars for light in kept]
        registrations = register.refine_jointly(stars, registrations, kept.index(best.light))
    for light, registration in zip(kept, registrations, strict=True):
        light.registration = registration


def _nothing_left(lights: Sequence[Light]) -> Light:
    reasons = sorted({light.left_out.reason for light in lights if light.left_out})
    raise NoUsableInput(
        f"none of the {len(lights)} frames can be used: {'; '.join(reasons[:3])}",
        "look at the frames with `skyquilt frames --scored`; check focus, clouds and the limits that you set",
    )


def _measured(light: Light) -> Measurement:
    assert light.measurement is not None, "a light that is still in has been measured"
    return light.measurement


def select_lights(lights: Sequence[Light], recipe: Recipe, listener: Listener) -> None:
    """Leave out what the figures forbid; keep the best share of the rest."""
    candidates = [light for light in lights if light.is_in]
    if not candidates:
        return
    scores = _score(candidates)
    for light, verdict in zip(candidates, quality.select(scores, select_settings(recipe)), strict=True):
        if not verdict.kept:
            light.leave_out("select", verdict.code, verdict.reason)
            listener(Event("left_out", "select", f"{light.file.name}: {verdict.reason}"))


def select_settings(recipe: Recipe) -> quality.SelectSettings:
    """Return the part of the recipe that the selection takes."""
    return quality.SelectSettings(
        keep=recipe.keep,
        max_fwhm_px=recipe.max_fwhm_px,
        max_eccentricity=recipe.max_eccentricity,
        min_stars=recipe.min_stars,
        max_background_adu=recipe.max_background_adu,
    )


def _score(lights: Sequence[Light]) -> list[quality.Quality]:
    """Give every light its score among these, and return the figures behind it."""
    qualities = quality.score(
        [_measured(light) for light in lights],
        [light.file.name for light in lights],
        [light.file.meta.exposure_s for light in lights],
    )
    for light, figures in zip(lights, qualities, strict=True):
        light.score = figures.score
    return qualities


def _choose_reference(
    kept: list[Light], recipe: Recipe, listener: Listener, known: dict[str, Transform], matches: _Matches
) -> _Candidate:
    """Register everything to the wanted reference; if most frames do not match it, try the next best ones."""
    order = _reference_order(kept, recipe.reference)
    tried: list[_Candidate] = []
    for light in order[: 1 + _OTHER_REFERENCES]:
        done = matches.setdefault(id(light), {})
        candidate = _Candidate(light, _match_all(kept, light, recipe, listener, known, done))
        tried.append(candidate)
        if 2 * candidate.n_registered >= len(kept) or recipe.reference not in ("best", "most_stars"):
            break
    best = max(tried, key=lambda candidate: candidate.n_registered)
    if best.n_registered < 2 <= len(kept):
        reasons = [match.reason for match in best.matches.values() if isinstance(match, register.NoMatch)]
        raise NotRegistered(
            f"no two of the {len(kept)} frames match: {reasons[0] if reasons else 'no stars in common'}",
            "are they frames of one target, in focus? See `skyquilt frames --scored`",
        )
    return best


def _place_by_sky(kept: list[Light], best: _Candidate, recipe: Recipe, placer: SkyPlacer) -> None:
    """Place what could not be matched by its coordinates; say so if it shows another part of the sky."""
    measured = _measured(best.light)
    target = register.Reference(measured.stars, measured.width, measured.height)
    for light in kept:
        match = best.matches[id(light)]
        if isinstance(match, Registration):
            continue
        placed = placer.register(light, best.light)
        if isinstance(placed, Registration):
            hint = placed.transform
            near = register.match(_measured(light).stars, target, model=recipe.model, hint=hint)
            best.matches[id(light)] = near if isinstance(near, Registration) else placed
            if PLACED not in light.notes:
                light.notes.append(PLACED)
        elif placed.figures.get("apart_deg") is not None:
            best.matches[id(light)] = replace(match, reason=placed.reason)


def _leave_out_strangers(kept: list[Light], best: _Candidate, listener: Listener) -> bool:
    """
    Leave out frames that do not match and those with rows that were not read out; return whether there were any.

    A step between rows that most frames show against the reference is the reference's own.
    """
    strangers: list[tuple[Light, str, str, str]] = []
    steps: list[tuple[Light, normalise.RowStep]] = []
    for light in kept:
        match = best.matches[id(light)]
        if not isinstance(match, Registration):
            strangers.append((light, "register", "not_registered", match.reason))
        elif light is not best.light:
            step = normalise.find_row_step(_measured(light), _measured(best.light), match)
            if step is not None:
                steps.append((light, step))
    if len(steps) > 1 and 2 * len(steps) > best.n_registered - 1:
        strangers, steps = [], [(best.light, steps[0][1])]
    strangers += [(light, "select", "glitch_rows", glitch_of(step)) for light, step in steps]
    for light, stage, code, reason in strangers:
        light.leave_out(stage, code, reason)
        listener(Event("left_out", stage, f"{light.file.name}: {reason}"))
    return bool(strangers)


def glitch_of(step: normalise.RowStep) -> str:
    """Return why a frame with such a step between its rows is left out."""
    return (
        f"its rows from about {step.y} on are {abs(step.height_adu):.0f} ADU off those before, "
        "with a sharp edge that the other frames do not have: a readout glitch"
    )


def _reference_order(kept: list[Light], wanted: str) -> list[Light]:
    if wanted == "first":
        return kept[:1]
    if wanted == "most_stars":
        return sorted(kept, key=lambda light: (-_measured(light).figures.n_stars, light.file.name))
    if wanted != "best":
        named = [light for light in kept if light.file.name == wanted or light.file.path == Path(wanted)]
        if not named:
            raise UsageError(f"the reference {wanted!r} is not among the frames", "give the name of a frame, or best")
        return named
    return sorted(kept, key=lambda light: (-(light.score or 0.0), light.file.name))


def _match_all(
    kept: list[Light],
    reference: Light,
    recipe: Recipe,
    listener: Listener,
    known: dict[str, Transform],
    done: _MatchesOfOne,
) -> _MatchesOfOne:
    """Match the frames to a reference; what is `done` already is not done again."""
    measured = _measured(reference)
    target = register.Reference(measured.stars, measured.width, measured.height)
    # known transforms lead to the old reference; both frames' lead from one to the other
    origin = known.get(reference.file.name)

    def work(light: Light) -> Registration | register.NoMatch:
        if light is reference:
            n = len(measured.stars)
            pairs = np.stack([np.arange(n), np.arange(n)], axis=1)
            return Registration(Transform.identity(), n, 0.0, 0.0, pairs)
        hint = None
        if origin is not None and light.file.name in known:
            hint = known[light.file.name].then(origin.inverse())
        match = register.match(_measured(light).stars, target, model=recipe.model, hint=hint)
        return match if hint is None else _with_known_transform(match, hint)

    missing = [light for light in kept if id(light) not in done]
    results = run_in_order(work, missing, n_threads=recipe.threads or n_processors())
    for light, match in zip(missing, results, strict=True):
        done[id(light)] = match
        listener(Event("progress", "register", done=len(done), total=len(kept)))
    return {id(light): done[id(light)] for light in kept}


def _with_known_transform(match: Registration | register.NoMatch, known: Transform) -> Registration:
    """Return the registration with the transform that was loaded; the pairs found now serve the normalisation."""
    if isinstance(match, Registration):
        return Registration(known, match.n_matched, match.rms_px, match.bright_rms_px, match.pairs)
    return Registration(known, 0, float("nan"), float("nan"), np.zeros((0, 2), dtype=np.int64))


def _normalise(kept: list[Light], reference: Light, recipe: Recipe, listener: Listener) -> None:
    for light in kept:
        if not light.is_in or light.registration is None:
            continue
        light.normalisation = normalise.fit_normalisation(
            _measured(light),
            _measured(reference),
            light.registration,
            mode=recipe.normalise,
            surface_order=recipe.surface_order,
        )
        transparency = light.normalisation.transparency
        if recipe.min_transparency is not None and transparency < recipe.min_transparency:
            reason = f"transparency {transparency:.2f} < {recipe.min_transparency:.2f}"
            light.leave_out("select", "not_transparent", reason)
            listener(Event("left_out", "select", f"{light.file.name}: {reason}"))


def _weigh(lights: list[Light], recipe: Recipe) -> None:
    measurements = [_measured(light) for light in lights]
    normalisations = [light.normalisation for light in lights]
    exposures = [light.file.meta.exposure_s for light in lights]
    for light, weight in zip(
        lights, quality.weights(measurements, normalisations, exposures, recipe.weights), strict=True
    ):
        light.weight = float(weight)


def load_transforms(path: Path) -> dict[str, Transform]:
    """
    Return the transforms of an earlier run by frame name (file `transforms.json`).

    Raises
    ------
    UsageError
        If the file is missing or is no such file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {entry["file"]: Transform.from_dict(entry["transform"]) for entry in data["frames"]}
    except OSError as error:
        raise UsageError(
            f"cannot read the transforms {path}: {error.strerror}", "write them with --save-transforms"
        ) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{path} holds no transforms of skyquilt", "write them with --save-transforms") from error
