"""Bands: H-alpha and [OIII] told apart, palettes, a luminance from another file; as a chain calls them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.engine.finish.look import Look
from skyquilt.engine.finish.operation import Operation, Planned, facts_of
from skyquilt.engine.finish.other_image import Grid, read_on_grid
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    AutoStretchSettings,
    DuobandSettings,
    LrgbSettings,
    PaletteSettings,
    combine_lrgb,
    combine_palette,
    plan_duoband,
    plan_stretch,
    sample_pixels,
)

__all__ = ["BAND_OPERATIONS", "LuminanceSettings", "PaletteOfChannels"]


@dataclass(frozen=True, slots=True)
class PaletteOfChannels(PaletteSettings):
    """
    A palette, and which channel is which band.

    Attributes
    ----------
    bands_in_order : str
        The letters of the bands of the image's channels: H, O and S.
    level : float, 0 to 10
        Bands are brought to the same noise first, and this many times at most: [OIII] is often faint. 0 leaves them.
    """

    palette: str = "HOO"
    bands_in_order: str = "HO"
    level: float = 0.0

    def __post_init__(self) -> None:
        PaletteSettings.__post_init__(self)
        letters = self.bands_in_order
        if not letters or set(letters) - set("HOS") or len(set(letters)) != len(letters):
            raise UsageError(f"bands of {letters!r} cannot be meant", "give each of H, O, S at most once, such as HO")
        if not 0.0 <= self.level <= 10.0:
            raise UsageError(f"a level of {self.level:g} is out of range", "give 0 to 10")


@dataclass(frozen=True, slots=True)
class LuminanceSettings(LrgbSettings):
    """
    A luminance from another file, and how it is put in.

    Attributes
    ----------
    luminance : str
        File of a mono image: FITS or XISF (linear, it is stretched to the same background as the picture), PNG or TIFF
        (a picture). Laid on the image by the coordinates of both, or else of the same size.
    """

    luminance: str = ""

    def __post_init__(self) -> None:
        LrgbSettings.__post_init__(self)
        if not self.luminance:
            raise UsageError("lrgb needs a luminance", "name its file: luminance=FILE")


def _duoband(look: Look, settings: DuobandSettings) -> Planned:
    plan = plan_duoband(look.background, settings)
    noise = np.sqrt((plan.matrix**2) @ look.background.sigma**2)
    facts = {"matrix": facts_of(plan.matrix), "offset": facts_of(plan.offset), "noise": facts_of(noise)}
    return Planned.of_pixels(plan.apply, len(plan.offset), facts)


def _palette(look: Look, settings: PaletteOfChannels) -> Planned:
    bands = settings.bands_in_order
    if look.shape[0] < len(bands):
        raise UsageError(
            f"the image has {look.shape[0]} channels, the bands {bands} are {len(bands)}",
            "separate the bands first (duoband), or give bands_in_order",
        )
    if settings.palette.startswith("dynamic") and not look.is_picture:
        raise UsageError(f"the palette {settings.palette} is for pictures", "put palette after the stretch")
    factor = np.ones(len(bands), dtype=np.float32)
    if settings.level and not look.is_picture:
        sigma = look.background.sigma[: len(bands)]
        factor = np.clip(sigma.max() / np.maximum(sigma, 1e-30), 1.0, settings.level).astype(np.float32)

    def apply(tile: F32) -> F32:
        planes = {letter: tile[k : k + 1] * factor[k] for k, letter in enumerate(bands)}
        return combine_palette(planes, settings)

    return Planned.of_pixels(apply, 3, {"bands": list(bands), "factors": facts_of(factor)})


def _luminance(look: Look, settings: LuminanceSettings) -> Planned:
    path = look.around.folder / Path(settings.luminance).expanduser()
    wcs = None if look.around.wcs is None else look.around.wcs.shifted(look.box.x0, look.box.y0)
    other = read_on_grid(path, Grid(look.shape[1:], wcs, lambda: look.stars))
    light = other.pixels
    if len(light) != 1:
        raise UsageError(f"{path.name} has {len(light)} channels, a luminance has one", "give a mono image")
    if not np.isfinite(light).any():
        raise NoUsableInput(f"{path.name} does not overlap the image", "check that both show the same field")
    facts: dict[str, Any] = {"luminance": path.name, "sha256": other.sha256, "laid_on_by": other.laid_on_by}
    if other.is_linear and look.is_picture:
        target = float(np.clip(np.nanmedian(look.sample.mean(axis=0)), 0.01, 0.9))
        light = plan_stretch(sample_pixels(light), AutoStretchSettings(target=target)).apply(light)
        facts["stretched_to"] = round(target, 4)

    def apply(tile: F32, x0: int, y0: int) -> F32:
        box = Box(x0, y0, x0 + tile.shape[2], y0 + tile.shape[1])
        part = light[:, box.y0 : box.y1, box.x0 : box.x1]
        part = np.where(np.isfinite(part), part, np.einsum("c,cyx->yx", _EQUAL, tile)[None])
        return combine_lrgb(tile, part.astype(np.float32), settings)

    return Planned(apply, 3, facts=facts)


_EQUAL = np.full(3, 1.0 / 3.0, dtype=np.float32)

BAND_OPERATIONS = (
    Operation(
        "duoband", "Tell H-alpha from [OIII] behind a duo-band filter.", DuobandSettings, _duoband, "linear", (3,)
    ),
    Operation("palette", "Show bands as red, green and blue.", PaletteOfChannels, _palette, "any"),
)
LUMINANCE = Operation(
    "lrgb", "Exchange the luminance for that of another file.", LuminanceSettings, _luminance, "any", (3,)
)
