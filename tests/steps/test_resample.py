"""The fused sampler: equal to the composed sources, the same bits for any tiling, weights that tell the truth."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skyquilt.core import (
    F32,
    U8,
    Box,
    Calibration,
    Cfa,
    Distortion,
    Linear,
    Normalisation,
    Tile,
    Trail,
    Transform,
)
from skyquilt.errors import UsageError
from skyquilt.kernels.calibrate import repair_defects_slowly
from skyquilt.kernels.glare import find_glare
from skyquilt.kernels.warp_table import KERNELS
from skyquilt.steps.debayer import Debayered
from skyquilt.steps.resample import DEFAULT_WINDOW_PX, METHODS, CanvasSampler, NodeGrid, Shielded, Warped
from skyquilt.steps.resample.warped import source_positions

HEIGHT, WIDTH = 150, 210
TURNED = Transform.similarity(angle_deg=3.0, scale=1.01, dx=4.3, dy=-6.2)
HALVED = Transform.from_matrix([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])


class ArraySource:
    """Planes as a `PixelSource`."""

    def __init__(self, planes: F32, mask: np.ndarray | None = None) -> None:
        self.planes = planes if planes.ndim == 3 else planes[None]
        self.usable = np.ones(self.planes.shape[1:], dtype=bool) if mask is None else mask
        self.bounds = Box.of_shape(*self.planes.shape[1:])
        self.n_channels = len(self.planes)

    def read(self, box: Box) -> Tile:
        pixels, mask = np.zeros((self.n_channels, *box.shape), np.float32), np.zeros(box.shape, dtype=bool)
        inside = box.intersect(self.bounds)
        if not inside.is_empty:
            rows, columns = inside.slices(box)
            from_rows, from_columns = inside.slices(self.bounds)
            pixels[:, rows, columns] = self.planes[:, from_rows, from_columns]
            mask[rows, columns] = self.usable[from_rows, from_columns]
        return Tile(pixels, mask, box)


class FilledSource(ArraySource):
    """One that fills the caller's array, and counts what is asked of it."""

    last_box = Box(0, 0, 0, 0)

    def read_into(self, box: Box, out: F32) -> bool:
        assert self.bounds.contains(box)
        self.last_box = box
        tile = self.read(box)
        out[...] = tile.pixels
        return bool(tile.mask.all())


def make_frame(seed: int = 5, n_planes: int = 1) -> F32:
    rng = np.random.default_rng(seed)
    y, x = np.indices((HEIGHT, WIDTH))
    star = 20000 * np.exp(-0.5 * ((x - 80.3) ** 2 + (y - 60.8) ** 2) / 1.5**2)
    return (1000 + star + rng.normal(0, 30, (n_planes, HEIGHT, WIDTH))).astype(np.float32)


def make_calibration(seed: int = 6) -> Calibration:
    rng = np.random.default_rng(seed)
    dark = rng.normal(200, 3, (HEIGHT, WIDTH)).astype(np.float32)
    return Calibration(
        dark, rng.normal(1, 0.05, (HEIGHT, WIDTH)).astype(np.float32), rng.random((HEIGHT, WIDTH)) < 0.002
    )


def calibrate(frame: F32, calibration: Calibration, step: int) -> F32:
    assert calibration.dark is not None
    assert calibration.inverse_flat is not None
    planes = (frame - calibration.dark) * calibration.inverse_flat
    if calibration.defects is not None:
        for plane in planes:
            repair_defects_slowly(plane, calibration.defects, step)
    return planes


def sample(sampler: CanvasSampler, box: Box) -> tuple[F32, U8]:
    values = np.full((sampler.n_channels, *box.shape), np.nan, dtype=np.float32)
    weights = np.full((sampler.weight_channels, *box.shape), 77, dtype=np.uint8)
    sampler.sample(box, values, weights)
    return values, weights


def bent_map() -> Transform:
    coefficients = np.array([[0.8, -0.5, 0.3], [0.4, 0.6, -0.7]])
    bend = Distortion(2, (WIDTH / 2, HEIGHT / 2), 120.0, coefficients)
    slant = Linear(np.array([[1.0, 0.02, 3.0], [-0.02, 1.0, 2.0], [2e-5, -3e-5, 1.0]]))
    return Transform((slant, bend), "polynomial")


@pytest.mark.parametrize("to_frame", [TURNED, bent_map(), TURNED.inverse().then(bent_map().inverse())])
@pytest.mark.parametrize(
    ("method", "kernel"),
    [("malvar", kernel) for kernel in KERNELS] + [(m, "catmull_rom") for m in ("bilinear", "rcd", "superpixel")],
)
def test_the_sampler_equals_the_composed_sources(method: str, kernel: str, to_frame: Transform) -> None:
    frame, calibration, cfa, star_colour = make_frame(), make_calibration(), Cfa("GRBG"), (0.875, 0.546875)
    sampler = CanvasSampler(
        FilledSource(frame),
        cfa=cfa,
        calibration=calibration,
        to_frame=to_frame,
        method=method,
        kernel=kernel,
        star_colour=star_colour,
    )
    colours = Debayered(ArraySource(calibrate(frame, calibration, 2)), cfa, method, star_colour)
    composed = Warped(colours, to_frame.then(HALVED) if method == "superpixel" else to_frame, kernel)
    box = Box(-20, -10, 230, 170)
    values, weights = sample(sampler, box)
    expected = composed.read(box)
    np.testing.assert_array_equal(weights[0] > 0, expected.mask)
    assert expected.mask.sum() > 20000
    np.testing.assert_allclose(values[:, expected.mask], expected.pixels[:, expected.mask], rtol=2e-6, atol=0.01)


@pytest.mark.parametrize("n_planes", [1, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_frames_without_a_filter_array_are_only_calibrated_and_resampled(n_planes: int, kernel: str) -> None:
    frame, calibration = make_frame(n_planes=n_planes), make_calibration()
    sampler = CanvasSampler(FilledSource(frame), cfa=None, calibration=calibration, to_frame=TURNED, kernel=kernel)
    expected = Warped(ArraySource(calibrate(frame, calibration, 1)), TURNED, kernel).read(Box(3, -5, 200, 150))
    values, weights = sample(sampler, expected.box)
    assert values.shape[0] == n_planes
    np.testing.assert_array_equal(weights[0] > 0, expected.mask)
    np.testing.assert_allclose(values[:, expected.mask], expected.pixels[:, expected.mask], rtol=2e-6, atol=0.01)


@pytest.mark.parametrize("width_px", [0.5, 0.9])
def test_colour_plane_sampling_is_the_normalised_gaussian_sum_over_the_sites_of_each_colour(width_px: float) -> None:
    frame, cfa, box = make_frame(), Cfa("GBRG"), Box(60, 40, 100, 80)
    sampler = CanvasSampler(
        FilledSource(frame), cfa=cfa, calibration=Calibration(), to_frame=TURNED, method="cfa", window_px=width_px
    )
    values, weights = sample(sampler, box)
    u, v = source_positions(NodeGrid(TURNED, 0), box)
    half = 2 if width_px < 0.85 else 3
    total, norm = np.zeros((3, *box.shape)), np.zeros((3, *box.shape))
    for dy in range(1 - half, half + 1):
        for dx in range(1 - half, half + 1):
            x, y = np.floor(u).astype(int) + dx, np.floor(v).astype(int) + dy
            weight = np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / width_px**2)
            for channel in range(3):
                on_site = weight * (cfa.table[y % 2, x % 2] == channel)
                total[channel] += on_site * frame[0][y, x]
                norm[channel] += on_site
    np.testing.assert_allclose(values, total / norm, rtol=0.02)  # phases of 1/1024 px on the flanks of a bright star
    sky = np.hypot(u - 80.3, v - 60.8) > 15
    np.testing.assert_allclose(values[:, sky], (total / norm)[:, sky], rtol=2e-4)
    share = weights.astype(float) / 255
    np.testing.assert_allclose(share, norm / norm.max(axis=(1, 2), keepdims=True), atol=0.03)
    assert weights.min() >= 2


def every_sampler(to_frame: Transform) -> list[CanvasSampler]:
    rng = np.random.default_rng(8)
    normalisation = Normalisation(
        np.array([1.1, 0.9, 1.2]), rng.normal(0, 30, (3, 6)), (WIDTH / 2, HEIGHT / 2), 100.0, 1 / 0.9
    )
    settings = {
        "calibration": make_calibration(),
        "to_frame": to_frame,
        "star_colour": (0.8125, 0.609375),
        "normalisation": normalisation,
        "saturation_adu": 15000.0,
        "saturated_stars": np.array([[30, 40], [150, 90]]),
        "feather_px": 20.0,
        "radial_feather": 0.1,
        "trails": (Trail(-5.0, 20.0, 150.0, 160.0, 3.0, 9.0),),
    }
    samplers = [CanvasSampler(FilledSource(make_frame()), cfa=Cfa("GRBG"), method=m, **settings) for m in METHODS]
    samplers.append(CanvasSampler(FilledSource(make_frame()), cfa=None, kernel="lanczos3", **settings))
    samplers.append(CanvasSampler(ArraySource(make_frame(n_planes=3)), cfa=None, **settings))
    return samplers


@pytest.mark.parametrize("to_frame", [Transform.identity(), TURNED, bent_map()])
def test_any_tiling_gives_the_same_bits(to_frame: Transform) -> None:
    whole = Box(-20, -10, 230, 170)
    for sampler in every_sampler(to_frame):
        values, weights = sample(sampler, whole)
        assert len(np.unique(weights)) > 15
        for size in ((64, 48), (37, 29)):
            for box in whole.tiles(*size):
                part_values, part_weights = sample(sampler, box)
                rows, columns = box.slices(whole)
                np.testing.assert_array_equal(part_values, values[:, rows, columns])
                np.testing.assert_array_equal(part_weights, weights[:, rows, columns])


def test_threads_give_the_same_bits() -> None:
    sampler, whole = every_sampler(TURNED)[0], Box(0, 0, 200, 140)
    expected, _ = sample(sampler, whole)
    boxes = list(whole.tiles(50, 35)) * 4
    with ThreadPoolExecutor(4) as pool:
        for box, (values, _) in zip(boxes, pool.map(lambda box: sample(sampler, box), boxes), strict=True):
            rows, columns = box.slices(whole)
            np.testing.assert_array_equal(values, expected[:, rows, columns])


def test_a_sampler_survives_pickling() -> None:
    sampler, box = every_sampler(bent_map())[0], Box(10, 10, 60, 50)
    np.testing.assert_array_equal(sample(pickle.loads(pickle.dumps(sampler)), box)[0], sample(sampler, box)[0])


def test_the_node_grid_follows_the_map_to_a_thousandth_of_a_pixel() -> None:
    to_frame, box = bent_map(), Box(-30, -20, 240, 170)
    u, v = source_positions(NodeGrid(to_frame, 0), box)
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(np.float64)
    exact_u, exact_v = to_frame(x, y)
    # 16² / 8 x curvature; the bend has 2 x 0.8 / 120² = 1.1e-4 a pixel, ten times what a telescope's field has
    assert max(np.abs(u - exact_u).max(), np.abs(v - exact_v).max()) < 5e-3
    turned_u, turned_v = source_positions(NodeGrid(TURNED, 0), box)
    exact_u, exact_v = TURNED(x, y)
    assert max(np.abs(turned_u - exact_u).max(), np.abs(turned_v - exact_v).max()) < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_adding_a_constant_to_the_frame_adds_it_to_the_samples(method: str) -> None:
    frame = np.rint(make_frame())
    both = [
        sample(
            CanvasSampler(
                FilledSource(pixels), cfa=Cfa("RGGB"), calibration=Calibration(), to_frame=TURNED, method=method
            ),
            Box(20, 20, 120, 100),
        )[0]
        for pixels in (frame, frame + np.float32(500))
    ]
    np.testing.assert_allclose(both[1] - both[0], 500.0, atol=0.03)


def test_the_identity_returns_the_frame() -> None:
    frame = make_frame()
    for kernel in KERNELS:
        sampler = CanvasSampler(
            FilledSource(frame), cfa=None, calibration=Calibration(), to_frame=Transform.identity(), kernel=kernel
        )
        values, weights = sample(sampler, Box(0, 0, WIDTH, HEIGHT))
        np.testing.assert_array_equal(values, frame)
        assert (weights == 255).all()


def test_normalised_samples_are_scale_times_value_plus_surface() -> None:
    scale, surface = np.array([1.5, 0.75, 2.0]), np.array([[100.0, 7, -3], [50, 0, 4], [-20, 1, 1]])
    normalisation = Normalisation(scale, surface, (90.0, 70.0), 100.0, 1.0)
    settings = {"cfa": Cfa("GRBG"), "calibration": make_calibration(), "to_frame": TURNED}
    box = Box(20, 15, 110, 95)
    plain, _ = sample(CanvasSampler(FilledSource(make_frame()), **settings), box)
    found, _ = sample(CanvasSampler(FilledSource(make_frame()), normalisation=normalisation, **settings), box)
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
    terms = np.stack([np.ones(box.shape), (x - 90.0) / 100, (y - 70.0) / 100])
    expected = scale[:, None, None] * plain + np.tensordot(surface, terms, axes=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)


def test_what_lies_outside_of_the_frame_has_no_weight() -> None:
    sampler = CanvasSampler(FilledSource(make_frame()), cfa=Cfa("GRBG"), calibration=Calibration(), to_frame=TURNED)
    for box in (Box(500, 500, 560, 530), Box(-400, 20, -300, 60), Box(WIDTH + 40, 0, WIDTH + 100, 40)):
        values, weights = sample(sampler, box)
        assert not weights.any()
        assert not values.any()
        assert sampler.source_box(box).is_empty
    values, weights = sample(sampler, Box(-20, -20, 240, 180))
    assert np.isfinite(values).all()
    assert set(np.unique(weights)) == {0, 255}


def test_a_map_that_is_nowhere_gives_no_weight() -> None:
    def lost(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(x < 48, x, np.nan), np.where(x < 48, y, np.nan)

    sampler = CanvasSampler(FilledSource(make_frame()), cfa=Cfa("GRBG"), calibration=Calibration(), to_frame=lost)
    _, weights = sample(sampler, Box(10, 10, 100, 60))
    assert (weights[0, :, :22] == 255).all()
    assert not weights[0, :, 40:].any()
    assert not sample(sampler, Box(64, 0, 96, 32))[1].any()


def test_the_source_box_is_what_is_read() -> None:
    source = FilledSource(make_frame())
    sampler = CanvasSampler(source, cfa=Cfa("GRBG"), calibration=make_calibration(), to_frame=TURNED)
    for box in (Box(60, 40, 124, 72), Box(-8, -8, 24, 24), Box(180, 100, 230, 160)):
        sample(sampler, box)
        assert sampler.source_box(box) == source.last_box


@pytest.mark.parametrize("method", [*METHODS, "mono"])
def test_a_defect_makes_a_stopgap_of_the_samples_around_it_and_of_no_other(method: str) -> None:
    defects = np.zeros((HEIGHT, WIDTH), dtype=bool)
    defects[70, 90] = True
    frame = np.full((1, HEIGHT, WIDTH), 1000, dtype=np.float32)
    frame[0, 70, 90] = 60000
    sampler = CanvasSampler(
        FilledSource(frame),
        cfa=None if method == "mono" else Cfa("GRBG"),
        calibration=Calibration(defects=defects),
        to_frame=Transform.shift(0.3, -0.2),
        method="malvar" if method == "mono" else method,
    )
    values, weights = sample(sampler, Box(10, 10, 190, 130))
    np.testing.assert_allclose(values, 1000.0, rtol=1e-6)  # mended before anything else sees it
    stopgaps = np.argwhere(weights == 1)[:, 1:] + [10, 10]
    assert 1 <= len(stopgaps) <= 30
    assert np.abs(stopgaps - [70.2, 89.7]).max() <= 3
    assert (weights > 0).all()


def test_a_masked_pixel_counts_as_a_defect() -> None:
    mask = np.ones((HEIGHT, WIDTH), dtype=bool)
    mask[70, 90] = False
    frame = np.full((1, HEIGHT, WIDTH), 1000, dtype=np.float32)
    frame[0, 70, 90] = 0
    for source in (FilledSource(frame, mask), ArraySource(frame, mask)):
        sampler = CanvasSampler(source, cfa=Cfa("GRBG"), calibration=Calibration(), to_frame=Transform.identity())
        values, weights = sample(sampler, Box(0, 0, WIDTH, HEIGHT))
        np.testing.assert_allclose(values, 1000.0, rtol=1e-6)
        assert weights[0, 70, 90] == 1
        assert (weights == 1).sum() < 20


def test_saturation_is_judged_on_the_raw_values() -> None:
    frame = np.full((1, HEIGHT, WIDTH), 1000, dtype=np.float32)
    frame[0, 70:74, 90:94] = 65535
    dark = np.full((HEIGHT, WIDTH), 900, dtype=np.float32)
    sampler = CanvasSampler(
        FilledSource(frame), cfa=Cfa("GRBG"), calibration=Calibration(dark), to_frame=Transform.shift(0.5, 0.5)
    )
    values, weights = sample(sampler, Box(2, 2, WIDTH - 10, HEIGHT - 10))
    assert values.max() > 64000  # shown, not repaired
    assert (weights[0, 67:72, 87:92] == 1).all()
    assert (weights == 1).sum() <= 81
    far = np.ones(weights[0].shape, dtype=bool)
    far[64:75, 84:95] = False
    np.testing.assert_allclose(values[:, far], 100.0, rtol=1e-5)


COLOURS = np.array([[0.7, 1.0], [1.0, 1.2]])[np.indices((HEIGHT, WIDTH))[0] % 2, np.indices((HEIGHT, WIDTH))[1] % 2]


def bright_stars(places: list[tuple[float, float, float]]) -> F32:
    """Return a mosaic of sharp stars (x, y, peak) on a flat sky, clipped."""
    y, x = np.indices((HEIGHT, WIDTH))
    frame = np.full((HEIGHT, WIDTH), 1000.0)
    for cx, cy, peak in places:
        frame += COLOURS * peak * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 0.85**2))
    return np.minimum(frame, 65535.0).astype(np.float32)[None]


def crowd_of_bright_stars() -> F32:
    """Return stars above and below saturation, some of them at the very edge."""
    rng = np.random.default_rng(12)
    y = rng.uniform(0, HEIGHT, 30)
    y[::5] = rng.uniform(-0.5, 1.5, 6)
    return bright_stars(list(zip(rng.uniform(0, WIDTH, 30), y, rng.uniform(1e4, 3e5, 30), strict=True)))


STARS = np.array([[40, 50], [131, 99], [-1, 70], [209, 20], [2000, -300]], dtype=np.int32)  # some at and off the edge


def shielded(frame: F32, limit: float, method: str, kernel: str, to_frame: Transform, reach: int) -> Shielded:
    """Return what the sampler must give, composed of readable parts."""
    saturated, cfa, star_colour = frame[0] >= limit, Cfa("GRBG"), (0.875, 0.546875)
    for x, y in STARS:
        saturated[max(0, y) : max(0, y + 2), max(0, x) : max(0, x + 2)] = True
    source = ArraySource(frame)
    if method == "mono":
        sharp, held = Warped(source, to_frame, kernel), Warped(source, to_frame, "bilinear")
        return Shielded(sharp, held, find_glare(saturated, reach))
    if method == "superpixel":
        saturated = saturated.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).any(axis=(1, 3))
        to_frame = to_frame.then(HALVED)
    plain = Debayered(source, cfa, method, star_colour)
    held_colours = Debayered(source, cfa, method, star_colour, is_held=True)
    sharp, held = Warped(plain, to_frame, kernel), Warped(held_colours, to_frame, "bilinear")
    return Shielded(sharp, held, find_glare(saturated, reach))


@pytest.mark.parametrize("to_frame", [TURNED, bent_map()])
@pytest.mark.parametrize(
    ("method", "kernel", "reach"),
    [
        ("malvar", "least_squares", 4),
        ("malvar", "bilinear", 3),
        ("malvar", "lanczos3", 5),
        ("rcd", "catmull_rom", 10),
        ("bilinear", "catmull_rom", 3),
        ("superpixel", "catmull_rom", 2),
        ("mono", "catmull_rom", 3),
    ],
)
def test_beside_saturated_pixels_the_sampler_equals_the_shielded_sources(
    method: str, kernel: str, reach: int, to_frame: Transform
) -> None:
    frame, limit = crowd_of_bright_stars(), 60000.0
    sampler = CanvasSampler(
        FilledSource(frame),
        cfa=None if method == "mono" else Cfa("GRBG"),
        calibration=Calibration(),
        to_frame=to_frame,
        method="malvar" if method == "mono" else method,
        kernel=kernel,
        star_colour=(0.875, 0.546875),
        saturation_adu=limit,
        saturated_stars=STARS,
    )
    assert sampler.glare_px == reach
    composed = shielded(frame, limit, method, kernel, to_frame, reach)
    expected, sharp = composed.read(Box(-20, -10, 230, 170)), composed.sharp.read(Box(-20, -10, 230, 170))
    values, weights = sample(sampler, expected.box)
    np.testing.assert_array_equal(weights[0] > 0, expected.mask)
    np.testing.assert_allclose(values[:, expected.mask], expected.pixels[:, expected.mask], rtol=2e-6, atol=0.02)
    changed = np.abs(sharp.pixels - expected.pixels).max(axis=0) > 1.0
    assert 200 < changed.sum() < 0.6 * expected.mask.sum()


@pytest.mark.parametrize(("method", "kernel"), [("malvar", "least_squares"), ("rcd", "lanczos3"), ("mono", "lanczos3")])
def test_nothing_falls_below_the_sky_beside_saturated_stars(method: str, kernel: str) -> None:
    rng = np.random.default_rng(13)
    places = [
        (x + rng.uniform(-3, 3), y + rng.uniform(-3, 3), rng.uniform(1.5e5, 6e5))
        for x in range(25, 190, 20)
        for y in range(25, 130, 20)
    ]
    frame, box, lowest = bright_stars(places), Box(10, 10, 190, 130), []
    for limit in (np.inf, 62000.0):
        sampler = CanvasSampler(
            FilledSource(frame),
            cfa=None if method == "mono" else Cfa("GRBG"),
            calibration=Calibration(),
            to_frame=TURNED,
            method="malvar" if method == "mono" else method,
            kernel=kernel,
            saturation_adu=limit,
        )
        lowest.append(float(sample(sampler, box)[0].min()))
    assert lowest[0] < -2000
    assert lowest[1] > 950  # of a sky of 1000


def test_without_a_saturated_pixel_in_reach_no_bit_changes() -> None:
    frame, box = crowd_of_bright_stars(), Box(10, 10, 190, 130)
    results = [
        sample(
            CanvasSampler(
                FilledSource(frame), cfa=Cfa("GRBG"), calibration=Calibration(), to_frame=TURNED, saturation_adu=limit
            ),
            box,
        )
        for limit in (np.inf, 60000.0)
    ]
    u, v = source_positions(NodeGrid(TURNED, 0), box)
    y, x = np.nonzero(frame[0] >= 60000.0)
    away = np.min(np.maximum(np.abs(u[..., None] - x), np.abs(v[..., None] - y)), axis=-1) > 5
    assert 5000 < away.sum() < away.size - 1000
    np.testing.assert_array_equal(results[0][0][:, away], results[1][0][:, away])
    np.testing.assert_array_equal(results[0][1][:, away], results[1][1][:, away])


def test_a_saturated_defect_has_no_glare() -> None:
    frame, defects = make_frame(), np.zeros((HEIGHT, WIDTH), dtype=bool)
    frame[0, 70, 90], defects[70, 90] = 65535.0, True
    results = [
        sample(
            CanvasSampler(
                FilledSource(frame),
                cfa=Cfa("GRBG"),
                calibration=Calibration(defects=defects),
                to_frame=TURNED,
                saturation_adu=limit,
            ),
            Box(10, 10, 190, 130),
        )[0]
        for limit in (np.inf, 60000.0)
    ]
    np.testing.assert_array_equal(results[0], results[1])


def test_the_feather_rises_linearly_from_the_edge() -> None:
    sampler = CanvasSampler(
        FilledSource(make_frame()),
        cfa=Cfa("GRBG"),
        calibration=Calibration(),
        to_frame=Transform.identity(),
        feather_px=20.0,
    )
    _, weights = sample(sampler, Box(0, 0, WIDTH, HEIGHT))
    expected = np.minimum(255, 2 + 253 * (np.arange(30) + 0.5) / 20)
    np.testing.assert_allclose(weights[0, 75, :30], expected, atol=1)
    np.testing.assert_allclose(weights[0, ::-1, 100][:30], expected, atol=1)
    assert weights.min() >= 2


def test_the_radial_feather_falls_towards_the_corners() -> None:
    sampler = CanvasSampler(
        FilledSource(make_frame()),
        cfa=Cfa("GRBG"),
        calibration=Calibration(),
        to_frame=Transform.identity(),
        radial_feather=0.3,
    )
    _, weights = sample(sampler, Box(0, 0, WIDTH, HEIGHT))
    assert weights[0, 75, 105] == 255
    assert 2 <= weights[0, 0, 0] < 10
    assert (np.diff(weights[0].diagonal()[:75].astype(int)) >= 0).all()


def test_a_trail_takes_out_a_band_of_the_frame() -> None:
    trail = Trail(10.0, 20.0, 150.0, 120.0, 4.0, 12.0)
    sampler = CanvasSampler(
        FilledSource(make_frame()), cfa=Cfa("GRBG"), calibration=Calibration(), to_frame=TURNED, trails=(trail,)
    )
    box = Box(10, 20, 190, 130)
    _, weights = sample(sampler, box)
    u, v = source_positions(NodeGrid(TURNED, 0), box)
    along = np.clip(((u - 10) * 140 + (v - 20) * 100) / (140**2 + 100**2), 0, 1)
    distance = np.hypot(u - 10 - 140 * along, v - 20 - 100 * along)
    assert not weights[0][distance < 3.999].any()
    assert (weights[0][distance > 4.001] == 255).all()


def test_star_flux_survives_debayering_and_resampling() -> None:
    y, x = np.indices((HEIGHT, WIDTH))
    total = 0.0
    shifts = [(dx / 4, dy / 4) for dx in range(8) for dy in range(8)]
    for dx, dy in shifts:  # over all phases of the colour filter array
        star = 1e5 / (2 * np.pi * 1.25**2) * np.exp(-0.5 * ((x - 80 - dx) ** 2 + (y - 60 - dy) ** 2) / 1.25**2)
        sampler = CanvasSampler(
            FilledSource(star.astype(np.float32)),
            cfa=Cfa("GRBG"),
            calibration=Calibration(),
            to_frame=Transform.shift(0.37, 0.21),
        )
        total += sample(sampler, Box(50, 30, 110, 90))[0].sum(axis=(1, 2))
    np.testing.assert_allclose(total / len(shifts), 1e5, rtol=1e-3)


def test_unknown_names_are_refused() -> None:
    for settings, word in (({"method": "vng"}, "vng"), ({"kernel": "spline"}, "spline")):
        with pytest.raises(UsageError, match=word):
            CanvasSampler(
                FilledSource(make_frame()),
                cfa=Cfa("GRBG"),
                calibration=Calibration(),
                to_frame=TURNED,
                **settings,
            )
    assert DEFAULT_WINDOW_PX > 0
