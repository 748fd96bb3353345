"""
Measure what the pipeline promises on sessions whose truth is known, with default settings, and print the table.

Run: ``python bench/truth.py``; some minutes on two cores. tests/engine/test_truth.py holds smaller sessions to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import skyquilt
from skyquilt.testing.bounds import registration_bounds
from skyquilt.testing.judge import Stacked, read_stacked
from skyquilt.testing.sky import Scenario, make_session

COLOURS = ("red", "green", "blue")
CLEAN = Scenario(
    target="none",
    tycho=False,
    nebula=False,
    width=540,
    height=540,
    n_faint_stars=120,
    zero_point=23.0,
    n_hot_pixels=0,
    n_cold_pixels=0,
    n_cosmics_per_frame=0,
)
STARRY = replace(
    CLEAN, width=1200, height=1200, n_faint_stars=900, zero_point=24.5, gain_e_per_adu=4.0, read_noise_e=2.0
)


def stack(scenario: Scenario, **settings: object) -> Stacked:
    """Write a session, stack it and read the products."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = make_session(folder / "session", scenario)
        result = skyquilt.stack(folder / "session", folder / "out", quicklook=False, **settings)
        return read_stacked(result.stacks[0].folder, truth)


def row(what: str, figure: str, promise: str = "") -> None:
    print(f"{what:<52} {figure:<44} {promise}", flush=True)


def by_colour(values: Iterator[float] | list[float], form: str = ".3f") -> str:
    return " / ".join(format(value, form) for value in values)


def bench_registration() -> None:
    """Rms error over whole frames, and what the photons of the stars allow to expect."""
    roads = {
        "80 degrees": replace(CLEAN, rotation_deg=(0.0, 80.0)),
        "meridian flip": replace(CLEAN, meridian_flip=True, n_frames=10),
        "dithers of 40 px": replace(CLEAN, dither_px=40.0, dither_every=1, n_frames=10),
        "distortion of 2 px": replace(CLEAN, distortion_px=2.0, rotation_deg=(0.0, 40.0), n_faint_stars=300),
        "10 bright stars": replace(CLEAN, n_faint_stars=10, zero_point=26.0, rotation_deg=(0.0, 80.0), n_frames=6),
        "5,000 stars": replace(CLEAN, width=1080, height=1080, n_faint_stars=5000, n_frames=4),
        "Seestar frames of M 94": Scenario(n_frames=10, rotation_deg=(0.0, 10.0)),
    }
    for name, scenario in roads.items():
        stacked = stack(scenario)
        errors = stacked.registration_errors()
        records = [record for record in stacked.manifest["frames"] if record["n_matched"]]
        matched, residual = (float(np.median([r[key] for r in records])) for key in ("n_matched", "residual_px"))
        figure = f"{errors.max():.4f} px; {matched:.0f} pairs, residual {residual:.3f} px"
        row(f"registration, worst frame: {name}", figure, "<= 0.05 px")
    faint = replace(CLEAN, n_faint_stars=10, zero_point=25.0, rotation_deg=(0.0, 80.0), n_frames=6)
    ratios = []
    for seed in range(1, 17):
        stacked = stack(replace(faint, seed=seed))
        errors = stacked.registration_errors()
        bounds = registration_bounds(stacked.truth, stacked.reference, stacked.frames)
        least = max(bound.rms_px for bound in bounds)
        allowed = max(bound.quantile_px(1.0 - 0.05 / len(bounds)) for bound in bounds)
        ratios.append(np.sum(errors**2) / sum(bound.rms_px**2 for bound in bounds))
        figure = f"{errors.max():.4f} px; bound {least:.4f}, 1 sky in 20 {allowed:.4f}"
        row(f"registration, worst frame: 10 fainter stars, sky {seed}", figure, f"<= {max(0.05, allowed):.3f} px")
    row("    rms over that of the bound, 16 skies", f"{np.sqrt(np.mean(ratios)):.2f}", "1")


def bench_stars() -> None:
    """Flux and FWHM of isolated bright stars."""
    for fwhm_px, beta in ((3.6, None), (2.9, None), (2.9, 3.5), (2.2, None), (1.9, 3.5)):
        stacked = stack(replace(STARRY, fwhm_px=fwhm_px, moffat_beta=beta))
        profile = "Gaussian" if beta is None else f"Moffat {beta}"
        stars = stacked.stars(apart_px=26.0, margin_px=26.0, peak_adu=(2000.0, 40000.0))
        biases, errors = [], []
        for channel in range(3):
            ratios = stacked.flux_ratios(stars, channel)
            ratios = ratios[np.isfinite(ratios)]
            biases.append(100.0 * (float(np.median(ratios)) - 1.0))
            errors.append(185.8 * float(np.median(np.abs(ratios - np.median(ratios)))) / np.sqrt(len(ratios)))
        name = f"{profile} of {fwhm_px} px, {len(stars)} stars"
        row(f"flux bias, {name}", f"{by_colour(biases, '+.3f')} % (+- {by_colour(errors)})", "< 0.1 %")
        widths = by_colour([stacked.fwhm_ratio(stars, channel) for channel in range(3)])
        seen = stacked.manifest["statistics"]
        row(f"FWHM of the stack over the frames', {name}", widths, "0.95 to 1.05")
        row("    as measured by the run", f"{seen['fwhm_px'] / seen['frames_fwhm_px']:.3f}")
        row("    samples rejected", f"{stacked.rejected:.3%}", "< 0.5 %")


def bench_flux_scale() -> None:
    """
    Flux scale of the stack, mean and scatter over sessions: their reference is always one of the sharpest frames.

    One session tells no bias: its scale is that of one frame's photometry, good to 0.03 to 0.1 %.
    """
    for fwhm_px, beta in ((2.2, None), (1.9, 3.5), (2.3, 3.5), (2.9, 3.5)):
        found = []
        for seed in range(1, 9):
            stacked = stack(replace(STARRY, width=1000, height=1000, n_faint_stars=620, fwhm_px=fwhm_px,
                                    moffat_beta=beta, seed=seed))  # fmt: skip
            stars = stacked.stars(apart_px=26.0, margin_px=26.0, peak_adu=(2000.0, 40000.0))
            ratios = stacked.flux_ratios(stars, 1)
            found.append(100.0 * (float(np.nanmedian(ratios)) - 1.0))
        profile = "Gaussian" if beta is None else f"Moffat {beta}"
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        figure = f"{np.mean(found):+.3f} +- {error:.3f} %; single ones {min(found):+.3f} to {max(found):+.3f}"
        row(f"flux bias in green, {len(found)} sessions, {profile} of {fwhm_px} px", figure, "< 0.1 %")


def bench_noise() -> None:
    """Noise of the sky against the optimum, and the variance map."""
    for n_frames in (5, 20):
        stacked = stack(replace(CLEAN, width=1500, height=1500, n_frames=n_frames))
        mask = stacked.sky_mask()
        for block in (8, 32):
            ratios = [stacked.sky_noise(c, mask, block) / stacked.optimum_noise(c, block) for c in range(3)]
            row(f"noise of {block}x{block} means over the optimum, N = {n_frames}", by_colour(ratios), "< 1.03")
        ratios = [float(np.sqrt(stacked.variance_ratio(c, mask))) for c in range(3)]
        row(f"noise over sqrt(variance map), N = {n_frames}", by_colour(ratios), "0.8 to 1.2")


def bench_rejection() -> None:
    """Good samples lost, and what trails leave."""
    for n_frames in (3, 5, 7, 8, 20, 60):
        rejected = stack(replace(CLEAN, n_frames=n_frames)).rejected
        row(f"good samples rejected, N = {n_frames}", f"{rejected:.3%}", "< 0.5 %")
    for n_frames in (3, 5, 7, 20, 60):
        scenario = replace(CLEAN, n_frames=n_frames, n_trails=1, trail_frames=(n_frames // 2,))
        stacks = [stack(replace(scenario, seed=seed)) for seed in (1, 2, 3)]
        residues = [np.abs(stacked.trail_residues(stacked.sky_mask(far_px=4))).max() for stacked in stacks]
        row(f"trail of 10,000 ADU, worst of three, N = {n_frames}", f"{max(residues):.3f} sigma", "< 1 sigma")


def bench_blemishes() -> None:
    """What hot pixels and particles leave, in sigmas of the sky, at their true places."""
    spots = {"n_hot_pixels": 80, "n_cosmics_per_frame": 20}
    with_darks = replace(
        CLEAN, device="generic", n_dark=10, gain_e_per_adu=0.25, exposure_s=10.0, sky_adu=1000.0, **spots
    )
    dithered = replace(CLEAN, dither_px=20.0, dither_every=1, **spots)
    for name, scenario in (("darks", with_darks), ("dithers, no darks", dithered)):
        for n_frames in (5, 20):
            stacked = stack(replace(scenario, n_frames=n_frames))
            mask = stacked.sky_mask(far_px=12)
            residual = stacked.sky_residuals(1, mask) / stacked.sky_noise(1, mask, 1)
            for what in ("hot pixels", "particles"):
                found = []
                for index in stacked.frames:
                    truth = stacked.truth
                    where = truth.hot_pixels if what == "hot pixels" else truth.frames[index].cosmics
                    x, y = stacked.places(index, where[:, 0].astype(float), where[:, 1].astype(float), mask)
                    found.append(residual[y, x])
                values = np.concatenate(found)
                figure = f"mean {values.mean():+.2f}, rms {values.std():.2f}, worst {np.abs(values).max():.1f} sigma"
                row(f"{what}, {name}, N = {n_frames}, green", figure)


def bench_sweep() -> None:
    """The sweep's noise over the cube's."""
    for n_frames in (60, 200):
        scenario = replace(CLEAN, n_frames=n_frames, rotation_deg=(0.0, 10.0))
        cube, sweep = stack(scenario), stack(scenario, schedule="sweep")
        mask = cube.sky_mask()
        ratios = [sweep.sky_noise(c, mask, 1) / cube.sky_noise(c, mask, 1) for c in range(3)]
        row(f"noise of the sweep over the cube's, N = {n_frames}", by_colour(ratios, ".4f"), "0.98 to 1.02")


if __name__ == "__main__":
    bench_registration()
    bench_stars()
    bench_flux_scale()
    bench_noise()
    bench_rejection()
    bench_blemishes()
    bench_sweep()
