"""Frames of few stars, laid on the mean of their lists together: how near to the truth, and what is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from skyquilt.core import Registration, Stars, Transform
from skyquilt.steps.register import NoMatch, Reference, match, refine_jointly
from skyquilt.steps.register import joint as joint_module

SIDE = 540.0


def stars_at(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> Stars:
    """Return a list in the order given, brightest first."""
    n, one = len(x), np.ones(len(x))
    return Stars(x, y, error, np.linspace(9.0, 8.0, n), 0.01 * one, one, 3.0 * one, 0.1 * one, np.zeros(n, dtype=bool))


def session(
    seed: int, *, n_stars: int = 10, n_frames: int = 8, scales: np.ndarray | None = None, missing: float = 0.0
) -> tuple[list[Stars], list[Transform]]:
    """Return star lists with errors of 0.02 to 0.08 px, and the true maps to the first frame."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(20, SIDE - 20, (2, n_stars))
    error = np.linspace(0.02, 0.08, n_stars)
    lists, maps = [], []
    for k in range(n_frames):
        scale = 1.0 if scales is None else float(scales[k])
        middle = Transform.shift(-SIDE / 2, -SIDE / 2)
        turned = middle.then(Transform.similarity(scale=scale, angle_deg=10.0 * k)).then(middle.inverse())
        truth = Transform.identity() if k == 0 else turned.then(Transform.shift(*rng.uniform(-8, 8, 2)))
        u, v = truth.inverse()(x, y)
        seen = np.sort(rng.permutation(n_stars)[: n_stars - round(missing * n_stars * (k > 0))])
        noise = rng.normal(0.0, error, (2, n_stars))
        lists.append(stars_at((u + noise[0])[seen], (v + noise[1])[seen], error[seen]))
        maps.append(truth)
    return lists, maps


def matched(lists: list[Stars]) -> list[Registration]:
    reference = Reference(lists[0], int(SIDE), int(SIDE))
    found = [match(stars, reference) for stars in lists]
    assert not any(isinstance(f, NoMatch) for f in found)
    n = len(lists[0])
    own = Registration(Transform.identity(), n, 0.0, 0.0, np.stack([np.arange(n)] * 2, axis=1))
    return [own, *(f for f in found[1:] if isinstance(f, Registration))]


def misses(found: list[Registration], maps: list[Transform]) -> np.ndarray:
    """Return the rms over the frame of every frame but the reference, px."""
    x, y = np.meshgrid(*[np.linspace(0, SIDE - 1, 12)] * 2)
    errors = []
    for registration, truth in zip(found[1:], maps[1:], strict=True):
        (u, v), (a, b) = registration.transform(x, y), truth(x, y)
        errors.append(np.sqrt(np.mean((u - a) ** 2 + (v - b) ** 2)))
    return np.array(errors)


def test_ten_stars_place_frames_nearly_as_well_as_their_errors_allow() -> None:
    pairwise, joint, bound = [], [], []
    for seed in range(40):
        lists, maps = session(seed)
        found = matched(lists)
        pairwise.append(misses(found, maps))
        joint.append(misses(refine_jointly(lists, found, 0), maps))
        # of two frames with the same errors: shift and turn about the weighted middle, twice the variance of one
        x, y, w = lists[0].x, lists[0].y, lists[0].position_error ** -2.0
        cx, cy = np.average(x, weights=w), np.average(y, weights=w)
        spread = np.sum(w * ((x - cx) ** 2 + (y - cy) ** 2))
        far2 = SIDE**2 / 6 + (cx - SIDE / 2) ** 2 + (cy - SIDE / 2) ** 2
        bound.append(np.sqrt(2 * (2 / w.sum() + far2 / spread)))
    pairwise_rms, joint_rms, bound_rms = (float(np.sqrt(np.mean(np.square(v)))) for v in (pairwise, joint, bound))
    assert joint_rms < 1.15 * bound_rms, f"{joint_rms:.4f} px, the bound is {bound_rms:.4f} px"
    assert joint_rms < 0.9 * pairwise_rms, f"{joint_rms:.4f} px, by pairs alone {pairwise_rms:.4f} px"


def test_without_outliers_it_is_the_least_squares_of_all_places_and_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.optimize import least_squares

    monkeypatch.setattr(joint_module, "_CUT", 1e6)
    monkeypatch.setattr(joint_module, "_FARTHEST", 1e6)
    monkeypatch.setattr(joint_module, "_FLOOR2", 0.0)
    lists, maps = session(3, n_frames=4)
    lists = [replace(stars, position_error=2.0 * stars.position_error) for stars in lists]  # no wandering seen
    error = lists[0].position_error
    z = np.array([s.x + 1j * s.y for s in lists])
    start = [truth.matrix for truth in maps]

    def residuals(p: np.ndarray) -> np.ndarray:
        mean = p[:10] + 1j * p[10:20]
        turn = np.exp(1j * np.append(0.0, p[20:23]))
        shift = np.append(0.0, p[23:26] + 1j * p[26:29])
        miss = (turn[:, None] * z + shift[:, None] - mean) / error
        return np.concatenate([miss.real.ravel(), miss.imag.ravel()])

    angles = [np.arctan2(m[1, 0], m[0, 0]) for m in start[1:]]
    guess = [*lists[0].x, *lists[0].y, *angles, *(m[0, 2] for m in start[1:]), *(m[1, 2] for m in start[1:])]
    best = least_squares(residuals, np.array(guess), x_scale="jac").x
    found = refine_jointly(lists, matched(lists), 0)
    for k in range(3):
        exact = Transform.from_matrix(
            [
                [np.cos(best[20 + k]), -np.sin(best[20 + k]), best[23 + k]],
                [np.sin(best[20 + k]), np.cos(best[20 + k]), best[26 + k]],
                [0, 0, 1],
            ]
        )
        (u, v), (a, b) = found[k + 1].transform(SIDE, SIDE), exact(SIDE, SIDE)
        assert np.hypot(u - a, v - b) < 1e-3


def test_scales_that_differ_are_followed() -> None:
    rng = np.random.default_rng(5)
    scales = 1.0 + np.append(0.0, rng.normal(0.0, 4e-4, 11))
    ratios = []
    for seed in range(8):
        lists, maps = session(seed, n_stars=40, n_frames=12, scales=scales)
        found = matched(lists)
        ratios.append(np.mean(misses(refine_jointly(lists, found, 0), maps) ** 2) / np.mean(misses(found, maps) ** 2))
    assert np.sqrt(np.mean(ratios)) < 1.05, "no worse than each frame by itself"


def test_one_frame_of_another_scale_is_not_pressed_into_that_of_the_others() -> None:
    scales = np.ones(20)
    scales[7] = 1.002  # refocused: half a pixel at the edge
    lists, maps = session(2, n_frames=20, scales=scales)
    found = matched(lists)
    errors = misses(refine_jointly(lists, found, 0), maps)
    assert errors[6] < 1.6 * misses(found, maps)[6] + 0.02
    assert errors[6] < 0.08


def test_stars_that_the_reference_lacks_count_too() -> None:
    gains = []
    for seed in range(20):
        lists, maps = session(seed, n_stars=14, n_frames=10)
        lists[0] = lists[0].take(np.arange(0, 14, 2))
        found = matched(lists)
        refined = refine_jointly(lists, found, 0)
        gains.append(np.mean(misses(refined, maps) ** 2) / np.mean(misses(found, maps) ** 2))
        for stars, registration in zip(lists, refined, strict=True):
            mine, theirs = registration.pairs.T
            u, v = registration.transform(stars.x[mine], stars.y[mine])
            assert np.hypot(u - lists[0].x[theirs], v - lists[0].y[theirs]).max() < 0.6
            assert registration.n_matched == len(registration.pairs) == len(set(theirs))
    assert np.sqrt(np.mean(gains)) < 0.85


def test_a_star_that_stands_elsewhere_in_one_frame_does_no_harm() -> None:
    lists, maps = session(4)
    clean = misses(refine_jointly(lists, matched(lists), 0), maps)
    moved = lists[5].x.copy()
    moved[0] += 1.5  # the brightest: a satellite, a variable double
    lists[5] = replace(lists[5], x=moved)
    assert misses(refine_jointly(lists, matched(lists), 0), maps).max() < clean.max() + 0.02


def test_the_order_of_the_frames_changes_nothing_but_rounding() -> None:
    lists, _ = session(6, missing=0.2)
    found = matched(lists)
    order = np.array([3, 0, 7, 5, 1, 2, 6, 4])
    forward = refine_jointly(lists, found, 0)
    other = refine_jointly([lists[k] for k in order], [found[k] for k in order], 1)
    for place, k in enumerate(order):
        np.testing.assert_allclose(other[place].transform.matrix, forward[k].transform.matrix, atol=1e-4, rtol=0)
    again = refine_jointly(lists, found, 0)
    assert all(np.array_equal(a.transform.matrix, b.transform.matrix) for a, b in zip(forward, again, strict=True))


@pytest.mark.parametrize("why", ["rich", "affine", "mirrored", "placed by coordinates"])
def test_what_is_known_better_or_otherwise_is_handed_back(why: str) -> None:
    lists, _ = session(1, n_stars=150 if why == "rich" else 12)
    found = matched(lists)
    k = 3
    if why == "affine":
        found[k] = replace(found[k], transform=Transform.from_matrix(found[k].transform.matrix, "affine"))
    if why == "mirrored":
        mirror = Transform.from_matrix(found[k].transform.matrix @ np.diag([-1.0, 1.0, 1.0]), "similarity")
        found[k] = replace(found[k], transform=mirror)
    if why == "placed by coordinates":
        found[k] = replace(found[k], pairs=np.zeros((0, 2), dtype=np.int64), n_matched=0)
    refined = refine_jointly(lists, found, 0)
    assert refined[k] is found[k]
    assert refined[0] is found[0]
    assert (refined[1] is found[1]) == (why == "rich")


def test_lists_that_share_nothing_are_left_alone() -> None:
    lists, _ = session(1)
    found = matched(lists)
    apart = [lists[0], *(replace(stars, x=stars.x + 1e4 * k) for k, stars in enumerate(lists[1:], start=1))]
    assert refine_jointly(apart, found, 0) == found
