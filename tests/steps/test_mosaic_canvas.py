"""The sky canvas of a mosaic, against the frames that it must hold: anywhere on the sky, in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mosaic_fields import SCALE, beside, distortion, frame_at, panels

from skyquilt.core import Box, SkyGrid, Wcs
from skyquilt.core.sky import directions, separation_deg, unit_vectors
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.mosaic import CanvasSettings, FrameIndex, choose_canvas, footprints_of
from skyquilt.steps.mosaic.cap import enclosing_cap

# the pole lies inside the canvas of the third and the last, RA 0 crosses the second
PLACES = [(10.0, 41.0), (0.1, -5.0), (200.0, 89.5), (45.0, 86.0), (0.0, 90.0), (300.0, -89.8)]


def pixels_of(frame: SkyGrid, step: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the corners of pixels all over a frame, its outer edge included."""
    x = np.append(np.arange(-0.5, frame.width - 0.5, step), frame.width - 0.5)
    y = np.append(np.arange(-0.5, frame.height - 0.5, step), frame.height - 0.5)
    return frame.wcs.to_sky(*np.meshgrid(x, y))


def assert_holds_all(canvas: SkyGrid, frames: list[SkyGrid]) -> None:
    for frame in frames:
        assert canvas.holds(*canvas.wcs.to_pixels(*pixels_of(frame))).all()


def same(one: SkyGrid, other: SkyGrid) -> bool:
    return one.cards() == other.cards() and (one.width, one.height) == (other.width, other.height)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("step_deg", [0.55, 9.0])
def test_the_union_holds_every_pixel_of_every_frame_and_no_more_than_it_must(
    place: tuple[float, float], step_deg: float
) -> None:
    frames = panels(place, step_deg=step_deg)
    canvas = choose_canvas(frames)
    assert_holds_all(canvas, frames)
    x, y = (
        np.concatenate(at, axis=None)
        for at in zip(*(canvas.wcs.to_pixels(*pixels_of(f, 4)) for f in frames), strict=True)
    )
    for low, high, size in ((x.min(), x.max(), canvas.width), (y.min(), y.max(), canvas.height)):
        assert low < 1.5 and high > size - 2.5
    assert canvas.wcs.projection == ("TAN" if step_deg < 1.0 else "ZEA")
    assert canvas.wcs.scale_arcsec == pytest.approx(SCALE, rel=2e-3)
    assert canvas.wcs.rotation_deg == pytest.approx(0.0, abs=1e-9) and canvas.wcs.parity == -1


@pytest.mark.parametrize("place", PLACES)
def test_the_order_of_the_frames_changes_no_bit(place: tuple[float, float]) -> None:
    frames = panels(place)
    mixed = [frames[k] for k in np.random.default_rng(4).permutation(len(frames))]
    for settings in (
        CanvasSettings(),
        CanvasSettings(rotation="auto", scale="finest"),
        CanvasSettings(least_coverage=0.9, row_order="TOP-DOWN", projection="ZEA"),
    ):
        assert same(choose_canvas(frames, settings), choose_canvas(mixed, settings))


def test_the_reference_point_is_the_middle_of_the_frames_not_of_their_number() -> None:
    frames = panels((10.0, 41.0), turn_deg=0)
    crowd = [frame_at(*beside((10.0, 41.0), 0.55, 0.5), k) for k in range(50)]
    alone, crowded = choose_canvas(frames), choose_canvas(frames + crowd)
    assert separation_deg(*crowded.wcs.crval_deg, 10.0, 41.0) < 0.05
    assert separation_deg(*alone.wcs.crval_deg, 10.0, 41.0) < 0.05
    pole = choose_canvas([frame_at(ra, 89.0) for ra in (0.0, 90.0, 180.0, 270.0)])
    assert pole.wcs.crval_deg == (0.0, 90.0)


def test_twenty_degrees_across_are_tan_only_if_forced_and_five_are() -> None:
    wide = panels((350.0, 30.0), step_deg=9.0, repeats=1)
    assert choose_canvas(wide).wcs.projection == "ZEA"
    forced = choose_canvas(wide, CanvasSettings(projection="TAN"))
    assert forced.wcs.projection == "TAN"
    assert_holds_all(forced, wide)
    assert choose_canvas(panels((350.0, 30.0)), CanvasSettings(projection="ZEA")).wcs.projection == "ZEA"
    for step in np.linspace(2.0, 2.6, 7):  # either side of the limit, the promise holds
        canvas = choose_canvas(panels((350.0, 30.0), step_deg=float(step), repeats=1))
        away = separation_deg(*canvas.outline(), *canvas.wcs.crval_deg).max()
        assert (canvas.wcs.projection == "TAN") == (away <= 5.0)


def test_scales() -> None:
    frames = [frame_at(10.0, 41.0 + 0.1 * k, scale=scale) for k, scale in enumerate([3.0, *[20.0] * 4, *[30.0] * 6])]
    # degrees/px of the plane are arcseconds at the middle of a frame
    assert choose_canvas(frames).wcs.scale_arcsec == pytest.approx(30.0)
    assert choose_canvas(frames, CanvasSettings(scale="finest")).wcs.scale_arcsec == pytest.approx(20.0)
    assert choose_canvas(frames, CanvasSettings(scale=12.5)).wcs.scale_arcsec == pytest.approx(12.5)


@pytest.mark.parametrize("turn", [0.0, 17.0, -33.0, 44.0, 60.0, 90.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_smallest_canvas_is_turned_as_the_frame_is(turn: float, mirrored: bool) -> None:
    frame = frame_at(123.0, 40.0, turn, mirrored=mirrored)
    canvas = choose_canvas([frame], CanvasSettings(rotation="auto"))
    assert -45.0 <= canvas.wcs.rotation_deg <= 45.0
    assert (canvas.wcs.rotation_deg - turn + 45.0) % 90.0 == pytest.approx(45.0, abs=0.2)
    assert sorted((canvas.width, canvas.height)) == pytest.approx([frame.width, frame.height], abs=2)
    assert_holds_all(canvas, [frame])


def test_the_smallest_canvas_of_many_frames_is_smaller_than_those_of_all_other_turns() -> None:
    frames = panels((10.0, 41.0), turn_deg=25.0) + panels((12.0, 42.0), turn_deg=25.0)
    best = choose_canvas(frames, CanvasSettings(rotation="auto"))
    assert_holds_all(best, frames)
    for turn in np.arange(-45.0, 46.0, 5.0):
        other = choose_canvas(frames, CanvasSettings(rotation=float(turn)))
        assert other.wcs.rotation_deg == pytest.approx(turn, abs=1e-9)
        assert best.width * best.height <= 1.02 * other.width * other.height


def test_a_given_centre_is_the_middle_of_the_canvas_and_of_a_given_size() -> None:
    frames, place = panels((10.0, 41.0)), (10.3, 41.2)
    canvas = choose_canvas(frames, CanvasSettings(centre_deg=place))
    assert canvas.wcs.crval_deg == place
    assert canvas.wcs.to_pixels(*place) == (
        pytest.approx((canvas.width - 1) / 2),
        pytest.approx((canvas.height - 1) / 2),
    )
    assert_holds_all(canvas, frames)
    sized = choose_canvas(frames, CanvasSettings(centre_deg=place, width=100, height=61))
    assert (sized.width, sized.height) == (100, 61)
    assert separation_deg(*sized.centre_deg, *place) * 3600 < 0.8 * SCALE
    tall = choose_canvas(frames, CanvasSettings(height=700))
    union = choose_canvas(frames)
    assert (tall.width, tall.height) == (union.width, 700)
    assert_holds_all(tall, frames)
    turned = choose_canvas(frames, CanvasSettings(centre_deg=place, rotation="auto"))
    assert_holds_all(turned, frames)
    assert turned.width * turned.height <= canvas.width * canvas.height


def test_rows_from_the_top_are_the_same_picture() -> None:
    frames = panels((10.0, 41.0))
    up, down = choose_canvas(frames), choose_canvas(frames, CanvasSettings(row_order="TOP-DOWN"))
    assert (up.width, up.height) == (down.width, down.height)
    assert down.wcs.parity == 1
    assert separation_deg(*up.wcs.to_sky(7.0, 11.0), *down.wcs.to_sky(7.0, up.height - 12.0)) < 1e-12
    ra, dec = down.wcs.to_sky(np.array([0.0, 20.0]), np.array([0.0, 20.0]))
    assert ra[0] > ra[1] and dec[0] > dec[1]  # the first pixel is the picture's upper left: north-east


def test_a_canvas_given_whole_is_taken_as_it_is() -> None:
    frames = panels((10.0, 41.0))
    given = frame_at(10.0, 41.0, 5.0, width=40, height=30, sip=distortion())
    cards: dict[str, object] = {keyword: value for keyword, value, _ in given.wcs.cards()}
    read = SkyGrid.from_header(cards | {"NAXIS1": 40, "NAXIS2": 30})
    assert choose_canvas(frames, CanvasSettings(grid=read)) is read
    with pytest.raises(NoUsableInput, match="no frame touches the canvas about ra 200"):
        choose_canvas(frames, CanvasSettings(grid=frame_at(200.0, 41.0)))
    with pytest.raises(NoUsableInput, match="no frame touches"):
        choose_canvas(frames, CanvasSettings(centre_deg=(200.0, 41.0), width=50, height=50))


def covered(canvas: SkyGrid, frames: list[SkyGrid]) -> np.ndarray:
    """How many frames show every third pixel of a canvas."""
    x, y = np.meshgrid(np.arange(0.0, canvas.width, 3.0), np.arange(0.0, canvas.height, 3.0))
    place = canvas.wcs.to_sky(x, y)
    return np.sum([frame.holds(*frame.wcs.to_pixels(*place)) for frame in frames], axis=0)


def largest_rectangle(mask: np.ndarray) -> int:
    """The most cells of a rectangle without a false one: under each row, the bars that stand on it."""
    bars, best = np.zeros(mask.shape[1], int), 0
    for row in mask:
        bars = np.where(row, bars + 1, 0)
        for height in np.unique(bars[bars > 0]):
            steps = np.flatnonzero(np.diff(np.concatenate([[False], bars >= height, [False]]).astype(int)))
            best = max(best, int(height) * int(np.max(steps[1::2] - steps[::2])))
    return best


@pytest.mark.parametrize("place", [(0.0, 90.0), (359.9, 41.0)])
def test_a_cropped_canvas_is_covered_and_about_as_large_as_any_that_is(place: tuple[float, float]) -> None:
    frames = panels(place, repeats=4, turn_deg=0)
    canvas = choose_canvas(frames, CanvasSettings(least_frames=4))
    inside = covered(canvas, frames)
    assert np.mean(inside >= 4) > 0.985
    count = covered(choose_canvas(frames), frames)
    assert inside.size > 0.93 * largest_rectangle(count >= 4)
    usual = np.median(count[count > 0])
    by_share = choose_canvas(frames, CanvasSettings(least_coverage=4 / float(usual)))
    assert same(by_share, canvas)
    with pytest.raises(UsageError, match="no rectangle of the sky is covered by 90 frames"):
        choose_canvas(frames, CanvasSettings(least_frames=90))


@pytest.mark.parametrize(
    ("frames", "settings", "words"),
    [
        ([(0.0, 10.0), (180.0, -10.0)], CanvasSettings(), "degrees from the middle.*\n\n.*2 islands.*one at a time"),
        ([(0.0, 10.0), (100.0, 10.0)], CanvasSettings(scale=1.0), "more than 200000 a side\n\n.*2 islands"),
        ([(0.0, 10.0)], CanvasSettings(scale=0.001), "more than 200000 a side\n\n.*coarser scale"),
        ([(0.0, 10.0)], CanvasSettings(width=300_000), "300000x"),
        ([(0.0, 10.0)], CanvasSettings(centre_deg=(90.0, 10.0)), "89 degrees from the middle.*\n\n.*far away"),
        ([(0.0, 10.0)], CanvasSettings(grid=frame_at(0.0, 10.0, width=200_001)), "200001x192.*smaller one"),
    ],
)
def test_absurd_canvases_are_refused_with_what_to_do(
    frames: list[tuple[float, float]], settings: CanvasSettings, words: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){words}"):
        choose_canvas([frame_at(*place, scale=SCALE) for place in frames], settings)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"scale": "fine"}, "scale 'fine'"),
        ({"scale": 0.0}, "scale 0.0"),
        ({"scale": float("nan")}, "scale nan"),
        ({"rotation": "north"}, "rotation 'north'"),
        ({"rotation": float("inf")}, "rotation inf"),
        ({"projection": "SIN"}, "projection 'SIN'"),
        ({"row_order": "UP"}, "order of rows"),
        ({"centre_deg": (0.0, 91.0)}, "no place on the sky"),
        ({"width": 0}, "width is 0"),
        ({"least_frames": 0}, "least_frames is 0"),
        ({"least_coverage": 1.5}, "least_coverage is 1.5"),
        ({"least_coverage": 0.5, "least_frames": 3}, "both"),
        ({"least_coverage": 0.5, "width": 100}, "cannot be cropped"),
        ({"grid": frame_at(0.0, 0.0), "scale": 2.0}, "nothing else to choose"),
    ],
)
def test_wishes_that_cannot_be_meant_are_refused(wish: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(CanvasSettings(), **wish)


def test_no_frames_are_no_usable_input() -> None:
    with pytest.raises(NoUsableInput, match="no frames with a place on the sky"):
        choose_canvas([])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 200])
@pytest.mark.parametrize("size_deg", [0.001, 1.0, 120.0])
def test_the_enclosing_cap_holds_all_and_none_that_is_smaller_does(n: int, size_deg: float) -> None:
    rng = np.random.default_rng(n)
    place = (rng.uniform(0, 360), rng.uniform(-90, 90))
    points = unit_vectors(
        *np.transpose([beside(place, *rng.uniform(-size_deg / 2, size_deg / 2, 2)) for _ in range(n)])
    )
    centre, radius = enclosing_cap(points)

    def reach(towards: tuple[float, float]) -> float:
        return float(separation_deg(*directions(points), *towards).max())

    at = tuple(float(angle) for angle in directions(centre))
    assert reach((at[0], at[1])) == pytest.approx(radius, abs=1e-7)
    for angle in np.arange(0.0, 2 * np.pi, 0.5):
        step = 0.01 * size_deg
        assert reach(beside((at[0], at[1]), step * np.cos(angle), step * np.sin(angle))) > radius
    shuffled, again = enclosing_cap(points[rng.permutation(n)])
    assert np.abs(shuffled - centre).max() < 1e-7 and again == pytest.approx(radius, abs=1e-7)


def test_points_all_round_the_sphere_have_no_cap() -> None:
    assert enclosing_cap(np.concatenate([np.eye(3), -np.eye(3)]))[1] == 180.0


@pytest.mark.parametrize("place", PLACES[1::2])
@pytest.mark.parametrize("kind", ["union", "crop", "turned", "distorted"])
def test_every_box_names_all_frames_that_have_a_pixel_in_it_and_none_far_away(
    place: tuple[float, float], kind: str
) -> None:
    frames = [*panels(place), frame_at(*beside(place, 0.0, 30.0)), frame_at((place[0] + 180.0), -place[1])]
    wanted = {
        "union": CanvasSettings(),
        "crop": CanvasSettings(least_frames=2, scale=36.0),
        "turned": CanvasSettings(rotation=30.0, projection="ZEA"),
        "distorted": CanvasSettings(),
    }[kind]
    canvas = choose_canvas(frames[:-2], wanted)
    if kind == "distorted":
        canvas = replace(canvas, wcs=Wcs(canvas.wcs.crval_deg, canvas.wcs.crpix0, canvas.wcs.cd, distortion(8, 300)))
    index = FrameIndex(canvas, footprints_of(frames))
    margin = 7
    x, y = np.meshgrid(np.arange(-margin, canvas.width + margin, 1.0), np.arange(-margin, canvas.height + margin, 1.0))
    sky = canvas.wcs.to_sky(x, y)
    shown = np.stack([frame.holds(*frame.wcs.to_pixels(*sky)) for frame in frames])
    counts = []
    for y0 in range(0, canvas.height, 64):
        for x0 in range(0, canvas.width, 64):
            box = Box(x0, y0, min(x0 + 64, canvas.width), min(y0 + 64, canvas.height))
            whole = Box(-margin, -margin, canvas.width + margin, canvas.height + margin)
            is_in, is_near = (shown[:, *some.slices(whole)].any(axis=(1, 2)) for some in (box, box.grow(margin)))
            named = index.touching(box)
            assert set(np.flatnonzero(is_in)) <= set(named.tolist()) <= set(np.flatnonzero(is_near))
            assert np.array_equal(named, np.unique(named))
            counts.append(len(named))
    assert max(counts) > 4
    assert index.touching(Box(5, 5, 5, 9)).size == 0


def test_a_frame_that_holds_the_whole_box_touches_it() -> None:
    frame = frame_at(10.0, 41.0, 20.0)
    canvas = choose_canvas([frame])
    index = FrameIndex(canvas, footprints_of([frame]), 0.0)
    middle = Box(canvas.width // 2, canvas.height // 2, canvas.width // 2 + 2, canvas.height // 2 + 2)
    assert index.touching(middle).tolist() == [0]
    assert index.touching(Box(0, 0, 2, 2)).size == 0  # the empty corner of the turned frame's box
