"""Lists and maps of mosaics of a known sky, without pixels: what the tests of the joint photometry measure against."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from skyquilt.core import Figures, Measurement, Normalisation, Stars
from skyquilt.steps.mosaic import FluxObservations, FrameSky, frame_sky

NOISE = 30.0  # ADU of a pixel; 0.2 of it is the step that may not show
CELL_NOISE = 1.5
WIDTH, HEIGHT, CELL = 704, 960, 64
COLOURS = np.array([0.8, 1.0, 0.6])


@dataclass
class Pointed:
    """One frame: where it looks, and what the air, the Moon and the town did to it."""

    x: float
    y: float
    angle_deg: float = 0.0
    transparency: float = 1.0
    sky: float = 900.0
    gradient: tuple[float, float] = (0.0, 0.0)  # ADU over half a frame's longer side, along the frame's own axes
    bowl: float = 0.0
    exposure: float = 1.0
    cloud: float = 0.0  # ADU that a cloud adds in a corner
    emission_seen: bool = True


@dataclass
class World:
    """A sky with an emission nebula and stars, and the frames that look at it."""

    frames: list[Pointed]
    seed: int = 0
    nebula: tuple[float, float, float, float] | None = None  # x, y, sigma in px; ADU
    slope: tuple[float, float] = (0.0, 0.0)  # of the true sky, ADU a px
    cell_noise: float = CELL_NOISE
    stars_per_frame: int = 40
    star_scatter: float = 0.0
    width: int = WIDTH
    height: int = HEIGHT
    maps: list[FrameSky] = field(init=False)
    observations: FluxObservations = field(init=False)
    star_mag: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.maps = [self._map(one, np.random.default_rng((self.seed, k))) for k, one in enumerate(self.frames)]
        self.observations = self._observe(rng)

    @property
    def radius(self) -> float:
        return max(self.width, self.height) / 2.0

    def true_sky(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        sky = self.slope[0] * x + self.slope[1] * y
        if self.nebula:
            nx, ny, sigma, height = self.nebula
            sky = sky + height * np.exp(-((x - nx) ** 2 + (y - ny) ** 2) / (2 * sigma**2))
        return sky

    def to_canvas(self, frame: Pointed, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, v = x - (self.width - 1) / 2.0, y - (self.height - 1) / 2.0
        c, s = np.cos(np.radians(frame.angle_deg)), np.sin(np.radians(frame.angle_deg))
        return frame.x + c * u - s * v, frame.y + s * u + c * v

    def _map(self, frame: Pointed, rng: np.random.Generator) -> FrameSky:
        shape = (3, -(-self.height // CELL), -(-self.width // CELL))
        empty = Measurement(
            Figures(900.0, NOISE, 0.0, 0, 3.0, 0.3, 0.0), Stars.empty(), np.zeros(shape, np.float32),
            np.full(3, NOISE), CELL, self.width, self.height,
        )  # fmt: skip
        fx, fy = np.meshgrid(*empty.cell_axes())
        u, v = (fx - (self.width - 1) / 2) / self.radius, (fy - (self.height - 1) / 2) / self.radius
        own = frame.sky + frame.gradient[0] * u + frame.gradient[1] * v + frame.bowl * (u * u + v * v)
        own = own + np.where((u < -0.2) & (v < -0.3), frame.cloud, 0.0)
        seen = frame.transparency * self.true_sky(*self.to_canvas(frame, fx, fy))
        level = frame.exposure * COLOURS[:, None, None] * (own + seen)
        level = level + rng.normal(0, self.cell_noise, shape)
        measured = replace(empty, background=level.astype(np.float32))
        return frame_sky(measured, partial(self.to_canvas, frame))

    def _observe(self, rng: np.random.Generator) -> FluxObservations:
        xs, ys = np.array([f.x for f in self.frames]), np.array([f.y for f in self.frames])
        low, high = (xs.min() - self.radius, ys.min() - self.radius), (xs.max() + self.radius, ys.max() + self.radius)
        area = (high[0] - low[0]) * (high[1] - low[1])
        n = int(self.stars_per_frame * area / (self.width * self.height)) + 1
        x, y = rng.uniform(low[0], high[0], n), rng.uniform(low[1], high[1], n)
        bright = 2e3 * rng.random(n) ** (-1 / 0.9)  # many faint, few bright
        self.star_mag = 20.0 - 2.5 * np.log10(bright) + rng.normal(0, 0.1, n)
        lists: list[tuple[np.ndarray, ...]] = []
        for k, frame in enumerate(self.frames):
            c, s = np.cos(np.radians(frame.angle_deg)), np.sin(np.radians(frame.angle_deg))
            u, v = c * (x - frame.x) + s * (y - frame.y), -s * (x - frame.x) + c * (y - frame.y)
            star = np.flatnonzero((np.abs(u) < self.width / 2) & (np.abs(v) < self.height / 2))
            true = bright[star] * frame.transparency * frame.exposure
            error = np.hypot(300.0, np.hypot(0.004, self.star_scatter) * true)
            flux = true + rng.normal(0, error)
            found = flux > 1500.0  # what is faint is found where its noise is upwards
            saturated = true > 3e5
            told = np.hypot(300.0, 0.004 * flux)
            lists.append((np.full(found.sum(), k), star[found], flux[found], told[found], saturated[found]))
        return FluxObservations(*(np.concatenate(column) for column in zip(*lists, strict=True)))  # type: ignore[arg-type]

    def true_scale(self) -> np.ndarray:
        return np.array([1.0 / (f.transparency * f.exposure) for f in self.frames])


def mosaic(
    columns: int, rows: int, per_pointing: int, *, seed: int, overlap: float = 0.2, gradient: float = 40.0,
    dither: float = 12.0, bowl: float = 0.0, size: tuple[int, int] = (WIDTH, HEIGHT),
) -> list[Pointed]:  # fmt: skip
    """Frames of an alt-az telescope: a pointing's field turns, and with it the gradient; the transparency changes."""
    rng = np.random.default_rng(seed)
    frames: list[Pointed] = []
    for row in range(rows):
        for column in range(columns):
            start = rng.uniform(-20, 20)
            frames += [
                Pointed(
                    1000.0 + column * size[0] * (1 - overlap) + rng.uniform(-dither, dither),
                    1000.0 + row * size[1] * (1 - overlap) + rng.uniform(-dither, dither),
                    start + 4.0 * k,
                    float(rng.uniform(0.6, 1.0)),
                    float(rng.uniform(700, 1100)),
                    (float(rng.normal(0, gradient)), float(rng.normal(0, gradient))),
                    float(rng.normal(0, bowl)),
                )
                for k in range(per_pointing)
            ]
    return frames


def surface(normalisation: Normalisation, channel: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    u = (x - normalisation.centre[0]) / normalisation.radius
    v = (y - normalisation.centre[1]) / normalisation.radius
    terms = [np.ones_like(u), u, v, u * u, u * v, v * v][: normalisation.surface.shape[1]]
    return sum(c * t for c, t in zip(normalisation.surface[channel], terms, strict=True))  # type: ignore[return-value]


def shown(world: World, k: int, normalisation: Normalisation, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What frame k shows of the sky, normalised, without noise: green; NaN off the frame."""
    frame = world.frames[k]
    c, s = np.cos(np.radians(frame.angle_deg)), np.sin(np.radians(frame.angle_deg))
    px = c * (x - frame.x) + s * (y - frame.y)
    py = -s * (x - frame.x) + c * (y - frame.y)
    u, v = px / world.radius, py / world.radius
    own = frame.sky + frame.gradient[0] * u + frame.gradient[1] * v + frame.bowl * (u * u + v * v)
    raw = frame.exposure * (own + frame.transparency * world.true_sky(x, y))
    value = normalisation.scale[1] * raw + surface(normalisation, 1, x, y)
    inside = (np.abs(px) <= world.width / 2) & (np.abs(py) <= world.height / 2)
    return np.where(inside, value, np.nan)


def assembled(world: World, normalisations: tuple[Normalisation, ...], step: float = 32.0) -> tuple[np.ndarray, ...]:
    """x, y, mean and frame-to-frame spread (largest less smallest) of what the frames show, noise-free."""
    xs, ys = np.array([f.x for f in world.frames]), np.array([f.y for f in world.frames])
    x, y = np.meshgrid(
        np.arange(xs.min() - world.radius, xs.max() + world.radius, step),
        np.arange(ys.min() - world.radius, ys.max() + world.radius, step),
    )
    total, count = np.zeros(x.shape), np.zeros(x.shape)
    low, high = np.full(x.shape, np.inf), np.full(x.shape, -np.inf)
    for k, one in enumerate(normalisations):
        value = shown(world, k, one, x, y)
        good = np.isfinite(value)
        total[good] += value[good]
        count[good] += 1
        low[good], high[good] = np.minimum(low[good], value[good]), np.maximum(high[good], value[good])
    with np.errstate(invalid="ignore", divide="ignore"):
        return x, y, total / count, np.where(count > 0, high - low, np.nan)


def seams(mean: np.ndarray, truth: np.ndarray) -> float:
    """Largest step of the mosaic's error between neighbouring points, ADU."""
    error = mean - truth
    steps = [np.abs(np.diff(error, axis=axis)) for axis in (0, 1)]
    return float(max(np.nanmax(s) for s in steps))
