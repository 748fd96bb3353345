"""Opened images: any box of any kind of file, reduced levels, what viewers ask, operations, files, live pictures."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyquilt.core import F32, Box, CanvasTile, Event, FrameKind, Wcs
from skyquilt.engine.finish import Chain, Step, finish_pixels
from skyquilt.engine.images import (
    OPERATIONS,
    Hyperbola,
    ImageFacts,
    ImageStore,
    LivePicture,
    OpenImage,
    Operation,
    PixelCache,
    ScreenLook,
    auto_stretch,
    describe_file,
    encode_tile,
    histogram,
    make_look,
    picture_of,
    probe,
    refuse_raw,
    run_operations,
    save_image,
    write_rgba,
)
from skyquilt.engine.images.operations import Settings, Work
from skyquilt.engine.images.sources import ArraySource
from skyquilt.engine.journal import Journal
from skyquilt.errors import NotEnoughMemory, NoUsableInput, OutputBlocked, UnreadableFrame, UsageError
from skyquilt.io.fits import frame_source, open_frame, read_wcs, write_image
from skyquilt.io.images import read_image, write_png, write_tiff
from skyquilt.io.tiled import TiledCanvas, reduce_half
from skyquilt.steps import debayer, finish

GRID = Wcs((192.7, 41.1), (300.0, 200.0), np.array([[-1e-3, 0.0], [0.0, 1e-3]]))


def sky(channels: int, height: int, width: int, seed: int = 3) -> F32:
    """A noisy sky with a few stars and a hole."""
    random = np.random.default_rng(seed)
    pixels = 0.01 + 1e-4 * random.standard_normal((channels, height, width))
    for _ in range(30):
        pixels[:, random.integers(height), random.integers(width)] += random.uniform(0.1, 1.0)
    pixels[:, 5:9, 7:20] = np.nan
    return pixels.astype(np.float32)


def opened(pixels: F32, max_bytes: int = 100_000_000, wcs: Wcs | None = None) -> OpenImage:
    return OpenImage(ArraySource(pixels), ImageFacts("made", None, "result", wcs), PixelCache(max_bytes), "made")


def write_canvas(folder: Path, pixels: F32, chunk: int = 64) -> TiledCanvas:
    """Write a tiled canvas of values, each of 10 s."""
    channels, height, width = pixels.shape
    canvas = TiledCanvas.create(folder, "key", width, height, channels, chunk=chunk)
    with canvas:
        for box in canvas.tiles():
            canvas.write(canvas_tile(box, pixels))
    return canvas


def canvas_tile(box: Box, pixels: F32) -> CanvasTile:
    value = pixels[:, box.y0 : box.y1, box.x0 : box.x1]
    zeros = np.zeros(value.shape, dtype=np.uint16)
    seconds = np.full(box.shape, 10.0, dtype=np.float32)
    return CanvasTile(box, value, np.ones_like(value), seconds, zeros, zeros)


def raw_light(session: Path) -> Path:
    found = [path for path in sorted(session.rglob("*.fit*")) if open_frame(path).meta.kind == FrameKind.LIGHT]
    return found[0]


def bent(pixels: F32, curve: finish.Stretch) -> F32:
    """Values after a stretch, 0 to 1, straight from the definition."""
    planes = [
        finish.midtones(np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1), m)
        for plane, low, m, high in zip(pixels, curve.shadows, curve.midtones, curve.highlights, strict=True)
    ]
    return np.array(planes, np.float32)


def levels(values: F32) -> np.ndarray[Any, Any]:
    """The picture of values of 0 to 1."""
    return np.rint(np.nan_to_num(np.moveaxis(values, 0, 2)) * 255).astype(int)


@pytest.fixture
def store() -> ImageStore:
    return ImageStore(100_000_000)


@pytest.mark.parametrize("kind", ["fits", "raw", "canvas", "png", "tiff"])
def test_a_crop_of_an_image_is_what_the_file_holds(kind: str, tmp_path: Path, tiny_session: Path) -> None:
    store = ImageStore(100_000_000)
    pixels = sky(3, 150, 170)
    path = tmp_path / kind
    if kind == "fits":
        write_image(path, pixels, [("ROWORDER", "TOP-DOWN", "")])
        expected: Any = pixels
    elif kind == "raw":
        path = raw_light(tiny_session)
        frame = open_frame(path)
        source = frame_source(frame)
        plane = source.read(source.bounds).pixels
        expected = plane if frame.meta.cfa is None else debayer.debayer(plane[0], frame.meta.cfa)
    elif kind == "canvas":
        write_canvas(path, pixels)
        expected = pixels
    else:
        stored = (np.nan_to_num(pixels, nan=0.0).clip(0, 1) * 65535).astype(np.uint16)
        (write_png if kind == "png" else write_tiff)(path, np.ascontiguousarray(np.moveaxis(stored, 0, 2)))
        expected = stored
    image = store.get(store.open(path))
    assert image.shape == expected.shape
    assert np.array_equal(image.values(image.bounds), expected, equal_nan=True)
    box = Box(3, 4, 55, 60)
    assert np.array_equal(image.values(box), expected[:, 4:60, 3:55], equal_nan=True)
    outside = image.values(Box(-2, -1, 3, 4))
    assert np.isnan(outside[:, :1]).all() and np.isnan(outside[:, :, :2]).all()
    assert np.array_equal(outside[:, 1:, 2:], expected[:, :4, :3], equal_nan=True)


def test_the_mosaic_of_a_sensor_can_be_kept(tiny_session: Path, store: ImageStore) -> None:
    path = raw_light(tiny_session)
    assert store.get(store.open(path, "none")).shape[0] == 1
    with pytest.raises(UsageError, match="debayering"):
        store.open(path, "magic")


@pytest.mark.parametrize("shape", [(1, 1100, 700), (3, 1023, 1027)])
def test_every_level_is_half_of_the_one_below(shape: tuple[int, int, int]) -> None:
    pixels = sky(*shape)
    image = opened(pixels)
    value, coverage = pixels, np.isfinite(pixels).any(axis=0).astype(np.float32)
    assert image.n_levels == 2
    for level in (1, 2):
        value, coverage = reduce_half(value, coverage)
        found, known = image.overview(level)
        assert np.array_equal(found, value, equal_nan=True) and np.array_equal(known, coverage)
        assert image.level_shape(level) == value.shape[1:]
    with pytest.raises(UsageError, match="levels are 0"):
        image.overview(3)


def test_a_piece_of_a_level_is_the_same_whether_the_level_is_kept_or_not() -> None:
    pixels = sky(3, 1023, 1027)
    box = Box(-1, 200, 300, 512)
    direct = opened(pixels).level_values(1, box)
    kept = opened(pixels)
    kept.overview(1)
    assert np.array_equal(kept.level_values(1, box), direct, equal_nan=True)
    tight = opened(pixels, 4 * 1023 * 1027)  # no room for level 1 beside what is made of it
    assert np.array_equal(tight.level_values(2, Box(0, 0, 100, 90)), kept.overview(2)[0][:, :90, :100], equal_nan=True)


def test_a_rough_level_is_of_the_pixels_in_the_middles_of_the_cells(tmp_path: Path, store: ImageStore) -> None:
    pixels = sky(3, 1023, 1027)
    write_image(tmp_path / "a.fits", pixels, [])
    image = store.get(store.open(tmp_path / "a.fits"))
    expected = np.full((3, 258, 259), np.nan, np.float32)
    rows, columns = np.minimum(np.arange(256) * 4 + 2, 1022), np.minimum(np.arange(257) * 4 + 2, 1026)
    expected[:, 1:-1, 1:-1] = pixels[:, rows[:, None], columns[None, :]]
    assert np.array_equal(image.rough_values(2, Box(-1, -1, 258, 257)), expected, equal_nan=True)
    assert encode_tile(image, 2, 0, 0, rough=True).halves.shape == (3, 258, 259)
    assert store.held_bytes == 0  # the image was not read for it


def test_levels_make_way_and_results_are_refused_beyond_the_limit() -> None:
    store = ImageStore(3_000_000)
    facts = ImageFacts("made", None, "result")
    first = store.add(np.zeros((1, 600, 600), np.float32), facts)
    store.get(first).overview(1)
    with_levels = store.held_bytes
    assert with_levels == 4 * 600 * 600 + 2 * 4 * 300 * 300
    second = store.add(np.zeros((1, 600, 600), np.float32), facts)
    assert store.held_bytes <= 3_000_000
    with pytest.raises(NotEnoughMemory, match="release"):
        store.add(np.zeros((1, 600, 600), np.float32), facts)
    store.release(first)
    third = store.add(np.zeros((1, 600, 600), np.float32), facts)
    assert store.get(second) is not store.get(third)
    with pytest.raises(UsageError, match="no image"):
        store.get(first)
    assert store.release_all() == 2
    assert store.held_bytes == 0


def test_releasing_an_image_frees_its_memory() -> None:
    store = ImageStore(100_000_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        handle = store.add(np.zeros((3, 1000, 1000), np.float32), ImageFacts("made", None, "result"))
        store.get(handle).overview(1)
        assert tracemalloc.get_traced_memory()[0] - before > 12_000_000
        store.release(handle)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


def test_a_file_of_any_size_holds_no_pixels(tmp_path: Path, store: ImageStore) -> None:
    write_image(tmp_path / "a.fits", sky(3, 900, 900), [])
    image = store.get(store.open(tmp_path / "a.fits"))
    image.values(Box(0, 0, 50, 50))
    auto_stretch(image)
    assert store.held_bytes == 0


@pytest.mark.parametrize("bins", [1, 7, 256, 65536])
def test_the_histogram_is_numpys(bins: int) -> None:
    pixels = sky(3, 130, 90)
    counts, low, high = histogram(opened(pixels), 1, bins)
    known = pixels[1][np.isfinite(pixels[1])].astype(np.float64)
    assert (low, high) == (known.min(), known.max())
    assert counts.sum() == known.size
    expected, edges = np.histogram(known, bins, (low, high))
    # a value that lies on an edge to the last bit may fall on its other side
    on_edge = np.isclose(known[:, None], edges[None, :], rtol=0, atol=1e-12).any() if bins < 300 else True
    assert np.abs(counts - expected).sum() <= (2 * len(edges) if on_edge else 0)


def test_a_histogram_that_cannot_be_made_says_so() -> None:
    with pytest.raises(UsageError, match="channels 0 to 0"):
        histogram(opened(sky(1, 9, 20)), 1, 10)
    with pytest.raises(UsageError, match="bins"):
        histogram(opened(sky(1, 9, 20)), 0, 0)
    with pytest.raises(NoUsableInput, match="no pixel"):
        histogram(opened(np.full((1, 4, 4), np.nan, np.float32)), 0, 10)
    flat, low, high = histogram(opened(np.full((1, 4, 4), 3.0, np.float32)), 0, 10)
    assert flat.tolist() == [16] + [0] * 9 and low == high == 3.0


@pytest.mark.parametrize("linked", [True, False])
def test_the_auto_stretch_is_that_of_the_finishing_room(linked: bool) -> None:
    pixels = sky(3, 130, 90)
    assert auto_stretch(opened(pixels), linked=linked) == finish.auto_stretch(pixels, linked=linked)


def test_an_auto_stretch_needs_a_pixel_and_bears_an_empty_channel() -> None:
    pixels = sky(3, 30, 30)
    pixels[2] = np.nan
    assert np.isfinite(auto_stretch(opened(pixels)).shadows).all()
    with pytest.raises(NoUsableInput, match="no pixel"):
        auto_stretch(opened(np.full((1, 4, 4), np.nan, np.float32)))


@pytest.mark.parametrize(("background", "noise"), [(0.015, 5e-5), (0.3, 1e-4), (0.1, 5e-6), (0.01, 1e-6)])
def test_half_floats_of_a_tile_show_the_same_picture(background: float, noise: float) -> None:
    """VIEWER.md 4.3: plain half floats are off by up to 88 levels after the stretch; these by 1 at the most."""
    random = np.random.default_rng(5)
    pixels = (background + noise * random.standard_normal((3, 600, 700))).astype(np.float32)
    pixels[:, 300, 300] = 1.0
    image = opened(pixels)
    tile = encode_tile(image, 0, 1, 1)
    assert tile.halves.shape == (3, 600 - 512 + 2, 700 - 512 + 2)
    assert np.isnan(tile.halves[:, -1]).all()  # the gutter beyond the image
    scale, offset = (np.array(part, np.float32)[:, None, None] for part in (tile.scale, tile.offset))
    decoded = tile.halves.astype(np.float32) * scale + offset
    there = pixels[:, 511:, 511:]
    curve = finish.auto_stretch(pixels)
    assert np.abs(bent(decoded[:, :-1, :-1], curve) - bent(there, curve)).max() * 255 <= 1.0


def test_tiles_cover_a_level_and_no_more() -> None:
    image = opened(sky(1, 1100, 700))
    assert encode_tile(image, 1, 0, 1).halves.shape == (1, 550 - 512 + 2, 350 + 2)
    for level, column, row in ((1, 1, 0), (1, 0, 2), (0, 2, 0), (5, 0, 0)):
        with pytest.raises(UsageError):
            encode_tile(image, level, column, row)


def test_a_probe_gives_exact_values_and_the_direction() -> None:
    pixels = sky(3, 40, 50)
    found = probe(opened(pixels, wcs=GRID), 30, 20)
    assert found.values == tuple(float(value) for value in pixels[:, 20, 30])
    ra, dec = GRID.to_sky(30.0, 20.0)
    assert (found.ra_deg, found.dec_deg) == (float(ra), float(dec))
    assert probe(opened(pixels), 10, 6).values == (None, None, None)
    with pytest.raises(UsageError, match="not in the image"):
        probe(opened(pixels), 50, 0)


def test_raw_bytes_of_a_picture_are_those_of_the_stretch(tmp_path: Path) -> None:
    pixels = sky(3, 130, 90)
    image = opened(pixels)
    curve = finish.Stretch((0.0,) * 3, (0.1, 0.2, 0.3), (1.0,) * 3)
    assert write_rgba(tmp_path / "a.rgba", image, ScreenLook.of_stretch(curve)) == (90, 130)
    rgba = np.fromfile(tmp_path / "a.rgba", np.uint8).reshape(130, 90, 4)
    assert np.abs(rgba[:, :, :3] - levels(bent(pixels, curve))).max() <= 1 and (rgba[:, :, 3] == 255).all()
    assert write_rgba(tmp_path / "b.rgba", image, None, 65) == (45, 65)
    assert (tmp_path / "b.rgba").stat().st_size == 4 * 45 * 65
    line = picture_of(opened(np.arange(256, dtype=np.float32).reshape(1, 16, 16)), None)
    assert np.abs(line[:, :, 0].ravel().astype(int) - np.arange(256)).max() == 0


@pytest.mark.parametrize(
    ("ends", "curve", "reason"),
    [
        ((1.0, 1.0), {"midtones": 0.5}, "not below"),
        (([0.0, 0.0], 1.0), {"midtones": 0.5}, "2 numbers"),
        ((0.0, 1.0), {"midtones": [0.5] * 4}, "4 numbers"),
        ((0.0, 1.0), {"midtones": 0.5, "asinh": 3.0}, "not one curve"),
        ((0.0, 1.0), {}, "not one curve"),
    ],
)
def test_a_look_that_cannot_be_meant_is_refused(ends: tuple[Any, Any], curve: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make_look(3, ends, **curve)


LOOKS: list[tuple[dict[str, Any], Any]] = [
    (
        {"midtones": [0.01, 0.02, 0.5]},
        lambda t: np.array([finish.midtones(t[c], (0.01, 0.02, 0.5)[c]) for c in range(3)]),
    ),
    ({"asinh": 200.0}, lambda t: np.arcsinh(200.0 * t) / np.arcsinh(200.0)),
    # b = 1: harmonic, T(x) = 1 - 1 / (1 + D x); the same below SP with its sign turned, straight above HP
    ({"hyperbola": Hyperbola(3.0, 1.0, 0.2, 0.5, 0.9)}, "harmonic"),
    ({"hyperbola": Hyperbola(0.0, 1.0, 0.0, 0.0, 1.0)}, lambda t: t),
]


def harmonic(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The hyperbolic curve with factor 3, b = 1, SP = LP = 0.2 (LP was given beyond SP), HP = 0.9, by hand."""
    d, sp, hp = np.expm1(3.0), 0.2, 0.9

    def raw(x: Any) -> Any:
        inside = np.clip(x, sp, hp) - sp
        curve = 1 - 1 / (1 + d * inside)
        curve = curve + np.minimum(x - sp, 0.0) * d
        return curve + np.maximum(x - hp, 0.0) * d / (1 + d * (hp - sp)) ** 2

    return (raw(t) - raw(0.0)) / (raw(1.0) - raw(0.0))


@pytest.mark.parametrize("saturation", [1.0, 0.0, 2.5])
@pytest.mark.parametrize(("curve", "definition"), LOOKS)
def test_a_picture_is_the_look_of_its_definition(curve: dict[str, Any], definition: Any, saturation: float) -> None:
    """What the shader does (viewer/src/tiles/shaders.ts), written down once more."""
    pixels = np.random.default_rng(8).uniform(-0.1, 1.2, (3, 40, 50)).astype(np.float32)
    pixels[:, 3, 4] = np.nan
    low, high = (0.0, 0.02, 0.05), (0.9, 1.0, 1.1)
    t = np.clip((pixels - np.array(low)[:, None, None]) / (np.array(high) - np.array(low))[:, None, None], 0, 1)
    y = harmonic(t) if definition == "harmonic" else definition(t)
    grey = 0.2126 * y[0] + 0.7152 * y[1] + 0.0722 * y[2]
    wanted = np.clip(grey + saturation * (y - grey), 0, 1)
    look = make_look(3, (low, high), saturation=saturation, **curve)
    tolerance = 2e-3 if curve == LOOKS[-1][0] else 1e-5  # a factor of 0 is taken for one of 0.001
    np.testing.assert_allclose(look.values(pixels), wanted, atol=tolerance)
    assert np.abs(look.picture(pixels).astype(int) - levels(wanted)).max() <= 1
    assert (
        np.abs(look.picture(pixels, np.uint16) - np.moveaxis(np.nan_to_num(wanted), 0, 2) * 65535).max()
        < 65535 * tolerance + 1
    )
    assert (look.picture(pixels)[3, 4] == 0).all()


def test_saturation_leaves_one_channel_alone() -> None:
    pixels = sky(1, 20, 30)
    plain, coloured = (make_look(1, (0.0, 1.0), asinh=5.0, saturation=one) for one in (1.0, 2.0))
    assert np.array_equal(plain.picture(pixels), coloured.picture(pixels))


def test_a_deep_picture_has_all_its_levels() -> None:
    """A sky of 3e-6 of the range: a table of 65536 steps showed a handful of greys."""
    pixels = (0.3 + 3e-6 * np.random.default_rng(2).standard_normal((1, 200, 200))).astype(np.float32)
    pixels[0, 0, 0] = 1.0
    curve = finish.auto_stretch(pixels)
    found = ScreenLook.of_stretch(curve).picture(pixels)
    assert np.abs(found - levels(bent(pixels, curve))).max() <= 1
    assert len(np.unique(found)) > 40


def test_saved_files_hold_the_image(tmp_path: Path, store: ImageStore) -> None:
    pixels = sky(3, 60, 50)
    image = opened(pixels, wcs=GRID)
    save_image(tmp_path / "a.fits", image, "fits")
    again = store.get(store.open(tmp_path / "a.fits"))
    assert np.array_equal(again.values(again.bounds), pixels, equal_nan=True)
    assert read_wcs(tmp_path / "a.fits").crpix0 == pytest.approx(GRID.crpix0)
    curve = finish.Stretch((0.0,) * 3, (0.1,) * 3, (1.0,) * 3)
    save_image(tmp_path / "b.fits", image, "fits", ScreenLook.of_stretch(curve))
    stretched = store.get(store.open(tmp_path / "b.fits")).values(image.bounds)
    np.testing.assert_allclose(stretched, bent(pixels, curve), atol=1e-6)
    save_image(tmp_path / "a.tif", image, "tiff")
    tiff = read_image(tmp_path / "a.tif").astype(float)
    low, high = np.nanmin(pixels), np.nanmax(pixels)
    assert np.abs(tiff - np.nan_to_num((np.moveaxis(pixels, 0, 2) - low) / (high - low) * 65535)).max() <= 1.5
    save_image(tmp_path / "a.png", image, "png")
    assert np.abs(read_image(tmp_path / "a.png") - levels(bent(pixels, finish.auto_stretch(pixels)))).max() <= 1
    save_image(tmp_path / "a.jpg", image, "jpeg")
    assert read_image(tmp_path / "a.jpg").shape == (60, 50, 3)
    with pytest.raises(UsageError, match="no format"):
        save_image(tmp_path / "a.gif", image, "gif")


def test_what_a_camera_wrote_is_never_replaced(tmp_path: Path, tiny_session: Path) -> None:
    raw = raw_light(tiny_session)
    digest = hashlib.sha256(raw.read_bytes()).digest()
    link = tmp_path / "link.fits"
    link.symlink_to(raw)
    for path in (raw, link, tmp_path):
        with pytest.raises(OutputBlocked):
            refuse_raw(path, [])
    (tmp_path / "frame.fit.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(OutputBlocked, match="packed"):
        refuse_raw(tmp_path / "frame.fit.gz", [])
    (tmp_path / "frame.CR2").write_bytes(b"II*\0")
    with pytest.raises(OutputBlocked, match="of a camera"):
        refuse_raw(tmp_path / "frame.CR2", [])
    save_image(tmp_path / "own.fits", opened(sky(1, 9, 20)), "fits")
    refuse_raw(tmp_path / "own.fits", [])
    with pytest.raises(OutputBlocked, match="open as an image"):
        refuse_raw(tmp_path / "own.fits", [tmp_path / "own.fits"])
    refuse_raw(tmp_path / "new.fits", [tmp_path / "own.fits"])
    assert hashlib.sha256(raw.read_bytes()).digest() == digest


def test_operations_follow_each_other() -> None:
    pixels = sky(3, 60, 50)
    image = opened(pixels, wcs=GRID)
    result, facts = run_operations(image, [{"op": "crop", "box": [20, 10, 50, 60]}, {"op": "stretch", "linked": False}])
    part = np.ascontiguousarray(pixels[:, 10:60, 20:50])
    np.testing.assert_allclose(result, bent(part, finish.auto_stretch(part)), atol=1e-6)
    assert facts.wcs is not None and facts.wcs.crpix0 == (280.0, 190.0)
    assert np.array_equal(image.values(image.bounds), pixels, equal_nan=True)  # the image itself stays
    lifted, _ = run_operations(image, [{"op": "asinh", "strength": 50.0, "black": 0.0, "white": 1.0}])
    assert np.array_equal(lifted, finish.asinh_stretch(pixels, 50.0, 0.0, 1.0), equal_nan=True)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "no steps"),
        ([{"op": "crp", "box": [0, 0, 1, 1]}], "step 1: there is no operation 'crp'; there are: crop, stretch, asinh"),
        ([{"box": [0, 0, 1, 1]}], "step 1: there is no operation"),
        ([{"op": 7}], "step 1"),
        ([{"op": "crop"}], "step 1, crop: box"),
        ([{"op": "crop", "box": [0, 0, 1, 1], "x": 1}], "step 1, crop: x"),
        ([{"op": "crop", "box": [0, 0, 10, 999]}], "not a part"),
        ([{"op": "crop", "box": [5, 5, 5, 9]}], "not a part"),
        ([{"op": "crop", "box": [0, 0, 9, 9]}, {"op": "stretch", "shadows": 1.0, "highlights": 0.5}], "not below"),
        ([{"op": "asinh", "strength": 1.0, "black": 1.0, "white": 0.0}], "not below"),
        ([{"op": "stretch", "midtones": [0.1]}], "1 numbers"),
    ],
)
def test_an_operation_that_cannot_be_meant_is_refused(steps: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(UsageError) as error:
        run_operations(opened(sky(3, 60, 50)), steps)
    assert reason in error.value.message


def test_a_new_operation_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(Settings):
        """No settings."""

    monkeypatch.setitem(OPERATIONS, "negative", Operation("", Nothing, lambda work, _: Work(-work.values, work.wcs)))
    pixels = sky(1, 20, 20)
    assert np.array_equal(run_operations(opened(pixels), [{"op": "negative"}])[0], -pixels, equal_nan=True)


def test_operations_need_room(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughMemory):
        run_operations(opened(sky(1, 100, 100), max_bytes=50_000), [{"op": "crop", "box": [0, 0, 9, 9]}])


def test_files_are_described_in_the_words_of_the_protocol(tmp_path: Path, tiny_session: Path) -> None:
    raw = describe_file(raw_light(tiny_session))
    assert (raw["width"], raw["height"], raw["channels"], raw["bitpix"]) == (160, 120, 1, 16)
    assert raw["frameType"] == "Light" and raw["exposureTime"] > 0
    write_canvas(tmp_path / "c", sky(3, 100, 130))
    assert describe_file(tmp_path / "c")["frameType"] == "Canvas"
    write_png(tmp_path / "p.png", np.zeros((4, 6, 3), np.uint8))
    assert {key: describe_file(tmp_path / "p.png")[key] for key in ("width", "height", "channels", "bitpix")} == {
        "width": 6,
        "height": 4,
        "channels": 3,
        "bitpix": 8,
    }
    with pytest.raises(NoUsableInput, match="nothing at"):
        describe_file(tmp_path / "none")
    with pytest.raises(UnreadableFrame, match="without a tiled canvas"):
        describe_file(tmp_path)
    (tmp_path / "text").write_text("no image")
    with pytest.raises(UnreadableFrame):
        describe_file(tmp_path / "text")


def cells(pixels: F32, side: int) -> F32:
    """Means over cells of the known pixels, cut off at the edges: the slow way."""
    channels, height, width = pixels.shape
    result = np.full((channels, -(-height // side), -(-width // side)), np.nan, np.float32)
    for c in range(channels):
        for y in range(result.shape[1]):
            for x in range(result.shape[2]):
                cell = pixels[c, y * side : (y + 1) * side, x * side : (x + 1) * side].astype(np.float64)
                if np.isfinite(cell).any():
                    result[c, y, x] = cell[np.isfinite(cell)].mean()
    return result


@pytest.mark.parametrize("kind", ["journal", "store"])
def test_a_live_picture_shows_what_has_landed(kind: str, tmp_path: Path) -> None:
    height, width = 90, 2100  # cells of 3 px, which the tiles cut
    pixels = sky(2, height, width)
    picture = LivePicture("job 1")
    with pytest.raises(NoUsableInput, match="no picture yet"):
        picture.image()
    x0, y0 = (-7, 5) if kind == "journal" else (0, 0)
    canvas = Box(x0, y0, x0 + width, y0 + height)
    data = {"canvas": [canvas.x0, canvas.y0, canvas.x1, canvas.y1], "channels": 2, kind: str(tmp_path / "tiles")}
    if kind == "journal":
        journal = Journal(tmp_path / "tiles", "key", (500, 40), 2, 3)
        boxes = list(canvas.tiles(500, 40))
    else:
        store = TiledCanvas.create(tmp_path / "tiles", "key", width, height, 2, chunk=64)
        boxes = list(store.tiles())
    picture(Event("phase", "integrate", total=len(boxes), data=data))
    assert np.isnan(picture.image().values(Box(0, 0, 700, 30))).all()
    landed = np.full_like(pixels, np.nan)
    for number, box in enumerate(boxes):
        inside = Box(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0)
        rows, columns = slice(inside.y0, inside.y1), slice(inside.x0, inside.x1)
        landed[:, rows, columns] = pixels[:, rows, columns]
        tile = canvas_tile(inside, pixels)
        whole = CanvasTile(box, tile.value, tile.variance, tile.coverage, tile.rejected_low, tile.rejected_high)
        if kind == "journal":
            journal.write(whole, np.zeros((3, 3), np.int64))
        else:
            store.write(whole)
        if number in (1, len(boxes) // 2, len(boxes) - 1):
            image = picture.image()
            assert image.facts.kind == "growing"
            found = image.values(image.bounds)
            np.testing.assert_allclose(found, cells(landed, 3), rtol=1e-6)
    if kind == "journal":
        journal.remove()
    else:
        store.remove()
    assert np.isfinite(picture.image().values(Box(0, 0, 700, 30))).any()  # what was seen stays


def test_steps_of_a_finishing_chain_stand_between_operations() -> None:
    pixels = sky(3, 90, 120)
    image = opened(pixels, wcs=GRID)
    neutral, scnr = Step.of("neutral"), Step.of("scnr")
    steps = [
        {"op": "crop", "box": [10, 20, 110, 80]},
        {"operation": "neutral"},
        {"op": "stretch", "linked": True},
        {"operation": "scnr"},
    ]
    result, facts = run_operations(image, steps)
    cropped = np.ascontiguousarray(pixels[:, 20:80, 10:110])
    balanced, _, _ = finish_pixels(cropped, Chain((neutral,)))
    shown, _ = run_operations(opened(balanced), [{"op": "stretch", "linked": True}])
    expected, _, is_picture = finish_pixels(shown, Chain((scnr,)), is_picture=True)
    assert is_picture
    assert np.array_equal(result, expected, equal_nan=True)
    assert not np.array_equal(balanced, cropped)
    assert facts.wcs is not None
    assert np.allclose(facts.wcs.to_sky(0.0, 0.0), GRID.to_sky(10.0, 20.0))


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ([{"operation": "neutrall"}], "neutral"),
        ([{"operation": "scnr", "amount": 7}], "amount"),
        ([{"op": "stretch"}, {"operation": "gradient"}], "stretched by then"),
    ],
)
def test_steps_of_a_finishing_chain_that_cannot_be_meant_are_refused(steps: list[dict[str, Any]], cause: str) -> None:
    with pytest.raises(UsageError) as refused:
        run_operations(opened(sky(3, 60, 50)), steps)
    assert cause in f"{refused.value.message} {refused.value.hint}"
