"""Masters of several filters made one: LRGB, palettes, continuum-free lines, and the bands of a duo-band filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.finish.look import find_stars
from skyquilt.engine.finish.master import Master, cards_for, open_master
from skyquilt.engine.finish.other_image import Grid, lay_on_grid
from skyquilt.engine.finish.products import Product, check_name, write_product
from skyquilt.engine.products import make_folder
from skyquilt.errors import NoUsableInput, UsageError, VerificationFailed
from skyquilt.steps.finish import (
    AutoStretchSettings,
    ContinuumSettings,
    DuobandSettings,
    LrgbSettings,
    PaletteSettings,
    combine_lrgb,
    combine_palette,
    continuum_scale,
    luminance,
    measure_background,
    measure_star_fluxes,
    plan_continuum_free,
    plan_duoband,
    plan_stretch,
    sample_pixels,
)

__all__ = [
    "Combined",
    "combine_lrgb_masters",
    "combine_palette_masters",
    "separate_bands",
    "subtract_continuum_masters",
]

_BANDS = ("ha", "oiii", "continuum")
_TARGET = 0.2


@dataclass(frozen=True, slots=True)
class Combined:
    """
    What was made of several masters.

    Attributes
    ----------
    outputs : dict of str to Path
    facts : dict
        What was found: how each master was laid on the first, scales, digests; JSON values.
    notes : tuple of str
    """

    outputs: dict[str, Path]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """Masters on the grid of the first, by their roles, float32 (c, y, x) each."""

    first: Master
    planes: dict[str, F32]
    facts: dict[str, Any]

    def write(self, path: Path, pixels: F32, *, is_picture: bool, what: str) -> Path:
        check_name(path)
        make_folder(path.parent)
        channels, height, width = pixels.shape
        cards = cards_for(self.first, Box.of_shape(height, width), is_picture=is_picture, history=(what,))
        product = Product(
            (channels, height, width), lambda: iter([(0, pixels)]), is_picture, self.first.is_bottom_up, cards
        )
        write_product(path, product)
        return path


def _lay(files: Mapping[str, Path], outputs: Sequence[Path], *, linear: bool = True) -> _Laid:
    """Open masters and lay them on the grid of the first."""
    for path in outputs:
        check_name(path)
        if any(path.exists() and source.exists() and path.samefile(source) for source in files.values()):
            raise UsageError(f"{path.name} is one of the masters, which are never changed", "give another name")
    names = list(files)
    if not names:
        raise UsageError("no master is given", "give the files of the bands")
    masters = {name: open_master(path) for name, path in files.items()}
    for master in masters.values():
        if linear and master.is_picture:
            raise UsageError(f"{master.path.name} is stretched already", "give linear masters")
    first = masters[names[0]]
    pixels = first.pixels()
    grid = Grid(first.shape[1:], first.wcs, lambda: find_stars(pixels, first.full_scale))
    planes, facts = {names[0]: pixels}, {names[0]: {"file": first.path.name, "sha256": first.sha256(), "by": "first"}}
    for name in names[1:]:
        other = lay_on_grid(masters[name], grid)
        scale = np.float32(first.full_scale / masters[name].full_scale)
        planes[name] = other.pixels * scale
        facts[name] = {"file": masters[name].path.name, "sha256": other.sha256, "by": other.laid_on_by}
    return _Laid(first, planes, facts)


def _finished(laid: _Laid, files: Mapping[str, Path], outputs: dict[str, Path], **facts: Any) -> Combined:
    for name, path in files.items():
        if file_sha256(path) != laid.facts[name]["sha256"]:
            raise VerificationFailed(f"{path.name} changed while it was read", "run it again")
    return Combined(outputs, {"masters": laid.facts, **facts})


def _mono(laid: _Laid, name: str, channel: int | None = None) -> F32:
    """Return the plane of a mono master; of a colour one the channel that is named, or else none."""
    plane = laid.planes[name]
    if len(plane) == 1:
        return plane
    if channel is None:
        raise UsageError(f"the master given as {name} has {len(plane)} channels, one is expected", "give a mono master")
    return plane[channel : channel + 1]


def combine_lrgb_masters(files: Mapping[str, Path], output: Path, settings: LrgbSettings) -> Combined:
    """
    Write a colour image made of mono masters, or of a colour master, with the luminance of another.

    Parameters
    ----------
    files : mapping of "red", "green", "blue", or "colour"; and "luminance" (may be missing)
    output : Path
        With method "direct", or without a luminance, a linear master; with "lab" or "hsv" a picture.
    settings : LrgbSettings

    Raises
    ------
    UsageError
        If a part is missing.
    NotRegistered
        If one cannot be laid on the first.
    """
    known = {"red", "green", "blue", "colour", "luminance"}
    parts = set(files)
    if parts - known or ("colour" in parts) == bool(parts & {"red", "green", "blue"}):
        raise UsageError("give a colour master, or red, green and blue", "and --luminance FILE if there is one")
    if "colour" not in parts and not {"red", "green", "blue"} <= parts:
        missing = ", ".join(name for name in ("red", "green", "blue") if name not in parts)
        raise UsageError(f"no master of {missing} is given", "give all of red, green and blue")
    order = [name for name in ("luminance", "colour", "red", "green", "blue") if name in parts]
    laid = _lay({name: files[name] for name in order}, [output])
    if "colour" in parts:
        colour = laid.planes["colour"]
        if len(colour) != 3:
            raise UsageError(f"{files['colour'].name} has {len(colour)} channels, not three", "give a colour master")
    else:
        colour = np.concatenate([_mono(laid, name) for name in ("red", "green", "blue")])
    if "luminance" not in parts:
        laid.write(output, colour, is_picture=False, what="skyquilt combine: red, green and blue")
        return _finished(laid, files, {"image": output})
    light = _mono(laid, "luminance")
    if settings.method != "direct":
        target = AutoStretchSettings(target=_TARGET)
        picture = combine_lrgb(_stretched(colour, target), _stretched(light, target), settings)
        laid.write(output, picture, is_picture=True, what=f"skyquilt combine: LRGB by {settings.method}")
        return _finished(laid, files, {"picture": output})
    level = measure_background(sample_pixels(colour)).level.astype(np.float32)[:, None, None]
    sky = measure_background(sample_pixels(light)).level.astype(np.float32)[:, None, None]
    scale = _scale_of_light(laid, colour, light)
    image = combine_lrgb(colour - level, (light - sky) * np.float32(scale), settings) + level
    laid.write(output, image.astype(np.float32), is_picture=False, what="skyquilt combine: LRGB, direct")
    return _finished(laid, files, {"image": output}, luminance_scale=scale)


def _scale_of_light(laid: _Laid, colour: F32, light: F32) -> float:
    """Return the factor that brings the stars of the luminance to those of the colour image."""
    own = luminance(colour)[None]
    both = np.concatenate([own, light])
    return continuum_scale(measure_star_fluxes(both, find_stars(light, laid.first.full_scale)))


def _stretched(image: F32, settings: AutoStretchSettings) -> F32:
    return plan_stretch(sample_pixels(image), settings).apply(image)


def combine_palette_masters(files: Mapping[str, Path], output: Path, settings: PaletteSettings) -> Combined:
    """
    Write narrow bands as a colour image.

    Parameters
    ----------
    files : mapping of "H", "O", "S"
    output : Path
        A linear master, each band above a sky of 0; of a dynamic palette a picture.
    settings : PaletteSettings

    Raises
    ------
    UsageError
        If the palette needs a band that is not given.
    NotRegistered
        If one cannot be laid on the first.
    """
    missing = [band for band in settings.bands if band not in files]
    if missing:
        names = {"H": "H-alpha (--ha)", "O": "OIII (--oiii)", "S": "SII (--sii)"}
        raise UsageError(
            f"the palette {settings.palette} needs {', '.join(names[band] for band in missing)}", "give its master"
        )
    used = {band: files[band] for band in settings.bands}
    laid = _lay(used, [output])
    bands, levels = {}, {}
    is_dynamic = settings.palette.startswith("dynamic")
    for band in used:
        plane = _mono(laid, band)
        if is_dynamic:
            bands[band] = _stretched(plane, AutoStretchSettings(target=_TARGET))
            continue
        levels[band] = float(measure_background(sample_pixels(plane)).level[0])
        bands[band] = plane - np.float32(levels[band])
    image = combine_palette(bands, settings)
    laid.write(output, image, is_picture=is_dynamic, what=f"skyquilt combine: palette {settings.palette}")
    return _finished(laid, used, {"picture" if is_dynamic else "image": output}, sky=levels)


def subtract_continuum_masters(narrow: Path, broad: Path, output: Path, settings: ContinuumSettings) -> Combined:
    """
    Write the line emission of a narrow band: without what a broad band beside it tells of the continuum.

    Raises
    ------
    NoUsableInput
        If the scale is not given and too few stars tell it.
    NotRegistered
        If one cannot be laid on the other.
    """
    files = {"narrow": narrow, "broad": broad}
    laid = _lay(files, [output])
    light = laid.planes["broad"]
    wide = luminance(light)[None] if len(light) == 3 else light
    both = np.concatenate([_mono(laid, "narrow", channel=0), wide])
    fluxes = None
    if settings.scale is None:
        fluxes = measure_star_fluxes(both, find_stars(both[1:], laid.first.full_scale))
    plan = plan_continuum_free(measure_background(sample_pixels(both)), settings, fluxes)
    laid.write(output, plan.apply(both), is_picture=False, what="skyquilt combine: continuum subtracted")
    return _finished(laid, files, {"image": output}, share=-float(plan.matrix[0, 1]))


def separate_bands(master: Path, folder: Path, settings: DuobandSettings) -> Combined:
    """
    Write H-alpha and [OIII] (and continuum) of a colour master behind a duo-band filter as masters of their own.

    Parameters
    ----------
    folder : Path
        Gets ``<name>_ha.fits`` and ``<name>_oiii.fits``.

    Raises
    ------
    NoUsableInput, UsageError
        If the image has not three channels, or no background.
    """
    files = {"colour": master}
    laid = _lay(files, [])
    colour = laid.planes["colour"]
    if len(colour) != 3:
        raise UsageError(f"{master.name} has {len(colour)} channels, not three", "give a colour master")
    background = measure_background(sample_pixels(colour))
    plan = plan_duoband(background, settings)
    if not np.isfinite(plan.matrix).all():
        raise NoUsableInput(f"the bands of {master.name} cannot be told apart", "give a response that fits the sensor")
    lines = plan.apply(colour)
    outputs = {}
    for k, name in zip(range(len(lines)), _BANDS, strict=False):
        path = folder / f"{master.stem}_{name}.fits"
        outputs[name] = laid.write(path, lines[k : k + 1], is_picture=False, what=f"skyquilt combine: {name}")
    noise = np.sqrt((plan.matrix**2) @ background.sigma**2)
    return _finished(laid, files, outputs, matrix=plan.matrix.tolist(), noise=noise.tolist())
