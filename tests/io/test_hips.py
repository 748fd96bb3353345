"""A HiPS shows the sky where it is: every tile pixel against an analytic sky, by two independent ways to its place."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import binary_erosion

from skyquilt.core import F32, F64, Box, SkyGrid, Tile, Wcs
from skyquilt.core.sky import healpix_directions, healpix_side_deg, unit_vectors
from skyquilt.errors import NoUsableInput, OutputBlocked, UsageError
from skyquilt.io.hips import HipsLabels, deepest_order, export_hips, moc_numbers, tile_path
from skyquilt.io.images import read_image
from skyquilt.steps.finish import Stretch

LABELS = HipsLabels("ivo://skyquilt.test/P/sky", "A sky of waves", "2026-01-31T20:15Z", {"obs_copyright": "nobody"})
SHOWN = Stretch((700.0,) * 3, (0.5,) * 3, (1300.0,) * 3)
WAVES = 60.0


class ArrayCanvas:
    """An array as a canvas; NaN is not known."""

    def __init__(self, values: F32) -> None:
        self.values = values
        self.largest = 0

    @property
    def n_channels(self) -> int:
        return len(self.values)

    @property
    def bounds(self) -> Box:
        return Box.of_shape(*self.values.shape[1:])

    def read(self, box: Box) -> Tile:
        self.largest = max(self.largest, box.n_pixels)
        pixels = np.full((self.n_channels, *box.shape), np.nan, np.float32)
        inside = box.intersect(self.bounds)
        rows, columns = inside.slices(box)
        pixels[:, rows, columns] = self.values[(slice(None), *inside.slices(self.bounds))]
        mask = np.isfinite(pixels).all(axis=0)
        pixels[:, ~mask] = 0
        return Tile(pixels, mask, box)


def sky(ra: F64, dec: F64) -> F64:
    """A sky without symmetry, smooth on the scale of a pixel."""
    x, y, z = np.moveaxis(unit_vectors(ra, dec), -1, 0)
    return 1000 + 100 * (np.sin(WAVES * x) + np.cos(0.8 * WAVES * y + 1) + np.sin(1.1 * WAVES * z + 2))


def a_canvas(
    ra: float, dec: float, scale: float, size: tuple[int, int], channels: int = 1
) -> tuple[ArrayCanvas, SkyGrid]:
    width, height = size
    angle, step = np.radians(25.0), scale / 3600
    cd = step * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grid = SkyGrid(Wcs((ra, dec), ((width - 1) / 2, (height - 1) / 2), cd), width, height)
    y, x = np.mgrid[0:height, 0:width]
    plane = sky(*grid.wcs.to_sky(x, y))
    values = np.stack([plane + 7 * k for k in range(channels)]).astype(np.float32)
    values[:, height // 3 : height // 3 + 20, 30:60] = np.nan
    return ArrayCanvas(values), grid


def tile_order(width: int) -> np.ndarray:
    """
    Return the number in its tile of each pixel of a FITS tile, first row first: the rule of the HiPS tools.

    Of the four quarters the first rows have 1 on the left and 3 on the right, the last rows 0 and 2; so on in each.
    """
    numbers = np.zeros((1, 1), np.int64)
    while len(numbers) < width:
        quarter = numbers.size
        numbers = np.block([[numbers + quarter, numbers + 3 * quarter], [numbers, numbers + 2 * quarter]])
    return numbers


def check_values(pixels: F32, ra: F64, dec: F64, source: ArrayCanvas, grid: SkyGrid) -> None:
    """Check that every known pixel of a tile shows the sky in its direction, and that every direction is known."""
    x, y = grid.wcs.to_pixels(ra, dec)
    near_x, near_y = (np.rint(np.nan_to_num(part, nan=-9.0)).astype(int) for part in (x, y))
    is_known = np.isfinite(source.values[0])
    inside = (near_x >= 0) & (near_x < grid.width) & (near_y >= 0) & (near_y < grid.height)
    expected, is_inner = np.zeros((2, *pixels.shape), bool)
    expected[inside] = is_known[near_y[inside], near_x[inside]]
    np.testing.assert_array_equal(np.isfinite(pixels), expected)
    is_inner[inside] = binary_erosion(is_known, iterations=3)[near_y[inside], near_x[inside]]
    truth = sky(ra, dec)
    # cubic convolution: the third power of the phase of the waves in a pixel; float32 of 1000: 6e-5
    np.testing.assert_allclose(pixels[is_inner], truth[is_inner], atol=2e-3)
    # at an edge: what the waves do in one pixel, 180 x 60 radians
    np.testing.assert_allclose(pixels[expected], truth[expected], atol=180 * WAVES * np.radians(27 / 3600))


def tiles_of(folder: Path, suffix: str = "fits") -> dict[tuple[int, int], Path]:
    return {
        (int(path.parent.parent.name[6:]), int(path.stem[4:])): path for path in folder.glob(f"Norder*/Dir*/*.{suffix}")
    }


PLACES = {
    "the north pole": (0.0, 90.0),
    "near the south pole": (200.0, -89.2),
    "ra 0 on the equator": (0.0, 0.0),
    "a corner of faces": (0.0, 41.8103),
    "an ordinary place": (123.0, 33.0),
    "ra 180": (180.0, -12.0),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_pixel_of_every_deepest_tile_shows_its_own_place(tmp_path: Path, place: str) -> None:
    source, grid = a_canvas(*PLACES[place], scale=27.0, size=(260, 200))
    assert export_hips(tmp_path, source, grid, LABELS) == 4
    order_in_tile = tile_order(512)
    n_known = 0
    tiles = {key: path for key, path in tiles_of(tmp_path).items() if key[0] == 4}
    for (order, number), path in tiles.items():
        pixels, header = fits.getdata(path), fits.getheader(path)
        assert (header["ORDER"], header["NPIX"], pixels.shape, header["BITPIX"]) == (order, number, (512, 512), -32)
        n_known += np.count_nonzero(np.isfinite(pixels))
        ra, dec = healpix_directions(order + 9, number * 512**2 + order_in_tile)
        check_values(pixels, ra, dec, source, grid)
    area = n_known * healpix_side_deg(13) ** 2
    assert area == pytest.approx(np.isfinite(source.values).sum() * (27 / 3600) ** 2, rel=3e-3)


@pytest.mark.parametrize("place", ["the north pole", "an ordinary place", "ra 0 on the equator"])
def test_other_programs_find_the_pixels_by_the_coordinates_of_the_tiles(tmp_path: Path, place: str) -> None:
    source, grid = a_canvas(*PLACES[place], scale=27.0, size=(200, 160))
    export_hips(tmp_path, source, grid, LABELS)
    y, x = np.mgrid[0:512, 0:512]
    for (order, _), path in tiles_of(tmp_path).items():
        if order != 4:
            continue
        pixels, header = fits.getdata(path), fits.getheader(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ra, dec = WCS(header).pixel_to_world_values(x, y)
        check_values(pixels, np.asarray(ra), np.asarray(dec), source, grid)


def test_tiles_are_the_means_of_the_four_below(tmp_path: Path) -> None:
    source, grid = a_canvas(83.0, -5.0, scale=14.0, size=(420, 330))
    assert export_hips(tmp_path, source, grid, LABELS) == 5
    tiles = tiles_of(tmp_path)
    assert {order for order, _ in tiles} == {3, 4, 5}
    assert len({number for order, number in tiles if order == 5}) >= 2
    order_in_tile = tile_order(512)
    z_ordered = {}
    for key, path in tiles.items():
        flat = np.empty(512**2)
        flat[order_in_tile.ravel()] = fits.getdata(path).ravel()
        z_ordered[key] = flat
    for (order, number), flat in z_ordered.items():
        if order == 5:
            assert (order - 1, number // 4) in tiles
            continue
        empty = np.full(512**2, np.nan)
        below = np.concatenate([z_ordered.get((order + 1, 4 * number + k), empty) for k in range(4)]).reshape(-1, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_allclose(flat, np.nanmean(below, axis=1), rtol=2e-7)


def test_pictures_are_the_stretched_tiles_with_the_rows_the_other_way(tmp_path: Path) -> None:
    source, grid = a_canvas(123.0, 33.0, scale=60.0, size=(200, 150), channels=3)
    assert export_hips(tmp_path, source, grid, LABELS, stretch=SHOWN, channel=1) == 3
    for key, path in tiles_of(tmp_path).items():
        pixels = fits.getdata(path)[::-1]
        picture = read_image(tile_path(tmp_path, *key, "png"))
        assert picture.shape == (512, 512, 4)
        np.testing.assert_array_equal(picture[:, :, 3] == 255, np.isfinite(pixels))
        shown = SHOWN.apply(np.stack([pixels] * 3).astype(np.float32))[:, :, 1]
        np.testing.assert_array_equal(picture[:, :, 1], np.where(np.isfinite(pixels), shown, 0))
    jpeg = tmp_path / "jpeg"
    export_hips(jpeg, source, grid, LABELS, stretch=SHOWN, picture="jpeg")
    for key, path in tiles_of(jpeg, "jpg").items():
        found = read_image(path).astype(float)
        assert np.abs(found - read_image(tile_path(tmp_path, *key, "png"))[:, :, :3]).mean() < 2.0
        # FITS tiles: the mean of the channels, 7 above the first
        plane = fits.getdata(tile_path(jpeg, *key, "fits"))
        np.testing.assert_allclose(plane, fits.getdata(tile_path(tmp_path, *key, "fits")), rtol=1e-6)


def test_allsky_has_the_tiles_side_by_side(tmp_path: Path) -> None:
    source, grid = a_canvas(123.0, 33.0, scale=60.0, size=(200, 150))
    export_hips(tmp_path, source, grid, LABELS, stretch=Stretch((700.0,), (0.5,), (1300.0,)))
    allsky = fits.getdata(tmp_path / "Norder3" / "Allsky.fits")[::-1]
    picture = read_image(tmp_path / "Norder3" / "Allsky.png")
    assert allsky.shape == picture.shape[:2] == (29 * 64, 27 * 64)
    n_known = 0
    for (_, number), path in tiles_of(tmp_path).items():
        tile = fits.getdata(path)[::-1].astype(float)
        for _ in range(3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cells = tile.reshape(len(tile) // 2, 2, len(tile) // 2, 2).swapaxes(1, 2)
                tile = np.nanmean(cells.reshape(*cells.shape[:2], 4), axis=2)
        row, column = number // 27 * 64, number % 27 * 64
        np.testing.assert_allclose(allsky[row : row + 64, column : column + 64], tile, rtol=1e-6)
        n_known += np.count_nonzero(np.isfinite(tile))
    assert np.count_nonzero(np.isfinite(allsky)) == n_known == np.count_nonzero(picture[:, :, 3])


def test_the_coverage_map_covers_what_is_covered(tmp_path: Path) -> None:
    source, grid = a_canvas(0.0, 0.0, scale=27.0, size=(600, 450))
    export_hips(tmp_path, source, grid, LABELS)
    with fits.open(tmp_path / "Moc.fits", checksum=True) as file:
        table, header = file[1].data, file[1].header
        uniq = np.asarray(table["UNIQ"])
    assert (header["ORDERING"], header["PIXTYPE"], header["COORDSYS"]) == ("NUNIQ", "HEALPIX", "C")
    order = (np.log2(uniq // 4).astype(int)) // 2
    number = uniq - 4 * 4**order
    assert header["MOCORDER"] == header["MOCORD_S"] == order.max() == 11
    area = float((4 * np.pi / 12 / 4.0**order).sum()) * np.degrees(1) ** 2
    y, x = np.nonzero(np.isfinite(source.values[0]))
    covered = x.size * (27 / 3600) ** 2
    # cells of 4 x 4 pixels that touch the coverage: half a cell more along its edge
    edge = (2 * (600 + 450) + 100) * 27 / 3600 * healpix_side_deg(11)
    assert 0 <= area - covered < 0.8 * edge
    assert area == pytest.approx(covered, rel=0.02)
    # every known pixel of the canvas, but for those at its edge, lies in a cell
    ra, dec = grid.wcs.to_sky(x, y)
    from skyquilt.core.sky import healpix_number

    deep = healpix_number(11, ra, dec)
    held = np.zeros(deep.shape, bool)
    for level in np.unique(order):
        held |= np.isin(deep >> 2 * (11 - level), number[order == level])
    assert held.mean() > 0.999


def test_multi_order_numbers_by_brute_force() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        flags = np.repeat(rng.random(12 * 4**1) < 0.5, 16) ^ (rng.random(12 * 4**3) < 0.03)
        pixels = np.flatnonzero(flags)
        found = moc_numbers(3, np.stack([pixels, pixels + 1], axis=1)[rng.permutation(len(pixels))])
        level = np.log2(found // 4).astype(int) // 2
        number = found - 4 * 4**level
        painted = np.zeros(flags.size, int)
        for k, n in zip(level, number, strict=True):
            painted[n << 2 * (3 - k) : (n + 1) << 2 * (3 - k)] += 1
        np.testing.assert_array_equal(painted, flags.astype(int))
        for k in range(1, 4):  # no four that could be one
            _, counts = np.unique(number[level == k] >> 2, return_counts=True)
            assert (counts < 4).all()
    assert list(moc_numbers(2, np.array([[0, 12 * 16]]))) == list(range(4, 16))
    assert moc_numbers(5, np.empty((0, 2), np.int64)).size == 0


def test_the_properties_are_those_that_the_standard_requires(tmp_path: Path) -> None:
    source, grid = a_canvas(83.0, -5.0, scale=60.0, size=(100, 80), channels=3)
    export_hips(tmp_path, source, grid, LABELS, stretch=SHOWN, unit="adu")
    lines = (tmp_path / "properties").read_text("utf-8").splitlines()
    properties = {name.strip(): value.strip() for name, value in (line.split("=", 1) for line in lines)}
    assert {
        "creator_did": LABELS.identifier,
        "obs_title": LABELS.title,
        "hips_release_date": LABELS.created,
        "obs_copyright": "nobody",
        "dataproduct_type": "image",
        "dataproduct_subtype": "color",
        "hips_version": "1.4",
        "hips_frame": "equatorial",
        "hips_order": "3",
        "hips_tile_width": "512",
        "hips_tile_format": "png fits",
        "hips_bunit": "adu",
    }.items() <= properties.items()
    assert float(properties["hips_initial_ra"]) == pytest.approx(83.0, abs=0.01)
    low, high = (float(word) for word in properties["hips_pixel_cut"].split())
    assert 700 < low < high < 1310
    assert float(properties["moc_sky_fraction"]) == pytest.approx(7850 / 60**2 / 41253, rel=0.1)
    assert fits.getheader(next(iter(tiles_of(tmp_path).values())))["BUNIT"] == "adu"


def test_the_order_is_the_first_with_pixels_not_larger_than_the_canvas() -> None:
    # table 5 of the standard: 51.53" at order 3, 6.442" at 6, 1.61" at 8
    assert [deepest_order(scale) for scale in (100.0, 52.0, 51.5, 6.45, 6.44, 2.4, 1.62)] == [3, 3, 4, 6, 7, 8, 8]


def test_memory_is_bounded_by_a_tile(tmp_path: Path) -> None:
    source, grid = a_canvas(123.0, 33.0, scale=27.0, size=(900, 700))
    export_hips(tmp_path, source, grid, LABELS)
    assert source.largest < 900 * 700


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    source, grid = a_canvas(123.0, 33.0, scale=60.0, size=(60, 50))
    with pytest.raises(NoUsableInput, match="nothing to export"):
        export_hips(tmp_path, ArrayCanvas(source.values * np.float32(np.nan)), grid, LABELS)
    with pytest.raises(UsageError, match="channel 2"):
        export_hips(tmp_path, source, grid, LABELS, channel=2)
    with pytest.raises(UsageError, match="one line"):
        export_hips(tmp_path, source, grid, HipsLabels("a", "b\nhips_order = 9", "c"))
    with pytest.raises(UsageError, match="1 or 3"):
        export_hips(tmp_path, ArrayCanvas(source.values[[0, 0]]), grid, LABELS)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputBlocked):
        export_hips(tmp_path / "file" / "hips", source, grid, LABELS)
    assert not (tmp_path / "properties").exists()


def test_an_earlier_export_is_replaced_and_that_of_another_program_is_not(tmp_path: Path) -> None:
    source, grid = a_canvas(123.0, 33.0, scale=60.0, size=(60, 50))
    export_hips(tmp_path, source, grid, LABELS)
    earlier = set(tiles_of(tmp_path))
    (tmp_path / "properties").unlink()  # as if it had been killed
    (tmp_path / ".skyquilt-hips").write_bytes(b"")
    source, grid = a_canvas(23.0, -33.0, scale=60.0, size=(60, 50))
    for _ in range(2):
        export_hips(tmp_path, source, grid, LABELS)
        assert tiles_of(tmp_path)
        assert not earlier & set(tiles_of(tmp_path))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["Moc.fits", "Norder3", "properties"]
    (tmp_path / "properties").write_text("hips_builder = another\n")
    with pytest.raises(OutputBlocked, match="another program"):
        export_hips(tmp_path, source, grid, LABELS)
    assert tiles_of(tmp_path)
