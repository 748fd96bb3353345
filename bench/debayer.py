"""
Measure every way of debayering and resampling on stacks whose truth is known, and print the table.

Run: ``python bench/debayer.py [--quick]``. The figures behind docs/concepts/debayer.md.

Each stack: dithered and slightly rotated frames of coloured stars, integrated over the pixels, through a GRBG filter
array, averaged with the samplers' own weights, without rejection. Columns (red / green / blue where three stand
together):

FWHM      of the stack's stars over that of an ideal frame (one that measures all colours in every pixel, not resampled)
flux      bias of the star flux within 3 FWHM, parts per thousand, of noise-free frames (noise only adds to linear ways)
colour    rms over the stars of the error of the flux ratios R/G and B/G, per thousand
rims      rms of (R / true R/G - G) and the same of B, 0.5 to 1.5 FWHM from the stars, per thousand of the G peak
ringing   lowest pixel around the stars, per thousand of the peak
noise     per pixel, of the mean over 8 x 8 pixels, relative to sigma / sqrt(number of raw pixels of that colour)
flank     scatter over the frames of samples on the flank of a star, per thousand of the peak: what rejection must allow
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from skyquilt.core import F32, F64, Box, Calibration, Cfa, Tile, Transform
from skyquilt.steps.resample import CanvasSampler

SIZE = 240
MARGIN = 24
CFA = Cfa("GRBG")
SIGMA = 30.0
SKY = 900.0
CASES = [("gauss", 2.2), ("gauss", 2.9), ("gauss", 3.7), ("moffat", 2.9)]
WAYS = [
    ("bilinear", "bilinear", 0.0),
    ("bilinear", "catmull_rom", 0.0),
    ("bilinear", "lanczos3", 0.0),
    ("malvar", "bilinear", 0.0),
    ("malvar", "catmull_rom", 0.0),
    ("malvar", "least_squares", 0.0),
    ("malvar", "lanczos3", 0.0),
    ("rcd", "catmull_rom", 0.0),
    ("rcd", "least_squares", 0.0),
    ("superpixel", "catmull_rom", 0.0),
    ("cfa", "-", 0.4),
    ("cfa", "-", 0.5),
    ("cfa", "-", 0.6),
    ("cfa", "-", 0.75),
]


class ArraySource:
    """An array as a `PixelSource`."""

    n_channels = 1

    def __init__(self, pixels: F32) -> None:
        self.pixels = pixels
        self.bounds = Box.of_shape(*pixels.shape)

    def read(self, box: Box) -> Tile:
        raise NotImplementedError

    def read_into(self, box: Box, out: F32) -> bool:
        out[0] = self.pixels[box.y0 : box.y1, box.x0 : box.x1]
        return True


@dataclass
class Field:
    """Coloured stars on the canvas."""

    x: F64
    y: F64
    flux: F64  # (3, n)
    profile: str
    fwhm: float

    def render(self, x: F64, y: F64, shape: tuple[int, int]) -> F64:
        """Return the three colours of stars at (x, y), integrated over the pixels."""
        image = np.zeros((3, *shape))
        sub = (np.arange(7) - 3) / 7.0
        half = int(np.ceil(6 * self.fwhm))
        offsets = np.arange(-half, half + 1)
        for k in range(len(x)):
            cx, cy = int(np.round(x[k])), int(np.round(y[k]))
            fine_x = (offsets[:, None] + sub[None, :]).ravel() - (x[k] - cx)
            fine_y = (offsets[:, None] + sub[None, :]).ravel() - (y[k] - cy)
            stamp = self.psf(fine_x[None, :] ** 2 + fine_y[:, None] ** 2)
            stamp = stamp.reshape(len(offsets), 7, len(offsets), 7).mean(axis=(1, 3))
            rows = slice(max(0, cy - half), min(shape[0], cy + half + 1))
            columns = slice(max(0, cx - half), min(shape[1], cx + half + 1))
            piece = stamp[
                rows.start - cy + half : rows.stop - cy + half, columns.start - cx + half : columns.stop - cx + half
            ]
            image[:, rows, columns] += self.flux[:, k, None, None] * piece
        return image

    def psf(self, r2: F64) -> F64:
        if self.profile == "gauss":
            s2 = (self.fwhm / 2.3548) ** 2
            return np.exp(-0.5 * r2 / s2) / (2 * np.pi * s2)
        beta = 4.0
        a2 = (self.fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
        return (beta - 1) / (np.pi * a2) * (1 + r2 / a2) ** -beta


def make_field(profile: str, fwhm: float, rng: np.random.Generator) -> Field:
    grid = np.arange(30, SIZE - 20, 45.0)
    gx, gy = np.meshgrid(grid, grid)
    n = gx.size
    x, y = gx.ravel() + rng.uniform(-3, 3, n), gy.ravel() + rng.uniform(-3, 3, n)
    ratios = np.stack([rng.uniform(0.6, 1.6, n), np.ones(n), rng.uniform(0.6, 1.6, n)])
    return Field(x, y, 60000.0 * ratios, profile, fwhm)


def mosaic(image: F64) -> F64:
    rows, columns = np.indices(image.shape[1:])
    return np.take_along_axis(image, CFA.table[rows % 2, columns % 2][None], axis=0)[0]


def make_transforms(n: int, rng: np.random.Generator) -> list[Transform]:
    """Return canvas-to-frame maps: dither of up to 8 px, rotation of up to 1.5 degrees."""
    centre = SIZE / 2
    maps = []
    for _ in range(n):
        to_centre = Transform.shift(-centre, -centre)
        turn = Transform.similarity(angle_deg=rng.uniform(-1.5, 1.5))
        back = Transform.shift(centre + MARGIN + rng.uniform(-8, 8), centre + MARGIN + rng.uniform(-8, 8))
        maps.append(to_centre.then(turn).then(back))
    return maps


def sample(pixels: F32, to_frame: Transform, way: tuple[str, str, float]) -> tuple[F32, F32]:
    method, kernel, window = way
    sampler = CanvasSampler(
        ArraySource(pixels),
        cfa=CFA,
        calibration=Calibration(),
        to_frame=to_frame,
        method=method,
        kernel="catmull_rom" if kernel == "-" else kernel,
        window_px=window or 0.6,
        saturation_adu=1e9,
    )
    values = np.zeros((3, SIZE, SIZE), np.float32)
    weights = np.zeros((sampler.weight_channels, SIZE, SIZE), np.uint8)
    sampler.sample(Box(0, 0, SIZE, SIZE), values, weights)
    return values, np.broadcast_to(weights.astype(np.float32), values.shape)


def stack(frames: list[F32], maps: list[Transform], way: tuple[str, str, float]) -> tuple[F64, F64]:
    """Return the weighted mean of the frames and the scatter over them."""
    total, weight, square = np.zeros((3, 3, SIZE, SIZE))
    for pixels, to_frame in zip(frames, maps, strict=True):
        v, w = sample(pixels, to_frame, way)
        total += w * v
        weight += w
        square += w * v.astype(np.float64) ** 2
    mean = total / weight
    return mean, np.sqrt(np.maximum(0.0, square / weight - mean**2))


def fit_fwhm(stamp: F64, dx: F64, dy: F64) -> float:
    """Return the FWHM of the circular Gaussian (with a constant) that fits best."""
    r2 = dx**2 + dy**2

    def misfit(sigma: float) -> float:
        model = np.stack([np.exp(-0.5 * r2 / sigma**2).ravel(), np.ones(r2.size)], axis=1)
        _, residual, *_ = np.linalg.lstsq(model, stamp.ravel(), rcond=None)
        return float(residual[0]) if len(residual) else 0.0

    return 2.3548 * minimize_scalar(misfit, bounds=(0.5, 4.0), method="bounded").x


def measure_stars(field: Field, image: F64) -> dict[str, F64]:
    """Return FWHM and flux per star and channel, rims and ringing per star."""
    out: dict[str, list[list[float]]] = {"fwhm": [], "flux": [], "rims": [], "low": []}
    half = int(3 * field.fwhm) + 1
    for k in range(len(field.x)):
        cx, cy = round(field.x[k]), round(field.y[k])
        rows, columns = slice(cy - half, cy + half + 1), slice(cx - half, cx + half + 1)
        stamp = image[:, rows, columns]
        yy, xx = np.mgrid[rows, columns]
        dx, dy = xx - field.x[k], yy - field.y[k]
        core = np.hypot(dx, dy) < 1.6 * field.fwhm
        r = np.hypot(dx, dy)
        out["fwhm"].append([fit_fwhm(stamp[c][core], dx[core], dy[core]) for c in range(3)])
        out["flux"].append([float(stamp[c].sum()) for c in range(3)])
        ring = (r > 0.5 * field.fwhm) & (r < 1.5 * field.fwhm)
        peak = stamp[1].max()
        colour = field.flux[:, k] / field.flux[1, k]
        rim = [np.sqrt(np.mean((stamp[c] / colour[c] - stamp[1])[ring] ** 2)) / peak for c in (0, 2)]
        out["rims"].append([float(np.mean(rim))])
        out["low"].append([float((stamp[c] / stamp[c].max()).min()) for c in range(3)])
    return {name: np.array(rows_) for name, rows_ in out.items()}


def flank_scatter(field: Field, scatter: F64, image: F64) -> float:
    """Return the median scatter of the green samples closest to half the peak, over the peak."""
    found = []
    for k in range(len(field.x)):
        cx, cy = round(field.x[k]), round(field.y[k])
        stamp, spread = image[1, cy - 4 : cy + 5, cx - 4 : cx + 5], scatter[:, cy - 4 : cy + 5, cx - 4 : cx + 5]
        at = np.unravel_index(np.argmin(np.abs(stamp - 0.5 * stamp.max())), stamp.shape)
        found.append(np.mean([spread[c][at] / (stamp.max() * field.flux[c, k] / field.flux[1, k]) for c in range(3)]))
    return float(np.median(found))


def noise_figures(n_frames: int, way: tuple[str, str, float], seed: int) -> tuple[F64, F64]:
    """Return noise per pixel and of 8 x 8 means, relative to sigma over the root of the number of raw pixels."""
    rng = np.random.default_rng(seed)
    maps = make_transforms(n_frames, rng)
    size = SIZE + 2 * MARGIN
    frames = [rng.normal(SKY, SIGMA, (size, size)).astype(np.float32) for _ in maps]
    mean, _ = stack(frames, maps, way)
    n_raw = n_frames * np.array([0.25, 0.5, 0.25])
    ideal = SIGMA / np.sqrt(n_raw)
    inner = mean[:, 8:-8, 8:-8]
    blocks = inner.reshape(3, inner.shape[1] // 8, 8, inner.shape[2] // 8, 8).mean(axis=(2, 4))
    return inner.std(axis=(1, 2)) / ideal, blocks.std(axis=(1, 2)) * 8 / ideal


def report_blocks(n_seeds: int = 80, n_frames: int = 20) -> None:
    """Print the noise of k x k means with its error: a smoother is below 1 at small k and must come to 1 as k grows."""
    ways = [WAYS[0], WAYS[4], WAYS[10]]
    sums: dict[tuple[int, int], list[F64]] = {(w, k): [] for w in range(len(ways)) for k in (8, 16, 32)}
    ideal = SIGMA / np.sqrt(n_frames * np.array([0.25, 0.5, 0.25]))
    size = SIZE + 2 * MARGIN
    for seed in range(n_seeds):
        rng = np.random.default_rng(1000 + seed)
        maps = make_transforms(n_frames, rng)
        frames = [rng.normal(SKY, SIGMA, (size, size)).astype(np.float32) for _ in maps]
        for (w, k), found in sums.items():
            if k == 8:
                inner = stack(frames, maps, ways[w])[0][:, 24:-24, 24:-24] - SKY
            n = inner.shape[1] // k
            blocks = inner.reshape(3, n, k, n, k).mean(axis=(2, 4))
            found.append((blocks**2).mean(axis=(1, 2)) * k * k / ideal**2)
    print(f"\nnoise of k x k means over sigma / sqrt(n), {n_frames} frames, {n_seeds} seeds")
    for (w, k), found in sums.items():
        ratio = np.sqrt(np.mean(found, axis=0))
        error = np.std(found, axis=0) / np.sqrt(n_seeds) / (2 * ratio)
        print(f"{ways[w][0]:9s} {ways[w][1]:12s} k {k:2d}  R/G/B {np.round(ratio, 3)} +- {np.round(error, 3)}")


def time_way(way: tuple[str, str, float]) -> float:
    """Return ns per output pixel (three channels) of 256 x 64 tiles, dark and flat included, one thread."""
    rng = np.random.default_rng(5)
    shape = (1080, 1920)
    plane = rng.normal(1000, 30, shape).astype(np.float32)
    method, kernel, window = way
    sampler = CanvasSampler(
        ArraySource(plane),
        cfa=CFA,
        calibration=Calibration(plane * np.float32(0.1), np.ones(shape, np.float32)),
        to_frame=Transform.similarity(angle_deg=1.0, dx=5.3, dy=-3.7),
        method=method,
        kernel="catmull_rom" if kernel == "-" else kernel,
        window_px=window or 0.6,
    )
    values, weights = np.zeros((3, 64, 256), np.float32), np.zeros((sampler.weight_channels, 64, 256), np.uint8)
    best = np.inf
    for _ in range(60):
        start = time.thread_time_ns()
        sampler.sample(Box(512, 256, 768, 320), values, weights)
        best = min(best, time.thread_time_ns() - start)
    return float(best / values[0].size)


def report(n_frames: int, cases: list[tuple[str, float]]) -> None:
    for profile, fwhm in cases:
        rng = np.random.default_rng(11)
        field = make_field(profile, fwhm, rng)
        maps = make_transforms(n_frames, rng)
        size = SIZE + 2 * MARGIN
        frames = [(mosaic(field.render(*m(field.x, field.y), (size, size))) + SKY).astype(np.float32) for m in maps]
        ideal = field.render(field.x, field.y, (SIZE, SIZE))
        truth = measure_stars(field, ideal)
        print(f"\n{n_frames} frames, {profile}, FWHM {fwhm} px (measured {truth['fwhm'].mean():.2f})")
        print("method      kernel       p    FWHM R/G/B          flux R/G/B [1e-3]     colour rims  ringing flank")
        for way in WAYS:
            mean, scatter = stack(frames, maps, way)
            found = measure_stars(field, mean - SKY)
            ratio = (found["fwhm"] / truth["fwhm"]).mean(axis=0)
            bias = 1e3 * (found["flux"] / truth["flux"] - 1).mean(axis=0)
            colour = (
                found["flux"][:, [0, 2]] / found["flux"][:, [1]] / (truth["flux"][:, [0, 2]] / truth["flux"][:, [1]])
                - 1
            )
            print(
                f"{way[0]:11s} {way[1]:12s} {way[2]:.2f} {ratio[0]:.3f}/{ratio[1]:.3f}/{ratio[2]:.3f}"
                f"   {bias[0]:+6.2f}/{bias[1]:+6.2f}/{bias[2]:+6.2f}  {1e3 * np.sqrt(np.mean(colour**2)):6.2f}"
                f" {1e3 * found['rims'].mean():5.1f} {1e3 * found['low'].min():+7.1f}"
                f" {1e3 * flank_scatter(field, scatter, mean - SKY):6.1f}"
            )


def report_noise(n_frames: int) -> None:
    print(f"\nnoise of {n_frames} frames relative to sigma / sqrt(n); time of a 256 x 64 tile, dark and flat included")
    print("method      kernel       p    pixel R/G/B        8 x 8 R/G/B         ns/px")
    for way in WAYS:
        pixel, block = np.mean([noise_figures(n_frames, way, seed) for seed in (1, 2)], axis=0)
        figures = "/".join(f"{value:.3f}" for value in pixel) + "  " + "/".join(f"{value:.3f}" for value in block)
        print(f"{way[0]:11s} {way[1]:12s} {way[2]:.2f} {figures}  {time_way(way):5.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the figures of every way of debayering, on known truth")
    parser.add_argument("--quick", action="store_true", help="20 frames and one case only")
    quick = parser.parse_args().quick
    for count in (20,) if quick else (20, 60):
        report(count, CASES[1:2] if quick else CASES)
        report_noise(count)
    if not quick:
        report_blocks()
