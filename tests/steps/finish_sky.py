"""Linear masters of known sky, stars and emission, for the tests of finishing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from skyquilt.steps.finish import SkyModel
from skyquilt.testing.sky import Scenario, Truth, make_truth

HEIGHT, WIDTH = 960, 540
SKY = (420.0, 570.0, 370.0)
NOISE = 12.0
RED = (1.2, 0.6, 0.5)
GREY = (0.85, 1.0, 0.6)


@dataclass(frozen=True)
class Master:
    """A master with the light of its sky, and of what extends on it, float64 (3, y, x) each."""

    image: np.ndarray
    sky: np.ndarray
    emission: np.ndarray


def plane() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    half = max(HEIGHT, WIDTH) / 2
    return (x - (WIDTH - 1) / 2) / half, (y - (HEIGHT - 1) / 2) / half


@lru_cache(maxsize=1)
def star_truth() -> Truth:
    return make_truth(Scenario(height=HEIGHT, width=WIDTH, seed=3, target="M 94", nebula=False, n_frames=1))


@lru_cache(maxsize=1)
def star_light() -> np.ndarray:
    return np.stack([star_truth().render_reference(channel) for channel in range(3)])


def emission_of(kind: str, colour: tuple[float, float, float] = RED, peak: float = 250.0) -> np.ndarray:
    """Nothing, a galaxy, a cloud about the centre, a nebula over one half (sharp or smooth), or over everything."""
    u, v = plane()
    if kind == "none":
        return np.zeros((3, HEIGHT, WIDTH))
    if kind in ("galaxy", "cloud"):
        target = "M 94" if kind == "galaxy" else "NGC 7023"
        scenario = Scenario(
            height=HEIGHT, width=WIDTH, seed=1, target=target, scale_arcsec=4.75, nebula_adu=peak, n_frames=1
        )
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
        return make_truth(scenario).nebula(x, y)
    random = np.random.default_rng(6)
    if kind == "smooth half":
        shape = np.exp(-0.5 * ((v - 1.0) / 0.35) ** 2)
    elif kind == "half":
        shape = 0.6 / (1 + np.exp(-(v + 0.12 * np.sin(7 * u) - 0.05) / 0.06))
        inside = 1 / (1 + np.exp(-(v - 0.05) / 0.05))
        for _ in range(25):
            x, y, size = random.uniform(-0.6, 0.6), random.uniform(0.1, 1.0), random.uniform(0.03, 0.15)
            knot = np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / size**2)
            shape = shape + random.uniform(-0.2, 0.6) * knot * inside
        shape = np.clip(shape, 0.0, None)
    else:
        shape = np.zeros_like(u)
        for _ in range(80):
            x, y, size = random.uniform(-0.7, 0.7), random.uniform(-1.1, 1.1), random.uniform(0.03, 0.16)
            shape = shape + random.uniform(0.1, 0.6) * np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / size**2)
    return peak * shape * np.array(colour)[:, None, None]


def gradient_of(order: int, amount: float = 0.08) -> np.ndarray:
    """The relative rise of the sky light, of one order; 5 to 15 % from end to end."""
    u, v = plane()
    if order == 1:
        return amount * (0.6 * u + 0.5 * v)
    if order == 2:
        return amount * (0.5 * u - 0.3 * v + 0.5 * u * u - 0.4 * u * v + 0.3 * v * v)
    return amount * (0.4 * u - 0.3 * v + 0.3 * u * u + 0.5 * v**3 - 0.3 * u * v * v)


def make_master(emission: np.ndarray, gradient: np.ndarray, *, of_colour: float = 0.15, seed: int = 1) -> Master:
    """`of_colour`: by how much the gradient differs in red and blue from that in green."""
    sky = np.stack([s * (1 + gradient * (1 + of_colour * k)) for s, k in zip(SKY, (-1, 0, 1), strict=True)])
    light = sky + emission + star_light()
    noise = np.random.default_rng(seed).normal(0.0, NOISE, light.shape)
    image = light + noise * np.sqrt(np.maximum(light, 1.0) / 570.0)
    return Master(image.astype(np.float32), sky, emission)


@lru_cache(maxsize=1)
def rich_truth() -> Truth:
    """A field with more than 200 stars that are bright enough to have colours."""
    scenario = Scenario(
        height=HEIGHT, width=WIDTH, seed=5, target="NGC 7023", nebula=False, n_frames=1, zero_point=23.0,
        n_faint_stars=450,
    )  # fmt: skip
    return make_truth(scenario)


def make_rich_master() -> np.ndarray:
    light = np.stack([rich_truth().render_reference(channel) for channel in range(3)])
    light += np.array(SKY)[:, None, None]
    noise = np.random.default_rng(2).normal(0.0, 5.0, light.shape) * np.sqrt(light / 570.0)
    return (light + noise).astype(np.float32)


def gradient_errors(master: Master, model: SkyModel) -> tuple[float, float]:
    """Gradient left (98 % of the pixels, of the sky) and relative error of the emission, of the worst channel."""
    miss = model.evaluate(0, 0, WIDTH, HEIGHT) - master.sky
    left, lost = 0.0, 0.0
    for channel, sky, light in zip(miss, master.sky, master.emission, strict=True):
        left = max(left, float(np.percentile(np.abs(channel - np.median(channel)), 98) / np.median(sky)))
        if light.max() > 0.0:
            bright = light > 0.1 * light.max()
            lost = max(lost, abs(float(channel[bright].sum() / light[bright].sum())))
    return left, lost
