"""From the events of a run to the share of it that is done, which never falls."""

from __future__ import annotations

from skyquilt.core import Event

__all__ = ["COMPLETE", "PHASES", "JobProgress"]

COMPLETE = "complete"

# about the shares of the time that the phases of a stack take
_STACK = {
    "discover": 1,
    "compile": 0,
    "calibrate": 8,
    "measure": 25,
    "select": 0,
    "register": 5,
    "plan": 0,
    "trails": 8,
    "integrate": 45,
    "products": 8,
}
_MOSAIC = {
    "discover": 1,
    "compile": 0,
    "calibrate": 6,
    "measure": 20,
    "solve": 8,
    "select": 0,
    "register": 6,
    "normalise": 4,
    "plan": 0,
    "integrate": 45,
    "products": 10,
}
_WATCH = {"discover": 0, "live": 900, **{phase: share for phase, share in _STACK.items() if phase != "discover"}}
_PLAN = {"discover": 5, "compile": 0, "calibrate": 20, "measure": 60, "select": 0, "register": 15, "plan": 0}
_OTHER = {"discover": 10, "compile": 0, "calibrate": 20, "measure": 70, "select": 0}
PHASES = {
    "stack": _STACK,
    "pipeline": _STACK,
    "mosaic": _MOSAIC,
    "watch": _WATCH,
    "plan": _PLAN,
    "finish": {"finish": 1},
}


class JobProgress:
    """
    Where a job is.

    Parameters
    ----------
    command : str
        Its name: the phases differ.
    """

    def __init__(self, command: str) -> None:
        weights = PHASES.get(command, _OTHER)
        total, at = sum(weights.values()), 0
        self._spans: dict[str, tuple[float, float]] = {}
        for phase, weight in weights.items():
            self._spans[phase] = (at / total, weight / total)
            at += weight
        self._has_groups = command != "mosaic"  # whose groups are sewn together
        self._n_groups = 1
        self._n_begun = 0
        self.stage = next(iter(weights))
        self.percent = 0.0

    def take(self, event: Event) -> None:
        """Take in one event."""
        groups = event.data.get("groups")
        if self._has_groups and isinstance(groups, list):
            self._n_groups = max(1, len(groups))
        if event.kind == "phase" and event.phase == "measure":
            self._n_begun += 1  # each group of a stack is measured once
        span = self._spans.get(event.phase)
        if span is None or event.kind not in ("phase", "progress"):
            return
        self.stage = event.phase
        share = min(1.0, event.done / event.total) if event.total else 0.0
        group = min(max(0, self._n_begun - 1), self._n_groups - 1)
        self.percent = max(self.percent, min(1.0, (group + span[0] + span[1] * share) / self._n_groups))

    def complete(self) -> None:
        """Say that it is done."""
        self.stage, self.percent = COMPLETE, 1.0
