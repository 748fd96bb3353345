"""A master on coarser pixels, so that a chain can be looked at while it is being put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.core.event import Listener, silent
from skyquilt.engine.finish.chain import Chain, Step
from skyquilt.engine.finish.cropping import CropSettings
from skyquilt.engine.finish.master import Master, cards_for
from skyquilt.engine.finish.products import Product, write_product
from skyquilt.engine.finish.record import StepRecord
from skyquilt.engine.finish.run import Finisher, read_rows

__all__ = ["PREVIEW_PIXELS", "FinishPreview", "ReducedMaster", "preview_chain", "reduce_master"]

PREVIEW_PIXELS = 700_000
"""A reduced master has no more: the default chain takes about half a second on two processors."""


@dataclass(frozen=True, slots=True, eq=False)
class ReducedMaster:
    """
    A master on coarser pixels.

    Attributes
    ----------
    master : Master
    factor : int
        Pixels of the file along the side of one of these; 1: it is the master itself.
    """

    master: Master
    factor: int


@dataclass(frozen=True, slots=True, eq=False)
class FinishPreview:
    """
    What a chain makes of a reduced master.

    Attributes
    ----------
    steps : list of StepRecord
    is_picture : bool
        Whether it is stretched to 0..1.
    factor : int
    box : (int, int, int, int), px of the file
        What of the master it covers: left, top, right, bottom.
    """

    steps: list[StepRecord]
    is_picture: bool
    factor: int
    box: tuple[int, int, int, int]


def reduce_master(master: Master, most_pixels: int = PREVIEW_PIXELS) -> ReducedMaster:
    """
    Return a master on square cells of its pixels, as few of them as the number allows; its file is read once.

    Parameters
    ----------
    master : Master
    most_pixels : int
        Of the result, a channel.

    Notes
    -----
    A pixel is the mean of those of its cell that have data, NaN where none has; what is left over at the right and
    the lower edge is dropped. Sums are in float64.
    """
    _, height, width = master.shape
    factor = max(1, int(np.ceil(np.sqrt(height * width / most_pixels))))
    factor = min(factor, height, width)
    if factor == 1:
        return ReducedMaster(master, 1)
    pixels = _cell_means(master, factor)

    def bands() -> Iterator[tuple[int, F32]]:
        yield 0, pixels

    wcs = None if master.wcs is None else master.wcs.scaled(1.0 / factor)
    reduced = replace(
        master, shape=pixels.shape, bands=bands, wcs=wcs, coverage=_coarser(master.coverage, factor, pixels.shape)
    )
    return ReducedMaster(reduced, factor)


def _cell_means(master: Master, factor: int) -> F32:
    channels, height, width = master.shape
    shape = (channels, height // factor, width // factor)
    total, count = np.zeros(shape), np.zeros(shape, dtype=np.int32)
    columns = shape[2] * factor
    for y0, rows in master.bands():
        rows = rows[:, : max(0, shape[1] * factor - y0), :columns]
        n = rows.shape[1]
        if not n:
            continue
        known = np.isfinite(rows)
        cells = (channels, n, shape[2], factor)
        values = np.where(known, rows, np.float32(0.0)).reshape(cells).sum(axis=3, dtype=np.float64)
        numbers = known.reshape(cells).sum(axis=3, dtype=np.int32)
        first = np.unique((y0 + np.arange(n)) // factor, return_index=True)
        total[:, first[0]] += np.add.reduceat(values, first[1], axis=1)
        count[:, first[0]] += np.add.reduceat(numbers, first[1], axis=1)
    with np.errstate(invalid="ignore"):
        means: F32 = (total / np.where(count, count, np.nan)).astype(np.float32)
    return means


def _coarser(coverage: Callable[[], F32 | None], factor: int, shape: tuple[int, ...]) -> Callable[[], F32 | None]:
    """Return what gives the exposure at the middle of every cell."""

    def read() -> F32 | None:
        found = coverage()
        if found is None:
            return None
        middle = factor // 2
        return np.ascontiguousarray(found[middle::factor, middle::factor][: shape[1], : shape[2]])

    return read


def preview_chain(
    reduced: ReducedMaster, chain: Chain, output: Path, *, folder: Path | None = None, listener: Listener = silent
) -> FinishPreview:
    """
    Do a chain on a reduced master and write what comes of it as a FITS file.

    Sizes in px are those of the reduced pixels, but for the box of a crop, which is of the file's.

    Raises
    ------
    UsageError, NoUsableInput
        As `Finisher.run`.
    NotEnoughDisk, OutputBlocked
    """
    master, factor = reduced.master, reduced.factor
    finisher = Finisher(master, folder=folder, scratch=output.parent, listener=listener)
    done = finisher.run(Chain(tuple(_of_cells(step, factor) for step in chain.steps)))
    cards = cards_for(master, done.box, is_picture=done.is_picture, history=("a preview of skyquilt finish",))
    image = done.image
    write_product(output, Product(image.shape, lambda: read_rows(image), done.is_picture, master.is_bottom_up, cards))
    box = done.box
    return FinishPreview(
        done.steps, done.is_picture, factor, (box.x0 * factor, box.y0 * factor, box.x1 * factor, box.y1 * factor)
    )


def _of_cells(step: Step, factor: int) -> Step:
    """Return a step whose box counts cells."""
    settings = step.settings
    if factor == 1 or not isinstance(settings, CropSettings) or settings.box is None:
        return step
    x0, y0, x1, y1 = settings.box
    box = Box(x0 // factor, y0 // factor, -(-x1 // factor), -(-y1 // factor))
    return replace(step, settings=replace(settings, box=(box.x0, box.y0, box.x1, box.y1)))
