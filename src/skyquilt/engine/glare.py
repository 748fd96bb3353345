"""Stars that saturate in some frames only: their surroundings are treated alike in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyquilt.core import F64
from skyquilt.engine.light import Light

__all__ = ["find_glare", "share_glare", "tell_glare"]


def share_glare(lights: Sequence[Light], reference: Light) -> None:
    """
    Tell every light where the stars lie that saturate in any of them.

    Only stars that were matched between a light and the reference count: a hot pixel never is.
    """
    glare = find_glare(lights, reference)
    for light in lights:
        tell_glare(light, glare)


def find_glare(lights: Sequence[Light], reference: Light) -> F64:
    """Return where the stars lie that saturate in any of the lights, float64 (n, 2), px (x, y) of the reference."""
    assert reference.measurement is not None
    stars = reference.measurement.stars
    is_matched, is_saturated = np.zeros(len(stars.x), dtype=np.bool_), np.zeros(len(stars.x), dtype=np.bool_)
    for light in lights:
        assert light.registration is not None and light.measurement is not None
        if light is reference:
            continue
        there, here = light.registration.pairs[:, 0], light.registration.pairs[:, 1]
        is_matched[here] = True
        is_saturated[here[light.measurement.stars.is_saturated[there]]] = True
    is_saturated |= stars.is_saturated & is_matched
    return np.stack([stars.x[is_saturated], stars.y[is_saturated]], axis=1)


def tell_glare(light: Light, glare: F64) -> None:
    """Give a light the stars of `find_glare` that lie in it."""
    if not len(glare):
        return
    assert light.registration is not None
    meta = light.file.meta
    places = np.stack(light.registration.transform.inverse()(glare[:, 0], glare[:, 1]), axis=1)
    inside = np.all((places > -1.0) & (places < [meta.width, meta.height]), axis=1)
    light.saturated_stars = np.floor(places[inside]).astype(np.int32)
