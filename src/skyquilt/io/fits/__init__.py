"""FITS frames: headers of every dialect, pixels of any box, results written so that they cannot be half there."""

from skyquilt.io.fits.axes import planes_last_cards
from skyquilt.io.fits.bands import ArrayBands, Banded, value_range, write_bands
from skyquilt.io.fits.checksums import data_hash, verify_checksums
from skyquilt.io.fits.coordinates import read_wcs
from skyquilt.io.fits.decoded import set_decode_cache
from skyquilt.io.fits.header import Card, Header
from skyquilt.io.fits.opening import open_frame, read_header
from skyquilt.io.fits.pointing import read_pointings, read_scale
from skyquilt.io.fits.rewrite import replace_cards, write_header
from skyquilt.io.fits.sixteen_bits import SixteenBits
from skyquilt.io.fits.source import FitsSource, frame_source
from skyquilt.io.fits.table import write_number_table
from skyquilt.io.fits.write import ExtensionLayout, ImageWriter, write_image

__all__ = [
    "ArrayBands",
    "Banded",
    "Card",
    "ExtensionLayout",
    "FitsSource",
    "Header",
    "ImageWriter",
    "SixteenBits",
    "data_hash",
    "frame_source",
    "open_frame",
    "planes_last_cards",
    "read_header",
    "read_pointings",
    "read_scale",
    "read_wcs",
    "replace_cards",
    "set_decode_cache",
    "value_range",
    "verify_checksums",
    "write_bands",
    "write_header",
    "write_image",
    "write_number_table",
]
