"""Pixels in memory within a limit: what can be made again goes first, the least lately used before the others."""

from __future__ import annotations

import threading
from collections import OrderedDict

from skyquilt.core import F32
from skyquilt.errors import NotEnoughMemory

__all__ = ["PixelCache"]

Key = tuple[str, int]  # handle of the image, level


class PixelCache:
    """
    The memory that opened images share.

    Reduced levels are kept as long as there is room and dropped otherwise: they can be made again. Pixels that exist
    nowhere else (results, unpacked pictures) are `reserve`d; where they do not fit they are refused.

    Parameters
    ----------
    max_bytes : int
        Of both together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._levels: OrderedDict[Key, tuple[F32, F32]] = OrderedDict()
        self._level_bytes = 0
        self._reserved: dict[str, int] = {}

    @property
    def held_bytes(self) -> int:
        """Bytes of levels and reserved pixels."""
        with self._lock:
            return self._level_bytes + sum(self._reserved.values())

    def find(self, handle: str, level: int) -> tuple[F32, F32] | None:
        """Return value and coverage of a level that is kept, or None."""
        with self._lock:
            found = self._levels.get((handle, level))
            if found is not None:
                self._levels.move_to_end((handle, level))
            return found

    def keep(self, handle: str, level: int, value: F32, coverage: F32) -> None:
        """Keep a level if there is room beside what is reserved; others make way."""
        n_bytes = _bytes_of(value, coverage)
        with self._lock:
            if (handle, level) in self._levels or n_bytes + sum(self._reserved.values()) > self.max_bytes:
                return
            self._levels[handle, level] = (value, coverage)
            self._level_bytes += n_bytes
            self._trim()

    def reserve(self, handle: str, n_bytes: int) -> None:
        """
        Count pixels that cannot be made again.

        Raises
        ------
        NotEnoughMemory
            If they do not fit beside those that are reserved already.
        """
        with self._lock:
            taken = sum(self._reserved.values())
            if taken + n_bytes > self.max_bytes:
                raise NotEnoughMemory(
                    f"an image of {n_bytes / 1e6:.0f} MB does not fit: {taken / 1e6:.0f} of "
                    f"{self.max_bytes / 1e6:.0f} MB for images are taken",
                    "release images that are not needed any more",
                )
            self._reserved[handle] = self._reserved.get(handle, 0) + n_bytes
            self._trim()

    def check_room(self, n_bytes: int) -> None:
        """Raise `NotEnoughMemory` if that many bytes may not be held for a moment."""
        if n_bytes > self.max_bytes:
            raise NotEnoughMemory(
                f"{n_bytes / 1e6:.0f} MB at once are more than the {self.max_bytes / 1e6:.0f} MB for images",
                "ask for a smaller picture, or a part of it",
            )

    def drop(self, handle: str) -> None:
        """Forget all pixels of an image."""
        with self._lock:
            for key in [key for key in self._levels if key[0] == handle]:
                self._level_bytes -= _bytes_of(*self._levels.pop(key))
            self._reserved.pop(handle, None)

    def _trim(self) -> None:
        while self._levels and self._level_bytes + sum(self._reserved.values()) > self.max_bytes:
            self._level_bytes -= _bytes_of(*self._levels.popitem(last=False)[1])


def _bytes_of(*arrays: F32) -> int:
    return sum(array.nbytes for array in arrays)
