"""The canvas of a live stack in memory: every frame is added once, the result can be asked for at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

import numpy as np

from skyquilt.core import F32, F64, I64, Box, CanvasTile
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.integration import (
    IntegrationJob,
    cube_scratch,
    finished_tile,
    frame_terms,
    integrate_settings,
    smoothing_of,
)
from skyquilt.engine.planning import without_slivers
from skyquilt.engine.sampling import sampler_of
from skyquilt.steps import integrate

__all__ = ["LiveCanvas", "canvas_bytes"]

_TILE = (256, 32)  # small, so that a plan for little memory can take them over
_BYTES_PER_VALUE = 132  # sums in float64, counts and limits in float32, of one channel of a pixel
_BYTES_PER_PIXEL = 8  # coverage
_BYTES_PER_RESULT = 8  # of one channel: the picture, and what it is measured with


def canvas_bytes(n_channels: int, n_pixels: int) -> int:
    """Return the bytes that a live canvas and its picture take."""
    return n_pixels * (n_channels * (_BYTES_PER_VALUE + _BYTES_PER_RESULT) + _BYTES_PER_PIXEL)


Result = TypeVar("Result")


class LiveCanvas:
    """
    The sweep over all tiles of a job at once.

    Parameters
    ----------
    job : IntegrationJob
        Of the schedule "live"; its first frames are the seeds.
    should_stop : callable

    Attributes
    ----------
    tile : (int, int)
        Width and height of its tiles, px.

    Raises
    ------
    FrameLostError, Interrupted
        From every method that reads frames; the canvas is of no use then.
    """

    def __init__(self, job: IntegrationJob, should_stop: Callable[[], bool]) -> None:
        self._job = job
        self._should_stop = should_stop
        self._n_added = 0
        self._settings = integrate_settings(job.recipe)
        self.tile = without_slivers(_TILE, *job.canvas.shape)
        self._boxes = list(job.canvas.tiles(*self.tile))
        self._states: dict[Box, integrate.SweepState] = {}
        first = job.lights[: job.n_first]
        samplers = [sampler_of(light, job.sampling, job.recipe) for light in first]
        terms = self._terms(job, 0, len(first))

        def begin(box: Box) -> tuple[Box, integrate.SweepState]:
            return box, integrate.SweepState.begin(samplers, box, terms, self._settings)

        self._states.update(self._each(begin))
        self._n_added = len(first)
        self.add(job)

    def _each(self, work: Callable[[Box], Result]) -> Iterator[Result]:
        with closing(
            run_in_order(work, self._boxes, n_threads=self._job.n_threads, should_stop=self._should_stop)
        ) as done:
            yield from done

    @staticmethod
    def _terms(job: IntegrationJob, first: int, last: int | None) -> integrate.FrameTerms:
        return frame_terms(job.lights[first:last], job.sampling.n_channels, job.reference_sky_adu)

    def add(self, job: IntegrationJob) -> None:
        """Add the frames of a job that has grown: its first ones are those that were added before."""
        first, lights = self._n_added, job.lights[self._n_added :]
        samplers = [sampler_of(light, job.sampling, job.recipe) for light in lights]
        terms = self._terms(job, first, None)

        def work(box: Box) -> None:
            for k, sampler in enumerate(samplers):
                self._states[box].add(sampler, terms.take([k]), cube_scratch())

        for _ in self._each(work):
            pass
        self._job, self._n_added = job, len(job.lights)

    def values(self) -> F32:
        """Return the picture as the frames so far make it, float32 (channel, y, x), ADU of the reference."""
        whole = self._job.canvas
        picture = np.empty((self._job.sampling.n_channels, *whole.shape), dtype=np.float32)

        def work(box: Box) -> None:
            picture[:, *box.slices(whole)] = self._states[box].result().value

        for _ in self._each(work):
            pass
        return picture

    def tiles(self) -> Iterator[tuple[CanvasTile, I64]]:
        """Yield every tile and its frame counts as the integration of the same job over a finished folder does."""
        smoothing = smoothing_of(self._job)
        return self._each(lambda box: finished_tile(self._states[box].result(), smoothing))

    def expected_noise(self) -> F64:
        """Return the noise of a pixel if it were that of the frames alone, by channel, ADU, float64 (n_channels,)."""
        terms = self._terms(self._job, 0, None)
        weights = terms.weight[:, None]
        alone = np.sqrt(np.square(weights * terms.sky_sigma).sum(axis=0)) / weights.sum(axis=0)
        expected: F64 = alone * np.sqrt(smoothing_of(self._job)[:, 0, 0].astype(np.float64))
        return expected
