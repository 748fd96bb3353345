"""The canvas of a mosaic on disk: tiles that can be trusted after any crash, with an overview kept beside them."""

from skyquilt.io.tiled.canvas import TiledCanvas
from skyquilt.io.tiled.preview import reduce_to, write_preview
from skyquilt.io.tiled.reduce import reduce_half

__all__ = ["TiledCanvas", "reduce_half", "reduce_to", "write_preview"]
