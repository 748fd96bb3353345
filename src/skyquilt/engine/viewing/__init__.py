"""What the app shows of a product: tiles of half floats at every size, statistics, histogram, and what lies over it."""

from skyquilt.engine.viewing.figures import ChannelFigures, ChannelHistogram, HistogramSums, describe
from skyquilt.engine.viewing.footprints import footprints_of
from skyquilt.engine.viewing.handed_over import decode_halves, jpeg_of_rgba, read_halves
from skyquilt.engine.viewing.overlays import OVERLAYS, Footprint, Overlay, overlay_of
from skyquilt.engine.viewing.product import (
    MAPS,
    ViewedProduct,
    direction,
    is_mirrored,
    north_deg,
    open_product,
    sky_outline,
)
from skyquilt.engine.viewing.pyramid import Pyramid, ViewedPixels
from skyquilt.engine.viewing.tiles import TILE_PX, encode_halves, encode_tile, half_floats, tile_box

__all__ = [
    "MAPS",
    "OVERLAYS",
    "TILE_PX",
    "ChannelFigures",
    "ChannelHistogram",
    "Footprint",
    "HistogramSums",
    "Overlay",
    "Pyramid",
    "ViewedPixels",
    "ViewedProduct",
    "decode_halves",
    "describe",
    "direction",
    "encode_halves",
    "encode_tile",
    "footprints_of",
    "half_floats",
    "is_mirrored",
    "jpeg_of_rgba",
    "north_deg",
    "open_product",
    "overlay_of",
    "read_halves",
    "sky_outline",
    "tile_box",
]
