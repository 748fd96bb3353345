"""Where the frames of a group really saturate: a look at a few of them before all are measured."""

from __future__ import annotations

from collections.abc import Sequence

from skyquilt.core import Event, Listener
from skyquilt.engine.light import Light
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source
from skyquilt.steps import calibrate

__all__ = ["lower_saturation"]

_MOST_FRAMES = 5


def lower_saturation(lights: Sequence[Light], listener: Listener, looked_at: Sequence[Light] | None = None) -> None:
    """
    Give the lights the level at which their pixels pile up, if that lies well below what the files could hold.

    At most five of the frames `looked_at` (None: of all) are read for it, spread over them; those that cannot be read
    have no say.
    """
    asked = lights if looked_at is None else looked_at
    n = min(len(asked), _MOST_FRAMES)
    tops = []
    for k in range(n):
        file = asked[k * (len(asked) - 1) // max(1, n - 1)].file
        try:
            source = frame_source(file)
            tops.append(calibrate.frame_top(source.read(source.bounds).pixels))
        except (UnreadableFrame, OSError):
            continue  # the measuring leaves it out, with the reason
    could_hold = max((light.file.meta.saturation_adu for light in asked), default=0.0)
    ceiling = calibrate.find_ceiling(tops, could_hold)
    if ceiling < could_hold:
        for light in lights:
            light.ceiling_adu = ceiling
        text = f"pixels pile up at {ceiling:g} ADU: taken as saturation in place of {could_hold:g} ADU"
        listener(Event("notice", "measure", text))
