"""
What can go wrong, as one tree; every error says what happened, where, and what to do next.

::

    SkyquiltError                  1   internal or unnamed
    ├── UsageError                 2   an option, a name or a list that cannot be meant
    ├── NoUsableInput              4   nothing to work on
    ├── BadInput                   5   a file that cannot be read as what it should be
    │   └── UnreadableFrame            one frame (becomes a LeftOut, the run goes on)
    ├── NotRegistered              6   no transform, no solution
    ├── NotEnoughDisk              7
    ├── NotEnoughMemory            8
    ├── OutputBlocked              9   exists, locked, read-only
    ├── VerificationFailed        10
    ├── ClusterFailed             11   the other machines; the run can be resumed
    └── Interrupted              130   stopped by the user; the run can be resumed

The number is the exit code of the command line (docs/reference/exit-codes.md). Exit code 3, "done with warnings under
--strict", is no error but a verdict of the run.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BadInput",
    "ClusterFailed",
    "Interrupted",
    "NoUsableInput",
    "NotEnoughDisk",
    "NotEnoughMemory",
    "NotRegistered",
    "OutputBlocked",
    "SkyquiltError",
    "UnreadableFrame",
    "UsageError",
    "VerificationFailed",
]


class SkyquiltError(Exception):
    """
    An error with a sentence for the person who reads it and a hint of what to do next.

    Parameters
    ----------
    message : str
        What happened, where, found and expected: one sentence.
    hint : str
        The next action, or "" when there is none.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n\nhint: {self.hint}" if self.hint else self.message


class UsageError(SkyquiltError):
    """An option, a name or a list that cannot be meant."""

    exit_code = 2


class NoUsableInput(SkyquiltError):
    """Nothing to work on: no folder, no frames, none that can be used."""

    exit_code = 4


class BadInput(SkyquiltError):
    """A file that cannot be read as what it should be."""

    exit_code = 5


class UnreadableFrame(BadInput):
    """One frame that cannot be read; in a run it is left out with this sentence as the reason."""


class NotRegistered(SkyquiltError):
    """Frames could not be matched to each other or to the sky."""

    exit_code = 6


class NotEnoughDisk(SkyquiltError):
    """The output or the scratch space does not fit on the disk."""

    exit_code = 7


class NotEnoughMemory(SkyquiltError):
    """The work does not fit in the memory budget."""

    exit_code = 8


class OutputBlocked(SkyquiltError):
    """The output exists, is locked by another run, or cannot be written."""

    exit_code = 9


class VerificationFailed(SkyquiltError):
    """A product does not match its recorded checksum."""

    exit_code = 10


class ClusterFailed(SkyquiltError):
    """The machines of a cluster cannot be reached, are lost, or do not fit; what was done is kept."""

    exit_code = 11


class Interrupted(SkyquiltError):
    """Stopped by the user; what was done is kept and the run can be resumed."""

    exit_code = 130
