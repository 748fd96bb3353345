"""What a run tells while it works: the vocabulary of every progress bar, log line and live view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Event", "Listener", "silent"]


@dataclass(frozen=True, slots=True)
class Event:
    """
    One thing that a run says.

    Attributes
    ----------
    kind : str
        "phase" (a phase begins), "progress" (done of total in the phase), "notice", "warning", "left_out", "table",
        "done".
    phase : str
        "cluster", "discover", "plan", "calibrate", "measure", "select", "register", "integrate", "products",
        "live".
    message : str
        One sentence, or "".
    done, total : int
    data : dict
        Facts that belong to the event (JSON values only).
    """

    kind: str
    phase: str
    message: str = ""
    done: int = 0
    total: int = 0
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
