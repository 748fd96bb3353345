"""Extended light that lives on the sphere, of known brightness in every direction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from skyquilt.core import F32, F64, I64, Wcs
from skyquilt.core.sky import unit_vectors

__all__ = ["Cloud", "Nebula", "random_clouds"]

_MOST_NODES = 160
_BAND_ROWS = 64


@dataclass(frozen=True, slots=True)
class Cloud:
    """
    A round patch of light.

    Attributes
    ----------
    ra_deg, dec_deg : float, degrees, J2000
    sigma_deg : float, degrees
    peak_adu : tuple of float, ADU
        In one pixel of a frame at transparency 1, a number a channel: (r, g, b), or one for a mono camera.
    """

    ra_deg: float
    dec_deg: float
    sigma_deg: float
    peak_adu: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Nebula:
    """
    The sum of clouds.

    Attributes
    ----------
    vectors : float64 (n, 3)
        Unit vectors of the middles.
    sigma : float64 (n,), radians
    peak : float64 (n, n_channels), ADU in one pixel of a frame at transparency 1

    Notes
    -----
    Definition:: light(v) = sum_k peak_k exp((v . m_k - 1) / sigma_k²), which near m_k is a Gaussian of sigma_k
    (von Mises-Fisher: smooth and without a seam over the whole sphere).
    """

    vectors: F64
    sigma: F64
    peak: F64

    @classmethod
    def of(cls, clouds: tuple[Cloud, ...], n_channels: int) -> Nebula:
        """
        Return the nebula that clouds make.

        Raises
        ------
        ValueError
            If a cloud has not as many peaks as the camera has channels, or no width.
        """
        for cloud in clouds:
            if len(cloud.peak_adu) != n_channels or not cloud.sigma_deg > 0.0:
                raise ValueError(f"{cloud} needs a sigma above 0 and {n_channels} peaks, one a channel")
        vectors = unit_vectors(np.array([c.ra_deg for c in clouds]), np.array([c.dec_deg for c in clouds]))
        peak = np.array([c.peak_adu for c in clouds], dtype=np.float64).reshape(-1, n_channels)
        return cls(vectors.reshape(-1, 3), np.radians([c.sigma_deg for c in clouds]), peak)

    def light(self, vectors: F64) -> F64:
        """Return the brightness, float64 (n_channels, ...), of directions given as unit vectors (..., 3)."""
        total = np.zeros((self.peak.shape[1], *vectors.shape[:-1]))
        for middle, sigma, peak in zip(self.vectors, self.sigma, self.peak, strict=True):
            shape = np.exp((vectors @ middle - 1.0) / sigma**2)
            total += peak.reshape(-1, *(1,) * shape.ndim) * shape
        return total

    def draw(self, image: F32, wcs: Wcs, channel_of: I64, gain: float) -> None:
        """
        Add the light, times `gain`, to an image (y, x) in place; a pixel receives that of its channel.

        Notes
        -----
        Equals `light` at the pixel centres to 1e-6 of the peaks: over an image the light is a polynomial, from its
        values on Chebyshev nodes, 8 a sigma of the narrowest cloud along each axis (exact where those are too many).
        """
        if not len(self.sigma) or gain == 0.0:
            return
        pixel = np.radians(wcs.scale_arcsec / 3600.0)
        along = [int(np.ceil(4.0 * size * pixel / float(self.sigma.min()))) + 16 for size in image.shape]
        if max(along) > _MOST_NODES or min(image.shape) < max(along):
            self._draw_exactly(image, wcs, channel_of, gain)
            return
        (nodes_y, rows), (nodes_x, columns) = (_chebyshev(size, n) for size, n in zip(image.shape, along, strict=True))
        x, y = np.meshgrid(nodes_x, nodes_y)
        values = gain * self.light(unit_vectors(*wcs.to_sky(x, y)))
        with _thread_pools().limit(limits=1):  # small products: threads cost more than they bring, and move bits
            for j in range(2):
                for i in range(2):
                    part = (values[channel_of[j, i]] @ columns[i::2].T).astype(np.float32)
                    image[j::2, i::2] += rows[j::2].astype(np.float32) @ part

    def _draw_exactly(self, image: F32, wcs: Wcs, channel_of: I64, gain: float) -> None:
        """Do what `draw` does pixel by pixel, in bands of rows."""
        x = np.arange(image.shape[1], dtype=np.float64)
        for first in range(0, image.shape[0], _BAND_ROWS):
            y = np.arange(first, min(first + _BAND_ROWS, image.shape[0]), dtype=np.float64)
            light = gain * self.light(unit_vectors(*wcs.to_sky(*np.meshgrid(x, y))))
            for j in range(2):
                for i in range(2):
                    band = image[first : first + len(y)]
                    band[j::2, i::2] += light[channel_of[j, i], j::2, i::2].astype(np.float32)


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    """Return the controller of the linear algebra's threads; to find them takes a millisecond."""
    return ThreadpoolController()


@lru_cache(maxsize=16)
def _chebyshev(size: int, n: int) -> tuple[F64, F64]:
    """
    Return n nodes over the pixels 0..size - 1, and float64 (size, n): values at the nodes to values at the pixels.

    Discrete cosine series on the zeros of T_n (Press et al., Numerical Recipes, section 5.8).
    """
    angle = np.pi * (np.arange(n) + 0.5) / n
    half = 0.5 * (size - 1)
    order = np.arange(n)
    to_terms = 2.0 / n * np.cos(order[:, None] * angle[None, :])
    to_terms[0] *= 0.5
    place = (np.arange(size) - half) / half
    matrix: F64 = np.cos(order[None, :] * np.arccos(np.clip(place, -1.0, 1.0))[:, None]) @ to_terms
    return half + half * np.cos(angle), matrix


def random_clouds(
    random: np.random.Generator, directions_deg: F64, sigma_deg: tuple[float, float], peak_adu: float, n_channels: int
) -> tuple[Cloud, ...]:
    """
    Return clouds in given directions, reddish, 0.3 to 1 times the peak; wider where the range of `sigma_deg` says so.

    Parameters
    ----------
    directions_deg : float64 (n, 2)
        (ra, dec) of their middles.
    """
    clouds = []
    for ra, dec in directions_deg:
        red, blue = random.uniform(0.9, 1.5), random.uniform(0.3, 0.7)
        peak = peak_adu * random.uniform(0.3, 1.0)
        colour = (red * peak, 0.6 * peak, blue * peak) if n_channels == 3 else (peak,)
        clouds.append(Cloud(float(ra), float(dec), float(random.uniform(*sigma_deg)), colour))
    return tuple(clouds)
