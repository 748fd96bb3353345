"""The images that are open, by handle."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

from skyquilt.core import F32
from skyquilt.engine.budget import available_memory, release_memory
from skyquilt.engine.images.cache import PixelCache
from skyquilt.engine.images.image import ImageFacts, OpenImage
from skyquilt.engine.images.opening import open_file
from skyquilt.engine.images.sources import ArraySource
from skyquilt.errors import UsageError

__all__ = ["ImageStore"]

_DEFAULT_BYTES = 1_000_000_000
_DEFAULT_SHARE = 4


class ImageStore:
    """
    Images held by handle until they are released; safe under threads.

    FITS files and canvases hold no pixels, whatever their size: a box is read when it is asked for. Reduced levels lie
    in a `PixelCache`; pictures (PNG, TIFF, JPEG) and results count against its limit and are refused beyond it.

    Parameters
    ----------
    max_bytes : int or None
        Of all pixels together; None: a quarter of the free memory, at most 1 GB.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        if max_bytes is None:
            max_bytes = min(_DEFAULT_BYTES, available_memory() // _DEFAULT_SHARE)
        self.cache = PixelCache(max_bytes)
        self._images: dict[str, OpenImage] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    @property
    def held_bytes(self) -> int:
        """Bytes of pixels in memory."""
        return self.cache.held_bytes

    def open(self, path: Path, debayer: str = "auto") -> str:
        """
        Open a file or canvas (see `open_file`) and return its handle.

        Raises
        ------
        NoUsableInput, UnreadableFrame, OutputBlocked, UsageError
            As `open_file`.
        NotEnoughMemory
            If a picture does not fit.
        """
        source, facts, n_bytes = open_file(path, debayer)
        handle = self._new_handle()
        if n_bytes:
            self.cache.reserve(handle, n_bytes)
        return self._hold(OpenImage(source, facts, self.cache, handle))

    def add(self, pixels: F32, facts: ImageFacts) -> str:
        """
        Hold pixels, float32 (channel, y, x), and return their handle.

        Raises
        ------
        NotEnoughMemory
            If they do not fit.
        """
        handle = self._new_handle()
        self.cache.reserve(handle, pixels.nbytes)
        return self._hold(OpenImage(ArraySource(pixels), facts, self.cache, handle))

    def get(self, handle: str) -> OpenImage:
        """
        Return an open image.

        Raises
        ------
        UsageError
            If there is none of that handle.
        """
        with self._lock:
            image = self._images.get(handle)
        if image is None:
            raise UsageError(f"no image {handle[:80]!r} is open", "load it first")
        return image

    def release(self, handle: str) -> None:
        """Let an image go, with its pixels; `UsageError` if there is none of that handle."""
        self.get(handle)
        with self._lock:
            self._images.pop(handle, None)
        self.cache.drop(handle)
        release_memory()

    def release_all(self) -> int:
        """Let all images go; return how many there were."""
        with self._lock:
            handles = list(self._images)
            self._images.clear()
        for handle in handles:
            self.cache.drop(handle)
        release_memory()
        return len(handles)

    def sources(self) -> list[Path]:
        """Return the files and folders from which images are open."""
        with self._lock:
            return [image.facts.path for image in self._images.values() if image.facts.path is not None]

    def _new_handle(self) -> str:
        with self._lock:
            return f"image-{next(self._numbers)}"

    def _hold(self, image: OpenImage) -> str:
        with self._lock:
            self._images[image.handle] = image
        return image.handle
