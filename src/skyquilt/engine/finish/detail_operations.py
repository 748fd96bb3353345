"""Noise, sharpness, stars and local contrast, as a chain calls them; and masks for any step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.engine.finish.look import Look
from skyquilt.engine.finish.operation import Operation, Plan, Planned, facts_of
from skyquilt.errors import UsageError
from skyquilt.steps.finish import (
    ContrastSettings,
    DeconvolutionSettings,
    DenoisePlan,
    DenoiseSettings,
    ImageStars,
    MaskSettings,
    NoiseCells,
    SeparationPlan,
    SeparationSettings,
    blend,
    luminance_weights,
    measure_noise,
    plan_contrast,
    plan_deconvolution,
    plan_denoise,
    plan_mask,
    read_plane_noise,
)

__all__ = ["DETAIL_OPERATIONS", "StarsSettings", "masked"]

_PART = "stars and noise of the middle of the image tell for all of it"
_BAND_ROWS = 512  # whole cells of the noise


@dataclass(frozen=True, slots=True)
class StarsSettings(SeparationSettings):
    """
    Stars apart from the rest, and how much of both is kept.

    Attributes
    ----------
    star_share : float, 0 to 2
        The light of the stars, times this. 0: an image without stars; 0.5: smaller, fainter ones.
    rest_share : float, 0 to 2
        The rest, times this. 0: the stars alone.
    """

    star_share: float = 0.0
    rest_share: float = 1.0

    def __post_init__(self) -> None:
        SeparationSettings.__post_init__(self)
        for name in ("star_share", "rest_share"):
            if not 0.0 <= getattr(self, name) <= 2.0:
                raise UsageError(f"a {name} of {getattr(self, name):g} is out of range", "give 0 to 2")


def _placed(look: Look, plan: Plan, *, halo: int, facts: dict[str, Any]) -> Planned:
    """Return an operation that was planned on the part: it counts its pixels from there."""
    _, left, top = look.part
    notes = () if look.is_whole else (_PART,)
    return Planned(
        lambda tile, x0, y0: plan.apply(tile, x0 - left, y0 - top), look.shape[0], halo, facts=facts, notes=notes
    )


def _told(stars: ImageStars) -> dict[str, Any]:
    n_channels = len(stars.psf.profile)
    widths = [round(float(stars.psf.fwhm_px(channel)), 3) for channel in range(n_channels)]
    return {"n_stars": len(stars.points), "fwhm_px": widths, "noise": facts_of(stars.noise.pixel_sigma())}


def _noise(look: Look, settings: DenoiseSettings) -> Planned:
    """Plan the noise reduction: by the master's map of the variance where there is one that still holds."""
    variance = look.variance
    if look.is_whole:
        seen = None if variance is None else variance(Box.of_shape(*look.shape[1:]))
        plan = plan_denoise(look.part[0], settings, seen)
    else:
        plan = _plan_by_bands(look, settings)
    facts = {"weights": facts_of(plan.weights), "by_variance": variance is not None}
    if variance is None:
        facts["noise"] = facts_of(plan.noise.pixel_sigma())
        return Planned.of_places(plan, look.shape[0], halo=plan.halo, facts=facts)

    def apply(tile: F32, x0: int, y0: int) -> F32:
        return plan.apply(tile, x0, y0, variance(Box(x0, y0, x0 + tile.shape[2], y0 + tile.shape[1])))

    return Planned(apply, look.shape[0], plan.halo, facts)


def _plan_by_bands(look: Look, settings: DenoiseSettings) -> DenoisePlan:
    """Return the plan of an image of which a band at a time is in memory: its noise follows the depth everywhere."""
    _, height, width = look.shape
    weights = luminance_weights(look.part[0])
    bands = [Box(0, y, width, min(y + _BAND_ROWS, height)) for y in range(0, height, _BAND_ROWS)]
    cells = [
        read_plane_noise(
            look.image.read(band), weights, settings, None if look.variance is None else look.variance(band)
        )
        for band in bands
    ]
    return DenoisePlan(settings, weights, measure_noise(NoiseCells.joined(cells)))


def _deconvolution(look: Look, settings: DeconvolutionSettings) -> Planned:
    stars = look.image_stars()
    plan = plan_deconvolution(stars, settings)
    target = [round(plan.fwhm_px(channel), 3) for channel in range(look.shape[0])]
    return _placed(look, plan, halo=plan.halo, facts={**_told(stars), "to_fwhm_px": target})


@dataclass(frozen=True, slots=True)
class _Shares:
    """A separation and how much of both parts is kept."""

    separation: SeparationPlan
    settings: StarsSettings

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32:
        rest, stars = self.separation.apply(tile, x0, y0)
        out: F32 = rest * np.float32(self.settings.rest_share)
        out += stars * np.float32(self.settings.star_share)
        return out


def _stars(look: Look, settings: StarsSettings) -> Planned:
    stars = look.image_stars(settings.stars)
    plain = SeparationSettings(settings.stars, settings.core_sigma, settings.noise, settings.seed)
    plan = SeparationPlan(plain, stars)
    return _placed(look, _Shares(plan, settings), halo=plan.halo, facts=_told(stars))


def _contrast(look: Look, settings: ContrastSettings) -> Planned:
    stars = look.image_stars()
    plan = plan_contrast(look.part[0], SeparationPlan(SeparationSettings(), stars), settings)
    return _placed(look, plan, halo=plan.halo, facts=_told(stars))


def masked(look: Look, planned: Planned, settings: MaskSettings, *, is_inverted: bool) -> Planned:
    """
    Return an operation that is done within a mask alone.

    Raises
    ------
    UsageError
        If the operation cuts out, or changes the number of channels.
    NoUsableInput
        If the mask cannot be made of this image.
    """
    if planned.box is not None or planned.n_channels != look.shape[0]:
        raise UsageError("a mask cannot hold back what changes the size or the channels of an image", "leave mask out")
    plan = plan_mask(look.part[0], look.image_stars(), settings)
    _, left, top = look.part

    def apply(tile: F32, x0: int, y0: int) -> F32:
        mask = plan.apply(tile, x0 - left, y0 - top)
        after = planned.apply(tile, x0, y0)
        return blend(tile, after, np.float32(1.0) - mask if is_inverted else mask)

    facts = {**planned.facts, "mask": {"kind": settings.kind, "is_inverted": is_inverted}}
    return replace(planned, apply=apply, halo=max(planned.halo, plan.halo), facts=facts)


DETAIL_OPERATIONS = (
    Operation("deconvolution", "Sharpen by the profile of the stars.", DeconvolutionSettings, _deconvolution, "linear"),
    Operation("noise", "Reduce noise where nothing is significant.", DenoiseSettings, _noise, "linear"),
    Operation("stars", "Take stars out, or make them fainter, or keep them alone.", StarsSettings, _stars, "linear"),
    Operation("contrast", "Lift local contrast, between the stars.", ContrastSettings, _contrast, "linear"),
)
