"""Masters from the words of the files are those of the integration of their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skyquilt.core import FrameKind
from skyquilt.engine.masters import UNREADABLE, LookedAt, average_frames, judge_frames
from skyquilt.io.fits import open_frame, write_image


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[LookedAt]]:
    folder = tmp_path_factory.mktemp("flats")
    random = np.random.default_rng(2)
    for k in range(9):
        flat = random.normal(20000.0 + 300.0 * k, 150.0, (150, 61))
        flat[random.random(flat.shape) < 0.001] = 65535.0
        write_image(folder / f"{k}.fits", np.clip(np.rint(flat), 0, 65535).astype(np.uint16), [])
    files = [open_frame(path) for path in sorted(folder.iterdir())]

    def look(n_threads: int) -> list[LookedAt]:
        good, verdicts = judge_frames(FrameKind.FLAT, files, None, n_threads=n_threads, should_stop=never)
        assert all(verdict.is_good for verdict in verdicts)
        return good

    return look


@pytest.mark.parametrize("has_bias", [False, True])
def test_words_and_values_make_the_same_master_on_any_number_of_threads(
    looked_at: Callable[[int], list[LookedAt]], has_bias: bool
) -> None:
    bias = np.random.default_rng(1).normal(500.0, 2.0, (150, 61)).astype(np.float32) if has_bias else None
    frames = looked_at(1)
    assert all(frame.is_stored for frame in frames)
    master = average_frames(frames, bias, is_flat=True, n_threads=1, should_stop=never)
    threaded = average_frames(looked_at(3), bias, is_flat=True, n_threads=3, should_stop=never)
    np.testing.assert_array_equal(threaded, master)
    as_values = [replace(frame, is_stored=False) for frame in frames]
    np.testing.assert_array_equal(average_frames(as_values, bias, is_flat=True, n_threads=2, should_stop=never), master)


def test_a_file_that_cannot_be_read_has_its_verdict_among_the_others(tmp_path: Path) -> None:
    for k in range(3):
        pixels = np.random.default_rng(k).normal(500.0, 9.0, (40, 50)).round().astype(np.uint16)
        write_image(tmp_path / f"{k}.fits", pixels, [])
    files = [open_frame(path) for path in sorted(tmp_path.iterdir())]
    files[1].path.unlink()
    good, verdicts = judge_frames(FrameKind.BIAS, files, None, n_threads=2, should_stop=never)
    assert [frame.file.name for frame in good] == ["0.fits", "2.fits"]
    assert [verdict.code for verdict in verdicts] == ["", UNREADABLE, ""]
    assert verdicts[1].name == "1.fits" and "is not there any more" in verdicts[1].reason
