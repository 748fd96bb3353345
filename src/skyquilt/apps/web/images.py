"""The images that are open, by handle."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from skyquilt.apps.web.hub import Hub
from skyquilt.apps.web.log import Log
from skyquilt.errors import SkyquiltError, UsageError

if TYPE_CHECKING:
    from skyquilt.core import SkyGrid

__all__ = ["Images", "OpenedImage", "handle_of"]

_MOST_OPEN = 32
_MOST_DECODES = 8


class OpenedImage(Protocol):
    """What the page can ask of an image."""

    handle: str
    name: str
    revision: int
    saved_from: Path | str | None
    """The file that the engine loads to save it, or the handle that the engine has for it; None: it cannot be saved."""

    async def describe(self) -> dict[str, Any]: ...

    async def tile(self, level: int, x: int, y: int, *, is_exact: bool) -> tuple[bytes, bool] | None: ...

    async def histogram(self) -> tuple[list[dict[str, Any]], bool]: ...

    async def pixel(self, x: float, y: float) -> dict[str, Any]: ...

    @property
    def grid(self) -> SkyGrid | None: ...

    @property
    def rough_from(self) -> int | None: ...

    def build(self, should_stop: Callable[[], bool]) -> None: ...

    async def close(self) -> None: ...


class Images:
    """
    The images that are open, by handle; the least lately used one goes when there are too many.

    Parameters
    ----------
    hub : Hub
        Hears when the levels of an image are exact.
    log : Log
    """

    def __init__(self, hub: Hub, log: Log) -> None:
        self._hub, self._log = hub, log
        self._open: OrderedDict[str, OpenedImage] = OrderedDict()
        self._work: dict[str, asyncio.Task[None]] = {}
        self.decodes = asyncio.Semaphore(_MOST_DECODES)
        self._build_slot = asyncio.Semaphore(1)
        self._is_closing = False

    def get(self, handle: str) -> OpenedImage:
        """Return an image, or raise `UsageError`."""
        image = self._open.get(handle)
        if image is None:
            raise UsageError("this image is not open", "open it again")
        self._open.move_to_end(handle)
        return image

    def find(self, handle: str) -> OpenedImage | None:
        """Return an image if it is open."""
        return self._open.get(handle)

    def hold(self, image: OpenedImage) -> None:
        """Keep an image; levels that are not exact yet are made in the background."""
        self._open[image.handle] = image
        while len(self._open) > _MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            self._begin(f"close {oldest.handle}", oldest.close())
        if image.handle not in self._work:
            self._begin(image.handle, self._build(image))

    async def close(self, handle: str) -> None:
        """Let an image go; nothing happens where there is none."""
        image = self._open.pop(handle, None)
        if image is not None:
            await image.close()

    async def close_all(self) -> None:
        """Let all go, at the end."""
        self._is_closing = True
        for handle in list(self._open):
            await self.close(handle)
        await asyncio.gather(*self._work.values(), return_exceptions=True)

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._work[name] = task
        task.add_done_callback(lambda done: self._work.pop(name, None))

    async def _build(self, image: OpenedImage) -> None:
        async with self._build_slot:
            was_rough = image.rough_from is not None
            try:
                await asyncio.to_thread(image.build, lambda: self._is_closing)
            except SkyquiltError as error:
                self._log.add("warning", "", f"{image.name}: {error.message}")
                return
            if self._open.get(image.handle) is not image:
                return
            if was_rough and image.rough_from is None:
                image.revision += 1
            self._hub.publish("image", handle=image.handle, revision=image.revision, rough_from=image.rough_from)


def handle_of(*parts: object) -> str:
    """Return the handle of what the parts tell apart: the same image has the same one, so that tiles stay cached."""
    text = "|".join(str(part) for part in parts)
    return "h" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:20]
