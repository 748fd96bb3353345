"""
The laws as checks that any test can call, and plain measurements that judge the engine without using it.

Checks raise AssertionError with the figures; measurements return numbers. Everything here is slow, simple NumPy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F64, Box, PixelSource, Trail

__all__ = [
    "RawGuard",
    "block_noise",
    "check_crop_law",
    "check_same_bits",
    "fit_fwhm",
    "hash_folder",
    "measure_star_fluxes",
    "trail_residue",
]

_SIGMA_PER_MAD = 1.482602218505602
_FWHM_PER_SIGMA = 2.3548200450309493


def check_crop_law(
    source: PixelSource, boxes: Sequence[Box] | None = None, *, n: int = 12, seed: int = 1, reach: int = 9
) -> None:
    """
    Check that a crop of a read is a read of the crop, bit for bit, inside and across the edges.

    Parameters
    ----------
    boxes : sequence of Box
        What to read; `n` random boxes by default, some of which stick out by up to `reach` px, and one outside.
    """
    bounds = source.bounds
    whole_box = bounds.grow(reach)
    whole = source.read(whole_box)
    assert whole.box == whole_box, f"asked for {whole_box}, the tile says {whole.box}"
    if boxes is None:
        random = np.random.default_rng(seed)
        boxes = [whole_box, bounds, *(_random_box(random, whole_box) for _ in range(n))]
    for box in boxes:
        tile = source.read(box)
        assert tile.box == box, f"asked for {box}, the tile says {tile.box}"
        assert tile.pixels.shape == (source.n_channels, *box.shape), f"{box}: pixels have shape {tile.pixels.shape}"
        assert tile.mask.shape == box.shape, f"{box}: the mask has shape {tile.mask.shape}"
        rows, columns = box.slices(whole_box)
        _assert_equal(tile.mask, whole.mask[rows, columns], f"masks of {box}")
        _assert_equal(tile.pixels, whole.pixels[:, rows, columns], f"pixels of {box}")
    outside = source.read(Box(bounds.x1 + 3, bounds.y1 + 3, bounds.x1 + 8, bounds.y1 + 7))
    assert not outside.mask.any(), "a read outside of the bounds has usable pixels"
    assert not outside.pixels.any(), "a read outside of the bounds has pixels other than 0"


def _random_box(random: np.random.Generator, within: Box) -> Box:
    x0, x1 = np.sort(random.choice(np.arange(within.x0, within.x1 + 1), 2, replace=False))
    y0, y1 = np.sort(random.choice(np.arange(within.y0, within.y1 + 1), 2, replace=False))
    return Box(int(x0), int(y0), int(x1), int(y1))


def _assert_equal(found: NDArray[np.generic], expected: NDArray[np.generic], what: str) -> None:
    """Assert equal bits; NaN equals NaN."""
    assert found.dtype == expected.dtype, f"{what}: {found.dtype} against {expected.dtype}"
    assert found.shape == expected.shape, f"{what}: shape {found.shape} against {expected.shape}"
    differs = np.ascontiguousarray(found).view(np.uint8) != np.ascontiguousarray(expected).view(np.uint8)
    if differs.any():
        where = np.argwhere(found != expected)
        first = tuple(int(i) for i in where[0]) if len(where) else "a NaN or a signed zero"
        raise AssertionError(f"{what} differ at {len(where)} places, first at {first}")


def check_same_bits(
    function: Callable[[Box], NDArray[np.generic]],
    bounds: Box,
    tilings: Iterable[tuple[int, int]] = ((64, 48), (17, 23), (1 << 20, 5)),
) -> NDArray[np.generic]:
    """
    Check that a function of a box gives the same bits however the plane is cut into tiles; return the whole.

    Parameters
    ----------
    function : callable
        Box to array (..., y, x) of that box.
    tilings : iterable of (width, height), px
    """
    whole = function(bounds)
    for width, height in tilings:
        pieced = np.empty_like(whole)
        for box in bounds.tiles(width, height):
            rows, columns = box.slices(bounds)
            pieced[..., rows, columns] = function(box)
        _assert_equal(pieced, whole, f"tiles of {width}x{height} px")
    return whole


def hash_folder(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by its path from there (with forward slashes)."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


class RawGuard:
    """
    A context that fails if anything below a folder was changed, added, removed or touched.

    It compares content (SHA-256), size, modification time and mode of every file, and the names of all folders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._before: dict[str, tuple[object, ...]] = {}

    def _look(self) -> dict[str, tuple[object, ...]]:
        facts: dict[str, tuple[object, ...]] = {}
        for path in sorted(self.folder.rglob("*")):
            state, name = path.lstat(), path.relative_to(self.folder).as_posix()
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                facts[name] = (digest, state.st_size, state.st_mtime_ns, state.st_mode)
            else:
                facts[name] = (state.st_mode,)
        return facts

    def __enter__(self) -> RawGuard:
        self._before = self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = self._look()
        names = sorted(self._before.keys() | after.keys())
        changed = [name for name in names if self._before.get(name) != after.get(name)]
        if kind is None and changed:
            raise AssertionError(f"raw data were changed, added, removed or touched: {', '.join(changed[:8])}")


def block_noise(image: NDArray[np.floating], block: int = 8) -> float:
    """
    Return the robust noise that a picture shows at the scale of a few pixels, in its own units.

    The image (y, x) is averaged over blocks; the result is 1.4826 times the median absolute deviation of the
    differences of blocks side by side, over sqrt(2): smooth gradients cancel, stars are few. Unlike a per-pixel sigma
    it is not flattered by the smoothing of an interpolation. Blocks with a NaN are left out; uncorrelated noise of
    sigma gives sigma / block.
    """
    height, width = (size // block * block for size in image.shape)
    blocks = image[:height, :width].astype(np.float64).reshape(height // block, block, width // block, block)
    differences = np.diff(blocks.mean(axis=(1, 3)), axis=1)
    differences = differences[np.isfinite(differences)]
    return float(_SIGMA_PER_MAD * np.median(np.abs(differences - np.median(differences))) / np.sqrt(2.0))


def measure_star_fluxes(image: NDArray[np.floating], xs: F64, ys: F64, radius: float = 8.0) -> F64:
    """
    Return the flux of stars at known places as float64 (n,), image units: plain aperture photometry.

    Parameters
    ----------
    image : float (y, x)
    xs, ys : float64 (n,), px
    radius : float, px
        Of the aperture. The background is the median of a ring from 1.5 to 2.2 radii.

    Notes
    -----
    A pixel counts by the part of it inside the circle, from 5x5 points. NaN where the ring leaves the image or a
    pixel of the aperture is not finite.
    """
    offsets = (np.arange(5) - 2.0) / 5.0
    reach = int(np.ceil(2.2 * radius)) + 1
    fluxes = np.full(len(xs), np.nan)
    for star, (x, y) in enumerate(zip(xs, ys, strict=True)):
        column, row = round(float(x)), round(float(y))
        inside = reach <= column < image.shape[1] - reach and reach <= row < image.shape[0] - reach
        if not inside:
            continue
        part = image[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(np.float64)
        dx, dy = np.arange(column - reach, column + reach + 1) - x, np.arange(row - reach, row + reach + 1) - y
        points_x, points_y = dx[:, None] + offsets, dy[:, None] + offsets
        squares = points_y[:, None, :, None] ** 2 + points_x[None, :, None, :] ** 2
        weight = (squares <= radius**2).mean(axis=(2, 3))
        distance = np.hypot(dy[:, None], dx[None, :])
        background = np.nanmedian(part[(distance >= 1.5 * radius) & (distance <= 2.2 * radius)])
        fluxes[star] = np.sum((part[weight > 0] - background) * weight[weight > 0])
    return fluxes


def fit_fwhm(image: NDArray[np.floating], x: float, y: float, half_size: int = 9) -> tuple[float, float]:
    """
    Return (FWHM, eccentricity) of an isolated star: px, and sqrt(1 - b²/a²) of the fitted widths.

    A turned elliptical Gaussian on a flat background is fitted to the pixels within `half_size` of (x, y), each pixel
    the mean of 3x3 points of the profile, with a soft loss (outliers and neighbours count less). FWHM is that of the
    geometric mean of the axes. (NaN, NaN) where the box leaves the image, has a non-finite pixel or does not converge.
    """
    from scipy.optimize import least_squares  # only those who judge stars pay for it

    column, row = round(x), round(y)
    y0, y1, x0, x1 = row - half_size, row + half_size + 1, column - half_size, column + half_size + 1
    if y0 < 0 or x0 < 0 or y1 > image.shape[0] or x1 > image.shape[1]:
        return np.nan, np.nan
    part = image[y0:y1, x0:x1].astype(np.float64)
    if not np.isfinite(part).all():
        return np.nan, np.nan
    # Gauss-Legendre across each pixel: the widths are those of the light, not of the sampled picture
    nodes, weights = np.polynomial.legendre.leggauss(3)
    across = (np.arange(x0, x1)[:, None] + 0.5 * nodes).ravel()
    down = (np.arange(y0, y1)[:, None] + 0.5 * nodes).ravel()
    size = 2 * half_size + 1
    level = float(np.median(part))
    scale = max(float(part.max()) - level, 1e-12)

    def model(p: F64) -> F64:
        u, v = across[None, :] - p[0], down[:, None] - p[1]
        c, s, major, minor = np.cos(p[4]), np.sin(p[4]), np.exp(p[2]), np.exp(p[3])
        shape = np.exp(-0.5 * (((c * u + s * v) / major) ** 2 + ((c * v - s * u) / minor) ** 2))
        means = np.einsum("aibj,i,j->ab", shape.reshape(size, 3, size, 3), 0.5 * weights, 0.5 * weights)
        return np.asarray(p[5] * means + p[6])

    start = np.array([x, y, np.log(1.6), np.log(1.5), 0.3, 1.1, 0.0])

    def misfit(p: F64) -> F64:
        return (model(p) - (part - level) / scale).ravel()

    # squares first: from afar a soft loss takes a sharp star for an outlier
    near = least_squares(misfit, start).x
    fit = least_squares(misfit, near, loss="soft_l1", f_scale=0.02)
    if not fit.success or np.hypot(fit.x[0] - x, fit.x[1] - y) > 0.5 * half_size:
        return np.nan, np.nan
    minor, major = np.sort(np.exp(fit.x[2:4]))
    return float(_FWHM_PER_SIGMA * np.sqrt(major * minor)), float(np.sqrt(1.0 - (minor / major) ** 2))


def trail_residue(
    image: NDArray[np.floating], reference: NDArray[np.floating], line: Trail, half_width: float = 3.0
) -> float:
    """
    Return what a trail left in a stack: mean of image - reference along it less that beside it, image units.

    Parameters
    ----------
    image, reference : float (y, x)
        The stack, and the same without the trail (a noiseless truth, or a stack of the other frames).
    line : Trail
        Where the trail ran, in pixels of `image`.
    half_width : float, px
        Half the width of the band that is averaged; beside it are the bands from 3 to 6 half widths.
    """
    length = float(np.hypot(line.x1 - line.x0, line.y1 - line.y0))
    cos, sin = (line.x1 - line.x0) / length, (line.y1 - line.y0) / length
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    distance = np.abs((x - line.x0) * sin - (y - line.y0) * cos)
    along = (x - line.x0) * cos + (y - line.y0) * sin
    usable = (along >= 0) & (along <= length) & np.isfinite(image) & np.isfinite(reference)
    difference = image.astype(np.float64) - reference
    on = difference[usable & (distance <= half_width)]
    beside = difference[usable & (distance >= 3.0 * half_width) & (distance <= 6.0 * half_width)]
    return float(on.mean() - np.median(beside))
