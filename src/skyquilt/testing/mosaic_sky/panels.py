"""The stacked panels of a mosaic as other programs would hand them over: one solved FITS a pointing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, F64, SkyGrid
from skyquilt.core.sky import unit_vectors
from skyquilt.testing.mosaic_sky.layout import wcs_cards
from skyquilt.testing.mosaic_sky.truth import MosaicTruth
from skyquilt.testing.sky import Card, fits_bytes, structure_cards
from skyquilt.testing.sky.session import write_file
from skyquilt.testing.sky.streams import NOISE, PANELS, random_stream

__all__ = ["StackedPanel", "make_panels"]

_STREAM = 1 << 16  # beside the visits, which the same purpose counts from 0


@dataclass(frozen=True, slots=True, eq=False)
class StackedPanel:
    """
    One stacked panel and its truth.

    Attributes
    ----------
    path : Path or None
        Where it was written.
    panel : int
    grid : SkyGrid
        TAN about the middle of the pointing's frames, no distortion.
    pixels : float32 (n_channels, y, x), ADU
        scale * (stars + nebula) + sky + noise.
    scale : float
        Flux of this panel over the true one.
    sky_adu : float64 (n_channels,), ADU
        At the middle.
    slope : (float, float), 1/px
        Relative rise of the sky's light along x and y.
    curvature : float
        Relative rise of the sky's light to the corners, beside the slope.
    """

    path: Path | None
    panel: int
    grid: SkyGrid
    pixels: F32
    scale: float
    sky_adu: F64
    slope: tuple[float, float]
    curvature: float


def make_panels(
    truth: MosaicTruth,
    folder: Path | None = None,
    *,
    channel: int | None = None,
    scale_scatter: float = 0.1,
    noise: float = 1.0,
) -> tuple[StackedPanel, ...]:
    """
    Return the pointings as finished stacks with true coordinates; each has a sky, a gradient and a scale of its own.

    Parameters
    ----------
    folder : Path or None
        Where to write ``panel_1.fits`` and so on (BITPIX -32); None writes nothing.
    channel : int or None
        One colour alone, as a plane: for programs that take no cubes.
    scale_scatter : float
        Relative scatter of the scale from panel to panel, 1 sigma, clipped at 2.
    noise : float
        Over that of the mean of the pointing's frames; 0 leaves it out.

    Notes
    -----
    Sky and gradient are those of the pointing's first good frame, the seeing is the median of its frames.
    """
    camera = truth.scenario.camera
    channels = range(camera.n_channels) if channel is None else (channel,)
    panels = []
    for panel in sorted({frame.panel for frame in truth.good_frames}):
        frames = [frame for frame in truth.good_frames if frame.panel == panel]
        random = random_stream(camera.night_seed, PANELS, _STREAM + panel)
        scale = 1.0 + scale_scatter * float(np.clip(random.normal(), -2.0, 2.0))
        middle = np.mean([unit_vectors(*frame.grid.centre_deg) for frame in frames], axis=0)
        axes = truth.axes.carried_to(middle / np.linalg.norm(middle))
        centre = (0.5 * (camera.width - 1), 0.5 * (camera.height - 1))
        grid = SkyGrid(axes.wcs(centre, camera.scale_arcsec), camera.width, camera.height)
        y, x = np.mgrid[: camera.height, : camera.width].astype(np.float64)
        fwhm = float(np.median([frame.fwhm_px for frame in frames]))
        light = np.stack([truth.render(grid, c, fwhm_px=fwhm) for c in channels])
        pixels = scale * light + frames[0].sky(x, y)[list(channels)]
        sigma = noise * frames[0].sky_sigma_adu[list(channels)] / np.sqrt(len(frames))
        deviates = random_stream(camera.night_seed, NOISE, _STREAM + panel).standard_normal(pixels.shape)
        pixels = (pixels + sigma[:, None, None] * deviates).astype(np.float32)
        path = None if folder is None else folder / f"panel_{panel + 1}.fits"
        level = frames[0].floor_adu + frames[0].sky_light_adu[list(channels)]
        panels.append(StackedPanel(path, panel, grid, pixels, scale, level, frames[0].slope, frames[0].curvature))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, _panel_bytes(truth, panels[-1], len(frames)), frames[0].start)
    return tuple(panels)


def _panel_bytes(truth: MosaicTruth, panel: StackedPanel, n_frames: int) -> bytes:
    """Return the FITS file of a panel; one channel is a plane, more are a cube."""
    camera = truth.scenario.camera
    pixels = panel.pixels[0] if len(panel.pixels) == 1 else panel.pixels
    cards = [
        *structure_cards(pixels),
        Card("OBJECT", f"{camera.target} {panel.panel + 1}", "panel of a mosaic"),
        Card("EXPTIME", n_frames * camera.exposure_s, "[s] total exposure"),
        Card("STACKCNT", n_frames, "stacked frames"),
        *wcs_cards(panel.grid),
    ]
    return fits_bytes(cards, pixels)
