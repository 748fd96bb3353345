"""The `process` and `color` commands of dwarf3 as chains: same flags, skyquilt's operations."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skyquilt.engine.finish.chain import Chain
from skyquilt.errors import NoUsableInput, UsageError

__all__ = ["color_chain", "find_colour_master", "process_chain"]

_NEARLY_STRAIGHT = 0.01
_WHITE = 0.9998  # dwarf3 took 0.999, which in a field of few stars is the noise of the sky
_CELL_PX, _LEAST_CELLS, _SMALLEST_PX = 128, 8, 8
_MASTERS = ("master_rgb.fits", "master_linear.fits", "mosaic_linear.fits")


def process_chain(
    *,
    subtract_background: bool = True,
    cell_px: int | None = None,
    shape: tuple[int, int] | None = None,
    stretch: str = "two_stage",
    contrast: bool = True,
    contrast_scale: float = 100.0,
    contrast_strength: float = 0.3,
    noise_method: str | None = None,
    noise_size: int = 3,
    colourmap: str | None = None,
) -> Chain:
    """
    Return the chain of ``dwarf3 process``: background, noise, stretch, local contrast, colours.

    Parameters
    ----------
    cell_px : int or None
        Side of a cell of the background; None: 128, or an eighth of the shorter side of an image of that `shape`.
    stretch : "single" or "two_stage"
    noise_method : "median", "gaussian", "bilateral" or None
        None: no noise reduction.
    """
    chain = Chain()
    if subtract_background:
        if cell_px is None:
            fitting = _CELL_PX if shape is None else min(shape) // (2 * _LEAST_CELLS) * 2
            cell_px = max(_SMALLEST_PX, min(_CELL_PX, fitting))
        chain = chain.with_step("gradient", model="mesh", cell_px=cell_px)
    if noise_method is not None:
        chain = chain.with_step("smooth", method=noise_method, size_px=noise_size)
    if contrast and contrast_strength > 0.0:
        chain = chain.with_step("contrast", **_contrast(contrast_scale, contrast_strength))
    chain = chain.with_step("asinh_stretch" if stretch == "single" else "two_stage_stretch")
    return chain.with_step("colourmap", name=colourmap) if colourmap is not None else chain


def _contrast(scale_px: float, strength: float) -> dict[str, Any]:
    """Return settings of local contrast whose largest structure is about that of an unsharp mask of `scale_px`."""
    largest = 1
    while largest < 6 and 2 ** (largest + 1) <= max(scale_px, 2.0):
        largest += 1
    return {"strength": strength, "largest": largest, "smallest": min(3, largest)}


def color_chain(
    *,
    luminance: Path | None = None,
    balance: str = "stars",
    gains: Iterable[float] | None = None,
    scnr: float = 0.0,
    background: str = "none",
    chroma_boost: float = 1.2,
    stretch: float = 0.1,
    lrgb_method: str = "lab",
    is_stretched: bool = True,
    mode: str = "default",
    saturation: float = 1.0,
) -> Chain:
    """
    Return the chain of ``dwarf3 color``: background, white balance, green, stretch, LRGB, saturation.

    Parameters
    ----------
    gains : three floats or None
        Instead of a white balance.
    background : "none", "mild" or "strong"
        A plane, or a curved surface with nebulae and galaxies spared.
    stretch : float
        Where the curve bends, of the range from black to white: 1 / strength of the asinh.
    is_stretched : bool
        False: the picture runs straight from black to white.
    mode : "default" or "galaxy"
        "galaxy" takes a strong background off, and green by 0.5, where these are not asked for otherwise, and sets the
        sky darker.
    """
    if not stretch > 0.0:
        raise UsageError(f"a stretch of {stretch:g} is out of range", "give a number above 0, such as 0.1")
    if mode == "galaxy":
        background = "strong" if background == "none" else background
        scnr = scnr or 0.5
    chain = Chain()
    if background != "none":
        chain = chain.with_step("gradient", order=1 if background == "mild" else 2)
    if gains is not None:
        chain = chain.with_step("balance", method="manual", gains=list(gains))
    elif balance != "none":
        chain = chain.with_step("balance", method=balance)
    chain = chain.with_step("neutral")
    if scnr:
        chain = chain.with_step("scnr", strength=scnr)
    curve: dict[str, Any] = {"white_quantile": _WHITE, "colours": "linked"}
    curve["strength"] = 1.0 / stretch if is_stretched else _NEARLY_STRAIGHT
    curve["black_sigma"] = 0.5 if mode == "galaxy" else -1.5
    chain = chain.with_step("asinh_stretch", **curve)
    if luminance is not None:
        chain = chain.with_step("lrgb", luminance=str(luminance.resolve()), method=lrgb_method, chroma=chroma_boost)
    return chain.with_step("saturation", factor=saturation, method="hsv") if saturation != 1.0 else chain


def find_colour_master(place: Path) -> Path:
    """
    Return the master to colour: the file itself, or the only colour master below a session folder.

    Raises
    ------
    NoUsableInput
        If there is none, or more than one.
    """
    if not place.is_dir():
        return place
    found = sorted(path for name in _MASTERS for path in place.rglob(name))
    if not found:
        raise NoUsableInput(f"there is no master below {place}", f"stack the session first: skyquilt stack {place}")
    if len(found) > 1:
        raise NoUsableInput(
            f"there are {len(found)} masters below {place}: {', '.join(str(p.relative_to(place)) for p in found[:4])}",
            "give the file of one of them",
        )
    return found[0]
