"""Images of any size as FITS: 16 bits, the colour first or last, a column of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from skyquilt.core import F32, Box, Sip, Wcs
from skyquilt.errors import NoUsableInput
from skyquilt.io.fits import (
    ArrayBands,
    ImageWriter,
    SixteenBits,
    frame_source,
    open_frame,
    planes_last_cards,
    value_range,
    verify_checksums,
    write_bands,
    write_number_table,
)

PLACE = Wcs((83.0, -5.0), (30.0, 20.0), np.array([[-0.001, 0.0002], [0.0002, 0.001]]))


def some_values(channels: int = 3, height: int = 301, width: int = 57) -> F32:
    values = np.random.default_rng(channels).normal(1000, 300, (channels, height, width)).astype(np.float32)
    values[:, 5:9, 3:8] = np.nan
    return values


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("axes", ["planes first", "planes last"])
@pytest.mark.parametrize("sixteen_bits", [None, "numbers", "values"])
def test_values_come_back_within_half_a_step(
    tmp_path: Path, channels: int, axes: str, sixteen_bits: str | None
) -> None:
    values, path = some_values(channels), tmp_path / "a.fits"
    write_bands(path, ArrayBands(values), PLACE.cards(), sixteen_bits=sixteen_bits, axes=axes)  # type: ignore[arg-type]
    assert verify_checksums(path) == []
    with fits.open(path, checksum=True) as file:
        header, pixels = file[0].header.copy(), np.asarray(file[0].data)
    expected = values[0] if channels == 1 else values
    if axes == "planes last" and channels == 3:
        assert (header["NAXIS1"], header["NAXIS2"], header["NAXIS3"]) == (3, 57, 301)
        expected = np.moveaxis(values, 0, -1)
    if sixteen_bits is None:
        assert header["BITPIX"] == -32
        np.testing.assert_array_equal(pixels, expected)
        return
    assert header["BITPIX"] == 16
    step = (np.nanmax(values).astype(float) - np.nanmin(values)) / 65534
    if sixteen_bits == "numbers":
        assert pixels.dtype == np.uint16
        np.testing.assert_array_equal(pixels == 0, np.isnan(expected))
        assert (pixels.max(), header["DATAMAX"], header["DATAMIN"]) == (65535, 65535, 1)
        pixels = np.where(pixels == 0, np.nan, header["SCALEZER"] + header["SCALESTP"] * pixels.astype(float))
    np.testing.assert_array_equal(np.isnan(pixels), np.isnan(expected))
    # float32 of astropy: 1e-4 of 1000
    assert np.nanmax(np.abs(pixels - expected)) <= 0.5 * step * (1 + 1e-6) + 2e-4


def test_our_own_reader_reads_the_values(tmp_path: Path) -> None:
    values, path = some_values(), tmp_path / "a.fits"
    write_bands(path, ArrayBands(values), [], sixteen_bits="values")
    source = frame_source(open_frame(path))
    tile = source.read(Box.of_shape(*values.shape[1:]))
    np.testing.assert_array_equal(tile.mask, np.isfinite(values[0]))
    step = np.ptp(values[np.isfinite(values)]) / 65534
    assert np.abs(tile.pixels - values)[:, tile.mask].max() <= 0.5 * step + 2e-4


def test_rows_in_any_order_give_the_same_file(tmp_path: Path) -> None:
    values = some_values()
    scale = SixteenBits(200.0, 1800.0)
    for k, order in enumerate(itertools.permutations(((0, 100), (100, 101), (101, 301)))):
        with ImageWriter(tmp_path / f"{k}", values.shape, np.float32, [], scale=scale, axes="planes last") as writer:
            for y0, y1 in order:
                writer.write_rows(y0, values[:, y0:y1])
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_what_lies_beyond_the_range_is_brought_to_it() -> None:
    scale = SixteenBits(-1.0, 65533.0)
    numbers = scale.encode(np.array([-5, -1, 0, 0.49, 65533, 1e9, np.nan, np.inf, -np.inf], np.float32))
    np.testing.assert_array_equal(numbers, [1, 1, 2, 2, 65535, 65535, 0, 65535, 1])
    for low, high in ((1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)):
        with pytest.raises(ValueError, match="cannot be stored"):
            SixteenBits(low, high)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    values = some_values()
    with pytest.raises(ValueError, match="float32"):
        ImageWriter(tmp_path / "a", values.shape, np.uint16, [], scale=SixteenBits(0, 1))
    with (
        pytest.raises(ValueError, match="at once"),
        ImageWriter(tmp_path / "a", values.shape, np.float32, [], axes="planes last") as writer,
    ):
        writer.write_rows(0, values[0], plane=0)
    with pytest.raises(NoUsableInput, match="nothing to export"):
        value_range(ArrayBands(values * np.float32(np.nan)))
    assert not list(tmp_path.iterdir())


def test_a_flat_image_can_be_written_in_16_bits(tmp_path: Path) -> None:
    write_bands(tmp_path / "a.fits", ArrayBands(np.full((1, 4, 5), 7, np.float32)), [], sixteen_bits="values")
    np.testing.assert_allclose(fits.getdata(tmp_path / "a.fits"), 7.0)


def test_coordinates_move_with_the_axes(tmp_path: Path) -> None:
    a, b = np.zeros((2, 3, 3))
    a[2, 0] = 1e-5
    distorted = Wcs(PLACE.crval_deg, PLACE.crpix0, PLACE.cd, Sip(a, b).with_inverse(PLACE.crpix0, 57, 301))
    for place in (PLACE, distorted):
        write_bands(tmp_path / "a.fits", ArrayBands(some_values()), place.cards(), axes="planes last")
        header = fits.getheader(tmp_path / "a.fits")
        assert ("SIP" in str(header.get("COMMENT", ""))) == (place is distorted)
        assert not [keyword for keyword in header if keyword.startswith(("A_", "B_", "AP_", "BP_"))]
        wcs = WCS(header)
        assert wcs.naxis == 3
        colour, ra, dec = wcs.wcs_pix2world([[0, 12.0, 250.0], [2, 12.0, 250.0]], 0).T
        np.testing.assert_allclose(colour, [1, 3])
        expected_ra, expected_dec = PLACE.to_sky(12.0, 250.0)
        np.testing.assert_allclose(ra, expected_ra, atol=1e-9)
        np.testing.assert_allclose(dec, expected_dec, atol=1e-9)
    steps = [("WCSAXES", 2, ""), ("CTYPE1", "X", ""), ("CDELT1", 2.0, ""), ("PC1_2", 0.1, ""), ("OBJECT", "M 31", "")]
    assert [card[0] for card in planes_last_cards(steps)] == [
        *("WCSAXES", "CTYPE1", "CRPIX1", "CRVAL1", "CDELT1", "CTYPE2", "CDELT2", "PC2_3", "OBJECT"),
    ]


def test_memory_is_one_band(tmp_path: Path) -> None:
    """A canvas of 120 MB goes through 40 MB."""
    import tracemalloc

    class Rising:
        shape = (3, 2500, 4000)

        def value_rows(self) -> Iterator[tuple[int, F32]]:
            for y0 in range(0, 2500, 100):
                yield y0, np.full((3, 100, 4000), y0, np.float32)

    tracemalloc.start()
    try:
        write_bands(tmp_path / "a.fits", Rising(), [], sixteen_bits="numbers", axes="planes last")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6
    assert (tmp_path / "a.fits").stat().st_size > 60e6


def test_a_column_of_numbers(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 2**62, 1234)
    write_number_table(tmp_path / "a.fits", "UNIQ", numbers, [("ORDERING", "NUNIQ", "x")])
    with fits.open(tmp_path / "a.fits", checksum=True) as file:
        file.verify("exception")
        np.testing.assert_array_equal(file[1].data["UNIQ"], numbers)
        assert file[1].header["ORDERING"] == "NUNIQ"
    write_number_table(tmp_path / "b.fits", "UNIQ", numbers[:0], [])
    assert len(fits.getdata(tmp_path / "b.fits")) == 0
