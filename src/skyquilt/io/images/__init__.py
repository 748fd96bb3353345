"""Pictures for sharing and pictures from elsewhere: PNG, TIFF, JPEG, XISF, each with the colours it means."""

from skyquilt.io.images.icc import grey_profile, rgb_profile
from skyquilt.io.images.read import read_image
from skyquilt.io.images.write import Stretcher, TiffWriter, encode_jpeg, encode_png, write_png, write_tiff
from skyquilt.io.images.xisf import XisfImage, XisfWriter, read_xisf, write_xisf

__all__ = [
    "Stretcher",
    "TiffWriter",
    "XisfImage",
    "XisfWriter",
    "encode_jpeg",
    "encode_png",
    "grey_profile",
    "read_image",
    "read_xisf",
    "rgb_profile",
    "write_png",
    "write_tiff",
    "write_xisf",
]
