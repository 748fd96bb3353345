"""A chain done on an image: each step planned on what the one before left, then applied tile by tile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.core.event import Event, Listener, silent
from skyquilt.engine.budget import memory_budget, n_processors, resident_memory
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.finish.chain import Chain, Step
from skyquilt.engine.finish.detail_operations import masked
from skyquilt.engine.finish.look import Look, Surroundings
from skyquilt.engine.finish.master import Master
from skyquilt.engine.finish.operation import Operation, Planned
from skyquilt.engine.finish.record import StepRecord
from skyquilt.engine.finish.schema import find_operation, plain_values
from skyquilt.engine.finish.working import DiskImage, MemoryImage, WorkingImage, row_bands
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.io.catalogue import Catalogue, open_catalogue

__all__ = ["Finished", "Finisher", "read_rows"]

_COPIES = 4  # of the image in memory at once: before, after, and what a step needs beside
_WIDEST_TILE, _TALLEST_TILE = 1536, 1024


@dataclass(eq=False)
class Finished:
    """
    An image after its chain.

    Attributes
    ----------
    image : WorkingImage
    box : Box
        What of the master it covers.
    is_picture : bool
    has_noise_of_master : bool
        Whether nothing was done that changes the noise of a channel by more than a factor.
    steps : list of StepRecord
    linear : WorkingImage or None
        The image before the first stretch, and `linear_box` what it covers, where it was asked for.
    model : callable or None
        The sky that was taken off, of a box of the image it was taken from: float32 (c, y, x), with its shape in
        `model_shape` and its place in `model_box`.
    """

    image: WorkingImage
    box: Box
    is_picture: bool
    has_noise_of_master: bool = True
    steps: list[StepRecord] = field(default_factory=list)
    linear: WorkingImage | None = None
    linear_box: Box | None = None
    model: Callable[[Box], F32] | None = None
    model_shape: tuple[int, int, int] | None = None
    model_box: Box | None = None

    def sha256(self) -> str:
        """Return the digest of the pixels, see `FinishRecord`."""
        digest = hashlib.sha256()
        for _, rows in read_rows(self.image):
            digest.update(np.ascontiguousarray(rows.transpose(1, 0, 2), dtype="<f4").data)
        return digest.hexdigest()


def read_rows(image: WorkingImage) -> Iterator[tuple[int, F32]]:
    """Yield (first row, float32 (c, rows, x)) from top to bottom."""
    for y0, y1 in row_bands(image.shape):
        yield y0, image.read(Box(0, y0, image.shape[2], y1))


class Finisher:
    """
    Does chains on one master.

    Parameters
    ----------
    master : Master
    catalogue : Path or None
        A deeper catalogue of the user.
    folder : Path
        From which relative paths in settings are meant, and where the scratch of a large image goes.
    memory : int or None, bytes
        What the process may hold; an image that does not fit goes to the disk while it is worked on.
    n_threads : int or None
    listener : callable
    """

    def __init__(
        self,
        master: Master,
        *,
        catalogue: Path | None = None,
        folder: Path | None = None,
        scratch: Path | None = None,
        memory: int | None = None,
        n_threads: int | None = None,
        listener: Listener = silent,
    ) -> None:
        self.master = master
        self._listener = listener
        self._n_threads = n_threads or n_processors()
        self._scratch = scratch or Path.cwd()

        def catalogued() -> Catalogue:
            return open_catalogue(catalogue)

        self._around = Surroundings(
            wcs=master.wcs,
            epoch_year=master.epoch_year,
            full_scale=master.full_scale,
            coverage=master.coverage,
            variance=lambda: master.variance(master.shape),
            folder=folder or Path.cwd(),
            open_catalogue=catalogued,
        )
        n_bytes = 4 * int(np.prod(master.shape, dtype=np.int64))
        budget = memory_budget(memory) - resident_memory()
        self.is_on_disk = _COPIES * n_bytes > budget if memory is not None else n_bytes > max(budget, 1 << 30)
        self._tile_bytes = max(budget // (24 * self._n_threads), 1 << 20)

    def run(self, chain: Chain, *, keep_linear: bool = False) -> Finished:
        """
        Return the image after a chain.

        Raises
        ------
        UsageError
            If a step cannot be done on what the one before left.
        NoUsableInput
            If the image does not show what a step needs.
        """
        _check_order(chain, self.master.is_picture)
        image = self._loaded()
        done = Finished(image, Box.of_shape(*self.master.shape[1:]), self.master.is_picture)
        self._listener(Event("phase", "finish", total=len(chain.steps)))
        for k, step in enumerate(chain.steps):
            operation = find_operation(step.operation)
            if operation.makes_picture and keep_linear and done.linear is None:
                done.linear, done.linear_box = done.image, done.box
            self._do(step, operation, done)
            self._listener(Event("progress", "finish", done=k + 1, total=len(chain.steps), message=step.operation))
        if keep_linear and done.linear is None and not done.is_picture:
            done.linear, done.linear_box = done.image, done.box
        return done

    def _loaded(self) -> WorkingImage:
        image: WorkingImage
        if self.is_on_disk:
            image = DiskImage(self._scratch, self.master.shape)
        else:
            image = MemoryImage(np.empty(self.master.shape, dtype=np.float32))
        for y0, rows in self.master.bands():
            image.write(0, y0, rows)
        return image

    def _do(self, step: Step, operation: Operation, done: Finished) -> None:
        look = Look(done.image, done.box, done.is_picture, self._around, done.has_noise_of_master)
        skipped, planned = None, None
        try:
            _check(operation, look)
            planned = operation.plan(look, step.settings)
            if step.mask is not None:
                planned = masked(look, planned, step.mask, is_inverted=step.mask_inverted)
        except (UsageError, NoUsableInput) as refusal:
            if not step.optional:
                raise
            skipped = refusal.message
        if planned is not None:
            before = done.image
            if planned.model is not None and done.model is None:
                done.model, done.model_shape, done.model_box = planned.model, look.shape, done.box
            if planned.box is not None:
                box = planned.box
                done.image = before.cropped(box)
                left, top = done.box.x0, done.box.y0
                done.box = Box(box.x0 + left, box.y0 + top, box.x1 + left, box.y1 + top)
            else:
                done.image = self._applied(before, planned)
            done.is_picture = done.is_picture or operation.makes_picture
            done.has_noise_of_master &= operation.keeps_noise and step.mask is None
        channels, height, width = done.image.shape
        done.steps.append(
            StepRecord(
                operation=step.operation,
                settings=plain_values(step.settings),
                facts=dict(planned.facts) if planned else {},
                notes=list(planned.notes) if planned else [],
                skipped=skipped,
                n_channels=channels,
                width=width,
                height=height,
            )
        )

    def _applied(self, image: WorkingImage, planned: Planned) -> WorkingImage:
        _, height, width = image.shape
        out = image.blank((planned.n_channels, height, width))
        bounds = Box.of_shape(height, width)

        def work(box: Box) -> None:
            seen = box.grow(planned.halo).intersect(bounds)
            tile = planned.apply(image.read(seen), seen.x0, seen.y0)
            x, y = box.x0 - seen.x0, box.y0 - seen.y0
            out.write(box.x0, box.y0, tile[:, y : y + box.height, x : x + box.width])

        boxes = _tiles(image.shape, planned.halo, self._tile_bytes)
        for _ in run_in_order(work, boxes, n_threads=self._n_threads):
            pass
        return out


def _tiles(shape: tuple[int, int, int], halo: int, tile_bytes: int) -> Iterator[Box]:
    """Yield the boxes of an image: bands of rows for single pixels, squarish tiles where the surroundings count."""
    channels, height, width = shape
    if not halo:
        for y0, y1 in row_bands(shape):
            yield Box(0, y0, width, y1)
        return
    side = max(2 * halo, int(np.sqrt(tile_bytes / (4 * channels))) - 2 * halo, 64)
    n_x = -(-width // min(max(side, 256), _WIDEST_TILE)) if width > _WIDEST_TILE else 1
    n_y = -(-height // min(max(side, 256), _TALLEST_TILE))
    for j in range(n_y):
        for i in range(n_x):
            yield Box(i * width // n_x, j * height // n_y, (i + 1) * width // n_x, (j + 1) * height // n_y)


def _check(operation: Operation, look: Look) -> None:
    if operation.channels and look.shape[0] not in operation.channels:
        takes = " or ".join(map(str, operation.channels))
        raise UsageError(
            f"{operation.name} takes an image of {takes} channel{'' if takes == '1' else 's'}, this one has"
            f" {look.shape[0]}",
            f"leave it out: --without {operation.name}",
        )


def _check_order(chain: Chain, is_picture: bool) -> None:
    """Raise if light is asked for where a picture is, or the other way round."""
    for step in chain.steps:
        operation = find_operation(step.operation)
        if operation.domain == "linear" and is_picture:
            raise UsageError(
                f"{operation.name} works on light as it was measured, and the image is stretched by then",
                "put it before the stretch",
            )
        if operation.domain == "picture" and not is_picture:
            raise UsageError(f"{operation.name} works on a stretched picture", "put a stretch before it")
        is_picture = is_picture or operation.makes_picture
