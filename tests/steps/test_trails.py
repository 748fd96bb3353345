"""Trails: what the compiled loops compute, what is found, what is not, and what is left beside the masks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from skyquilt.core import CFA_NAMES, Cfa, Normalisation, Trail, Transform
from skyquilt.kernels.lines import cut_across, lines_scratch, strongest_line, whole_steps
from skyquilt.kernels.trails import cell_medians, median_planes, star_activity, warp_plane, whiten
from skyquilt.steps.stars import halve
from skyquilt.steps.trails import bin_plane, find_trails, first_result

HEIGHT, WIDTH, NOISE, FACTOR = 540, 960, 20.0, 4
GRBG = Cfa("GRBG")


def binned(pixels: np.ndarray, cfa: Cfa | None, factor: int) -> np.ndarray:
    """Return the binned plane of a frame, as the engine makes it."""
    return bin_plane(halve(pixels, cfa, 65535.0).pixels, factor)


# --- the loops equal their definitions ---


def test_blocks_of_an_odd_side_are_refused():
    with pytest.raises(ValueError, match="even side, not 3"):
        bin_plane(np.zeros((8, 8), np.float32), 3)


@pytest.mark.parametrize("factor", [2, 4, 6])
@pytest.mark.parametrize("name", [*CFA_NAMES, None])
def test_a_binned_cell_is_the_mean_of_its_green_sites(name, factor):
    pixels = np.random.default_rng(1).normal(500, 90, (23, 31)).astype(np.float32)
    cfa = None if name is None else Cfa(name)
    got = binned(pixels, cfa, factor)
    y, x = np.mgrid[0:23, 0:31]
    is_green = np.ones((23, 31), bool) if cfa is None else cfa.table[y % 2, x % 2] == 1
    assert got.shape == (23 // factor, 31 // factor)
    for i, j in np.ndindex(got.shape):
        block = np.s_[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
        assert got[i, j] == pytest.approx(pixels[block][is_green[block]].mean(dtype=np.float64), rel=1e-6)


def test_a_warped_plane_is_the_bilinear_sample_where_the_nodes_say():
    rng = np.random.default_rng(2)
    plane = rng.normal(0, 1, (20, 24)).astype(np.float32)
    plane[5, 6] = np.nan
    nodes = np.stack([rng.uniform(-3, 26, (4, 5)), rng.uniform(-3, 22, (4, 5)), rng.normal(0, 1, (4, 5))])
    out = np.empty((17, 25), np.float32)
    warp_plane(plane, nodes, 8, 1.5, out)
    for i, j in np.ndindex(out.shape):
        a, b = i // 8, j // 8
        p, q = i / 8 - a, j / 8 - b
        corner = nodes[:, a : a + 2, b : b + 2]
        u, v, add = (corner * np.outer([1 - p, p], [1 - q, q])).sum(axis=(1, 2))
        if not (-0.5 < u < 23.5 and -0.5 < v < 19.5):
            assert np.isnan(out[i, j])
            continue
        u, v = np.clip(u, 0, 23), np.clip(v, 0, 19)
        x, y = min(int(u), 22), min(int(v), 18)
        weights = np.outer([1 - (v - y), v - y], [1 - (u - x), u - x])
        expected = 1.5 * (weights * plane[y : y + 2, x : x + 2]).sum() + add
        np.testing.assert_allclose(out[i, j], expected, rtol=1e-5, atol=1e-5)


def test_the_median_of_planes_is_the_smaller_of_two_and_nothing_of_one():
    planes = np.random.default_rng(3).normal(0, 1, (6, 9, 11)).astype(np.float32)
    planes[np.random.default_rng(4).random(planes.shape) < 0.45] = np.nan
    out, gap = np.empty((9, 11), np.float32), np.empty((9, 11), np.float32)
    median_planes(planes, out, gap)
    for y, x in np.ndindex(out.shape):
        values = np.sort(planes[np.isfinite(planes[:, y, x]), y, x])
        if values.size < 2:
            assert np.isnan(out[y, x])
        else:
            assert out[y, x] == (values[0] if values.size == 2 else np.median(values))
        np.testing.assert_equal(gap[y, x], values[1] - values[0] if values.size == 2 else np.nan)


def test_activity_is_the_largest_step_to_a_neighbour():
    plane = np.random.default_rng(5).normal(0, 1, (8, 9)).astype(np.float32)
    plane[3, 4] = np.nan
    out = np.empty_like(plane)
    star_activity(plane, out)
    padded = np.pad(plane, 1, mode="edge")
    shifted = [padded[1 + dy : 9 + dy, 1 + dx : 10 + dx] for dy, dx in itertools.product((-1, 0, 1), repeat=2)]
    np.testing.assert_array_equal(out, np.max([np.abs(s - plane) for s in shifted], axis=0))


def test_cell_medians_take_every_other_pixel_and_leave_poor_cells_out():
    plane = np.random.default_rng(6).normal(0, 1, (21, 26)).astype(np.float32)
    plane[:9, :9] = np.nan
    out = np.empty((2, 3))
    cell_medians(plane, 8, out)
    y, x = np.mgrid[0:21, 0:26]
    chess = np.where((y + x) % 2 == 0, plane, np.nan)
    assert np.isnan(out[0, 0])
    assert out[0, 2] == np.nanmedian(chess[:8, 16:])
    assert out[1, 1] == np.nanmedian(chess[8:, 8:16])


def test_whitening_divides_by_noise_and_by_what_stars_may_leave():
    rng = np.random.default_rng(7)
    residual = rng.normal(0, 3, (7, 8)).astype(np.float32)
    activity = rng.uniform(0, 20, (7, 8)).astype(np.float32)
    activity[2, 3] = np.nan
    sigmas, plain = np.empty_like(residual), np.empty_like(residual)
    whiten(residual, activity, 3.0, 6.0, 0.5, sigmas, plain)
    excess = 0.5 * np.maximum(activity.astype(np.float64) - 6.0, 0.0)
    np.testing.assert_allclose(sigmas, residual / np.hypot(3.0, excess), rtol=1e-6)
    np.testing.assert_array_equal(plain, np.where(excess < 3.0, residual, np.nan).astype(np.float32))


def test_whole_steps_have_no_mean_and_cannot_overflow():
    sigmas = np.random.default_rng(8).normal(0.3, 2, (40, 50)).astype(np.float32)
    sigmas[4:6] = np.nan
    out = np.empty(sigmas.shape, np.int16)
    unit = whole_steps(sigmas, 3.0, 64, out)
    clipped = np.clip(sigmas.astype(np.float64), -3, 3)
    mean, rms = np.nanmean(clipped), np.nanstd(clipped)
    assert unit == np.floor(32767 * rms / (64 * (3 + abs(mean))))
    np.testing.assert_array_equal(out, np.rint(np.nan_to_num((clipped - mean) / rms * unit)))
    assert 64 * np.abs(out.astype(int)).max() <= 32767


def all_lines(data: np.ndarray, span: int) -> dict[tuple[int, int, int], int]:
    """Return the sums of `strongest_line`'s definition, written as it stands: {(first, shift, t): sum}."""
    n_lanes, length = data.shape

    def line(first: int, span: int, shift: int, t: int) -> int:
        if span == 1:
            return int(data[first, t]) if first < n_lanes and 0 <= t < length else 0
        half = span // 2
        return line(first, half, shift // 2, t) + line(first + half, half, shift // 2, t + (shift + 1) // 2)

    return {
        (first, shift, t): line(first, span, shift, t)
        for first in range(0, n_lanes, span)
        for shift in range(span)
        for t in range(-shift, length)
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(16, 19), (13, 9), (5, 40)])
def test_the_strongest_line_is_that_of_the_definition(seed, shape):
    data = np.rint(np.random.default_rng(seed).normal(0, 50, shape)).astype(np.int16)
    few, unit = 3, 50.0
    scratch = lines_scratch(16, 40)
    scratch[:] = 77  # what another call has left
    best = 0.0
    for span in (4, 8, 16)[: (shape[0] - 1).bit_length() - 1]:
        lines = all_lines(data, span)
        for shift in range(span):
            scores, sampled = [], []
            for (first, s, t), total in lines.items():
                lanes = min(span, shape[0] - first)
                at = t + shift / (span - 1) * np.arange(lanes)
                crossed = int(np.count_nonzero((at > -1e-9) & (at < shape[1] - 1 + 1e-9)))
                if s == shift and lanes >= few and crossed >= few:
                    scores.append(total / np.sqrt(crossed))
                if s == shift and crossed >= few and (t + shift) % 4 == 0:
                    sampled.append(min(total**2 / crossed, 25 * unit**2))
            if scores:
                best = max(best, max(scores) / max(unit, np.sqrt(np.mean(sampled or [0.0]))))
    got, span, first, shift, start = strongest_line(data, 2, few, unit, 0.5, scratch)
    assert got == pytest.approx(best)
    assert all_lines(data, span)[first, shift, start] > 0


def test_nothing_is_found_below_the_floor():
    data = np.random.default_rng(9).integers(-50, 50, (16, 20)).astype(np.int16)
    assert strongest_line(data, 2, 3, 50.0, 100.0, lines_scratch(16, 20))[0] == 0.0


def test_a_cut_across_is_the_mean_at_each_offset():
    values = np.random.default_rng(10).normal(0, 1, (30, 40)).astype(np.float32)
    values[7, 15:20] = np.nan
    track = np.array([12.0, 17.3, 0.4, -0.01])
    out = np.empty((3, 13))
    cut_across(values, track, 2, 29, 3, 3, 2, out)
    for piece, offset in np.ndindex(out.shape):
        found = []
        for lane in range(2 + 27 * piece // 3, 2 + 27 * (piece + 1) // 3):
            away = lane - 12.0
            t = 17.3 + 0.4 * away - 0.01 * away**2 - 3 + offset / 2
            if 0 <= t <= 39 and np.isfinite(values[lane, [int(t), int(t) + 1]]).all():
                found.append(np.interp(t, np.arange(40), values[lane]))
        assert out[piece, offset] == pytest.approx(np.mean(found), abs=1e-6)


# --- a simulated session: stars with changing seeing, rotation, dither, hot pixels, nebula, gradients ---


def draw_stars(image: np.ndarray, x, y, flux, fwhm: float) -> None:
    core = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))  # Moffat, beta = 3
    for cx, cy, f in zip(x, y, flux, strict=True):
        r = int(min(40, 6 + core * (f / 20) ** (1 / 6)))
        x0, x1, y0, y1 = max(0, int(cx) - r), int(cx) + r + 2, max(0, int(cy) - r), int(cy) + r + 2
        part = image[y0 : max(y1, 0), x0 : max(x1, 0)]
        dx, dy = np.arange(x0, x0 + part.shape[1]) - cx, np.arange(y0, y0 + part.shape[0]) - cy
        part += f * 2 / (np.pi * core**2) * (1 + (dx**2 + dy[:, None] ** 2) / core**2) ** -3


def draw_trail(shape, x0, y0, x1, y1, peak: float, *, fwhm: float = 3.5, bow: float = 0.0) -> np.ndarray:
    """Return a trail of Gaussian profile; `bow` px off its chord in the middle."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    length = np.hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    along, across = (x - x0) * ux + (y - y0) * uy, (y - y0) * ux - (x - x0) * uy
    across = across - bow * (1 - (2 * along / length - 1) ** 2)
    profile = peak * np.exp(-0.5 * (across / (fwhm / 2.3548)) ** 2)
    return np.where((along >= 0) & (along <= length), profile, 0.0).astype(np.float32)


class Simulated:
    """A session of frames, what brings each to the reference, and the trails that were drawn."""

    def __init__(self, seed: int, n: int, trails: dict[int, Sequence[np.ndarray]] | None = None, **options) -> None:
        shape = options.get("shape", (HEIGHT, WIDTH))
        turn_deg, n_stars, n_hot = options.get("turn_deg", 1.0), options.get("n_stars", 400), options.get("n_hot", 300)
        rng = np.random.default_rng(seed)
        self.shape = shape
        h, w = shape
        star_x, star_y = rng.uniform(-60, w + 60, n_stars), rng.uniform(-60, h + 60, n_stars)
        star_flux = np.minimum(300 * rng.pareto(1.0, n_stars) + 200, 1e6)
        hot_x, hot_y, hot = rng.integers(0, w, n_hot), rng.integers(0, h, n_hot), rng.exponential(800, n_hot)
        y, x = np.mgrid[0:h, 0:w].astype(np.float64)
        self.planes, self.transforms, self.normalisations, self.fwhm, self.drawn = [], [], [], [], []
        for k in range(n):
            about = Transform.shift(-w / 2, -h / 2)
            turn = Transform.similarity(angle_deg=rng.uniform(-turn_deg, turn_deg) if k else 0.0)
            true = about.then(turn).then(Transform.shift(w / 2 + rng.uniform(-9, 9), h / 2 + rng.uniform(-9, 9)))
            transparency = rng.uniform(0.85, 1.0) if k else 1.0
            fwhm = rng.uniform(2.6, 4.0)
            image = np.zeros(shape)
            draw_stars(image, *true.inverse()(star_x, star_y), star_flux * transparency, fwhm)
            rx, ry = true(x, y)
            image += transparency * 400 * np.exp(-(((rx - w / 2) / 130) ** 2) - ((ry - h / 2) / 80) ** 2)
            image += transparency * 700 * np.exp(-np.hypot(rx - 0.3 * w, ry - 0.7 * h) / 20)
            sky, slope = rng.uniform(700, 1100), rng.uniform(-40, 40)
            self.drawn.append(sum((trails or {}).get(k, ()), np.zeros(shape, np.float32)))
            sigma = np.sqrt(NOISE**2 + 0.5 * image)
            image += sky + slope * (rx / w - 0.5) / transparency + rng.normal(0, 1, shape) * sigma + self.drawn[-1]
            image[hot_y, hot_x] += hot
            surface = [900 - sky / transparency + rng.normal(0, 1), -slope / transparency**2, rng.normal(0, 3)]
            self.planes.append(binned(np.minimum(image, 65535).astype(np.float32), GRBG, FACTOR))
            self.transforms.append(true.then(Transform.shift(*rng.normal(0, 0.15, 2))))
            self.normalisations.append(
                Normalisation(
                    np.full(3, 1 / transparency), np.tile(surface, (3, 1)), (w / 2, h / 2), float(w), transparency
                )
            )
            self.fwhm.append(fwhm)

    def first(self) -> np.ndarray:
        return first_result(self.planes, self.transforms, self.normalisations, self.shape, FACTOR)

    def found(self) -> list[tuple[Trail, ...]]:
        first = self.first()
        frames = zip(self.planes, self.transforms, self.normalisations, self.fwhm, strict=True)
        return [
            find_trails(plane, first, transform, normalisation, factor=FACTOR, fwhm_px=fwhm, noise_adu=NOISE)
            for plane, transform, normalisation, fwhm in frames
        ]


def masked_by(trails: Sequence[Trail], shape) -> np.ndarray:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    mask = np.zeros(shape, bool)
    for trail in trails:
        dx, dy = trail.x1 - trail.x0, trail.y1 - trail.y0
        along = np.clip(((x - trail.x0) * dx + (y - trail.y0) * dy) / (dx**2 + dy**2), 0, 1)
        mask |= np.hypot(x - trail.x0 - along * dx, y - trail.y0 - along * dy) <= trail.half_width
    return mask


SHAPE = (HEIGHT, WIDTH)
ACROSS = {
    "oblique": (-20, 60, 990, 500),
    "horizontal": (-20, 250.3, 990, 250.3),
    "vertical": (430.7, -20, 430.7, 570),
    "diagonal": (200, 0, 740, 540),
    "falling": (-20, 520, 990, 100),
    "steep and falling": (600, -20, 380, 570),
    "across a corner": (760, -10, 970, 200),
}


# --- the first rough result ---


@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_a_trail_in_one_frame_does_not_show_in_the_first_result(n):
    trail = draw_trail(SHAPE, *ACROSS["oblique"], 10_000)
    clean, trailed = Simulated(20, n).first(), Simulated(20, n, {n - 1: [trail]}).first()
    difference = np.abs(clean - trailed)
    assert np.nanmax(difference) < 300.0  # of 8,000 ADU: where a star or a hot pixel of the other frame shines through
    assert np.nanpercentile(difference, 99.5) < 20.0  # 3 sigma of a cell
    assert np.median(difference[difference > 0]) < 7.0


def test_the_first_result_knows_nothing_where_fewer_than_two_frames_cover():
    plane = np.random.default_rng(0).normal(0, 1, (20, 30)).astype(np.float32)
    flat = Normalisation(np.ones(1), np.zeros((1, 1)), (60.0, 40.0), 60.0, 1.0)
    first = first_result([plane, plane], [Transform.identity(), Transform.shift(40, 0)], [flat, flat], (80, 120), 4)
    assert np.isnan(first[:, :9]).all()
    assert np.isfinite(first[:, 10:]).all()
    assert np.isnan(first_result([plane], [Transform.identity()], [flat], (80, 120), 4)).all()


def test_a_missing_transform_is_refused_with_the_counts():
    with pytest.raises(ValueError, match="2 planes, 1 transforms"):
        first_result([np.zeros((4, 4), np.float32)] * 2, [Transform.identity()], [], (16, 16), 4)


# --- what is found ---


@pytest.mark.parametrize("n", [2, 3, 5])
def test_clean_frames_show_no_trail(n):
    assert sum(len(trails) for trails in Simulated(30 + n, n, turn_deg=5.0, n_hot=1000).found()) == 0


@pytest.mark.long
def test_two_hundred_clean_frames_show_one_trail_at_most():
    n_frames, n_found = 0, 0
    for seed, (n, turn_deg, n_stars, n_hot) in enumerate(
        itertools.product((2, 3, 5, 7), (0.0, 1.0, 5.0, 30.0), (300, 3000), (0, 2000))
    ):
        found = Simulated(500 + seed, n, turn_deg=turn_deg, n_stars=n_stars, n_hot=n_hot, shape=(1080, 1920)).found()
        n_frames, n_found = n_frames + n, n_found + sum(len(trails) for trails in found)
    assert n_frames >= 200
    assert n_found <= 1


@pytest.mark.parametrize("n", [3, 5, 7])
def test_no_wing_of_a_bright_trail_is_left(n):
    names = list(ACROSS)[:n]
    drawn = {k: [draw_trail(SHAPE, *ACROSS[name], 10_000)] for k, name in enumerate(names)}
    session = Simulated(40 + n, n, drawn)
    for name, trails, truth in zip(names, session.found(), session.drawn, strict=True):
        mask = masked_by(trails, SHAPE)
        assert (truth * ~mask).max() < 0.15 * NOISE, name
        assert mask.mean() < 0.08, name


@pytest.mark.parametrize("name", ACROSS)
def test_a_faint_trail_is_found_where_it_is(name):
    peak = 1.5 * NOISE
    session = Simulated(50, 3, {1: [draw_trail(SHAPE, *ACROSS[name], peak)]})
    found = session.found()
    assert [len(trails) > 0 for trails in found] == [False, True, False]
    assert (session.drawn[1] * masked_by(found[1], SHAPE)).sum() > 0.99 * session.drawn[1].sum()


def test_three_trails_of_one_frame_are_all_found():
    drawn = [
        draw_trail(SHAPE, *ACROSS["oblique"], 4000),
        draw_trail(SHAPE, *ACROSS["falling"], 200),
        draw_trail(SHAPE, *ACROSS["vertical"], 60),
    ]
    session = Simulated(60, 3, {2: drawn})
    found = session.found()
    assert [len(trails) for trails in found] == [0, 0, 3]
    assert (session.drawn[2] * ~masked_by(found[2], SHAPE)).max() < 0.15 * NOISE


def test_trails_come_with_the_most_significant_first():
    drawn = [draw_trail(SHAPE, *ACROSS["oblique"], 40), draw_trail(SHAPE, *ACROSS["falling"], 4000)]
    trails = Simulated(61, 3, {0: drawn}).found()[0]
    assert len(trails) == 2
    assert trails[0].significance > trails[1].significance


def test_a_trail_that_ends_inside_is_masked_to_its_ends_and_no_further():
    session = Simulated(62, 3, {0: [draw_trail(SHAPE, 300, 200, 620, 330, 1000)]})
    (trail,) = session.found()[0]
    ends = sorted([(trail.x0, trail.y0), (trail.x1, trail.y1)])
    np.testing.assert_allclose(ends, [(300, 200), (620, 330)], atol=25)
    assert (session.drawn[0] * ~masked_by([trail], SHAPE)).max() < 0.15 * NOISE


def test_a_trail_that_leaves_the_frame_is_masked_into_the_corner_it_leaves_by():
    session = Simulated(63, 3, {0: [draw_trail(SHAPE, *ACROSS["diagonal"], 10_000)]})
    (trail,) = session.found()[0]
    assert min(trail.y0, trail.y1) < 0
    assert max(trail.y0, trail.y1) > HEIGHT - 1


def test_a_curved_trail_is_followed_by_chords():
    session = Simulated(64, 3, {1: [draw_trail(SHAPE, *ACROSS["oblique"], 10_000, bow=5.0)]})
    trails = session.found()[1]
    assert len(trails) >= 2
    assert (session.drawn[1] * ~masked_by(trails, SHAPE)).max() < 0.15 * NOISE


def test_a_wide_trail_gets_a_wide_mask():
    session = Simulated(65, 5, {1: [draw_trail(SHAPE, *ACROSS["falling"], 3000, fwhm=12.0)]})
    (trail,) = session.found()[1]
    assert trail.half_width > 17.0  # 3,000 ADU of that width fall to 3 ADU at 19 px
    assert (session.drawn[1] * ~masked_by([trail], SHAPE)).max() < 0.25 * NOISE


def test_a_noisy_column_of_the_sensor_raises_its_own_bar():
    rng = np.random.default_rng(66)
    flat = Normalisation(np.ones(1), np.zeros((1, 1)), (480.0, 270.0), 480.0, 1.0)
    planes = [
        (rng.normal(0, 5, (135, 240)) + rng.normal(0, 5, 240)[None, :]).astype(np.float32) for _ in range(3)
    ]  # every column is off by a sigma of a cell: 12 sigma over its length
    first = first_result(planes, [Transform.identity()] * 3, [flat] * 3, SHAPE, FACTOR)
    found = find_trails(planes[0], first, Transform.identity(), flat, factor=4, fwhm_px=3.0, noise_adu=20.0)
    assert found == ()


def test_without_cover_or_in_a_tiny_frame_nothing_is_found():
    flat = Normalisation(np.ones(1), np.zeros((1, 1)), (0.0, 0.0), 1.0, 1.0)
    nothing = np.full((135, 240), np.nan, np.float32)
    level = np.zeros((135, 240), np.float32)
    here = Transform.identity()
    assert find_trails(level, nothing, here, flat, factor=4, fwhm_px=3.0, noise_adu=20.0) == ()
    assert find_trails(level, level, here, flat, factor=4, fwhm_px=np.nan, noise_adu=20.0) == ()
    assert find_trails(level[:9, :9], level[:9, :9], here, flat, factor=4, fwhm_px=3.0, noise_adu=20.0) == ()
