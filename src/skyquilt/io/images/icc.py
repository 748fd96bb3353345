"""Small ICC profiles of sRGB and of its linear light, built from the published numbers."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

from skyquilt.core.arrays import F64

__all__ = ["grey_profile", "rgb_profile"]

_RED, _GREEN, _BLUE, _WHITE = (0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)
_D50 = (0.9642, 1.0, 0.8249)  # the profile connection space, ICC.1:2010 section 7.2.16
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_CURVE = (2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045)
_COPYRIGHT = "No copyright, use freely"


@cache
def rgb_profile(*, is_linear: bool = False) -> bytes:
    """
    Return an ICC version 4 display profile with the primaries of sRGB.

    Parameters
    ----------
    is_linear : bool
        True: values are light itself (float masters). False: the sRGB transfer curve (IEC 61966-2-1).

    Notes
    -----
    Primaries and D65 white from IEC 61966-2-1, adapted to D50 by the Bradford transform; the matrix columns sum to
    D50 as ICC.1:2010 wants. No date and no identifier: the same bytes always.
    """
    to_d50 = _adaptation()
    columns = to_d50 @ _primaries()
    tags = {
        b"desc": _text("sRGB, linear" if is_linear else "sRGB"),
        b"cprt": _text(_COPYRIGHT),
        b"wtpt": _xyz(_D50),
        b"chad": _fixed(b"sf32", to_d50.ravel()),
    }
    for k, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = _xyz(columns[:, k])
    curve = _curve(is_linear)
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    return _profile(b"RGB ", tags)


@cache
def grey_profile(*, is_linear: bool = False) -> bytes:
    """Return the profile for pictures of one channel: a grey PNG must not carry an RGB profile."""
    tags = {
        b"desc": _text("Grey, linear" if is_linear else "Grey, sRGB curve"),
        b"cprt": _text(_COPYRIGHT),
        b"wtpt": _xyz(_D50),
        b"chad": _fixed(b"sf32", _adaptation().ravel()),
        b"kTRC": _curve(is_linear),
    }
    return _profile(b"GRAY", tags)


def _xyz_of(chromaticity: tuple[float, float]) -> F64:
    """Return XYZ at Y = 1."""
    x, y = chromaticity
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def _primaries() -> F64:
    """Return the matrix from linear sRGB to XYZ under D65."""
    primaries = np.stack([_xyz_of(_RED), _xyz_of(_GREEN), _xyz_of(_BLUE)], axis=1)
    scaled: F64 = primaries * np.linalg.solve(primaries, _xyz_of(_WHITE))
    return scaled


def _adaptation() -> F64:
    """Return the Bradford matrix that takes D65 to D50."""
    ratio = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ _xyz_of(_WHITE))
    matrix: F64 = np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD
    return matrix


def _fixed(kind: bytes, numbers: F64) -> bytes:
    """Return an element of s15Fixed16 numbers."""
    return kind + bytes(4) + struct.pack(f">{len(numbers)}i", *(round(float(n) * 65536.0) for n in numbers))


def _xyz(numbers: F64 | tuple[float, float, float]) -> bytes:
    return _fixed(b"XYZ ", np.asarray(numbers, dtype=np.float64))


def _curve(is_linear: bool) -> bytes:
    """Return a parametric curve: gamma 1 (function 0), or the sRGB curve (function 3)."""
    numbers = np.array([1.0] if is_linear else _SRGB_CURVE)
    body = _fixed(b"para", numbers)
    return body[:8] + struct.pack(">HH", 0 if is_linear else 3, 0) + body[8:]


def _text(text: str) -> bytes:
    """Return a multiLocalizedUnicode element with one English record."""
    body = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(body), 28) + body


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return header, tag table and elements; equal elements are stored once, all on 4-byte borders."""
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    for name, element in tags.items():
        if element not in places:
            places[element] = at + len(data)
            data += element + bytes(-len(element) % 4)
        table += struct.pack(">4sII", name, places[element], len(element))
    header = struct.pack(">I4sI4s4s4s", at + len(data), bytes(4), 0x04300000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)  # fixed date; sRGB intent: perceptual
    header += struct.pack(">3i", *(round(n * 65536.0) for n in _D50))
    return header.ljust(128, b"\0") + table + data
