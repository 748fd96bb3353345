"""Pictures for the mock server: a galaxy among stars, and one too large for memory that is made tile by tile."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

TILE = 512
F32 = NDArray[np.float32]


class Picture(Protocol):
    """Pixels asked for by level and box; unknown ones are NaN."""

    width: int
    height: int
    channels: int

    def box(self, level: int, x0: int, y0: int, x1: int, y1: int) -> F32:
        """Return (y, x, c) pixels of a level; the box may reach one pixel over its edges."""
        ...


@dataclass
class Held:
    """A picture in memory, (y, x, c)."""

    pixels: F32

    def __post_init__(self) -> None:
        self.height, self.width, self.channels = self.pixels.shape
        self.levels = [self.pixels]
        while max(self.levels[-1].shape[:2]) > TILE:
            last = self.levels[-1]
            padded = np.pad(last, ((0, last.shape[0] % 2), (0, last.shape[1] % 2), (0, 0)), mode="edge")
            h, w, c = padded.shape
            self.levels.append(padded.reshape(h // 2, 2, w // 2, 2, c).mean(axis=(1, 3)).astype(np.float32))

    def box(self, level: int, x0: int, y0: int, x1: int, y1: int) -> F32:
        pixels = self.levels[level]
        rows = np.clip(np.arange(y0, y1), 0, pixels.shape[0] - 1)
        columns = np.clip(np.arange(x0, x1), 0, pixels.shape[1] - 1)
        return pixels[rows][:, columns]


@dataclass
class Endless:
    """A large picture by formula: waves of many lengths on a grid of spots."""

    width: int = 20_000
    height: int = 20_000
    channels: int = 3

    def box(self, level: int, x0: int, y0: int, x1: int, y1: int) -> F32:
        scale = 2**level
        y = ((np.arange(y0, y1) + 0.5) * scale)[:, None]
        x = ((np.arange(x0, x1) + 0.5) * scale)[None, :]
        sky = 0.02 + 0.004 * np.sin(x / 3000) * np.cos(y / 2300)
        spots = 0.5 * np.exp(
            -(((x + 0.13 * y) % 377 - 188) ** 2 + ((y + 0.07 * x) % 409 - 204) ** 2) / (2 * (5 + scale) ** 2)
        )
        return np.stack([sky + spots, sky * 1.1 + spots * 0.8, sky * 0.9 + spots * 0.6], axis=-1).astype(np.float32)


def galaxy(width: int = 2400, height: int = 1600, seed: int = 5, noise: float = 2.5e-4) -> F32:
    """Return a spiral galaxy among stars on a sloping sky, 1 = full scale; an unexposed corner is NaN."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = width * 0.52, height * 0.48
    u = ((x - cx) * 0.82 + (y - cy) * 0.57) / (height * 0.10)
    v = (-(x - cx) * 0.57 + (y - cy) * 0.82) / (height * 0.068)
    r = np.hypot(u, v) + 1e-3
    angle = np.arctan2(v, u)
    arms = np.cos(2 * angle - 3.4 * np.log(r + 0.2)) * np.exp(-r / 2.2)
    disc, bulge = np.exp(-r / 1.5), np.exp(-((r / 0.28) ** 0.8))
    clumps = np.repeat(np.repeat(rng.gamma(0.6, 1.6, (height // 20 + 1, width // 20 + 1)), 20, 0), 20, 1)[
        :height, :width
    ]
    clumps = gaussian_filter(clumps.astype(np.float32), 7)
    knots = np.clip(arms, 0, None) * (0.35 + clumps)
    red = 0.010 * disc + 0.05 * bulge + 0.006 * knots
    green = 0.009 * disc + 0.045 * bulge + 0.007 * knots
    blue = 0.008 * disc + 0.035 * bulge + 0.012 * knots
    picture = np.stack([red, green, blue])
    n_stars = width * height // 1600
    flux = 10 ** rng.uniform(-3.2, -0.1, n_stars) ** 1.0 * rng.power(0.35, n_stars)
    colour = rng.normal(0.0, 0.25, n_stars)
    for sx, sy, f, c in zip(rng.uniform(0, width, n_stars), rng.uniform(0, height, n_stars), flux, colour, strict=True):
        x0, y0 = int(sx) - 11, int(sy) - 11
        xs, ys = np.arange(max(x0, 0), min(x0 + 23, width)), np.arange(max(y0, 0), min(y0 + 23, height))
        d2 = (xs[None, :] - sx) ** 2 + (ys[:, None] - sy) ** 2
        star = f * (1 + d2 / 6.0) ** -2.8
        for channel, gain in enumerate((1 + c, 1.0, 1 - c)):
            picture[channel, ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] += max(gain, 0.2) * star
    sky = np.array([0.013, 0.017, 0.012])[:, None, None] * (1 + 0.06 * x / width - 0.05 * y / height)
    picture = np.clip(picture + sky, 0, 1) + rng.normal(0, noise, picture.shape)
    picture[:, (x + 2.2 * y) < 260] = np.nan
    return np.moveaxis(picture, 0, -1).astype(np.float32)


def level_sizes(picture: Picture) -> list[tuple[int, int]]:
    """Return width and height of every level; the last fits into one tile."""
    sizes = [(picture.width, picture.height)]
    while max(sizes[-1]) > TILE:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def encode(pixels: F32, *, exact: bool = False) -> bytes:
    """Return a tile of the interface, section 7, of (y, x, c) pixels, gutter included."""
    h, w, c = pixels.shape
    known = np.isfinite(pixels).all(axis=-1)
    if exact or not known.any():
        offset, scale = np.zeros(c, np.float32), np.ones(c, np.float32)
    else:
        offset = np.median(pixels[known], axis=0).astype(np.float32)
        scale = np.maximum(np.abs(pixels[known] - offset).max(axis=0), 1e-12).astype(np.float32)
    kind = np.float32 if exact else np.float16
    payload = np.zeros((h, w, c + 1), dtype=kind)
    payload[..., :c] = np.where(known[..., None], (pixels - offset) / scale, 0)
    payload[..., c] = known
    head = struct.pack("<4sBBBBHHI", b"SQT1", 2 if exact else 1, c, 0 if known.all() else 1, 1, w, h, 0)
    factors = np.stack([offset, scale], axis=1).astype("<f4").tobytes()
    return head + factors + payload.astype(payload.dtype.newbyteorder("<")).tobytes()


def tile(picture: Picture, level: int, x: int, y: int, *, exact: bool = False) -> bytes | None:
    """Return the bytes of a tile, or None outside of the level."""
    sizes = level_sizes(picture)
    if not 0 <= level < len(sizes):
        return None
    width, height = sizes[level]
    if x < 0 or y < 0 or x * TILE >= width or y * TILE >= height:
        return None
    x1, y1 = min((x + 1) * TILE, width), min((y + 1) * TILE, height)
    return encode(picture.box(level, x * TILE - 1, y * TILE - 1, x1 + 1, y1 + 1), exact=exact)
