"""One group on its way through a run: what the phases share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F64, Box, LeftOut, LightGroup, Listener, Session
from skyquilt.engine.calibration import Calibrator
from skyquilt.engine.integration import IntegrationJob
from skyquilt.engine.light import Light
from skyquilt.engine.opening import Opening
from skyquilt.engine.placing import SkyPlacer
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.result import Plan, RunOptions
from skyquilt.engine.sampling import Sampling

__all__ = ["SCRATCH", "Arrangement", "GroupRun", "scratch_of"]

SCRATCH = ".skyquilt"


def scratch_of(folder: Path, options: RunOptions) -> Path:
    """Return where a mosaic works whose products go to `folder`: there, or in a folder of that name elsewhere."""
    return (folder if options.scratch is None else options.scratch / folder.name) / SCRATCH


@dataclass(frozen=True, slots=True)
class Arrangement:
    """
    How the frames of a group lie on their canvas: decided after the registration.

    Attributes
    ----------
    opening : Opening or None
        Of a live stack: the frames that decided for all.
    """

    reference: Light
    sampling: Sampling
    canvas: Box
    plan: Plan
    opening: Opening | None = None

    @property
    def reference_sky_adu(self) -> F64:
        """Sky level of the reference, one a channel of its measurement."""
        assert self.reference.measurement is not None
        background = self.reference.measurement.background
        return np.asarray(np.nanmedian(background.reshape(len(background), -1), axis=1), dtype=np.float64)


@dataclass(eq=False)
class GroupRun:
    """
    A group with everything a run needs to stack it.

    Attributes
    ----------
    folder : Path
        Where the products of the group go; scratch lies in its `.skyquilt`.
    lights : list of Light
        All of them, those that were left out included.
    strays : list of LeftOut
        Files that belong to no group; the manifest tells of them.
    placer : SkyPlacer
        Tells where on the sky a frame lies.
    """

    session: Session
    group: LightGroup
    folder: Path
    recipe: Recipe
    options: RunOptions
    listener: Listener
    strays: list[LeftOut]
    n_threads: int
    budget: int
    calibrator: Calibrator
    lights: list[Light]
    placer: SkyPlacer

    @property
    def scratch(self) -> Path:
        return self.folder / SCRATCH

    @property
    def kept(self) -> list[Light]:
        return [light for light in self.lights if light.is_in]

    @property
    def full_scale_adu(self) -> float:
        """The ADU that become 1 in the normalised unit: the largest value the frames can hold, 1 for floats."""
        known = [light.file.meta.saturation_adu for light in self.kept]
        return max((value for value in known if np.isfinite(value)), default=1.0)

    @property
    def saturation_adu(self) -> float | None:
        """The lowest value at which a pixel of the frames that are in can be saturated, ADU; None for floats."""
        lowest = min((light.saturation_adu for light in self.kept), default=np.inf)
        return lowest if np.isfinite(lowest) else None

    def job(self, arrangement: Arrangement) -> IntegrationJob:
        """Return the integration of the frames that are in."""
        return IntegrationJob(
            lights=self.kept,
            sampling=arrangement.sampling,
            recipe=self.recipe,
            canvas=arrangement.canvas,
            tile=arrangement.plan.tile,
            schedule=arrangement.plan.schedule,
            n_threads=arrangement.plan.n_threads,
            reference_sky_adu=arrangement.reference_sky_adu,
            n_first=None if arrangement.opening is None else len(arrangement.opening.kept),
        )
