"""Opened images: files, canvases and results that can be asked for any box, reduced, looked at, worked on and saved."""

from skyquilt.engine.images.cache import PixelCache
from skyquilt.engine.images.image import ImageFacts, OpenImage
from skyquilt.engine.images.live import LivePicture
from skyquilt.engine.images.looks import (
    EncodedTile,
    Probe,
    auto_stretch,
    encode_tile,
    histogram,
    picture_of,
    probe,
)
from skyquilt.engine.images.opening import DEBAYERS, describe_file, open_file
from skyquilt.engine.images.operations import OPERATIONS, Operation, run_operations
from skyquilt.engine.images.screen import Hyperbola, ScreenLook, make_look
from skyquilt.engine.images.store import ImageStore
from skyquilt.engine.images.writing import FORMATS, refuse_raw, save_image, write_rgba, write_tile

__all__ = [
    "DEBAYERS",
    "FORMATS",
    "OPERATIONS",
    "EncodedTile",
    "Hyperbola",
    "ImageFacts",
    "ImageStore",
    "LivePicture",
    "OpenImage",
    "Operation",
    "PixelCache",
    "Probe",
    "ScreenLook",
    "auto_stretch",
    "describe_file",
    "encode_tile",
    "histogram",
    "make_look",
    "open_file",
    "picture_of",
    "probe",
    "refuse_raw",
    "run_operations",
    "save_image",
    "write_rgba",
    "write_tile",
]
