"""A drawing laid over a picture, as SVG: the picture inside, the drawing as shapes and text that can be selected."""

from __future__ import annotations

import base64
from html import escape

from skyquilt.core import U8, Drawing, Label, Line, Ring
from skyquilt.io.images import encode_png

__all__ = ["drawing_svg"]

_BASE_LINE = 0.93  # below the top of the box, in sizes of the type
_TYPE = 'font-family="Aileron, Helvetica, Arial, sans-serif"'
_HALO = "#000000"
_ALLOWED = {"\t", "\n", "\r"}


def drawing_svg(picture: U8, drawing: Drawing, *, title: str) -> str:
    """
    Return an SVG document.

    Parameters
    ----------
    picture : uint8 (y, x) or (y, x, 3), first row on top
    title : str
        What the picture is; any characters.
    """
    data = base64.b64encode(encode_png(picture)).decode("ascii")
    size = f'width="{drawing.width}" height="{drawing.height}"'
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {drawing.width} {drawing.height}" role="img">',
        f"<title>{_text(title)}</title>",
        f'<image {size} href="data:image/png;base64,{data}"/>',
        '<g fill="none" stroke-opacity="0.85" stroke-linejoin="round" transform="translate(0.5 0.5)">',
    ]
    parts += [_line(line) for line in drawing.lines]
    parts += [_ring(ring) for ring in drawing.rings]
    parts.append("</g>")
    halos = [_label(label, _HALO, label.size_px / 5.0) for label in drawing.labels]
    parts += [f'<g aria-hidden="true" {_TYPE} stroke-linejoin="round">', *halos, "</g>"]
    parts += [f"<g {_TYPE}>", *(_label(label, label.colour, 0.0) for label in drawing.labels), "</g>"]
    parts += ["</svg>", ""]
    return "\n".join(parts)


def _line(line: Line) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
    return f'<polyline points="{points}" stroke="{escape(line.colour)}" stroke-width="{line.width_px:.2f}"/>'


def _ring(ring: Ring) -> str:
    place = f'cx="{ring.x:.1f}" cy="{ring.y:.1f}" r="{ring.radius_px:.1f}"'
    return f'<circle {place} stroke="{escape(ring.colour)}" stroke-width="{ring.width_px:.2f}"/>'


def _label(label: Label, colour: str, halo_px: float) -> str:
    """
    Return the text on its base line, set to the width of its box whatever the reader's type.

    The halo is a text of its own below the other: not every viewer knows ``paint-order``.
    """
    place = f'x="{label.x:.1f}" y="{label.y + _BASE_LINE * label.size_px:.1f}" font-size="{label.size_px:.1f}"'
    width = f'textLength="{label.width_px:.1f}" lengthAdjust="spacingAndGlyphs"'
    stroke = f' stroke="{escape(colour)}" stroke-width="{halo_px:.1f}"' if halo_px else ""
    return f'<text {place} {width} fill="{escape(colour)}"{stroke}>{_text(label.text)}</text>'


def _text(text: str) -> str:
    """Return text as XML can hold it: markup escaped, characters that no XML may hold left out."""
    kept = "".join(
        c
        for c in text
        if c in _ALLOWED or (" " <= c <= "\ufffd" and not "\ud800" <= c <= "\udfff") or c >= "\U00010000"
    )
    return escape(kept)
