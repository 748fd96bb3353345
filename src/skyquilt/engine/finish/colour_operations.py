"""Sky and colours: operations on linear light, as a chain calls them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from skyquilt.engine.finish.look import Look
from skyquilt.engine.finish.operation import Operation, Planned, facts_of
from skyquilt.engine.finish.star_colours import catalogue_colours, star_fluxes
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    BalanceSettings,
    BayerSettings,
    GradientSettings,
    LinearColour,
    MatrixSettings,
    NeutralSettings,
    SaturationSettings,
    ScnrSettings,
    choose_cell,
    plan_balance,
    plan_bayer_compensation,
    plan_colour_matrix,
    plan_gradient,
    plan_neutral,
    plan_scnr,
    saturate,
)

__all__ = ["COLOUR_OPERATIONS"]

_UNCERTAIN = 0.005  # of the sky: a person should know


def _linear(plan: LinearColour, facts: dict[str, Any]) -> Planned:
    return Planned.of_pixels(plan.apply, len(plan.offset), facts)


def _gradient(look: Look, settings: GradientSettings) -> Planned:
    cell_px = settings.cell_px or choose_cell(*look.shape[1:])
    model = plan_gradient(look.cells(cell_px), settings)
    facts = {
        "model": model.kind,
        "order": model.order,
        "source": model.source,
        "cell_px": cell_px,
        "sky": facts_of(model.level),
        "range": [facts_of(float(channel.max() - channel.min())) for channel in model.nodes],
        "free": round(float(model.free.mean()), 4),
        "swing": facts_of(round(model.swing, 5)),
    }
    notes: tuple[str, ...] = ()
    if model.swing > _UNCERTAIN:
        hidden, wrong = 100 * (1 - model.free.mean()), 100 * model.swing
        notes = (
            f"objects hide {hidden:.0f} % of the sky: the gradient is continued across them, and may be wrong by"
            f" {wrong:.1f} % of the sky there",
        )
    if model.source != "sky":
        notes = (f"no part of the image is free of emission: the gradient was told by {model.source}, with less truth",)
    return Planned(
        model.apply,
        look.shape[0],
        facts=facts,
        notes=notes,
        model=lambda box: model.evaluate(box.x0, box.y0, box.width, box.height),
    )


def _bayer(look: Look, settings: BayerSettings) -> Planned:
    plan = plan_bayer_compensation(look.background, settings)
    return _linear(plan, {"gains": facts_of(plan.gains), "background": facts_of(look.background.level)})


def _neutral(look: Look, settings: NeutralSettings) -> Planned:
    plan = plan_neutral(look.background, settings)
    facts = {"background": facts_of(look.background.level), "sigma": facts_of(look.background.sigma)}
    return _linear(plan, {**facts, "gains": facts_of(plan.gains), "offsets": facts_of(plan.offset)})


def _balance(look: Look, settings: BalanceSettings) -> Planned:
    """Plan the white balance; by the stars' mean where the catalogue cannot tell, with a note."""
    if settings.method not in ("stars", "catalogue"):
        return _balanced(look, settings, {}, ())
    fluxes = star_fluxes(look)
    facts: dict[str, Any] = {"n_stars": len(fluxes)}
    notes: tuple[str, ...] = () if look.is_whole else ("the stars of the middle of the image tell for all of it",)
    if settings.method == "catalogue":
        colours = catalogue_colours(look, fluxes)
        reason = "the master has no coordinates"
        if colours is not None:
            facts |= {"catalogue": colours.source, "n_catalogue": colours.n_known}
            try:
                return _balanced(
                    look, settings, facts, notes, fluxes=fluxes, colour=colours.colour, colour_error=colours.error
                )
            except NoUsableInput as refusal:
                reason = refusal.message
        notes = (*notes, f"{reason}: the white balance is that of the usual star instead of the catalogue's")
    return _balanced(look, replace(settings, method="stars"), facts, notes, fluxes=fluxes)


def _balanced(
    look: Look, settings: BalanceSettings, facts: dict[str, Any], notes: tuple[str, ...], **stars: Any
) -> Planned:
    plan = plan_balance(look.sample, settings, background=look.background, **stars)
    told = {"method": settings.method, **facts, "gains": facts_of(plan.gains)}
    return replace(_linear(plan, told), notes=notes)


def _matrix(look: Look, settings: MatrixSettings) -> Planned:
    plan = plan_colour_matrix(settings)
    return _linear(plan, {"matrix": facts_of(plan.matrix)})


def _scnr(look: Look, settings: ScnrSettings) -> Planned:
    if settings.method.endswith("mask") and not look.is_picture:
        raise UsageError(
            f"SCNR by {settings.method} is for pictures, and this is linear light", "put scnr after the stretch"
        )
    plan = plan_scnr(look.sample, settings)
    return Planned.of_pixels(plan.apply, 3, {"spared": facts_of(plan.spared), "restored": facts_of(plan.restored)})


def _saturation(look: Look, settings: SaturationSettings) -> Planned:
    if settings.method != "luminance" and not look.is_picture:
        raise UsageError(
            f"saturation by {settings.method} is for pictures, and this is linear light",
            "put saturation after the stretch, or use method luminance",
        )
    return Planned.of_pixels(lambda tile: saturate(tile, settings), 3, asdict(settings))


COLOUR_OPERATIONS = (
    Operation("gradient", "Take off the gradient of the sky.", GradientSettings, _gradient, "linear", keeps_noise=True),
    Operation(
        "bayer",
        "Even out the unequal response of the sensor's filters.",
        BayerSettings,
        _bayer,
        "linear",
        (3,),
        keeps_noise=True,
    ),
    Operation("neutral", "Make the background neutral.", NeutralSettings, _neutral, "linear", (3,), keeps_noise=True),
    Operation("balance", "Balance white.", BalanceSettings, _balance, "linear", (3,), keeps_noise=True),
    Operation("matrix", "Draw the colours of the filters apart.", MatrixSettings, _matrix, "any", (3,)),
    Operation(
        "scnr", "Reduce green, or magenta, that no object has.", ScnrSettings, _scnr, "any", (3,), keeps_noise=True
    ),
    Operation("saturation", "Strengthen or weaken colours.", SaturationSettings, _saturation, "any", (3,)),
)
