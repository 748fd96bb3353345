"""How well frames are brought to the level of the reference, against known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from star_field import CHANNELS, render, scatter

from skyquilt.core import Cfa, Measurement, Normalisation, Registration, Stars, Transform
from skyquilt.steps.normalise import fit_normalisation, flux_ratio
from skyquilt.steps.register import Reference, match
from skyquilt.steps.stars import measure

WIDTH, HEIGHT, NOISE = 640, 800, 30.0
PLANE = tuple[float, float, float]


def sky_of(x: np.ndarray, y: np.ndarray, plane: PLANE) -> np.ndarray:
    return plane[0] + plane[1] * (x / WIDTH - 0.5) + plane[2] * (y / HEIGHT - 0.5)


def nebula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 300.0 * np.exp(-((x - 250) ** 2 + (y - 350) ** 2) / (2 * 110.0**2))


def frame(
    seed: int, transform: Transform, *, transparency: float, fwhm: float, plane: PLANE, shape: str = "gaussian"
) -> Measurement:
    """A frame of one and the same sky (stars and a nebula), with its own air, seeing and gradient."""
    field = np.random.default_rng(99)
    x, y, flux = scatter(field, 260, WIDTH, HEIGHT)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    sky = transparency * nebula(*transform(columns, rows)) + sky_of(columns, rows, plane)
    px, py = transform.inverse()(x, y)
    rng = np.random.default_rng(seed)
    image = render(WIDTH, HEIGHT, px, py, flux * transparency, fwhm=fwhm, shape=shape, sky=sky, noise=NOISE, rng=rng)
    return measure(image, Cfa("RGGB"), saturation_adu=65535.0)


def rotated(angle_deg: float) -> Transform:
    centred = Transform.shift(-320, -400).then(Transform.similarity(angle_deg=angle_deg))
    return centred.then(Transform.shift(327.3, 395.8))


def registered(measured: Measurement, reference: Measurement) -> Registration:
    found = match(measured.stars, Reference(reference.stars, WIDTH, HEIGHT))
    assert isinstance(found, Registration)
    return found


def surface_value(normalisation: Normalisation, channel: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    u = (x - normalisation.centre[0]) / normalisation.radius
    v = (y - normalisation.centre[1]) / normalisation.radius
    terms = [np.ones_like(u), u, v, u * u, u * v, v * v][: normalisation.surface.shape[1]]
    return sum(c * t for c, t in zip(normalisation.surface[channel], terms, strict=True))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def reference() -> Measurement:
    return frame(1, Transform.identity(), transparency=1.0, fwhm=2.8, plane=(900, 60, -40))


@pytest.mark.parametrize(("angle", "fwhm", "seed"), [(0.4, 2.8, 2), (0.4, 3.8, 3), (40.0, 2.8, 4), (180.0, 3.4, 5)])
def test_scale_and_sky_are_found_on_truth(reference: Measurement, angle: float, fwhm: float, seed: int) -> None:
    mine = (700.0, -50.0, 90.0)
    measured = frame(seed, rotated(angle), transparency=0.8, fwhm=fwhm, plane=mine)
    registration = registered(measured, reference)
    found = fit_normalisation(measured, reference, registration)
    assert found.scale[1] == pytest.approx(1 / 0.8, rel=0.006), "flux scale"
    assert found.transparency == pytest.approx(0.8, rel=0.006)
    assert np.all(found.scale == found.scale[1]), "one scale for all colours"
    gx, gy = np.meshgrid(np.arange(0.0, WIDTH, 20.0), np.arange(0.0, HEIGHT, 20.0))
    fx, fy = registration.transform.inverse()(gx, gy)
    shared = (fx > 0) & (fx < WIDTH) & (fy > 0) & (fy < HEIGHT)
    for channel in range(3):
        normalised = found.scale[channel] * CHANNELS[channel] * sky_of(fx, fy, mine)
        normalised = normalised + surface_value(found, channel, gx, gy)
        # what the true scale would leave: the nebula is scaled with the stars
        error = (normalised - CHANNELS[channel] * sky_of(gx, gy, (900, 60, -40)))[shared]
        assert np.sqrt(np.mean(error**2)) < 0.05 * NOISE, "ADU rms, 0.05 sigma of a pixel of one frame"
        assert np.abs(error).max() < 0.15 * NOISE, "ADU, anywhere in the shared field"


def test_flux_scale_is_right_also_for_moffat_stars_in_other_seeing() -> None:
    reference = frame(11, Transform.identity(), transparency=1.0, fwhm=2.6, plane=(900, 0, 0), shape="moffat")
    measured = frame(12, rotated(2.0), transparency=0.7, fwhm=3.8, plane=(900, 0, 0), shape="moffat")
    found = fit_normalisation(measured, reference, registered(measured, reference))
    assert found.scale[1] == pytest.approx(1 / 0.7, rel=0.01)


def test_the_reference_against_itself_needs_nothing(reference: Measurement) -> None:
    n = len(reference.stars)
    same = Registration(Transform.identity(), n, 0.0, 0.0, np.stack([np.arange(n)] * 2, axis=1))
    found = fit_normalisation(reference, reference, same, surface_order=2)
    assert found.scale == pytest.approx([1, 1, 1], abs=1e-9)
    assert np.abs(found.surface).max() < 1e-6
    assert found.surface.shape == (3, 6)


@pytest.mark.parametrize("mode", ["none", "additive", "multiplicative", "both"])
def test_each_mode_does_what_it_says(reference: Measurement, mode: str) -> None:
    measured = frame(21, rotated(0.4), transparency=0.8, fwhm=2.8, plane=(700, 0, 0))
    found = fit_normalisation(measured, reference, registered(measured, reference), mode=mode)
    assert (found.scale[1] != 1.0) == (mode in ("multiplicative", "both"))
    assert bool(np.any(found.surface)) == (mode in ("additive", "both"))
    assert found.transparency == pytest.approx(0.8, rel=0.01), "known for the weights in every mode"


def test_a_constant_added_to_the_frame_is_taken_off_again(reference: Measurement) -> None:
    measured = frame(22, rotated(0.4), transparency=0.9, fwhm=2.8, plane=(700, 20, 0))
    registration = registered(measured, reference)
    lifted = Measurement(
        measured.figures, measured.stars, measured.background + np.float32(256), measured.noise_adu, measured.cell_px,
        measured.width, measured.height,
    )  # fmt: skip
    low, high = (fit_normalisation(m, reference, registration) for m in (measured, lifted))
    assert low.surface[:, 0] - high.surface[:, 0] == pytest.approx(256 * low.scale, abs=0.01)
    assert low.surface[:, 1:] == pytest.approx(high.surface[:, 1:], abs=0.01)


def seen_through(seeing_px: float, *, beta: float, transparency: float, seed: int, snr: float = 1e3) -> Measurement:
    """
    A list of Moffat stars measured in an aperture of 6 px, their profile known to 1 / snr.

    What the sky's annulus of 8 to 13 px has of them was taken for sky under the whole aperture.
    """
    rng = np.random.default_rng(seed)
    x, y, flux = scatter(np.random.default_rng(99), 200, WIDTH, HEIGHT)
    order = np.argsort(-flux, kind="stable")
    x, y, flux, one = x[order], y[order], flux[order], np.ones(len(x))
    beyond = (1.0 + 4.0 * (2.0 ** (1.0 / beta) - 1.0) * (np.array([6.0, 8.0, 13.0]) / seeing_px) ** 2) ** (1.0 - beta)
    share = 1.0 - beyond[0] - (beyond[1] - beyond[2]) * 6.0**2 / (13.0**2 - 8.0**2)
    shown = transparency * share * flux * rng.normal(1.0, 0.003, len(x))
    stars = Stars(x, y, 0.03 * one, shown, 0.003 * shown, shown, one, 0.1 * one, np.zeros(len(x), dtype=bool))
    measured = grid_measurement(np.full((3, 10, 10), 900.0), stars)
    told, error = seeing_px + rng.normal(0.0, seeing_px / snr), seeing_px / snr
    profile = {"seeing_px": told, "seeing_error_px": error, "inverse_beta": 1.0 / beta}
    radii = {"aperture_px": 6.0, "sky_from_px": 8.0, "sky_to_px": 13.0}
    return replace(measured, figures=replace(measured.figures, **profile, **radii))


def ratio_of(frame: Measurement, reference: Measurement) -> float:
    pairs = np.stack([np.arange(200)] * 2, axis=1)
    return flux_ratio(frame, reference, Registration(Transform.identity(), 200, 0.0, 0.0, pairs))


@pytest.mark.parametrize("beta", [2.8, 3.5])
def test_light_that_poorer_seeing_carries_out_of_the_aperture_is_no_loss_of_transparency(beta: float) -> None:
    sharp = seen_through(1.9, beta=beta, transparency=1.0, seed=1)
    wide = seen_through(2.4, beta=beta, transparency=0.9, seed=2)
    assert ratio_of(wide, sharp) == pytest.approx(1 / 0.9, rel=0.001)
    unknown = replace(wide, figures=replace(wide.figures, seeing_px=np.nan))
    assert ratio_of(unknown, sharp) > (1 / 0.9) * 1.004, "what the profile corrects"


def test_seeing_that_is_hardly_known_corrects_nothing() -> None:
    reference = seen_through(2.2, beta=3.0, transparency=1.0, seed=1)
    vague = [seen_through(2.2, beta=3.0, transparency=1.0, seed=seed, snr=10.0) for seed in range(2, 42)]
    scatter_vague = np.std([np.log(ratio_of(frame, reference)) for frame in vague])
    bare = [replace(m, figures=replace(m.figures, seeing_error_px=0.0)) for m in vague]
    scatter_bare = np.std([np.log(ratio_of(frame, reference)) for frame in bare])
    assert scatter_vague < 0.75 * scatter_bare


def grid_measurement(level: np.ndarray, stars: Stars | None = None, cell_px: int = 64) -> Measurement:
    from skyquilt.core import Figures

    _, gy, gx = level.shape
    figures = Figures(900.0, 30.0, 0.0, 0, 3.0, 0.3, 0.0)
    return Measurement(
        figures, stars or Stars.empty(), level.astype(np.float32), np.full(len(level), 30.0), cell_px, gx * cell_px,
        gy * cell_px,
    )  # fmt: skip


def unpaired(transform: Transform) -> Registration:
    return Registration(transform, 0, float("nan"), float("nan"), np.zeros((0, 2), dtype=np.int64))


def test_without_pairs_the_scale_is_one_and_the_sky_is_still_levelled() -> None:
    level = np.full((1, 10, 12), 500.0)
    found = fit_normalisation(grid_measurement(level - 80), grid_measurement(level), unpaired(Transform.shift(9, 5)))
    assert found.scale[0] == 1.0
    assert found.transparency == 1.0
    assert found.surface[0] == pytest.approx([80, 0, 0], abs=1e-6)


def test_a_cloud_in_a_corner_does_not_tilt_the_surface() -> None:
    rng = np.random.default_rng(23)
    level = rng.normal(500, 1.0, (1, 16, 12))
    cloudy = level - 100
    cloudy[0, :4, :4] += 70
    found = fit_normalisation(grid_measurement(cloudy), grid_measurement(level), unpaired(Transform.identity()))
    assert found.surface[0] == pytest.approx([100, 0, 0], abs=1.0)


def test_unknown_cells_and_no_overlap_are_survived() -> None:
    level = np.full((1, 10, 12), 500.0)
    holes = level - 50
    holes[0, 2:4, :] = np.nan
    found = fit_normalisation(grid_measurement(holes), grid_measurement(level), unpaired(Transform.identity()))
    assert found.surface[0] == pytest.approx([50, 0, 0], abs=1e-6)
    apart = unpaired(Transform.shift(5000, 0))
    assert not np.any(fit_normalisation(grid_measurement(holes), grid_measurement(level), apart).surface)
    unknown = grid_measurement(np.full((1, 10, 12), np.nan))
    assert not np.any(fit_normalisation(unknown, grid_measurement(level), unpaired(Transform.identity())).surface)


@pytest.mark.parametrize(("overlap_px", "order"), [(700, 2), (300, 1), (90, 0)])
def test_the_surface_gets_simpler_where_the_overlap_is_small(overlap_px: int, order: int) -> None:
    rng = np.random.default_rng(24)
    size = 12 * 64
    level = rng.normal(500, 1.0, (1, 12, 12))
    moved = unpaired(Transform.shift(size - overlap_px, 0))
    found = fit_normalisation(grid_measurement(level), grid_measurement(level), moved, surface_order=2)
    n_terms = (1, 3, 6)[order]
    assert np.all(found.surface[0, n_terms:] == 0)
    assert found.surface.shape == (1, 6)


def test_quadratic_gradients_are_followed() -> None:
    rows, columns = np.mgrid[:16, :12].astype(np.float64)
    bowl = 0.8 * ((rows - 7.5) ** 2 + (columns - 5.5) ** 2)
    rng = np.random.default_rng(25)
    level = np.full((1, 16, 12), 500.0)
    frame_level = level - bowl + rng.normal(0, 0.5, level.shape)
    found = fit_normalisation(
        grid_measurement(frame_level), grid_measurement(level), unpaired(Transform.identity()), surface_order=2
    )
    x, y = (columns + 0.5) * 64 - 0.5, (rows + 0.5) * 64 - 0.5
    assert np.abs(surface_value(found, 0, x, y) - bowl).max() < 0.6, "ADU"


def test_the_flux_ratio_passes_over_saturated_and_variable_stars(reference: Measurement) -> None:
    measured = frame(26, Transform.identity(), transparency=0.8, fwhm=2.8, plane=(900, 0, 0))
    registration = registered(measured, reference)
    clean = flux_ratio(measured, reference, registration)
    stars = measured.stars
    flux, saturated = stars.flux.copy(), stars.is_saturated.copy()
    flux[:6] *= 3.0
    flux[6:9] *= 0.2
    saturated[6:9] = True
    spoiled = Stars(
        stars.x, stars.y, stars.position_error, flux, stars.flux_error, stars.peak, stars.fwhm, stars.eccentricity,
        saturated,
    )  # fmt: skip
    changed = Measurement(
        measured.figures, spoiled, measured.background, measured.noise_adu, measured.cell_px, WIDTH, HEIGHT
    )
    assert flux_ratio(changed, reference, registration) == pytest.approx(clean, rel=0.006)


def test_settings_that_mean_nothing_are_refused(reference: Measurement) -> None:
    same = unpaired(Transform.identity())
    with pytest.raises(ValueError, match="mode"):
        fit_normalisation(reference, reference, same, mode="divide")
    with pytest.raises(ValueError, match="order"):
        fit_normalisation(reference, reference, same, surface_order=3)
    with pytest.raises(ValueError, match="channels"):
        fit_normalisation(grid_measurement(np.ones((1, 4, 4))), reference, same)
