"""
The documents of the zarr format, version 3, that say what lies in the folders of a canvas.

They are few and never change, and the library that writes them otherwise takes 0.2 s to load: a tenth of what a small
mosaic takes.
A test holds them equal to what the library writes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

__all__ = ["ARRAY_DOCUMENT", "array_document", "group_document"]

ARRAY_DOCUMENT = "zarr.json"
"""The name of the document in the folder of an array or a group."""


def group_document() -> bytes:
    """Return the document of a group of arrays."""
    return _encoded({"attributes": {}, "zarr_format": 3, "node_type": "group"})


def array_document(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
    fill_value: float,
    packing: dict[str, Any],
    axes: tuple[str, ...],
) -> bytes:
    """
    Return the document of an array whose chunks are little-endian, packed by Blosc and followed by a CRC-32C.

    Parameters
    ----------
    shape, chunks : tuple of int
    dtype : dtype
    fill_value : float
        What an unwritten chunk holds; an integer type takes a whole number.
    packing : dict
        Blosc's ``cname``, ``clevel`` and ``shuffle``.
    axes : tuple of str
        Names of the axes.
    """
    fill: Any = "NaN" if np.isnan(fill_value) else dtype.type(fill_value).item()
    return _encoded(
        {
            "shape": shape,
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": {"typesize": dtype.itemsize, **packing, "blocksize": 0}},
                {"name": "crc32c"},
            ],
            "attributes": {},
            "dimension_names": axes,
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }
    )


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
