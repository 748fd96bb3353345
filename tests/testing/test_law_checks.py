"""The judges themselves: laws that hold pass, laws that are broken fail, measurements return what was put in."""

import os

import numpy as np
import pytest

from skyquilt.core import Box, Tile, Trail
from skyquilt.kernels.render import add_gaussian_stars, add_trail
from skyquilt.testing.laws import (
    RawGuard,
    block_noise,
    check_crop_law,
    check_same_bits,
    fit_fwhm,
    hash_folder,
    measure_star_fluxes,
    trail_residue,
)

MONO = np.zeros((2, 2), dtype=np.int64)


class ArraySource:
    """A picture as a source; `is_honest=False` makes values depend on the box that was asked for."""

    n_channels = 1

    def __init__(self, pixels, is_honest=True):
        self.pixels, self.is_honest = pixels, is_honest
        self.bounds = Box.of_shape(*pixels.shape)

    def read(self, box):
        pixels, mask = np.zeros((1, *box.shape), dtype=np.float32), np.zeros(box.shape, dtype=bool)
        common = self.bounds.intersect(box)
        if not common.is_empty:
            pixels[0][common.slices(box)] = self.pixels[common.slices(self.bounds)]
            mask[common.slices(box)] = True
            if not self.is_honest:
                pixels[0][common.slices(box)] -= self.pixels[common.slices(self.bounds)].mean()
        return Tile(pixels, mask, box)


@pytest.fixture
def picture():
    return np.random.default_rng(5).normal(100.0, 10.0, (40, 56)).astype(np.float32)


def test_the_crop_law_passes_an_array(picture):
    check_crop_law(ArraySource(picture))


def test_the_crop_law_catches_values_that_depend_on_the_box(picture):
    with pytest.raises(AssertionError, match="pixels of"):
        check_crop_law(ArraySource(picture, is_honest=False))


def test_same_bits_tells_a_pure_function_from_one_that_knows_its_tile(picture):
    bounds = Box.of_shape(*picture.shape)
    whole = check_same_bits(lambda box: picture[box.slices(bounds)], bounds)
    np.testing.assert_array_equal(whole, picture)
    with pytest.raises(AssertionError, match="tiles of 64x39"):
        check_same_bits(lambda box: picture[box.slices(bounds)] * box.height, bounds, [(64, 39)])


def test_hash_folder_names_files_from_the_folder(tmp_path):
    (tmp_path / "M 94_sub").mkdir()
    (tmp_path / "M 94_sub" / "a.fit").write_bytes(b"abc")
    hashes = hash_folder(tmp_path)
    assert hashes == {"M 94_sub/a.fit": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}


@pytest.mark.parametrize("deed", ["write", "add", "remove", "touch", "folder"])
def test_the_raw_guard_notices_every_change(tmp_path, deed):
    file = tmp_path / "a.fit"
    file.write_bytes(b"abc")
    with RawGuard(tmp_path):
        file.read_bytes()
    with pytest.raises(AssertionError, match=r"a\.fit|new"), RawGuard(tmp_path):
        if deed == "write":
            state = file.stat()
            file.write_bytes(b"abd")
            os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        elif deed == "add":
            (tmp_path / "new.txt").write_text("x")
        elif deed == "remove":
            file.unlink()
        elif deed == "touch":
            os.utime(file, (1.0, 1.0))
        else:
            (tmp_path / "new").mkdir()


def test_block_noise_sees_through_interpolation_and_gradients():
    noise = np.random.default_rng(2).normal(0.0, 8.0, (512, 512))
    assert block_noise(noise) == pytest.approx(1.0, rel=0.03)
    smoothed = 0.25 * (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, 1, (0, 1)))
    assert block_noise(smoothed) > 0.9 * block_noise(noise)
    assert block_noise(noise + np.arange(512) * 0.5) == pytest.approx(block_noise(noise), rel=1e-6)


@pytest.fixture
def star_picture():
    image = np.full((120, 160), 50.0, dtype=np.float32)
    xs, ys = np.array([30.3, 90.0, 120.7]), np.array([40.6, 70.1, 39.5])
    add_gaussian_stars(image, MONO, xs, ys, np.array([[5000.0], [800.0], [20000.0]]), 1.5, 1e-4)
    return image, xs, ys


def test_aperture_photometry_returns_the_flux_that_was_drawn(star_picture):
    image, xs, ys = star_picture
    np.testing.assert_allclose(measure_star_fluxes(image, xs, ys, 8.0), [5000.0, 800.0, 20000.0], rtol=1e-4)
    assert np.isnan(measure_star_fluxes(image, np.array([3.0]), np.array([60.0]))).all()


def test_fit_fwhm_returns_the_width_of_the_light(star_picture):
    image, xs, ys = star_picture
    for x, y in zip(xs, ys, strict=True):
        fwhm, eccentricity = fit_fwhm(image, x, y)
        assert fwhm == pytest.approx(2.35482 * 1.5, rel=1e-3)
        assert eccentricity < 0.05
    streak = np.full((60, 60), 9.0, dtype=np.float32)
    steps = np.linspace(-2.0, 2.0, 21)
    add_gaussian_stars(streak, MONO, 30.0 + steps, 30.0 + steps, np.full((21, 1), 500.0), 1.5, 1e-4)
    assert fit_fwhm(streak, 30.0, 30.0)[1] > 0.6
    assert np.isnan(fit_fwhm(image, 2.0, 2.0)[0])


def test_trail_residue_is_the_height_that_is_left_of_a_trail():
    image = np.random.default_rng(1).normal(100.0, 5.0, (200, 300)).astype(np.float32)
    line = Trail(-0.5, 23.0, 299.5, 161.0, 4.0, 99.0)
    assert abs(trail_residue(image, np.full_like(image, 100.0), line)) < 0.5
    add_trail(image, MONO, line.x0, line.y0, line.x1, line.y1, 1.5, np.array([30.0]))
    expected = 0.9545 * 30.0 * 1.5 * np.sqrt(2.0 * np.pi) / 6.0  # of a band of +-2 sigma
    assert trail_residue(image, np.full_like(image, 100.0), line) == pytest.approx(expected, rel=0.05)
