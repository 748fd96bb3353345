"""Select, register, normalise, weigh: from measured frames to frames that lie on one canvas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import Event, Listener, Measurement, Registration, Transform
from skyquilt.engine.light import Light
from skyquilt.engine.recipe import Recipe
from skyquilt.errors import NotRegistered, NoUsableInput, UsageError
from skyquilt.steps import normalise, quality, register

__all__ = ["align_lights", "load_transforms", "select_lights"]

_OTHER_REFERENCES = 3


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A reference that was tried, and what could be matched to it."""

    light: Light
    matches: dict[int, Registration | register.NoMatch]

    @property
    def n_registered(self) -> int:
        return sum(isinstance(match, Registration) for match in self.matches.values())


def align_lights(
    lights: Sequence[Light], recipe: Recipe, listener: Listener, known: dict[str, Transform] | None = None
) -> Light:
    """
    Decide which frames take part and how each lies on the reference; return the reference.

    Every frame that is left out gets its reason; the others get score, registration, normalisation and weight.

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
    while kept := [light for light in lights if light.is_in]:
        best = _choose_reference(kept, recipe, listener, known or {})
        if _leave_out_glitches(kept, best, listener):
            continue
        best.light.is_reference = True
        _take_registrations(kept, best, listener)
        _normalise(kept, best.light, recipe, listener)
        _weigh([light for light in kept if light.is_in], recipe)
        return best.light
    return _nothing_left(lights)


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
    measurements = [_measured(light) for light in candidates]
    names = [light.file.name for light in candidates]
    exposures = [light.file.meta.exposure_s for light in candidates]
    scores = quality.score(measurements, names, exposures)
    settings = quality.SelectSettings(
        keep=recipe.keep,
        max_fwhm_px=recipe.max_fwhm_px,
        max_eccentricity=recipe.max_eccentricity,
        min_stars=recipe.min_stars,
        max_background_adu=recipe.max_background_adu,
    )
    for light, quality_of in zip(candidates, scores, strict=True):
        light.score = quality_of.score
    for light, verdict in zip(candidates, quality.select(scores, settings), strict=True):
        if not verdict.kept:
            light.leave_out("select", verdict.code, verdict.reason)
            listener(Event("left_out", "select", f"{light.file.name}: {verdict.reason}"))


def _choose_reference(kept: list[Light], recipe: Recipe, listener: Listener, known: dict[str, Transform]) -> _Candidate:
    """Register everything to the wanted reference; if most frames do not match it, try the next best ones."""
    order = _reference_order(kept, recipe.reference)
    tried: list[_Candidate] = []
    listener(Event("phase", "register", total=len(kept)))
    for light in order[: 1 + _OTHER_REFERENCES]:
        candidate = _Candidate(light, _match_all(kept, light, recipe, known))
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


def _leave_out_glitches(kept: list[Light], best: _Candidate, listener: Listener) -> bool:
    """
    Leave out frames with rows that were not read out properly; return whether the reference is one of them.

    A step between rows that most frames show against the reference is the reference's own.
    """
    others = [
        (kept[k], match)
        for k, match in best.matches.items()
        if isinstance(match, Registration) and kept[k] is not best.light
    ]
    found = [
        (light, step)
        for light, match in others
        if (step := normalise.find_row_step(_measured(light), _measured(best.light), match))
    ]
    is_the_reference = len(found) > 1 and 2 * len(found) > len(others)
    if is_the_reference:
        found = [(best.light, found[0][1])]
    for light, step in found:
        reason = (
            f"its rows from about {step.y} on are {abs(step.height_adu):.0f} ADU off those before, "
            "with a sharp edge that the other frames do not have: a readout glitch"
        )
        light.leave_out("select", "glitch_rows", reason)
        listener(Event("left_out", "select", f"{light.file.name}: {reason}"))
    return is_the_reference


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
    kept: list[Light], reference: Light, recipe: Recipe, known: dict[str, Transform]
) -> dict[int, Registration | register.NoMatch]:
    measured = _measured(reference)
    target = register.Reference(measured.stars, measured.width, measured.height)
    # known transforms lead to the old reference; both frames' lead from one to the other
    origin = known.get(reference.file.name)
    matches: dict[int, Registration | register.NoMatch] = {}
    for index, light in enumerate(kept):
        if light is reference:
            n = len(measured.stars)
            pairs = np.stack([np.arange(n), np.arange(n)], axis=1)
            matches[index] = Registration(Transform.identity(), n, 0.0, 0.0, pairs)
            continue
        hint = None
        if origin is not None and light.file.name in known:
            hint = known[light.file.name].then(origin.inverse())
        match = register.match(_measured(light).stars, target, model=recipe.model, hint=hint)
        if hint is not None:
            match = _with_known_transform(match, hint)
        matches[index] = match
    return matches


def _with_known_transform(match: Registration | register.NoMatch, known: Transform) -> Registration:
    """Return the registration with the transform that was loaded; the pairs found now serve the normalisation."""
    if isinstance(match, Registration):
        return Registration(known, match.n_matched, match.rms_px, match.bright_rms_px, match.pairs)
    return Registration(known, 0, float("nan"), float("nan"), np.zeros((0, 2), dtype=np.int64))


def _take_registrations(kept: list[Light], best: _Candidate, listener: Listener) -> None:
    for done, (index, match) in enumerate(best.matches.items(), start=1):
        light = kept[index]
        if not light.is_in:
            continue
        if isinstance(match, Registration):
            light.registration = match
        else:
            light.leave_out("register", "not_registered", match.reason)
            listener(Event("left_out", "register", f"{light.file.name}: {match.reason}"))
        listener(Event("progress", "register", done=done, total=len(kept)))


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
