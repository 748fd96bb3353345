"""Drawings over pictures, as PNG and as SVG."""

from skyquilt.io.drawings.png import draw_picture, text_width
from skyquilt.io.drawings.svg import drawing_svg

__all__ = ["draw_picture", "drawing_svg", "text_width"]
