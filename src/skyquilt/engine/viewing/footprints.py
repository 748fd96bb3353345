"""Where the frames of a finished stack or mosaic lie on the sky, from its manifest."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.core import Transform, Wcs
from skyquilt.engine.manifest import FrameRecord, Manifest
from skyquilt.engine.viewing.overlays import Footprint
from skyquilt.errors import BadInput

__all__ = ["footprints_of"]


def footprints_of(manifest: Manifest, wcs: Wcs | None, size: tuple[int, int] | None) -> list[Footprint]:
    """
    Return the footprint of every frame that is in and whose place is known.

    Parameters
    ----------
    manifest : Manifest
    wcs : Wcs or None
        Of the master; a stack's frames are placed through it.
    size : (width, height) or None, px
        Of the frames, where all are of one size.
    """
    if size is None:
        return []
    found = []
    for frame in manifest.frames:
        if frame.status != "stacked":
            continue
        corners = _corners(frame, manifest, wcs, size)
        if corners is not None:
            found.append(Footprint(frame.file, None, corners))
    return found


def _corners(
    frame: FrameRecord, manifest: Manifest, wcs: Wcs | None, size: tuple[int, int]
) -> list[tuple[float, float]] | None:
    """Return the corners of a frame on the sky, None where its place is not known."""
    width, height = size
    x = np.array([-0.5, width - 0.5, width - 0.5, -0.5])
    y = np.array([-0.5, -0.5, height - 0.5, height - 0.5])
    try:
        if frame.wcs is not None:
            own = Wcs.from_header(frame.wcs)
            return _pairs(*own.to_sky(x, y))
        if frame.transform is not None and wcs is not None:
            cell = 2 if manifest.debayer_method == "superpixel" else 1
            x, y = ((at - (cell - 1) / 2.0) / cell for at in Transform.from_dict(frame.transform)(x, y))
            return _pairs(*wcs.to_sky(x - manifest.canvas[0], y - manifest.canvas[1]))
    except (BadInput, KeyError, ValueError, TypeError):  # a manifest that was changed by hand
        return None
    return None


def _pairs(ra: Any, dec: Any) -> list[tuple[float, float]] | None:
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        return None
    return [(float(a), float(d)) for a, d in zip(ra, dec, strict=True)]
