"""What the viewer is given: tiles to the byte, exact levels, first looks of large images, histograms, footprints."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyquilt.core import F32, Box, SkyGrid, Wcs
from skyquilt.engine import viewing
from skyquilt.engine.viewing import TILE_PX, Pyramid, encode_halves, encode_tile, tile_box
from skyquilt.errors import BadInput, UsageError
from skyquilt.io.fits import write_image
from skyquilt.io.tiled import reduce_half


class Pixels:
    """An array as what a pyramid stands on, which notes how much was read at once."""

    def __init__(self, values: F32) -> None:
        self._values = values
        self.largest = 0
        self.n_read = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._values.shape  # type: ignore[return-value]

    def values(self, box: Box) -> F32:
        assert Box.of_shape(*self.shape[1:]).contains(box)
        self.largest = max(self.largest, box.n_pixels)
        self.n_read += box.n_pixels
        return self._values[:, box.y0 : box.y1, box.x0 : box.x1]


def sky(channels: int, height: int, width: int, seed: int = 3) -> F32:
    random = np.random.default_rng(seed)
    values = random.normal(0.01, 1e-4, (channels, height, width)).astype(np.float32)
    values[:, random.integers(0, height, 40), random.integers(0, width, 40)] = 1.0
    values[0, height // 3 : height // 3 + 5, : width // 2] = np.nan
    return values


def decode(content: bytes) -> tuple[F32, np.ndarray[Any, Any]]:
    magic, kind, channels, _, _, width, height, _ = struct.unpack_from("<4sBBBBHHI", content)
    assert magic == b"SQT1"
    pairs = np.frombuffer(content, "<f4", 2 * channels, 16).reshape(channels, 2)
    numbers = np.frombuffer(content, {1: "<f2", 2: "<f4"}[kind], offset=16 + 8 * channels)
    numbers = numbers.reshape(height, width, channels + 1)
    values = np.moveaxis(numbers[:, :, :channels], 2, 0).astype(np.float64)
    return values * pairs[:, 1, None, None] + pairs[:, 0, None, None], numbers[:, :, channels]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("background", [1e-2, 0.3, 900.0, -5.0, 0.0])
@pytest.mark.parametrize("noise", [1e-6, 1e-3, 40.0])
def test_a_tile_of_half_floats_is_as_exact_as_it_says(channels: int, background: float, noise: float) -> None:
    random = np.random.default_rng(1)
    values = random.normal(background, noise, (channels, 40, 30)).astype(np.float32)
    values[:, 5, 5] = 65535.0
    content = encode_tile(values)
    assert len(content) == 16 + 8 * channels + 40 * 30 * (channels + 1) * 2
    decoded, known = decode(content)
    assert known.all()
    pairs = np.frombuffer(content, "<f4", 2 * channels, 16).reshape(channels, 2)
    bound = 2.0**-11 * np.abs(values - pairs[:, 0, None, None]) + 2.0**-25 * pairs[:, 1, None, None]
    assert (np.abs(decoded - values.astype(np.float64)) <= 1.01 * bound).all()


def test_the_noise_of_a_deep_stack_survives_half_floats() -> None:
    """VIEWER.md, 4.3: background 0.1, noise 5e-6, where plain half floats are 88 levels wrong after the stretch."""
    values = np.random.default_rng(1).normal(0.1, 5e-6, (1, 514, 514)).astype(np.float32)
    values[0, 100, 100] = 1.0
    decoded, _ = decode(encode_tile(values))
    sky = values < 0.2
    assert np.abs(decoded - values)[sky].max() < 0.01 * 5e-6
    assert np.abs(values.astype(np.float16).astype(np.float64) - values)[sky].max() > 2 * 5e-6


def test_unknown_pixels_are_nothing_in_all_numbers() -> None:
    values = sky(3, 20, 20)
    values[1, 3, 4] = np.inf
    for content in (encode_tile(values), encode_tile(values, is_exact=True)):
        flags = content[6]
        decoded, known = decode(content)
        assert flags == 1
        assert np.array_equal(known == 1, np.isfinite(values).all(axis=0))
        offset = np.frombuffer(content, "<f4", 6, 16).reshape(3, 2)[:, 0]
        assert (decoded[:, known == 0] == offset[:, None]).all()
    assert encode_tile(np.full((1, 4, 4), np.nan, np.float32), is_rough=True)[6] == 3


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 3e38, 1e-38])
def test_a_tile_of_one_value_has_that_value(value: float) -> None:
    decoded, known = decode(encode_tile(np.full((1, 4, 4), value, np.float32)))
    assert known.all() and (decoded == np.float32(value)).all()


def test_extreme_values_do_not_overflow() -> None:
    values = np.array([[[0.0, 3e38, -3e38, 1e-38]]], np.float32)
    decoded, known = decode(encode_tile(values))
    assert known.all() and np.isfinite(decoded).all()
    assert np.allclose(decoded[0, 0, :3], values[0, 0, :3], rtol=2e-3)


def test_halves_of_the_engine_make_the_same_tile() -> None:
    values = sky(3, 30, 20)
    offset, scale = [0.01] * 3, [2.0**-10] * 3
    halves = ((values - np.float32(0.01)) * np.float32(2.0**10)).astype(np.float16)
    decoded, known = decode(encode_halves(halves, offset, scale))
    is_known = np.isfinite(values).all(axis=0)
    assert np.array_equal(known == 1, is_known)
    again = viewing.decode_halves(halves, offset, scale)
    assert np.allclose(decoded[:, is_known], again[:, is_known], rtol=1e-6)


def test_files_of_another_size_than_announced_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tile"
    path.write_bytes(bytes(40))
    assert viewing.read_halves(path, 1, 4, 5).shape == (1, 4, 5)
    for size in ((1, 4, 6), (1, 0, 5), (3, 4, 5)):
        with pytest.raises(BadInput):
            viewing.read_halves(path, *size)
    with pytest.raises(BadInput):
        viewing.jpeg_of_rgba(path, 10, 10)
    assert viewing.jpeg_of_rgba(path, 5, 2)[:2] == b"\xff\xd8"


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (1, 1), (2, 0), (0, 2), (-1, 0)])
def test_tiles_cover_a_level_with_a_gutter(x: int, y: int) -> None:
    box = tile_box((700, 1000), x, y)
    if x in (0, 1) and y in (0, 1):
        assert box == Box(512 * x - 1, 512 * y - 1, min(1000, 512 * x + 512) + 1, min(700, 512 * y + 512) + 1)
    else:
        assert box is None


@pytest.fixture(scope="module")
def large() -> F32:
    return sky(2, 4200, 1300)


def levels_of(values: F32) -> list[F32]:
    """The definition: every level is half of the one below."""
    coverage = np.isfinite(values).any(axis=0).astype(np.float32)
    levels = [values]
    while max(values.shape[1:]) > TILE_PX:
        values, coverage = reduce_half(values, coverage)
        levels.append(values)
    return levels


@pytest.mark.parametrize("is_kept", [True, False])
def test_every_level_is_what_it_is_defined_to_be(large: F32, tmp_path: Path, is_kept: bool) -> None:
    pixels = Pixels(large)
    folder = tmp_path if is_kept else None
    pyramid = Pyramid(pixels, folder, "key")
    definition = levels_of(large)
    assert pyramid.n_levels == len(definition) == 5 and pyramid.rough_from == 2
    pyramid.build(lambda: False)
    assert pyramid.rough_from is None
    reopened = Pyramid(Pixels(large), folder, "key")
    assert reopened.rough_from == (None if is_kept else 2)
    for level, wanted in enumerate(definition):
        assert pyramid.size(level) == wanted.shape[1:]
        for x, y in ((0, 0), ((wanted.shape[2] - 1) // TILE_PX, (wanted.shape[1] - 1) // TILE_PX)):
            box = tile_box(pyramid.size(level), x, y)
            assert box is not None
            values, is_rough = pyramid.values(level, box)
            inner = wanted[:, max(0, box.y0) : box.y1, max(0, box.x0) : box.x1]
            around = (
                (0, 0),
                *(
                    (int(at < 0), int(end > n))
                    for at, end, n in zip((box.y0, box.x0), (box.y1, box.x1), wanted.shape[1:], strict=True)
                ),
            )
            assert not is_rough
            assert np.array_equal(values, np.pad(inner, around, mode="edge"), equal_nan=True)
    assert pixels.largest < large[0].size // 2, "read piece by piece"


def test_the_first_look_is_the_middle_of_each_cell_and_reads_little(large: F32) -> None:
    pixels = Pixels(large)
    pyramid = Pyramid(pixels, None, "key")
    before = pixels.n_read
    values, is_rough = pyramid.values(4, Box(0, 0, *reversed(pyramid.size(4))))
    assert is_rough and pixels.n_read - before < large[0].size // 12
    rows = np.minimum(np.arange(values.shape[1]) * 16 + 8, large.shape[1] - 1)
    columns = np.minimum(np.arange(values.shape[2]) * 16 + 8, large.shape[2] - 1)
    assert np.array_equal(values, large[:, rows][:, :, columns], equal_nan=True)


def test_levels_that_are_damaged_are_made_again(large: F32, tmp_path: Path) -> None:
    Pyramid(Pixels(large), tmp_path, "key").build(lambda: False)
    for damage in (lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:200])):
        damage(tmp_path / "key" / "level-3.npy")
        pyramid = Pyramid(Pixels(large), tmp_path, "key")
        assert pyramid.rough_from == 2
        pyramid.build(lambda: False)
        assert Pyramid(Pixels(large), tmp_path, "key").rough_from is None
    (tmp_path / "key" / "levels.json").write_text("{")
    assert Pyramid(Pixels(large), tmp_path, "key").rough_from == 2


def test_a_build_that_is_stopped_leaves_nothing(large: F32, tmp_path: Path) -> None:
    pyramid = Pyramid(Pixels(large), tmp_path, "key")
    pyramid.build(lambda: True)
    assert pyramid.rough_from == 2 and not list(tmp_path.iterdir())


def test_a_histogram_counts_what_is_known_on_its_own_axis(large: F32) -> None:
    pyramid = Pyramid(Pixels(large), None, "key")
    assert pyramid.histograms[1], "of the sample before it is built"
    pyramid.build(lambda: False)
    (histograms, is_sampled) = pyramid.histograms
    assert not is_sampled
    for plane, found in zip(large, histograms, strict=True):
        known = plane[np.isfinite(plane)].astype(np.float64)
        edges = found.centre + found.scale * np.sinh(np.linspace(found.low, found.high, len(found.counts) + 1))
        wanted = np.histogram(known, edges)[0]
        assert found.below + found.above + sum(found.counts) == known.size
        # a pixel at an edge may fall on either side of it in float32
        assert np.abs(np.cumsum(wanted) - np.cumsum(found.counts)).max() <= max(found.below, 2e-4 * known.size)


def test_figures_are_those_of_the_known_pixels() -> None:
    values = np.array([[[1.0, 2.0, 3.0, 4.0, np.nan, np.inf, 100.0]], [[np.nan] * 7]], np.float32)
    one, none = viewing.describe(values)
    assert (one.median, one.minimum, one.maximum, one.n_known) == (3.0, 1.0, 100.0, 5)
    assert one.madn == pytest.approx(1.4826)
    assert none.n_known == 0
    sums = viewing.HistogramSums([one, none])
    sums.add(values)
    assert [sum(each.counts) for each in sums.histograms()] == [5, 0]


def test_a_product_of_20000_px_opens_in_no_time_and_reads_next_to_nothing(tmp_path: Path) -> None:
    """A file with a hole: its pixels are zeros that no disk holds. CPU time, for the disk is the machine's own."""
    import time

    path = tmp_path / "large.fits"
    cards = [("SIMPLE", "T"), ("BITPIX", "-32"), ("NAXIS", "2"), ("NAXIS1", "20000"), ("NAXIS2", "20000")]
    head = "".join(f"{name:<8}= {value:>20}".ljust(80) for name, value in cards) + "END".ljust(80)
    with path.open("wb") as file:
        file.write(head.ljust(2880).encode())
        file.truncate(2880 + -(-20000 * 20000 * 4 // 2880) * 2880)
    begun = time.process_time()
    product = viewing.open_product(path, tmp_path / "levels")
    top = product.pyramid.n_levels - 1
    box = tile_box(product.pyramid.size(top), 0, 0)
    assert box is not None
    content = encode_tile(product.pyramid.values(top, box)[0], is_rough=True)
    product.stretch(linked=True)
    assert time.process_time() - begun < 2.0
    assert len(content) == 24 + 315 * 315 * 4
    assert product.pyramid.rough_from == 2


def grid() -> SkyGrid:
    cd = np.array([[-6.6e-4, 0.0], [0.0, -6.6e-4]])
    return SkyGrid(Wcs((192.72, 41.12), (539.5, 959.5), cd), 1080, 1920)


def test_overlays_lie_where_the_sky_is() -> None:
    found = {kind: viewing.overlay_of(kind, grid()) for kind in ("grid", "stars", "objects")}
    assert {line["kind"] for line in found["grid"].lines} == {"ra", "dec"}
    m94 = next(mark for mark in found["objects"].marks if mark["label"].startswith("M 94"))
    assert np.hypot(m94["x"] - 539.5, m94["y"] - 959.5) < 20
    assert all(0 <= mark["x"] <= 1080 and 0 <= mark["y"] <= 1920 for mark in found["stars"].marks)
    assert [mark["magnitude"] for mark in found["stars"].marks] == sorted(
        mark["magnitude"] for mark in found["stars"].marks
    )
    corners = viewing.sky_outline(grid().wcs, 1080, 1920)
    (line,) = viewing.overlay_of("footprints", grid(), [viewing.Footprint("a.fit", "f1", corners)]).lines
    assert line["points"] == [[-0.5, -0.5], [1079.5, -0.5], [1079.5, 1919.5], [-0.5, 1919.5], [-0.5, -0.5]]
    with pytest.raises(UsageError):
        viewing.overlay_of("nothing", grid())


def test_north_and_the_mirror_are_told_as_drawn() -> None:
    assert abs(abs(viewing.north_deg(grid())) - 180.0) < 0.01, "y downwards is south, so north is at -y"
    assert not viewing.is_mirrored(grid(), "TOP-DOWN")
    assert viewing.is_mirrored(grid(), "BOTTOM-UP")
    assert viewing.direction(None, 1, 2) == (None, None)
    ra, dec = viewing.direction(grid(), 539.5, 959.5)
    assert (ra, dec) == pytest.approx((192.72, 41.12))


def test_a_product_brings_its_header_and_place(tmp_path: Path) -> None:
    values = np.ones((600, 520), np.float32)
    values[0, 0] = np.nan
    write_image(tmp_path / "m.fits", values, [("BUNIT", "s", ""), *grid().wcs.cards()])
    product = viewing.open_product(tmp_path / "m.fits", None)
    assert product.unit == "s" and product.grid is not None and product.row_order == "TOP-DOWN"
    assert "CRVAL1" in {card.keyword for card in product.cards}
    assert product.pyramid.probe(0, 0) == (None,) and product.pyramid.probe(1, 0) == (1.0,)
    assert product.pyramid.rough_from is None, "two levels are made at once"
