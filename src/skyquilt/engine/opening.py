"""
The first frames of a session decide for all of it: the rule of the schedule "live".

A live stack cannot wait for its last frame. So everything that several frames have to say together is said by the
opening, the first frames that were taken: which frame is the reference, which frames are outliers, where stars
saturate, which pixels are hot, what a picture without trails looks like, and from which interval the rejection starts.
Every later frame is then judged by the opening and by the frames before it, never by one that follows. So the result of
n frames is a moment on the way to that of more, and a run over a finished folder comes by the same moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skyquilt.core import F64, Event, Listener, Measurement, Registration
from skyquilt.engine.align import PLACED, align_lights, glitch_of, select_settings
from skyquilt.engine.glare import find_glare, tell_glare
from skyquilt.engine.light import Light
from skyquilt.engine.placing import SkyPlacer
from skyquilt.engine.recipe import Recipe
from skyquilt.errors import NotRegistered, NoUsableInput, UsageError
from skyquilt.steps import normalise, quality, register

__all__ = [
    "LARGEST_OPENING",
    "LOOKED_AT",
    "Opening",
    "align_in_order",
    "check_live_recipe",
    "follow",
    "opening_size",
]

_SIZES = (2, 3, 4, 6, 8, 10)
LARGEST_OPENING = _SIZES[-1]
LOOKED_AT = 5
"""Frames, the first ones, that are looked at before any is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """
    What the first frames of a session decided.

    Attributes
    ----------
    frames : tuple of Light
        All frames that had a say.
    reference : Light
    glare : float64 (n, 2)
        Stars that saturate in some frame of the opening, px (x, y) of the reference.
    """

    frames: tuple[Light, ...]
    reference: Light
    glare: F64

    @property
    def kept(self) -> list[Light]:
        """Those that take part in the stack."""
        return [light for light in self.frames if light.is_in]


def opening_size(n_frames: int) -> int:
    """Return how many of the first frames decide when there are `n_frames`: 2, 3, 4, 6, 8, 10."""
    return max((size for size in _SIZES if size <= n_frames), default=n_frames)


def check_live_recipe(recipe: Recipe) -> None:
    """
    Refuse the settings that need all frames at once.

    Raises
    ------
    UsageError
    """
    if recipe.schedule not in ("auto", "live"):
        raise UsageError(f"--schedule {recipe.schedule}: a live stack has the schedule live", "leave it out")
    needs_all = (
        (recipe.keep < 1, f"--keep {recipe.keep:g}", "leave it out, or set limits such as --max-fwhm-px"),
        (recipe.framing.strip().lower() != "reference", f"--framing {recipe.framing}", "use --framing reference"),
        (recipe.combine not in ("mean", "sum"), f"--combine {recipe.combine}", "use --combine mean"),
    )
    for is_set, setting, hint in needs_all:
        if is_set:
            raise UsageError(f"{setting} needs all frames at once, a live stack never has them", hint)


def align_in_order(
    lights: Sequence[Light], recipe: Recipe, listener: Listener, placer: SkyPlacer | None = None
) -> Opening:
    """
    Decide which frames take part and how each lies on the reference, in the order in which they were taken.

    Every frame that is left out gets its reason; the others get score, registration, normalisation and weight.

    Raises
    ------
    NoUsableInput, NotRegistered
        If no two frames of the opening match. Twelve such frames are left out and the next ones are the opening.
    UsageError
        If the named reference is not in the opening.
    """
    measured = [light for light in lights if light.is_in]
    while True:
        frames = measured[: opening_size(len(measured))]
        try:
            reference = align_lights(frames, recipe, listener, placer=placer)
            break
        except (NoUsableInput, NotRegistered) as error:
            if len(measured) <= LARGEST_OPENING:
                raise
            for light in frames:
                if light.is_in:
                    light.leave_out("register", "not_registered", error.message)
            measured = measured[len(frames) :]
    opening = Opening(tuple(frames), reference, find_glare([light for light in frames if light.is_in], reference))
    for light in opening.kept:
        light.weight = _weight(light, reference, recipe)
    for light in measured[len(frames) :]:
        follow(light, opening, recipe, listener, placer)
    return opening


def follow(light: Light, opening: Opening, recipe: Recipe, listener: Listener, placer: SkyPlacer | None = None) -> None:
    """Decide on one measured frame after the opening: leave it out, or say how it lies on the reference."""
    for judge in (_select, _register, _normalise):
        code, reason = judge(light, opening, recipe, placer)
        if code:
            stage = "register" if code == "not_registered" else "select"
            light.leave_out(stage, code, reason)
            listener(Event("left_out", stage, f"{light.file.name}: {reason}"))
            return
    light.weight = _weight(light, opening.reference, recipe)
    tell_glare(light, opening.glare)


def _measured(light: Light) -> Measurement:
    assert light.measurement is not None, "a light that is still in has been measured"
    return light.measurement


def _select(light: Light, opening: Opening, recipe: Recipe, placer: SkyPlacer | None) -> tuple[str, str]:
    """Judge the figures of a frame among those of the opening."""
    together = [*opening.frames, light]
    scores = quality.score(
        [_measured(one) for one in together],
        [one.file.name for one in together],
        [one.file.meta.exposure_s for one in together],
    )
    light.score = scores[-1].score
    verdict = quality.select(scores, select_settings(recipe))[-1]
    return ("", "") if verdict.kept else (verdict.code, verdict.reason)


def _register(light: Light, opening: Opening, recipe: Recipe, placer: SkyPlacer | None) -> tuple[str, str]:
    """Match the stars of a frame to those of the reference; what cannot be matched may have a place on the sky."""
    reference = opening.reference
    measured = _measured(reference)
    target = register.Reference(measured.stars, measured.width, measured.height)
    match = register.match(_measured(light).stars, target, model=recipe.model)
    if not isinstance(match, Registration) and placer is not None:
        placed = placer.register(light, reference)
        if isinstance(placed, Registration):
            near = register.match(_measured(light).stars, target, model=recipe.model, hint=placed.transform)
            match = near if isinstance(near, Registration) else placed
            light.notes.append(PLACED)
        elif placed.figures.get("apart_deg") is not None:
            match = replace(match, reason=placed.reason)
    if not isinstance(match, Registration):
        return "not_registered", match.reason
    step = normalise.find_row_step(_measured(light), measured, match)
    if step is not None:
        return "glitch_rows", glitch_of(step)
    light.registration = match
    return "", ""


def _normalise(light: Light, opening: Opening, recipe: Recipe, placer: SkyPlacer | None) -> tuple[str, str]:
    """Bring a frame to the level of the reference."""
    assert light.registration is not None
    light.normalisation = normalise.fit_normalisation(
        _measured(light),
        _measured(opening.reference),
        light.registration,
        mode=recipe.normalise,
        surface_order=recipe.surface_order,
    )
    transparency = light.normalisation.transparency
    if recipe.min_transparency is not None and transparency < recipe.min_transparency:
        return "not_transparent", f"transparency {transparency:.2f} < {recipe.min_transparency:.2f}"
    return "", ""


def _weight(light: Light, reference: Light, recipe: Recipe) -> float:
    """Return the weight of a frame over that of the reference; what is unknown of one is taken from the other."""
    pair = (light, reference)
    weights = quality.weights(
        [_measured(one) for one in pair],
        [one.normalisation for one in pair],
        [one.file.meta.exposure_s for one in pair],
        recipe.weights,
        relative=False,
    )
    return float(weights[0] / weights[1])
