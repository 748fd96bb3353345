"""What is drawn over a picture of the sky: lines where they belong, labels that can be read."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import CatalogueStars, DeepSkyObject, Label, SkyGrid, Wcs
from skyquilt.core.sky import separation_deg
from skyquilt.steps.annotate import Annotation, annotate_sky
from skyquilt.steps.annotate.grid import sky_lines
from skyquilt.steps.annotate.star_names import STAR_NAMES, names_of

PLACES = [(192.7, 41.1), (0.02, 0.1), (359.9, -60.0), (30.0, 89.7), (120.0, -89.9)]


def picture(ra: float, dec: float, *, scale: float = 4.0, turn_deg: float = 30.0, mirrored: bool = False) -> SkyGrid:
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    cd = scale / 3600.0 * np.array([[-c, s], [s, c]]) * (np.array([[-1.0], [1.0]]) if mirrored else 1.0)
    return SkyGrid(Wcs((ra, dec), (599.5, 449.5), cd), 1200, 900)


def width(text: str, size_px: float) -> float:
    return 0.55 * size_px * len(text)


def thing(name: str, ra: float, dec: float, **more: object) -> DeepSkyObject:
    facts: dict[str, object] = {
        "common_name": "", "kind": "Galaxy", "major_arcmin": None, "minor_arcmin": None, "position_angle_deg": None,
        "mag": None,
    }  # fmt: skip
    return DeepSkyObject(name, ra_deg=ra, dec_deg=dec, **(facts | more))  # type: ignore[arg-type]


def no_stars() -> CatalogueStars:
    return CatalogueStars.empty()


def annotated(grid: SkyGrid, stars: CatalogueStars, things: list[DeepSkyObject], **more: object) -> Annotation:
    return annotate_sky(grid, stars, things, text_width=width, **more)  # type: ignore[arg-type]


def value_of(text: str) -> float:
    """Degrees of "12h50m30s" or "+41°30'20\"."""
    is_ra = "h" in text
    parts = [float(p) for p in text.lstrip("+-").replace('"', "").replace("s", "").replace("h", " ").replace("m", " ")
             .replace("°", " ").replace("'", " ").split()]  # fmt: skip
    size = sum(part / 60**k for k, part in enumerate(parts))
    return 15.0 * size if is_ra else (-size if text.startswith("-") else size)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_line_of_the_grid_runs_at_the_value_it_is_labelled_with(
    place: tuple[float, float], mirrored: bool
) -> None:
    grid = picture(*place, mirrored=mirrored)
    lines = sky_lines(grid)
    assert 5 <= len(lines) <= 40
    assert {line.is_meridian for line in lines} == {True, False}
    for line in lines:
        inside = grid.holds(*line.points.T)
        assert inside[1:-1].all() and inside.any()
        ra, dec = grid.wcs.to_sky(*line.points.T)
        if line.is_meridian:
            keep = np.abs(dec) < 89.99
            off = separation_deg(ra, dec, value_of(line.text), dec)[keep]
        else:
            off = np.abs(dec - value_of(line.text))
        assert (off < 1e-6).all()
        for x, y in line.ends:
            edge = min(abs(x + 0.5), abs(y + 0.5), abs(x - grid.width + 0.5), abs(y - grid.height + 0.5))
            assert edge < 1e-6


def test_a_pole_has_all_its_meridians_once() -> None:
    grid = picture(30.0, 89.9)
    names = [line.text for line in sky_lines(grid) if line.is_meridian]
    assert sorted(names) == sorted(f"{hour}h" for hour in range(0, 24, 2))


def boxes(labels: tuple[Label, ...]) -> list[tuple[float, float, float, float]]:
    return [(one.x, one.y, one.x + one.width_px, one.y + one.height_px) for one in labels]


def test_labels_never_cover_each_other_nor_leave_the_picture() -> None:
    rng = np.random.default_rng(7)
    grid = picture(187.0, 12.8)
    ra, dec = grid.wcs.to_sky(rng.uniform(0, 1200, 90), rng.uniform(0, 900, 90))
    ra[:30], dec[:30] = grid.wcs.to_sky(rng.normal(300, 40, 30), rng.normal(300, 40, 30))
    things = [
        thing(f"NGC {4000 + k}", float(a), float(d), common_name="A Name", major_arcmin=float(rng.uniform(0.1, 30)))
        for k, (a, d) in enumerate(zip(ra, dec, strict=True))
    ]
    star_ra, star_dec = grid.wcs.to_sky(rng.uniform(0, 1200, 60), rng.uniform(0, 900, 60))
    mag = np.sort(rng.uniform(4, 10, 60)).astype(np.float32)
    found = annotated(grid, CatalogueStars(star_ra, star_dec, mag, mag), things, caption="a caption")
    places = boxes(found.drawing.labels)
    assert len(places) > 60 and found.n_without_label > 0
    for k, one in enumerate(places):
        assert one[0] >= 0 and one[1] >= 0 and one[2] <= grid.width and one[3] <= grid.height
        for other in places[:k]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert found.n_stars == 60
    n_names = sum(label.text.startswith("NGC") for label in found.drawing.labels)
    assert n_names + found.n_without_label == len(found.objects) == 90


def test_the_outline_of_an_object_has_its_size_and_its_angle() -> None:
    grid = picture(10.68, 41.27, turn_deg=70.0)
    galaxy = thing("M 31", 10.7, 41.3, major_arcmin=40.0, minor_arcmin=10.0, position_angle_deg=35.0)
    (outline,) = annotated(grid, no_stars(), [galaxy], with_grid=False).drawing.lines[-1:]
    ra, dec = grid.wcs.to_sky(*outline.points.T)
    distance = separation_deg(ra, dec, 10.7, 41.3) * 60
    assert distance.max() == pytest.approx(20.0, rel=1e-3) and distance.min() == pytest.approx(5.0, rel=1e-3)
    k = int(np.argmax(distance))
    angle = np.degrees(np.arctan2((ra[k] - 10.7) * np.cos(np.radians(41.3)), dec[k] - 41.3)) % 180.0
    assert angle == pytest.approx(35.0, abs=0.5)


def test_small_and_sizeless_objects_get_a_ring_and_those_outside_nothing() -> None:
    grid = picture(10.0, 41.0)
    far = thing("NGC 1", 20.0, 41.0, major_arcmin=3.0)
    small = thing("IC 1", 10.0, 41.0, major_arcmin=0.2)
    none = thing("IC 2", 10.1, 41.1)
    found = annotated(grid, no_stars(), [far, small, none], with_grid=False)
    assert [one.name for one in found.objects] == ["IC 1", "IC 2"]
    assert len(found.drawing.rings) == 2
    x, y = grid.wcs.to_pixels(10.0, 41.0)
    assert (found.drawing.rings[0].x, found.drawing.rings[0].y) == (pytest.approx(float(x)), pytest.approx(float(y)))


def test_the_best_known_objects_come_first_when_there_are_too_many() -> None:
    grid = picture(10.0, 41.0)
    crowd = [thing(f"NGC {k}", 10.0, 41.0 + 0.001 * k) for k in range(150)]
    found = annotated(grid, no_stars(), [*crowd, thing("M 110", 10.1, 41.0), thing("IC 5", 10, 41, common_name="Eye")])
    assert len(found.objects) == 100
    assert [one.name for one in found.objects[:2]] == ["M 110", "IC 5"]


def test_the_arrows_point_north_and_east() -> None:
    for mirrored in (False, True):
        grid = picture(192.7, 41.1, mirrored=mirrored)
        north, _, east, _ = annotated(grid, no_stars(), [], with_grid=False).drawing.lines
        for line, wanted in ((north, (0, 1)), (east, (1, 0))):
            ra, dec = grid.wcs.to_sky(*line.points.T)
            step = np.array([(ra[1] - ra[0]) * np.cos(np.radians(dec[0])), dec[1] - dec[0]])
            assert step @ np.array(wanted) / np.linalg.norm(step) == pytest.approx(1.0, abs=1e-3)


def test_names_go_to_the_bright_star_at_their_place() -> None:
    ra, dec = np.array([279.2347, 279.25, 100.0]), np.array([38.7837, 38.79, 0.0])
    stars = CatalogueStars(ra, dec, np.array([0.03, 5.5, 2.0], np.float32), np.array([0.0, 6.0, 2.0], np.float32))
    assert names_of(stars) == {0: "Vega"}
    assert len({name for name, _, _ in STAR_NAMES}) == len(STAR_NAMES)
