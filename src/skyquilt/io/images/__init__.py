"""Pictures for sharing and pictures from elsewhere: PNG, TIFF, JPEG, each with the colours it means."""

from skyquilt.io.images.icc import grey_profile, rgb_profile
from skyquilt.io.images.read import read_image
from skyquilt.io.images.write import Stretcher, TiffWriter, encode_jpeg, encode_png, write_png, write_tiff

__all__ = [
    "Stretcher",
    "TiffWriter",
    "encode_jpeg",
    "encode_png",
    "grey_profile",
    "read_image",
    "rgb_profile",
    "write_png",
    "write_tiff",
]
