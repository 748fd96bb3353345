"""A drawing laid over a picture, as pixels."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np

from skyquilt.core import U8, Drawing

__all__ = ["draw_picture", "text_width"]

_FINER = 3  # lines are drawn so many times as large and reduced: smooth edges
_BAND_ROWS = 512
_OPACITY = 0.85
_HALO = "#000000"


@lru_cache(maxsize=16)
def _font(size_px: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


def _drawable(text: str) -> str:
    """Return text in the characters of the built-in font: accents dropped, others a question mark."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" or c in "°·" else "?" for c in plain)


def text_width(text: str, size_px: float) -> float:
    """Return how wide a line of text is, px."""
    return float(_font(size_px).getlength(_drawable(text)))


def draw_picture(picture: U8, drawing: Drawing) -> U8:
    """
    Return the picture with the drawing over it.

    Parameters
    ----------
    picture : uint8 (y, x) or (y, x, 3), first row on top

    Returns
    -------
    uint8 (y, x, 3)
    """
    from PIL import Image, ImageDraw

    rgb = np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture
    canvas = Image.fromarray(np.ascontiguousarray(rgb))
    for y0 in range(0, drawing.height, _BAND_ROWS):  # band by band: the finer drawing is nine times as large
        rows = min(_BAND_ROWS, drawing.height - y0)
        band = _strokes(drawing, y0, rows)
        canvas.paste(band.convert("RGB"), (0, y0), band.getchannel("A"))
    pen = ImageDraw.Draw(canvas)
    for label in drawing.labels:
        halo = max(1, round(label.size_px / 9.0))
        pen.text(
            (label.x, label.y),
            _drawable(label.text),
            fill=label.colour,
            font=_font(label.size_px),
            stroke_width=halo,
            stroke_fill=_HALO,
        )
    return np.asarray(canvas)


def _strokes(drawing: Drawing, y0: int, rows: int) -> Any:
    """Return lines and rings of some rows as an RGBA picture, smoothed."""
    from PIL import Image, ImageDraw

    fine = Image.new("RGBA", (drawing.width * _FINER, rows * _FINER))
    pen = ImageDraw.Draw(fine)
    alpha = f"{round(255 * _OPACITY):02x}"

    def at(x: float, y: float) -> tuple[float, float]:
        return (x + 0.5) * _FINER - 0.5, (y + 0.5 - y0) * _FINER - 0.5

    for line in drawing.lines:
        y = line.points[:, 1]
        if len(y) and y.max() >= y0 - line.width_px and y.min() <= y0 + rows + line.width_px:
            points = [at(float(px), float(py)) for px, py in line.points]
            pen.line(points, fill=line.colour + alpha, width=max(1, round(line.width_px * _FINER)), joint="curve")
    for ring in drawing.rings:
        if y0 - ring.radius_px - 4 <= ring.y <= y0 + rows + ring.radius_px + 4:
            (x, y_), r = at(ring.x, ring.y), (ring.radius_px + 0.5 * ring.width_px) * _FINER
            width = max(1, round(ring.width_px * _FINER))
            pen.ellipse((x - r, y_ - r, x + r, y_ + r), outline=ring.colour + alpha, width=width)
    return fine.resize((drawing.width, rows), Image.Resampling.BOX)
