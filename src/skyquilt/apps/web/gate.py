"""Who may come in: a token of one start, exchanged for a cookie; wrong tries are counted."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Gate", "Tried"]

_BYTES = 32
_MOST_WRONG = 10
_LOCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a try: whether it was right, and for how long no other one is looked at, seconds."""

    is_right: bool
    locked_s: float = 0.0


@dataclass(eq=False)
class Gate:
    """
    The token of this start and the cookie for it (SAFETY.md, 7.4.2).

    Attributes
    ----------
    token, cookie : str
        256 bits each, by the system's random numbers.
    clock : callable
        Seconds that never go back.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(_BYTES))
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(_BYTES))
    clock: Callable[[], float] = time.monotonic
    _n_wrong: int = 0
    _locked_until: float = float("-inf")

    def try_token(self, given: str) -> Tried:
        """Compare a token in a time that tells nothing; ten wrong ones lock the gate for a minute."""
        left = self._locked_until - self.clock()
        if left > 0.0:
            return Tried(is_right=False, locked_s=left)
        if _is_same(given, self.token):
            self._n_wrong = 0
            return Tried(is_right=True)
        self._n_wrong += 1
        if self._n_wrong >= _MOST_WRONG:
            self._n_wrong = 0
            self._locked_until = self.clock() + _LOCK_S
            return Tried(is_right=False, locked_s=_LOCK_S)
        return Tried(is_right=False)

    def knows(self, cookie: str) -> bool:
        """Return whether a cookie is the one that was given."""
        return _is_same(cookie, self.cookie)


def _is_same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode("ascii"))
