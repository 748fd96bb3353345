"""Robust figures of blocks of an image with unknown pixels (NaN), and a robust fit through them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyquilt.core import F64, I64

__all__ = ["BLOCK_PX", "SIGMA_PER_MAD", "block_means", "block_medians", "block_sigma", "expanded", "robust_fit"]

SIGMA_PER_MAD = 1.482602218505602
BLOCK_PX = 32


def _blocks(image: F64, block: int) -> F64:
    """Return the pixels of each block in a row, (rows, columns, block²), the image filled up with NaN."""
    height, width = (-(-size // block) * block for size in image.shape)
    filled = np.full((height, width), np.nan)
    filled[: image.shape[0], : image.shape[1]] = image
    tiles = filled.reshape(height // block, block, width // block, block).transpose(0, 2, 1, 3)
    return tiles.reshape(height // block, width // block, block * block)


def block_means(image: F64, block: int) -> tuple[F64, I64]:
    """Return means of the known pixels of blocks (NaN where there are none), and how many they are."""
    tiles = _blocks(image, block)
    known = np.isfinite(tiles)
    count = known.sum(axis=2)
    total = np.where(known, tiles, 0.0).sum(axis=2)
    means: F64 = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means, count


def block_medians(image: F64) -> F64:
    """Return the medians of blocks of 32 px; NaN where fewer than 64 pixels are known."""
    tiles = np.sort(_blocks(image, BLOCK_PX), axis=2)  # NaN come last
    count = np.isfinite(tiles).sum(axis=2)
    middle = np.take_along_axis(tiles, np.maximum(count // 2, 0)[..., None] % tiles.shape[2], axis=2)[..., 0]
    return np.where(count >= 64, middle, np.nan)


def block_sigma(image: F64) -> F64:
    """Return the robust scatter of pixels in blocks of 32 px; the middle one where too few pixels are known."""
    away = np.abs(image - expanded(block_medians(image), image.shape))
    sigma = SIGMA_PER_MAD * block_medians(away)
    return np.where(np.isfinite(sigma), sigma, np.nanmedian(sigma))


def expanded(blocks: F64, shape: tuple[int, ...]) -> F64:
    """Return values of blocks of 32 px at every pixel."""
    return np.repeat(np.repeat(blocks, BLOCK_PX, axis=0), BLOCK_PX, axis=1)[: shape[0], : shape[1]]


def robust_fit(terms: Sequence[F64], values: F64) -> tuple[F64, F64, int]:
    """Return least squares over what stays within 3.5 sigma: coefficients, errors, and how many values that are."""
    design = np.stack(terms, axis=1)
    kept = np.isfinite(values)
    for _ in range(8):
        found = np.linalg.lstsq(design[kept], values[kept], rcond=None)[0]
        away = values - design @ found
        sigma = SIGMA_PER_MAD * float(np.median(np.abs(away[kept])))
        again = np.isfinite(values) & (np.abs(away) <= 3.5 * max(sigma, 1e-12))
        if (again == kept).all() or again.sum() <= 2 * len(terms):
            break
        kept = again
    variance = float(np.mean(away[kept] ** 2)) * np.linalg.pinv(design[kept].T @ design[kept])
    return np.asarray(found), np.asarray(np.sqrt(np.diag(variance))), int(kept.sum())
