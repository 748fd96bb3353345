"""Debayering: the fast loops against their definitions, and the laws."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import CFA_NAMES, F32, Box, Cfa, Tile
from skyquilt.errors import UsageError
from skyquilt.kernels import debayer_definition
from skyquilt.kernels.debayer import REACH
from skyquilt.steps.debayer import METHODS, Debayered, debayer

LINEAR = tuple(method for method in METHODS if method != "rcd")


class ArraySource:
    """An array as a `PixelSource`."""

    def __init__(self, pixels: F32, mask: np.ndarray | None = None) -> None:
        self.pixels = pixels
        self.usable = np.ones(pixels.shape, dtype=bool) if mask is None else mask
        self.bounds = Box.of_shape(*pixels.shape)
        self.n_channels = 1

    def read(self, box: Box) -> Tile:
        pixels, mask = np.zeros((1, *box.shape), np.float32), np.zeros(box.shape, dtype=bool)
        inside = box.intersect(self.bounds)
        if not inside.is_empty:
            there = inside.slices(box)
            pixels[0][there] = self.pixels[inside.slices(self.bounds)]
            mask[there] = self.usable[inside.slices(self.bounds)]
        return Tile(pixels, mask, box)


def make_image(height: int = 41, width: int = 54, seed: int = 3) -> F32:
    rng = np.random.default_rng(seed)
    y, x = np.indices((height, width))
    star = 4000 * np.exp(-0.5 * ((x - 20.3) ** 2 + (y - 17.8) ** 2) / 1.4**2)
    return (900 + star + rng.normal(0, 25, (height, width))).astype(np.float32)


@pytest.mark.parametrize("name", CFA_NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_the_compiled_loop_gives_the_bits_of_its_definition(name: str, method: str) -> None:
    image = make_image()
    expected = getattr(debayer_definition, method)(image, Cfa(name))
    np.testing.assert_array_equal(debayer(image, Cfa(name), method), expected)


@pytest.mark.parametrize("name", CFA_NAMES)
def test_the_balanced_loop_gives_the_bits_of_its_definition(name: str) -> None:
    image, colour = make_image(), (0.625, 1.40625)
    expected = debayer_definition.malvar(image, Cfa(name), colour)
    np.testing.assert_array_equal(debayer(image, Cfa(name), "malvar", colour), expected)
    # the same as dividing each colour by its brightness before, and multiplying by it after
    brightness = np.array([colour[0], 1.0, colour[1]])
    rows, columns = np.indices(image.shape)
    neutral = (image / brightness[Cfa(name).table[rows % 2, columns % 2]]).astype(np.float32)
    found = debayer(neutral, Cfa(name), "malvar") * brightness[:, None, None]
    np.testing.assert_allclose(expected, found, rtol=1e-5)


def test_a_star_of_the_colour_it_was_balanced_to_is_as_sharp_in_all_colours() -> None:
    y, x = np.indices((40, 40))
    widths = []
    for star_colour in ((1.0, 1.0), (0.85, 0.55)):
        square = np.zeros(3)
        for name in CFA_NAMES:
            colour = Cfa(name).table[y % 2, x % 2]
            raw = 1000 * np.array([0.85, 1.0, 0.55])[colour] * np.exp(-0.5 * ((x - 19.7) ** 2 + (y - 20.2) ** 2) / 1.5)
            found = debayer(raw.astype(np.float32), Cfa(name), "malvar", star_colour).astype(float)
            square += (found * ((x - 19.7) ** 2 + (y - 20.2) ** 2)).sum(axis=(1, 2)) / found.sum(axis=(1, 2)) / 8
        widths.append(np.sqrt(square / np.sqrt(1.5**2)))
    assert np.ptp(widths[0]) > 0.1
    np.testing.assert_allclose(widths[1], widths[1].mean(), rtol=2e-3)


@pytest.mark.parametrize("name", CFA_NAMES)
@pytest.mark.parametrize("method", ["bilinear", "malvar", "rcd"])
def test_measured_values_stay_where_they_were_measured(name: str, method: str) -> None:
    image = make_image()
    rows, columns = np.indices(image.shape)
    colour = Cfa(name).table[rows % 2, columns % 2]
    found = np.take_along_axis(debayer(image, Cfa(name), method), colour[None], axis=0)[0]
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_field_of_three_colours_comes_back_as_it_was(method: str) -> None:
    rows, columns = np.indices((24, 30))
    for name in CFA_NAMES:
        levels = np.array([700.0, 1000.0, 400.0], dtype=np.float32)
        balanced = debayer(levels[Cfa(name).table[rows % 2, columns % 2]], Cfa(name), "malvar", (0.3, 2.7))
        np.testing.assert_array_equal(balanced, np.broadcast_to(levels[:, None, None], balanced.shape))
        if method == "rcd":  # not linear: colour steps are detail to it, so only grey is exact
            levels[:] = 1000.0
        flat = levels[Cfa(name).table[rows % 2, columns % 2]]
        expected = np.broadcast_to(levels[:, None, None], debayer(flat, Cfa(name), method).shape)
        np.testing.assert_allclose(debayer(flat, Cfa(name), method), expected, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_adding_a_constant_adds_it(method: str) -> None:
    image = np.rint(make_image())  # small integers: sums of them are exact in float32
    balance = (0.75, 1.25)
    moved = debayer(image + np.float32(512), Cfa("GRBG"), method)
    expected = debayer(image, Cfa("GRBG"), method) + np.float32(512)
    balanced = debayer(image + np.float32(512), Cfa("GRBG"), method, balance)
    np.testing.assert_allclose(
        balanced, debayer(image, Cfa("GRBG"), method, balance) + np.float32(512), rtol=0, atol=0.02
    )
    if method in LINEAR:
        np.testing.assert_array_equal(moved, expected)
    else:
        np.testing.assert_allclose(moved, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_doubling_the_pixels_doubles_the_result(method: str) -> None:
    image = make_image()
    twice = debayer(2 * image, Cfa("BGGR"), method)
    np.testing.assert_allclose(twice, 2 * debayer(image, Cfa("BGGR"), method), rtol=1e-6)


@pytest.mark.parametrize("method", LINEAR)
def test_linear_methods_are_linear(method: str) -> None:
    first, second = make_image(seed=1), make_image(seed=2)
    together = debayer(first + 3 * second, Cfa("GBRG"), method)
    apart = debayer(first, Cfa("GBRG"), method) + 3 * debayer(second, Cfa("GBRG"), method)
    np.testing.assert_allclose(together, apart, rtol=3e-6)


@pytest.mark.parametrize("star_colour", [(1.0, 1.0), (0.625, 1.59375)])
@pytest.mark.parametrize("method", ["bilinear", "malvar", "rcd"])
@pytest.mark.parametrize("fwhm", [1.9, 2.5, 2.9])
@pytest.mark.parametrize("ratios", [(1.0, 1.0, 1.0), (0.6, 1.0, 1.6), (0.5, 1.0, 0.5)])
def test_star_flux_is_kept_in_every_colour(
    method: str, fwhm: float, ratios: tuple[float, float, float], star_colour: tuple[float, float]
) -> None:
    # the mean over the four patterns meets every phase of the array
    y, x = np.indices((48, 48))
    star = 8000 * np.exp(-0.5 * ((x - 23.3) ** 2 + (y - 24.1) ** 2) / (fwhm / 2.3548) ** 2)
    truth = star * np.array(ratios)[:, None, None]
    total = np.zeros(3)
    for name in CFA_NAMES:
        colour = Cfa(name).table[y % 2, x % 2]
        raw = (1000 + np.take_along_axis(truth, colour[None], axis=0)[0]).astype(np.float32)
        total += (debayer(raw, Cfa(name), method, star_colour).astype(np.float64) - 1000).sum(axis=(1, 2)) / 4
    np.testing.assert_allclose(total, truth.sum(axis=(1, 2)), rtol=1e-4)


def test_the_directed_way_sums_to_what_each_colour_measured() -> None:
    noise = np.random.default_rng(4).normal(0, 10, (48, 48)).astype(np.float32)  # of both signs, sums near 0
    noise[:9] = noise[-9:] = noise[:, :9] = noise[:, -9:] = 0
    y, x = np.indices(noise.shape)
    for name in CFA_NAMES:
        colour = Cfa(name).table[y % 2, x % 2]
        found = debayer(noise, Cfa(name), "rcd").sum(axis=(1, 2), dtype=np.float64)
        measured = np.array([noise[colour == k].sum(dtype=np.float64) for k in range(3)])
        np.testing.assert_allclose(found[1], 2 * measured[1], atol=0.02)
        np.testing.assert_allclose(found[[0, 2]], 4 * measured[[0, 2]], atol=0.02)


@pytest.mark.parametrize("angle_deg", [0, 20, 45, 70, 90])
def test_edges_are_clearer_than_a_linear_method_makes_them(angle_deg: float) -> None:
    fine_y, fine_x = np.indices((4 * 64, 4 * 64)) / 4
    angle = np.deg2rad(angle_deg)
    side = 1 / (1 + np.exp(-((fine_x - 32) * np.cos(angle) + (fine_y - 31.4) * np.sin(angle)) / 0.3))
    edge = (1000 + 3000 * side.reshape(64, 4, 64, 4).mean(axis=(1, 3))).astype(np.float32)
    inner = (slice(None), slice(10, -10), slice(10, -10))
    error = {m: np.sqrt(np.mean((debayer(edge, Cfa("RGGB"), m) - edge)[inner] ** 2)) for m in METHODS[:3]}
    assert error["rcd"] < 0.7 * min(error["malvar"], error["bilinear"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("box", [Box(0, 0, 9, 7), Box(11, 6, 23, 15), Box(17, 13, 30, 25), Box(-3, -2, 8, 5)])
def test_a_crop_of_a_read_is_a_read_of_the_crop(method: str, box: Box) -> None:
    image = make_image()
    source = Debayered(ArraySource(image), Cfa("RGGB"), method)
    whole, part = debayer(image, Cfa("RGGB"), method), source.read(box)
    inside = box.intersect(source.bounds)
    rows, columns = inside.slices(source.bounds)
    np.testing.assert_array_equal(part.pixels[(slice(None), *inside.slices(box))], whole[:, rows, columns])
    assert part.mask.sum() == inside.n_pixels
    assert not part.pixels[:, ~part.mask].any()


@pytest.mark.parametrize("method", ["bilinear", "malvar", "rcd"])
def test_a_pixel_reaches_no_further_than_the_reach(method: str) -> None:
    image = make_image()
    changed = image.copy()
    changed[20, 27] += 5000
    moved = np.argwhere((debayer(image, Cfa("GRBG"), method) != debayer(changed, Cfa("GRBG"), method)).any(axis=0))
    assert np.abs(moved - [20, 27]).max() <= REACH[method]


def test_a_masked_pixel_masks_what_it_has_a_part_in() -> None:
    mask = np.ones((41, 54), dtype=bool)
    mask[20, 27] = False
    tile = Debayered(ArraySource(make_image(), mask), Cfa("GRBG"), "malvar").read(Box(0, 0, 54, 41))
    assert not tile.mask[18:23, 25:30].any()
    assert tile.mask.sum() == 41 * 54 - 25


def test_a_superpixel_lies_in_the_middle_of_its_cell() -> None:
    y, x = np.indices((20, 24), dtype=np.float32)
    centres = 2 * np.arange(12) + 0.5
    for name in CFA_NAMES:
        green = debayer(3 * x + 5 * y, Cfa(name), "superpixel")[1]
        np.testing.assert_array_equal(green, 3 * centres[None, :] + 5 * (2 * np.arange(10) + 0.5)[:, None])


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="vng"):
        debayer(make_image(), Cfa("GRBG"), "vng")
