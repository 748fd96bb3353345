"""
Time of measuring a frame, registering its stars and normalising it: best of several, CPU time of one thread.

Run: python bench/register.py [folder of FITS lights]
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skyquilt.core import Cfa, Registration, Stars, Transform
from skyquilt.steps.normalise import fit_normalisation
from skyquilt.steps.register import Reference, match
from skyquilt.steps.stars import measure

REPEATS = 7


def best_ms(work: Callable[[], object]) -> float:
    """Return the best CPU time of `work`, ms; the first call compiles and does not count."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return 1e3 * min(times)


def star_field(width: int, height: int, n: int, seed: int) -> np.ndarray:
    """Return a frame of Gaussian stars of FWHM 3.2 px on a sky of 900 ADU with 30 ADU of noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(900.0, 30.0, (height, width)).astype(np.float32)
    offset = np.arange(-6, 7)
    for x, y, flux in zip(
        rng.uniform(8, width - 8, n), rng.uniform(8, height - 8, n), 1500 * (rng.pareto(0.9, n) + 1), strict=True
    ):
        cx, cy = int(x), int(y)
        gx, gy = np.exp(-((offset + cx - x) ** 2) / 3.7), np.exp(-((offset + cy - y) ** 2) / 3.7)
        image[cy - 6 : cy + 7, cx - 6 : cx + 7] += (min(flux, 4e5) / (np.pi * 3.7) * np.outer(gy, gx)).astype(
            np.float32
        )
    return image


def bench_measure() -> None:
    for width, height, n in ((1080, 1920, 150), (1080, 1920, 500), (3840, 2160, 1000)):
        image = star_field(width, height, n, 1)
        for cfa in (Cfa("GRBG"), None):
            found = measure(image, cfa, saturation_adu=65535.0)
            ms = best_ms(lambda image=image, cfa=cfa: measure(image, cfa, saturation_adu=65535.0))
            kind = "CFA " if cfa else "mono"
            print(f"measure   {width}x{height} {kind}  {len(found.stars):5d} stars  {ms:6.1f} ms")


def star_list(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> Stars:
    """Return a list with 15 % of the stars missing and 0.06 px of noise."""
    keep = rng.uniform(size=len(x)) > 0.15
    order = np.argsort(-flux[keep], kind="stable")
    n = len(order)
    one = np.ones(n)
    noise = rng.normal(0, 0.06, (2, n))
    return Stars(
        x[keep][order] + noise[0], y[keep][order] + noise[1], 0.06 * one, flux[keep][order], one, one, 3 * one,
        0.2 * one, np.zeros(n, dtype=bool),
    )  # fmt: skip


def bench_match() -> None:
    centred = Transform.shift(-540, -960)
    for n, angle in ((10, 23.0), (100, 5.0), (500, 1.0), (500, 90.0), (2000, 45.0), (10_000, 45.0)):
        rng = np.random.default_rng(n)
        x, y, flux = rng.uniform(0, 1080, n), rng.uniform(0, 1920, n), rng.pareto(0.8, n) + 1
        turn = centred.then(Transform.similarity(angle_deg=angle)).then(Transform.shift(550, 950))
        frame, reference = star_list(rng, *turn.inverse()(x, y), flux), star_list(rng, x, y, flux)
        build = best_ms(lambda reference=reference: Reference(reference, 1080, 1920))
        target = Reference(reference, 1080, 1920)
        found = match(frame, target)
        ms = best_ms(lambda frame=frame, target=target: match(frame, target))
        told = f"{found.rms_px:.3f} px" if isinstance(found, Registration) else found.reason
        print(f"register  {n:5d} stars, {angle:4.0f} deg  reference {build:5.1f} ms  match {ms:6.1f} ms  {told}")


def bench_folder(folder: Path) -> None:
    from astropy.io import fits

    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".fit", ".fits"))
    measured = []
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels, header = fits.getdata(path, header=True)
        image, pattern = np.ascontiguousarray(pixels, dtype=np.float32), header.get("BAYERPAT")
        cfa = Cfa(pattern.strip()) if pattern else None
        ms = best_ms(lambda image=image, cfa=cfa: measure(image, cfa, saturation_adu=65535.0))
        measured.append((path.name, measure(image, cfa, saturation_adu=65535.0), ms))
    reference = max((m for _, m, _ in measured), key=lambda m: m.figures.n_stars)
    target = Reference(reference.stars, reference.width, reference.height)
    for name, m, ms in measured:
        figures = m.figures
        line = f"{name[-40:]:40s} {ms:5.1f} ms  {figures.n_stars:4d} stars  FWHM {figures.fwhm_px:5.2f} px"
        found = match(m.stars, target)
        if not isinstance(found, Registration):
            print(f"{line}  {found.reason}")
            continue
        match_ms = best_ms(lambda m=m: match(m.stars, target))
        level_ms = best_ms(lambda m=m, found=found: fit_normalisation(m, reference, found))
        flux = 1.0 / fit_normalisation(m, reference, found).scale[0]
        print(
            f"{line}  match {match_ms:4.1f} ms  {found.n_matched:4d} pairs  rms {found.rms_px:.2f}"
            f" bright {found.bright_rms_px:.2f} px  {found.transform.kind}"
            f"  transparency {flux:.3f}  normalise {level_ms:.1f} ms"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        bench_folder(Path(sys.argv[1]))
    else:
        bench_measure()
        bench_match()
