"""The classical filters, as a chain calls them."""

from __future__ import annotations

from skyquilt.engine.finish.look import Look
from skyquilt.engine.finish.operation import Operation, Planned, facts_of
from skyquilt.steps.finish import SmoothSettings, plan_smooth

__all__ = ["SMOOTH"]


def _smooth(look: Look, settings: SmoothSettings) -> Planned:
    plan = plan_smooth(look.sample, settings)
    return Planned.of_places(plan, look.shape[0], halo=plan.halo, facts={"noise": facts_of(plan.background.sigma)})


SMOOTH = Operation(
    "smooth", "Smooth the background by a median, Gaussian or bilateral filter.", SmoothSettings, _smooth
)
