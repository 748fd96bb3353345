"""A synthetic mosaic written as its device would write it, or kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from skyquilt.core import U16
from skyquilt.testing.mosaic_sky.exposure import raw_mosaic_frame
from skyquilt.testing.mosaic_sky.layout import mosaic_cards, panel_shots_info
from skyquilt.testing.mosaic_sky.making import make_mosaic_truth
from skyquilt.testing.mosaic_sky.scenario import MosaicScenario
from skyquilt.testing.mosaic_sky.truth import MosaicTruth
from skyquilt.testing.sky.session import light_bytes, write_calibration, write_file

__all__ = ["make_mosaic", "make_mosaic_frames"]


def make_mosaic_frames(scenario: MosaicScenario) -> tuple[MosaicTruth, list[U16]]:
    """Return a mosaic in memory: its truth and the raw frames, uint16 (y, x), faults of the pixels included."""
    truth = make_mosaic_truth(scenario)
    return truth, [raw_mosaic_frame(truth, k) for k in range(len(truth.frames))]


def make_mosaic(
    folder: Path | str, scenario: MosaicScenario, *, told: Callable[[int, int], None] | None = None
) -> MosaicTruth:
    """
    Write a mosaic below `folder` with the names, folders and headers of its device.

    Parameters
    ----------
    folder : Path
        Made if it is missing; `layout.mosaic_paths` says where the frames go.
    told : callable
        Called with (frames written, frames in all) after every frame.

    Returns
    -------
    MosaicTruth
        `frames[k].path` is the file of frame k.

    Notes
    -----
    Same scenario, same bytes. Modification times are those of the exposures.
    """
    truth = make_mosaic_truth(scenario, Path(folder))
    before = b""
    for frame in truth.frames:
        frame.path.parent.mkdir(parents=True, exist_ok=True)
        raw = raw_mosaic_frame(truth, frame.index)
        before = light_bytes(frame.fault, raw, partial(mosaic_cards, scenario, frame), before)
        write_file(frame.path, before, frame.start)
        if told:
            told(frame.index + 1, len(truth.frames))
    write_calibration(scenario.camera, truth.sensor, truth.folder, truth.frames[0].start)
    if scenario.camera.device.startswith("dwarf"):
        for frame in {f.panel: f for f in truth.frames}.values():
            text = panel_shots_info(scenario, frame.panel, frame.told_deg)
            (frame.path.parent / "shotsInfo.json").write_text(text, encoding="utf-8")
    return truth
