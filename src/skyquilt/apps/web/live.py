"""What the live stack has told so far, for pages that come later or are loaded again."""

from __future__ import annotations

from typing import Any

from skyquilt.apps.web.hub import Hub

__all__ = ["LiveBoard"]

_FIGURES = ("group", "n_in", "n_left_out", "exposure_s", "level_adu", "noise_adu", "expected_adu", "delay_s", "problem")
_CURVE = ("n_in", "exposure_s", "noise_adu", "expected_adu")
_MOST_POINTS = 2000


class LiveBoard:
    """
    The figures of the live stack, its frames, and the curve of its noise.

    Parameters
    ----------
    hub : Hub
        Tells the pages of every change.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._figures: dict[str, Any] | None = None
        self._frames: dict[str, dict[str, Any]] = {}
        self._curve: list[dict[str, Any]] = []
        self._excluded: list[str] = []

    def clear(self) -> None:
        """Forget all: another folder, or another start."""
        self._figures, self._frames, self._curve, self._excluded = None, {}, [], []
        self._tell([], [], is_anew=True)

    def take(self, data: dict[str, Any]) -> None:
        """Take in the data of an event of the phase live."""
        self._figures = {name: data.get(name) for name in _FIGURES}
        self._excluded = [str(name) for name in data.get("excluded") or []]
        told = {str(frame.get("file")): frame for frame in data.get("frames") or [] if isinstance(frame, dict)}
        is_anew = bool(data.get("history"))
        if is_anew:  # all frames are told, but for those that are excluded
            points = list(data["history"])
            told = {**{name: self._frames[name] for name in self._excluded if name in self._frames}, **told}
            self._frames, self._curve = told, points
        else:
            points = [] if data.get("noise_adu") is None else [{name: data.get(name) for name in _CURVE}]
            self._frames |= told
            self._curve = [*self._curve[1 - _MOST_POINTS :], *points]
        self._tell(list(told.values()), points, is_anew=is_anew)

    def choose(self, excluded: list[str]) -> None:
        """Note which frames are excluded, before the picture has followed."""
        self._excluded = excluded
        self._tell([], [], is_anew=False)

    def as_json(self) -> dict[str, Any]:
        """Return everything as the page gets it (docs/reference/app-api.md, section 5)."""
        return {
            "figures": self._figures,
            "frames": list(self._frames.values()),
            "curve": self._curve,
            "excluded": self._excluded,
        }

    def _tell(self, frames: list[dict[str, Any]], curve: list[dict[str, Any]], *, is_anew: bool) -> None:
        """Tell the pages what is new, or that all is."""
        self._hub.publish(
            "live", figures=self._figures, frames=frames, curve=curve, excluded=self._excluded, is_anew=is_anew
        )
