"""How frames are scored, which are left out and with what words, how they are weighed."""

from __future__ import annotations

import numpy as np
import pytest
from star_field import measurement

from skyquilt.core import Normalisation
from skyquilt.steps.quality import SelectSettings, background_noise, score, select, weights

GOOD = {"n_stars": 120, "fwhm_px": 3.0, "eccentricity": 0.4}


def session(*odd: dict[str, float], n_good: int = 10) -> list[object]:
    """Verdicts on a session of like frames followed by odd ones."""
    frames = [measurement(**GOOD) for _ in range(n_good)] + [measurement(**{**GOOD, **one}) for one in odd]  # type: ignore[arg-type]
    names = [f"light_{k:03d}.fit" for k in range(len(frames))]
    return select(score(frames, names), SelectSettings())  # type: ignore[return-value]


def normalisation(transparency: float) -> Normalisation:
    return Normalisation(np.full(3, 1 / transparency), np.zeros((3, 3)), (0.0, 0.0), 1.0, transparency)


def test_the_typical_frame_scores_one_and_the_score_is_a_signal_to_noise() -> None:
    frames = [measurement(**GOOD) for _ in range(5)]  # type: ignore[arg-type]
    frames += [
        measurement(**{**GOOD, "noise_adu": 60.0}),  # type: ignore[arg-type]
        measurement(**{**GOOD, "fwhm_px": 6.0}),  # type: ignore[arg-type]
        measurement(**{**GOOD, "flux": 0.5}),  # type: ignore[arg-type]
    ]
    scored = score(frames, [str(k) for k in range(8)])
    assert [q.score for q in scored[:5]] == pytest.approx([1.0] * 5)
    assert [q.score for q in scored[5:]] == pytest.approx([0.5, 0.5, 0.5], rel=1e-6)
    assert scored[7].transparency == pytest.approx(0.5)


def test_transparency_is_told_per_second_of_exposure() -> None:
    frames = [measurement(**GOOD), measurement(**GOOD), measurement(**{**GOOD, "flux": 2.0})]  # type: ignore[arg-type]
    scored = score(frames, ["a", "b", "c"], [10.0, 10.0, 20.0])
    assert scored[2].transparency == pytest.approx(1.0)
    assert scored[2].score == pytest.approx(2.0)
    assert scored[2].exposure_s == 20.0
    unknown = score(frames, ["a", "b", "c"], [None, 10.0, 10.0])
    assert np.isnan(unknown[0].exposure_s)
    assert unknown[0].transparency == pytest.approx(1.0)


def test_transparency_by_rank_does_not_mind_that_faint_stars_are_missing() -> None:
    frames = [measurement(**GOOD) for _ in range(4)]  # type: ignore[arg-type]
    frames.append(measurement(**{**GOOD, "n_stars": 40, "flux": 0.6}))  # type: ignore[arg-type]
    assert score(frames, list("abcde"))[4].transparency == pytest.approx(0.6, rel=1e-6)


def test_a_frame_without_stars_scores_nothing_and_is_left_out_with_the_reason() -> None:
    frames = [measurement(**GOOD), measurement(n_stars=0, fwhm_px=np.nan, eccentricity=np.nan)]  # type: ignore[arg-type]
    scored = score(frames, ["a", "b"])
    assert scored[1].score == 0.0
    verdict = select(scored, SelectSettings())[1]
    assert (verdict.kept, verdict.code) == (False, "no_stars")
    assert verdict.reason == "no stars: 0 found, registration takes 4"


@pytest.mark.parametrize(
    ("limit", "odd", "code", "reason"),
    [
        ({"max_eccentricity": 0.6}, {"eccentricity": 0.72}, "trailed", "trailed: eccentricity 0.72 > 0.60"),
        ({"max_fwhm_px": 4.0}, {"fwhm_px": 4.5}, "blurred", "blurred: FWHM 4.50 > 4.00 px"),
        ({"min_stars": 50}, {"n_stars": 20}, "few_stars", "few stars: stars 20 < 50"),
        (
            {"max_background_adu": 1000},
            {"background_adu": 1200},
            "bright_sky",
            "bright sky: background 1200 > 1000 ADU",
        ),
        ({"max_noise_adu": 40.0}, {"noise_adu": 44.0}, "noisy", "noisy: noise 44.0 > 40.0 ADU"),
        ({"min_transparency": 0.8}, {"flux": 0.5}, "not_transparent", "not transparent: transparency 0.50 < 0.80"),
        ({"min_score": 0.8}, {"flux": 0.5}, "low_score", "low score: score 0.50 < 0.80"),
    ],
)
def test_limits_leave_out_with_the_figures_in_one_sentence(
    limit: dict[str, float], odd: dict[str, float], code: str, reason: str
) -> None:
    frames = [measurement(**GOOD) for _ in range(3)] + [measurement(**{**GOOD, **odd})]  # type: ignore[arg-type]
    verdicts = select(score(frames, list("abcd")), SelectSettings(**limit))  # type: ignore[arg-type]
    assert [v.kept for v in verdicts] == [True, True, True, False]
    assert verdicts[3].code == code
    assert verdicts[3].reason == reason
    assert verdicts[3].figures["limit"] == next(iter(limit.values()))


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ({"fwhm_px": 9.0}, "blurred"),
        ({"eccentricity": 0.96}, "trailed"),
        ({"n_stars": 5, "flux": 0.05}, "clouded"),
        ({"background_adu": 9000.0}, "bright_sky"),
        ({"saturated_share": 0.8}, "saturated"),
    ],
)
def test_a_frame_far_off_the_session_is_left_out_without_being_asked(odd: dict[str, float], code: str) -> None:
    verdicts = session(odd)
    assert all(v.kept for v in verdicts[:-1])  # type: ignore[attr-defined]
    assert verdicts[-1].code == code  # type: ignore[attr-defined]
    assert any(character.isdigit() for character in verdicts[-1].reason)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "odd", [{"fwhm_px": 5.0}, {"eccentricity": 0.8}, {"n_stars": 60, "flux": 0.5}, {"background_adu": 3000.0}]
)
def test_a_frame_that_is_only_worse_stays_for_the_weights_to_handle(odd: dict[str, float]) -> None:
    assert all(v.kept for v in session(odd))  # type: ignore[attr-defined]


def test_a_session_that_is_trailed_throughout_is_kept() -> None:
    frames = [measurement(**{**GOOD, "eccentricity": 0.9}) for _ in range(8)]  # type: ignore[arg-type]
    assert all(v.kept for v in select(score(frames, [str(k) for k in range(8)]), SelectSettings()))


def test_the_best_share_is_kept_and_the_rest_told_their_rank() -> None:
    frames = [measurement(**{**GOOD, "noise_adu": 30.0 + k}) for k in range(10)]  # type: ignore[arg-type]
    verdicts = select(score(frames, [f"{k:02d}" for k in range(10)]), SelectSettings(keep=0.75))
    assert [v.index for v in verdicts if v.kept] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert verdicts[9].code == "not_among_best"
    assert "rank 10 of 10, the best 8 are kept" in verdicts[9].reason
    with pytest.raises(ValueError, match="share"):
        select([], SelectSettings(keep=0.0))


def test_permuting_the_frames_changes_no_verdict() -> None:
    frames = [measurement(**{**GOOD, "noise_adu": 30.0 + 3 * k}) for k in range(9)]  # type: ignore[arg-type]
    names = [f"{k}" for k in range(9)]
    straight = score(frames, names)
    turned = score(frames[::-1], names[::-1])[::-1]
    assert [q.score for q in straight] == [q.score for q in turned]
    settings = SelectSettings(keep=0.5)
    assert [v.kept for v in select(straight, settings)] == [v.kept for v in select(turned, settings)]


@pytest.mark.parametrize(
    ("method", "ratio"),
    [
        ("point_source", 0.5**2 / (2.0**2 * 1.5**2)),
        ("noise", 0.5**2 / 2.0**2),
        ("fwhm", 1 / 1.5**2),
        ("stars", 0.5),
        ("transparency", 0.25),
        ("exposure", 2.0),
        ("none", 1.0),
    ],
)
def test_weights_follow_their_formula_and_have_mean_one(method: str, ratio: float) -> None:
    frames = [
        measurement(n_stars=100, fwhm_px=3.0, noise_adu=30.0),
        measurement(n_stars=50, fwhm_px=4.5, noise_adu=60.0),
    ]
    weight = weights(frames, [normalisation(1.0), normalisation(0.5)], [10.0, 20.0], method)
    assert weight.mean() == pytest.approx(1.0)
    assert weight[1] / weight[0] == pytest.approx(ratio)


def test_figures_that_are_unknown_get_the_weight_of_the_others() -> None:
    frames = [measurement(fwhm_px=f) for f in (3.0, np.nan, 3.0)]
    weight = weights(frames, [None, None, normalisation(1.0)], None, "point_source")
    assert np.allclose(weight, 1.0)
    assert np.allclose(weights(frames, [None] * 3, None, "exposure"), 1.0)
    assert len(weights([], [], None)) == 0
    with pytest.raises(ValueError, match="method"):
        weights(frames, [None] * 3, None, "size")
    with pytest.raises(ValueError, match="3 measurements"):
        weights(frames, [None], None)


def test_point_source_weights_maximise_the_signal_to_noise_of_a_star() -> None:
    rng = np.random.default_rng(3)
    fwhm, noise, transparency = rng.uniform(2, 6, 20), rng.uniform(20, 60, 20), rng.uniform(0.4, 1.0, 20)
    frames = [measurement(fwhm_px=f, noise_adu=s) for f, s in zip(fwhm, noise, strict=True)]
    best = weights(frames, [normalisation(t) for t in transparency])

    def variance(weight: np.ndarray) -> float:  # of the flux of a star measured in each normalised frame
        share = weight / weight.sum()
        return float(np.sum(share**2 * (noise * fwhm / transparency) ** 2))

    assert variance(best) < min(variance(best * (1 + 0.2 * rng.normal(size=20))) for _ in range(20))
    assert variance(best) < 0.9 * variance(np.ones(20))


def test_the_noise_of_an_image_is_that_of_its_pixels_and_not_of_its_slopes_and_stars() -> None:
    rng = np.random.default_rng(4)
    plane = rng.normal(100, 5, (400, 500)) + np.linspace(0, 300, 500)
    plane[rng.integers(0, 400, 200), rng.integers(0, 500, 200)] += 5000
    plane[:40] = np.nan
    image = plane.astype(np.float32)
    assert background_noise(image) == pytest.approx(5.0, rel=0.03)
    assert background_noise(image, 4) == pytest.approx(5.0 / 4, rel=0.15)
    assert np.isnan(background_noise(image[:, :10]))
    assert np.isnan(background_noise(np.full((100, 100), np.nan, np.float32)))
