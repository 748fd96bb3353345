"""The sweep: close to the cube, equal to its definition, the same bits for any tiling, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from memory_frame import MemoryFrame

from skyquilt.core import Box
from skyquilt.errors import UsageError
from skyquilt.steps.integrate import FrameTerms, IntegrateSettings, SweepState, integrate_cube, integrate_sweep
from skyquilt.steps.integrate.definitions import RunningPixel
from skyquilt.steps.integrate.sweep import seed_order


def session(
    n_frames: int,
    *,
    outliers: float = 0.03,
    missing: float = 0.0,
    thin_columns: int = 0,
    n_weights: int = 1,
    seed: int = 1,
) -> tuple[list[MemoryFrame], FrameTerms]:
    """Two channels of 24 x 50 px; the first columns are covered by few frames only."""
    rng = np.random.default_rng(seed)
    shape = (n_frames, 2, 24, 50)
    values = rng.normal(1000, 30, shape)
    values[rng.random(shape) < outliers] += 4000
    weights = np.where(rng.random((n_frames, n_weights, 24, 50)) < missing, 0, 255)
    weights[rng.random(n_frames) > 0.08, :, :, :thin_columns] = 0
    weights[:, :, 5, 5] = 1
    weights[:, :, 6, 6] = 0
    flat = np.ones((n_frames, 2))
    terms = FrameTerms(np.linspace(0.8, 1.2, n_frames), np.full(n_frames, 10.0), flat * 30, flat * 0, flat * 1000)
    frames = [MemoryFrame(v.astype(np.float32), w.astype(np.uint8)) for v, w in zip(values, weights, strict=True)]
    return frames, terms


BOX = Box(0, 0, 50, 24)


@pytest.mark.parametrize("outliers", [0.0, 0.05])
@pytest.mark.parametrize("n_frames", [40, 200])
def test_the_noise_of_a_sweep_is_within_two_percent_of_the_cube(n_frames: int, outliers: float) -> None:
    frames, terms = session(n_frames, outliers=outliers)
    good = np.ones((24, 50), dtype=bool)
    good[5, 5] = good[6, 6] = False
    cube = integrate_cube(frames, BOX, terms, IntegrateSettings()).value[:, good]
    sweep = integrate_sweep(frames, BOX, terms, IntegrateSettings()).value[:, good]
    assert float(sweep.std()) < 1.02 * float(cube.std())
    assert abs(float(sweep.mean() - cube.mean())) < 0.1


def test_a_sweep_is_its_definition() -> None:
    frames, terms = session(90)
    settings = IntegrateSettings(jitter_px=0, blur_px2=0)
    tile = integrate_sweep(frames, BOX, terms, settings)
    values = np.stack([frame.values for frame in frames]).astype(np.float64)
    seeds = values[seed_order(90)[0]]
    for channel, y, x in np.ndindex(2, 24, 50):
        if (y, x) in ((5, 5), (6, 6)):
            continue
        pixel = RunningPixel.start(seeds[:, channel, y, x], settings, 0.0)
        kept = np.array([pixel.accept(sample) for sample in values[:, channel, y, x]])
        assert tile.n_used[channel, y, x] == kept.sum()
        w = terms.weight[kept]
        mean = float((w * values[kept, channel, y, x]).sum() / w.sum())
        assert tile.value[channel, y, x] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("n_weights", [1, 2])
def test_any_tiling_of_a_sweep_gives_the_same_bits(n_weights: int) -> None:
    frames, terms = session(120, missing=0.3, thin_columns=9, n_weights=n_weights)
    whole = integrate_sweep(frames, BOX, terms, IntegrateSettings())
    rejected = np.zeros_like(whole.frame_rejected)
    for box in (Box(0, 0, 7, 24), Box(7, 0, 33, 11), Box(7, 11, 33, 24), Box(33, 0, 50, 24)):
        tile = integrate_sweep(frames, box, terms, IntegrateSettings())
        rows, columns = box.slices(BOX)
        for name in ("value", "variance", "coverage", "n_used", "rejected_low", "rejected_high"):
            assert np.array_equal(getattr(tile, name), getattr(whole, name)[..., rows, columns], equal_nan=True), name
        rejected += tile.frame_rejected
    assert np.array_equal(rejected, whole.frame_rejected)


def test_thin_coverage_finds_seeds_beyond_the_thirty_two() -> None:
    frames, terms = session(300, thin_columns=9)
    settings = IntegrateSettings()
    cube = integrate_cube(frames, BOX, terms, settings)
    sweep = integrate_sweep(frames, BOX, terms, settings)
    thin = np.s_[:, 8:, :9]
    assert cube.n_used[thin].max() < 60
    assert np.abs(sweep.value[thin] - cube.value[thin]).max() < 3 * 30
    assert float(sweep.value[thin].std()) < 1.05 * float(cube.value[thin].std())


def test_few_samples_and_stopgaps_are_treated_as_in_the_cube() -> None:
    frames, terms = session(6)
    cube = integrate_cube(frames, BOX, terms, IntegrateSettings())
    sweep = integrate_sweep(frames, BOX, terms, IntegrateSettings())
    assert np.array_equal(sweep.n_used, cube.n_used)
    assert np.allclose(sweep.value, cube.value, rtol=1e-6, equal_nan=True)
    assert np.allclose(sweep.variance, cube.variance, rtol=1e-4, equal_nan=True)
    assert np.array_equal(sweep.coverage, cube.coverage)
    assert np.array_equal(sweep.frame_rejected, cube.frame_rejected)
    assert np.array_equal(sweep.frame_samples + 2, cube.frame_samples)  # one stopgap in each of two channels
    assert np.isnan(sweep.value[:, 6, 6]).all()


@pytest.mark.parametrize("rule", ["none", "percentile", "noise_model", "winsorized", "mad", "esd"])
def test_every_rule_can_sweep(rule: str) -> None:
    frames, terms = session(70)
    settings = IntegrateSettings(rule=rule)
    cube = integrate_cube(frames, BOX, terms, settings)
    sweep = integrate_sweep(frames, BOX, terms, settings)
    assert float(np.nanmean(np.abs(sweep.value - cube.value))) < 0.3 * 30 / np.sqrt(70)


def test_a_live_stack_grows_frame_by_frame_to_the_same_bits() -> None:
    frames, terms = session(60)
    settings = IntegrateSettings()
    seeds, _ = seed_order(60)
    state = SweepState.start([frames[k] for k in seeds], BOX, terms, settings)
    depths = []
    for k, frame in enumerate(frames):
        state.add(frame, terms.take([k]))
        if k % 20 == 19:
            depths.append(int(state.result().n_used.max()))
    assert depths[0] <= 20 < depths[1] <= 40 < depths[2]
    whole = integrate_sweep(frames, BOX, terms, settings)
    assert np.array_equal(state.result().value, whole.value, equal_nan=True)


def test_a_live_stack_takes_pixels_that_no_seed_has_seen() -> None:
    frames, terms = session(30, outliers=0, seed=3)
    for seed in frames[:8]:
        seed.weights[:, :, 30:] = 0
    state = SweepState.start(frames[:8], BOX, terms.take(list(range(8))), IntegrateSettings())
    for k, frame in enumerate(frames):
        state.add(frame, terms.take([k]))
    late = state.result().value[:, :, 30:]
    assert abs(float(late.mean()) - 1000) < 1
    assert float(late.std()) < 1.1 * 30 / np.sqrt(22)


def test_the_seeds_are_spread_over_the_session() -> None:
    seeds, others = seed_order(1000)
    assert len(seeds) == 32
    assert seeds[0] == 0
    assert seeds[-1] == 999
    assert max(np.diff(seeds)) <= 33
    assert sorted(seeds + others) == list(range(1000))
    assert seed_order(5) == ([0, 1, 2, 3, 4], [])


def test_a_sweep_refuses_the_median() -> None:
    frames, terms = session(4)
    with pytest.raises(UsageError, match="cube"):
        integrate_sweep(frames, BOX, terms, IntegrateSettings(combine="median"))


@pytest.mark.parametrize("outliers", [0.0, 0.05])
@pytest.mark.parametrize("n_frames", [40, 200])
def test_the_noise_of_a_sweep_from_the_first_ten_is_within_two_percent_of_the_cube(
    n_frames: int, outliers: float
) -> None:
    frames, terms = session(n_frames, outliers=outliers)
    good = np.ones((24, 50), dtype=bool)
    good[5, 5] = good[6, 6] = False
    cube = integrate_cube(frames, BOX, terms, IntegrateSettings()).value[:, good]
    sweep = integrate_sweep(frames, BOX, terms, IntegrateSettings(), 10).value[:, good]
    assert float(sweep.std()) < 1.02 * float(cube.std())
    assert abs(float(sweep.mean() - cube.mean())) < 0.1


def test_a_sweep_from_the_first_frames_comes_by_the_result_of_fewer_frames() -> None:
    frames, terms = session(30, missing=0.2, outliers=0.05)
    settings = IntegrateSettings()
    state = SweepState.begin(frames[:12], BOX, terms.take(list(range(12))), settings)
    for n in range(12, 31):
        if n > 12:
            state.add(frames[n - 1], terms.take([n - 1]))
        if n in (12, 13, 30):
            alone = integrate_sweep(frames[:n], BOX, terms.take(list(range(n))), settings, 12)
            for name in ("value", "variance", "coverage", "n_used", "rejected_low", "rejected_high", "frame_samples"):
                assert np.array_equal(getattr(state.result(), name), getattr(alone, name), equal_nan=True), (n, name)


def test_beginning_with_the_seeds_is_starting_from_them_and_adding_them() -> None:
    frames, terms = session(20, missing=0.2)
    first, settings = terms.take(list(range(12))), IntegrateSettings()
    begun = SweepState.begin(frames[:12], BOX, first, settings).result()
    state = SweepState.start(frames[:12], BOX, first, settings)
    for k in range(12):
        state.add(frames[k], terms.take([k]))
    assert np.array_equal(begun.value, state.result().value, equal_nan=True)
    assert np.array_equal(begun.variance, state.result().variance, equal_nan=True)
