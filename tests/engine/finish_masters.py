"""Small masters for the tests of chains: stars, a galaxy, a tilted sky, an edge without data."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from skyquilt.core import SkyGrid, Wcs
from skyquilt.engine.finish import Master, open_master
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.fits import write_image

HEIGHT, WIDTH = 224, 288
SKY = (0.0096, 0.0107, 0.0093)
NOISE = 0.00025
SCALE_DEG = 3.0 / 3600.0
CENTRE = (314.75, 68.17)
WCS = Wcs(CENTRE, ((WIDTH - 1) / 2, (HEIGHT - 1) / 2), np.array([[-SCALE_DEG, 0.0], [0.0, -SCALE_DEG]]))
SLOPES, ZEROS = (-0.33, 0.45), (0.30, 0.52)  # mag of red and blue against green, at B - V of 0.65


def _star(x: float, y: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    r2 = (columns - x) ** 2 + (rows - y) ** 2
    return (1.0 + r2 / 4.5) ** -3.0


@lru_cache(maxsize=1)
def colour_image() -> np.ndarray:
    """A colour master, float32 (3, y, x): green above, a galaxy, 60 stars, a gradient, 4 columns without data."""
    random = np.random.default_rng(4)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    tilt = 1.0 + 0.06 * (x / WIDTH - 0.5) + 0.04 * (y / HEIGHT - 0.5)
    galaxy = 0.012 * np.exp(-np.hypot((x - 150) / 14.0, (y - 110) / 9.0))
    light = np.stack([SKY[c] * tilt + galaxy * (1.0, 0.9, 0.6)[c] for c in range(3)])
    for _ in range(60):
        at = random.uniform(10, WIDTH - 10), random.uniform(10, HEIGHT - 10)
        peak = 10.0 ** random.uniform(-2.6, -0.9)
        star = _star(*at, (HEIGHT, WIDTH))
        light += peak * star * np.array([random.uniform(0.6, 1.1), 1.0, random.uniform(0.4, 0.9)])[:, None, None]
    image = (light + random.normal(0.0, NOISE, light.shape)).astype(np.float32)
    image[:, :, :4] = np.nan
    return image


def write_master(folder: Path, image: np.ndarray | None = None, *, wcs: Wcs | None = None, name: str = "") -> Path:
    """A master as a stack writes it."""
    image = colour_image() if image is None else image
    height, width = image.shape[-2:]
    cards = [
        ("BUNIT", "adu/65535", "unit of the pixel values"),
        ("OBJECT", "Iris", "target"),
        ("DATE-OBS", "2024-08-01T22:00:00.000", "start"),
        ("ROWORDER", "TOP-DOWN", "order of the rows as stored"),
        ("PROGRAM", "skyquilt test", "made by"),
    ]
    if wcs is not None:
        cards += SkyGrid(wcs, width, height).cards()
    path = folder / (name or "master_linear.fits")
    write_image(path, image if len(image) > 1 else image[0], cards)
    return path


def write_maps(folder: Path) -> Path:
    """The exposure beside it: the 20 upper rows have half of it."""
    coverage = np.full((HEIGHT, WIDTH), 200.0, dtype=np.float32)
    coverage[:20] = 100.0
    write_image(folder / "master_maps.fits", coverage, [("BUNIT", "s", "")])
    return folder / "master_maps.fits"


def opened(folder: Path, image: np.ndarray | None = None) -> Master:
    return open_master(write_master(folder, image))


def catalogue_image(wcs: Wcs, height: int, width: int) -> np.ndarray:
    """The stars of the catalogue through a sensor of known colours, float32 (3, y, x)."""
    entries = open_catalogue().cone(*SkyGrid(wcs, width, height).centre_deg, 1.2, epoch_year=2024.6)
    x, y = wcs.to_pixels(entries.ra_deg, entries.dec_deg)
    colour = 0.850 * (entries.bt_mag - entries.vt_mag)
    image = np.random.default_rng(7).normal(0.0, 2e-5, (3, height, width)) + np.array(SKY)[:, None, None]
    for k in np.flatnonzero((x > 12) & (x < width - 12) & (y > 12) & (y < height - 12) & np.isfinite(colour)):
        row, column = int(y[k]) - 10, int(x[k]) - 10
        star = _star(x[k] - column, y[k] - row, (21, 21))
        green = 0.25 * 10.0 ** (-0.4 * (entries.vt_mag[k] - 8.0))
        shades = [ZEROS[c] + SLOPES[c] * (colour[k] - 0.65) for c in (0, 1)]
        for channel, magnitude in enumerate((shades[0], 0.0, shades[1])):
            part = image[channel, row : row + 21, column : column + 21]
            part += green * 10.0 ** (-0.4 * magnitude) * star
    return np.minimum(image, 1.0).astype(np.float32)
