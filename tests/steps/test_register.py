"""How star lists are laid on each other, how exactly, and that no wrong map is ever believed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from star_field import error_over_frame, seen_twice, star_list, turned

from skyquilt.core import Cfa, Distortion, Registration, Stars, Transform
from skyquilt.kernels.asterism import build_triangles
from skyquilt.kernels.neighbours import match_nearest
from skyquilt.kernels.patterns import Grid
from skyquilt.kernels.robust_fit import fit_polynomial, fit_robust
from skyquilt.steps.register import NoMatch, Reference, match
from skyquilt.steps.stars import measure

WIDTH, HEIGHT = 1080, 1920


def register(frame: Stars, reference: Stars, **options: object) -> Registration | NoMatch:
    return match(frame, Reference(reference, WIDTH, HEIGHT), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("angle", [0.3, 23.0, 80.0, 90.0, 180.0, 271.0])
@pytest.mark.parametrize("n_stars", [60, 500])
def test_any_rotation_is_found_to_a_twentieth_of_a_pixel(n_stars: int, angle: float) -> None:
    truth = turned(angle, dx=31.0, dy=-17.0)
    found = register(*seen_twice(int(angle) + n_stars, n_stars, truth))
    assert isinstance(found, Registration)
    rms, worst = error_over_frame(truth, found.transform)
    assert rms < 0.05, "px per axis over the frame"
    assert worst < 0.15, "px, at the worst corner"
    assert found.rms_px == pytest.approx(0.08, rel=0.35)


@pytest.mark.parametrize("angle", [23.0, 180.0])
def test_ten_stars_are_enough(angle: float) -> None:
    truth = turned(angle, dx=5.0)
    errors = []
    for seed in range(20):
        found = register(*seen_twice(seed, 10, truth))
        if isinstance(found, Registration):
            errors.append(error_over_frame(truth, found.transform)[0])
    assert len(errors) >= 18, "of 20 fields, in each of which about 7 stars are common"
    assert np.median(errors) < 0.06, "px per axis over the frame"
    assert max(errors) < 0.25


@pytest.mark.parametrize(("n_stars", "limit_px"), [(2000, 0.01), (5000, 0.01), (10_000, 0.01)])
def test_thousands_of_stars_give_a_hundredth_of_a_pixel(n_stars: int, limit_px: float) -> None:
    truth = turned(45.0, dx=-12.0)
    found = register(*seen_twice(1, n_stars, truth))
    assert isinstance(found, Registration)
    assert error_over_frame(truth, found.transform)[0] < limit_px


def test_another_telescope_of_unknown_scale_is_matched() -> None:
    truth = turned(33.0, scale=0.8)
    found = register(*seen_twice(2, 300, truth), scale_hint=None)
    assert isinstance(found, Registration)
    assert found.transform.scale == pytest.approx(0.8, abs=1e-4)
    few = register(*seen_twice(3, 14, turned(33.0, scale=2.1)), scale_hint=None)
    assert isinstance(few, Registration)
    assert few.transform.scale == pytest.approx(2.1, abs=2e-3)


def test_a_scale_that_was_hinted_is_matched_and_another_is_not() -> None:
    frame, reference = seen_twice(4, 200, turned(10.0, scale=1.5))
    assert isinstance(register(frame, reference, scale_hint=1.5), Registration)
    assert isinstance(register(frame, reference), NoMatch)


def test_a_mirrored_frame_is_matched_only_where_that_is_allowed() -> None:
    mirror = Transform.from_matrix([[-1, 0, WIDTH - 1], [0, 1, 0], [0, 0, 1]])
    truth = mirror.then(turned(77.0))
    frame, reference = seen_twice(5, 200, truth)
    assert isinstance(register(frame, reference), NoMatch)
    found = register(frame, reference, allow_mirror=True)
    assert isinstance(found, Registration)
    assert found.transform.parity == -1
    assert error_over_frame(truth, found.transform)[0] < 0.05
    straight = register(*seen_twice(6, 200, turned(77.0)), allow_mirror=True)
    assert isinstance(straight, Registration)
    assert straight.transform.parity == 1


def test_frames_that_share_a_third_of_the_field_are_matched() -> None:
    truth = turned(4.0, dx=650.0, dy=300.0)
    rng = np.random.default_rng(8)
    x, y, flux = rng.uniform(-800, 1900, 1500), rng.uniform(-500, 2600, 1500), rng.pareto(0.8, 1500) + 1

    def seen(px: np.ndarray, py: np.ndarray) -> Stars:
        inside = (px > 0) & (px < WIDTH) & (py > 0) & (py < HEIGHT)
        n = int(inside.sum())
        return star_list(px[inside] + rng.normal(0, 0.06, n), py[inside] + rng.normal(0, 0.06, n), flux[inside])

    found = register(seen(*truth.inverse()(x, y)), seen(x, y))
    assert isinstance(found, Registration)
    assert error_over_frame(truth, found.transform)[0] < 0.1


def test_a_distorted_field_is_fitted_to_its_corners() -> None:
    rng = np.random.default_rng(9)
    n = 2000
    x, y, flux = rng.uniform(0, WIDTH, n), rng.uniform(0, HEIGHT, n), rng.pareto(0.8, n) + 1
    r2 = ((x - 540) ** 2 + (y - 960) ** 2) / 1100.0**2
    frame_x, frame_y = x + (x - 540) * 0.004 * r2, y + (y - 960) * 0.004 * r2  # 4.4 px in the corner
    turn = turned(12.0)
    u, v = turn(x, y)
    noise = rng.normal(0, 0.06, (4, n))
    frame = star_list(frame_x + noise[0], frame_y + noise[1], flux)
    found = register(frame, star_list(u + noise[2], v + noise[3], flux))
    assert isinstance(found, Registration)
    assert found.transform.kind == "polynomial"
    corner = np.hypot(x - 540, y - 960) > 950
    error = np.hypot(*(np.array(found.transform(frame_x, frame_y)) - np.array([u, v])))
    assert error[corner].max() < 0.1, "px"
    back = found.transform.inverse()(*found.transform(frame_x, frame_y))
    assert np.abs(back[0] - frame_x).max() < 1e-6


@pytest.mark.parametrize("model", ["shift", "similarity", "affine", "homography", "polynomial"])
def test_the_model_can_be_forced(model: str) -> None:
    truth = Transform.shift(12.25, -7.5)
    found = register(*seen_twice(10, 300, truth), model=model)
    assert isinstance(found, Registration)
    assert found.transform.kind == model
    assert error_over_frame(truth, found.transform)[0] < 0.05


def test_a_model_that_cannot_fit_is_refused_with_the_figures() -> None:
    found = register(*seen_twice(11, 300, turned(10.0)), model="shift")
    assert isinstance(found, NoMatch)
    assert "shift" in found.reason
    with pytest.raises(ValueError, match="homography"):
        register(*seen_twice(11, 30, turned(1.0)), model="spline")


def test_a_plain_rotation_is_not_dressed_up() -> None:
    kinds = [register(*seen_twice(seed, 400, turned(15.0))) for seed in range(100, 120)]
    simple = [f.transform.kind in ("similarity", "affine") for f in kinds if isinstance(f, Registration)]
    assert len(simple) == 20
    assert sum(simple) >= 19


def test_a_shear_is_seen_as_affine_and_a_tilt_as_perspective() -> None:
    shear = Transform.from_matrix([[1.001, 0.0004, 3.0], [-0.0007, 0.999, 5.0], [0, 0, 1]])
    found = register(*seen_twice(12, 400, shear))
    assert isinstance(found, Registration)
    assert found.transform.kind == "affine"
    tilt = Transform.from_matrix([[1, 0, 3.0], [0, 1, 5.0], [2e-6, 1e-6, 1]], "homography")
    found = register(*seen_twice(13, 800, tilt))
    assert isinstance(found, Registration)
    assert found.transform.kind == "homography"
    assert error_over_frame(tilt, found.transform)[0] < 0.02


def test_pairs_point_into_both_lists() -> None:
    truth = turned(30.0)
    frame, reference = seen_twice(14, 200, truth)
    found = register(frame, reference)
    assert isinstance(found, Registration)
    assert found.n_matched == len(found.pairs)
    assert len(set(found.pairs[:, 0])) == len(set(found.pairs[:, 1])) == found.n_matched
    u, v = truth(frame.x[found.pairs[:, 0]], frame.y[found.pairs[:, 0]])
    miss = np.hypot(u - reference.x[found.pairs[:, 1]], v - reference.y[found.pairs[:, 1]])
    assert miss.max() < 1.0
    assert 120 < found.n_matched < 160, "of 200 stars, 72 % in both lists"


def test_the_same_lists_give_the_same_bits() -> None:
    lists = seen_twice(15, 300, turned(66.0))
    first, second = register(*lists), register(*lists)
    assert isinstance(first, Registration) and isinstance(second, Registration)
    assert first.transform.to_dict() == second.transform.to_dict()


def test_a_list_laid_on_itself_gives_the_identity() -> None:
    _, reference = seen_twice(16, 100, Transform.identity())
    found = register(reference, reference)
    assert isinstance(found, Registration)
    assert found.transform.kind == "similarity"
    assert np.allclose(found.transform.matrix, np.eye(3), atol=1e-9)


def random_list(rng: np.random.Generator, n: int) -> Stars:
    return star_list(rng.uniform(0, WIDTH, n), rng.uniform(0, HEIGHT, n), rng.pareto(0.8, n) + 1)


def accepted(n_trials: int, seed: int) -> int:
    count = 0
    for trial in range(n_trials):
        rng = np.random.default_rng(seed + trial)
        largest = (9, 14, 30, 120)[trial % 4] if trial % 20 == 3 else (9, 14)[trial % 2]
        frame, reference = (random_list(rng, int(rng.integers(5, largest))) for _ in range(2))
        count += isinstance(register(frame, reference, allow_mirror=trial % 3 == 0), Registration)
    return count


def test_unrelated_lists_are_never_matched() -> None:
    assert accepted(400, 1000) == 0


@pytest.mark.long
def test_two_thousand_unrelated_pairs_of_lists_are_never_matched() -> None:
    assert accepted(2000, 50_000) == 0


def test_unrelated_clusters_are_never_matched() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        lists = [
            star_list(rng.normal(540, 60, 120), rng.normal(960, 60, 120), rng.pareto(0.8, 120) + 1) for _ in range(2)
        ]
        assert isinstance(register(*lists), NoMatch)


def test_a_trail_in_the_bright_end_of_the_list_does_not_matter() -> None:
    truth = turned(5.0)
    frame, reference = seen_twice(17, 300, truth)
    along = np.linspace(0, 1000, 150)
    bright = star_list(along, 0.7 * along + 100, np.full(150, 1e9))
    both = Stars(*(np.concatenate([getattr(bright, name), getattr(frame, name)]) for name in Stars.__slots__))
    found = register(both, reference)
    assert isinstance(found, Registration)
    assert error_over_frame(truth, found.transform)[0] < 0.05


def test_too_few_stars_are_a_value_with_a_reason() -> None:
    _, reference = seen_twice(18, 100, Transform.identity())
    none = register(Stars.empty(), reference)
    assert isinstance(none, NoMatch)
    assert "0 stars" in none.reason
    other = register(reference, Stars.empty())
    assert isinstance(other, NoMatch)
    assert "reference" in other.reason
    strange = register(random_list(np.random.default_rng(1), 40), reference)
    assert isinstance(strange, NoMatch)
    assert "40 stars against" in strange.reason


def test_positions_that_are_not_finite_are_passed_over() -> None:
    frame, reference = seen_twice(19, 100, turned(3.0))
    frame.x[3] = np.nan
    reference.y[5] = np.inf
    found = register(frame, reference)
    assert isinstance(found, Registration)
    assert 3 not in found.pairs[:, 0]
    assert 5 not in found.pairs[:, 1]


def test_a_hint_helps_where_stars_are_few() -> None:
    truth = turned(0.05, dx=22.0, dy=-9.0)
    solved = sum(
        isinstance(register(*seen_twice(s, 8, truth), hint=Transform.identity()), Registration) for s in range(20)
    )
    assert solved >= 15


def test_nearest_neighbours_agree_with_their_definition() -> None:
    rng = np.random.default_rng(20)
    x, y, u, v = rng.uniform(0, 300, (4, 200))
    grid, partner = Grid.of(x, y), np.empty(200, dtype=np.int64)
    n = match_nearest(u, v, 12.0, x, y, *grid.cells, partner)
    d2 = (u[:, None] - x) ** 2 + (v[:, None] - y) ** 2
    nearest = d2.argmin(axis=1)
    expected = np.full(200, -1)
    for k in range(200):
        takers = np.flatnonzero((nearest == k) & (d2[:, k] <= 144.0))
        if len(takers):
            expected[takers[d2[takers, k].argmin()]] = k
    assert np.array_equal(partner, expected)
    assert n == (expected >= 0).sum()


def test_triangles_are_listed_once_with_their_sides_in_order() -> None:
    rng = np.random.default_rng(21)
    x, y = rng.uniform(0, 1000, (2, 40))
    vertices, sides = np.empty((600, 3), dtype=np.int64), np.empty((600, 4))
    n = build_triangles(x, y, 6, vertices, sides)
    vertices, sides = vertices[:n], sides[:n]
    assert len({tuple(sorted(row)) for row in vertices.tolist()}) == n
    assert np.all(sides[:, 0] >= sides[:, 1]) and np.all(sides[:, 1] >= sides[:, 2])
    a, b = vertices[:, 1], vertices[:, 2]
    assert np.allclose(np.hypot(x[a] - x[b], y[a] - y[b]), sides[:, 0]), "first vertex opposite to the longest side"


def test_the_robust_fit_agrees_with_least_squares_and_ignores_outliers() -> None:
    rng = np.random.default_rng(22)
    n = 60
    design, truth = rng.normal(size=(2 * n, 4)), np.array([1.0, -2.0, 0.5, 3.0])
    sigma = rng.uniform(0.5, 2.0, n)
    target = design @ truth + rng.normal(size=2 * n) * np.repeat(sigma, 2) * 0.01
    parameters, weight, residual = np.zeros(4), np.ones(n), np.empty(2 * n)
    fit_robust(design, target, sigma, 1e6, 10, parameters, weight, residual)
    w = np.repeat(1 / sigma, 2)
    assert np.allclose(parameters, np.linalg.lstsq(design * w[:, None], target * w, rcond=None)[0])
    target[:20] += 50.0
    weight = np.ones(n)
    fit_robust(design, target, sigma, 5.5, 20, parameters, weight, residual)
    assert np.abs(parameters - truth).max() < 0.02
    assert np.all(weight[:10] == 0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_fit_of_two_coordinates_is_the_robust_fit_of_their_terms(order: int) -> None:
    rng = np.random.default_rng(order)
    n = 90
    a, b = rng.uniform(-1, 1, (2, n))
    terms = np.stack([a ** (total - j) * b**j for total in range(order + 1) for j in range(total + 1)], axis=1)
    target = np.stack([300.0 * a - 20.0 * b, 20.0 * a + 300.0 * b], axis=1) + rng.normal(0, 0.1, (n, 2))
    target[::11] += 5.0
    sigma = rng.uniform(0.05, 0.3, n)
    p = terms.shape[1]
    design = np.zeros((2 * n, 2 * p))
    design[0::2, :p], design[1::2, p:] = terms, terms
    expected, weight, residual = np.zeros(2 * p), np.ones(n), np.empty(2 * n)
    scale = fit_robust(design, target.reshape(-1), sigma, 5.5, 12, expected, weight, residual)
    parameters, weights, residuals = np.zeros((2, p)), np.ones(n), np.empty((n, 2))
    assert fit_polynomial(a, b, target, sigma, order, 5.5, 12, parameters, weights, residuals) == pytest.approx(scale)
    assert np.allclose(parameters.reshape(-1), expected, atol=1e-9)
    assert np.allclose(weights, weight, atol=1e-9)
    assert np.allclose(residuals.reshape(-1), residual, atol=1e-9)


def test_a_polynomial_transform_is_linear_after_distortion() -> None:
    frame, reference = seen_twice(23, 400, turned(20.0))
    found = register(frame, reference, model="polynomial")
    assert isinstance(found, Registration)
    assert isinstance(found.transform.stages[0], Distortion)
    assert found.transform.rotation_deg == pytest.approx(20.0, abs=0.01)


DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))


def measured_stars(path: Path, cfa: str | None, saturation: float) -> tuple[Stars, int, int]:
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = np.ascontiguousarray(fits.getdata(path), dtype=np.float32)
    stars = measure(pixels, Cfa(cfa) if cfa else None, saturation_adu=saturation).stars
    return stars, pixels.shape[1], pixels.shape[0]


@pytest.mark.real
@pytest.mark.parametrize(
    ("pattern", "cfa", "saturation", "n_frames", "bright_px"),
    [
        ("seestar/MyWorks/M 94_sub/*.fit", "GRBG", 65535.0, 20, 0.3),
        ("seestar/MyWorks/NGC 7023_sub/*.fit", "GRBG", 65535.0, 4, 0.3),
        ("mono-hatp32/*.FITS", None, 4095.0, 36, 0.2),
        ("mono-jocular/Arp 145/*.fit", None, 65535.0, 17, 0.3),
        ("mono-jocular/Messier 8/light_*.fit", None, 65535.0, 12, 0.35),
    ],
)
def test_real_sessions_register(
    pattern: str, cfa: str | None, saturation: float, n_frames: int, bright_px: float
) -> None:
    paths = sorted(DATA.glob(pattern))
    if len(paths) != n_frames:
        pytest.skip(f"no real frames {pattern}: set SKYQUILT_DATA")
    lists = [measured_stars(path, cfa, saturation) for path in paths]
    reference = Reference(*lists[len(lists) // 2])
    found = [match(stars, reference) for stars, _, _ in lists]
    assert all(isinstance(f, Registration) for f in found)
    assert max(f.bright_rms_px for f in found if isinstance(f, Registration)) < bright_px
    assert max(abs(f.transform.scale - 1.0) for f in found if isinstance(f, Registration)) < 2e-3


@pytest.mark.real
@pytest.mark.parametrize("folder", ["tutorial-m13", "mono-jocular/Messier 8"])
def test_real_frames_without_stars_fail_politely(folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip("no real frames: set SKYQUILT_DATA")
    if folder == "tutorial-m13":
        lists = [measured_stars(path, None, 65535.0) for path in sorted((DATA / folder).glob("*.fits"))]
        reference, others = lists[0], lists[1:]
    else:
        reference = measured_stars(DATA / folder / "light_L_15000ms_14.fit", None, 65535.0)
        others = [measured_stars(DATA / folder / "L_12.fit", None, 65535.0)]
    for stars, _, _ in others:
        found = match(stars, Reference(*reference))
        assert isinstance(found, NoMatch)
        assert "stars" in found.reason
