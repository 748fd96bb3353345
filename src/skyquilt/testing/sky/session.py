"""A synthetic session written as its device would write it, or kept in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from skyquilt.core import CFA_NAMES, F32, U16, FrameKind
from skyquilt.testing.sky.devices import (
    calibration_cards,
    calibration_path,
    device_stack_path,
    light_cards,
    master_path,
    shots_info,
)
from skyquilt.testing.sky.exposure import raw_frame
from skyquilt.testing.sky.fits import Card, fits_bytes, structure_cards
from skyquilt.testing.sky.making import make_truth
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.sensor import FLAT_EXPOSURE_S, Sensor, calibration_frame
from skyquilt.testing.sky.truth import FrameTruth, Truth

__all__ = ["light_bytes", "make_frames", "make_session", "write_calibration", "write_file"]

_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:0000000000000000000000000000000000000000000000000000000000000000\nsize 4152960\n"
)
_SKELETON = ("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "BZERO", "BSCALE")


def make_frames(scenario: Scenario) -> tuple[Truth, list[U16]]:
    """Return a session in memory: its truth and the raw frames, uint16 (y, x), faults of the pixels included."""
    truth = make_truth(scenario)
    return truth, [raw_frame(truth, k) for k in range(len(truth.frames))]


def make_session(folder: Path | str, scenario: Scenario, *, told: Callable[[int, int], None] | None = None) -> Truth:
    """
    Write a session below `folder` with the names, folders and headers of its device.

    Parameters
    ----------
    folder : Path
        Made if it is missing. Lights go to `MyWorks/<target>_sub` (seestar), `Astronomy/DWARF_RAW_...` (dwarf) or
        `lights` (generic); `Truth.lights_folder` says where.
    told : callable
        Called with (frames written, frames in all) after every light.

    Returns
    -------
    Truth
        `frames[k].path` is the file of frame k.

    Notes
    -----
    Same scenario, same bytes. Modification times are those of the exposures.
    Cost: about 40 ms of one core a frame of 1080x1920.
    """
    truth = make_truth(scenario, Path(folder))
    truth.lights_folder.mkdir(parents=True, exist_ok=True)
    before = b""
    for frame in truth.frames:
        raw = raw_frame(truth, frame.index)
        before = light_bytes(frame.fault, raw, partial(_cards, truth, frame), before)
        write_file(frame.path, before, frame.start)
        if told:
            told(frame.index + 1, len(truth.frames))
    write_calibration(scenario, truth.sensor, truth.folder, truth.frames[0].start)
    if scenario.device in ("dwarf3", "dwarf2"):
        (truth.lights_folder / "shotsInfo.json").write_text(shots_info(scenario), encoding="utf-8")
    if scenario.device_stack:
        _write_device_stack(truth)
    return truth


def write_file(path: Path, content: bytes, start: datetime) -> None:
    """Write a file that was last changed when its exposure began."""
    path.write_bytes(content)
    seconds = start.replace(tzinfo=UTC).timestamp()
    os.utime(path, (seconds, seconds))


def _cards(truth: Truth, frame: FrameTruth, pixels: U16 | F32) -> list[Card]:
    """Return the header of a light with those pixels."""
    return light_cards(truth.scenario, structure_cards(pixels), frame.start, frame.index)


def light_bytes(fault: str, raw: U16, cards: Callable[[U16 | F32], list[Card]], before: bytes) -> bytes:
    """
    Return the file of a light, with the fault of a file or of a header if it is one.

    Parameters
    ----------
    fault : str
        A word of `FAULTS`, or "".
    raw : uint16 (y, x)
    cards : callable
        Gives the whole header of the pixels that are written.
    before : bytes
        The file of the frame before, for duplicates.
    """
    if fault == "empty":
        return b"SIMPL"
    if fault == "lfs_pointer":
        return _POINTER.encode("ascii")
    if fault == "duplicate" and before:
        return before
    if fault == "nan":
        pixels = raw.astype(np.float32)
        pixels[len(pixels) // 4 : len(pixels) // 2] = np.nan
        return fits_bytes([card for card in cards(pixels) if card.keyword not in ("BZERO", "BSCALE")], pixels)
    content = fits_bytes(_faulty_cards(cards(raw), fault), raw)
    return content[: int(0.4 * len(content))] if fault == "truncated" else content


def _faulty_cards(cards: list[Card], fault: str) -> list[Card]:
    """Return the header with the fault of a header, if it is one."""
    if fault == "missing_keys":
        return [card for card in cards if card.keyword in _SKELETON]
    if fault == "decimal_comma":
        comma = [Card(card.keyword, "1,0E+01", card.comment, is_literal=True) for card in cards]
        return [
            c if card.keyword in ("EXPTIME", "EXPOSURE", "EXP") else card for card, c in zip(cards, comma, strict=True)
        ]
    if fault == "wrong_bayer":
        return [_with_other_pattern(card) if card.keyword == "BAYERPAT" else card for card in cards]
    return cards


def _with_other_pattern(card: Card) -> Card:
    other = next(name for name in CFA_NAMES if name != card.value)
    return Card(card.keyword, other, card.comment)


def write_calibration(scenario: Scenario, sensor: Sensor, folder: Path, start: datetime) -> None:
    """Write the calibration frames that the scenario asks for, as raw frames or as the masters of a DWARF."""
    plan = (
        (FrameKind.BIAS, "bias", scenario.n_bias, 0.0),
        (FrameKind.DARK, "dark", scenario.n_dark, scenario.exposure_s),
        (FrameKind.FLAT, "flat", scenario.n_flat, FLAT_EXPOSURE_S),
        (FrameKind.FLAT_DARK, "flat_dark", scenario.n_flat_dark, FLAT_EXPOSURE_S),
    )
    for kind, word, n_frames, exposure_s in plan:
        frames = (calibration_frame(scenario, sensor, word, k) for k in range(n_frames))
        if n_frames and scenario.device.startswith("dwarf") and kind in (FrameKind.FLAT, FrameKind.BIAS):
            _write_master(scenario, kind, frames, n_frames, folder, start)
            continue
        for index, frame in enumerate(frames):
            path = calibration_path(scenario, folder, kind, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            cards = calibration_cards(scenario, structure_cards(frame), kind, index, exposure_s)
            write_file(path, fits_bytes(cards, frame), start - timedelta(hours=2.0))


def _write_master(
    scenario: Scenario, kind: FrameKind, frames: Iterable[U16], n_frames: int, folder: Path, start: datetime
) -> None:
    """Write the mean of calibration frames the way a factory master comes: no word on what it is but its name."""
    total = np.zeros((scenario.height, scenario.width))
    for frame in frames:
        total += frame
    master = np.rint(total / n_frames).astype(np.uint16)
    cards = [*structure_cards(master), Card("BZERO", 32768), Card("BSCALE", 1)]
    if scenario.cfa:
        cards.append(Card("BAYERPAT", scenario.cfa))
    path = master_path(scenario, folder, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, fits_bytes(cards, master), start - timedelta(days=90))


def _write_device_stack(truth: Truth) -> None:
    """Write the stack of the device: colour planes, and yet the header speaks of a Bayer pattern and of a light."""
    scenario, frame = truth.scenario, truth.frames[-1]
    sky = truth.frames[truth.reference].sky_adu
    planes = [truth.render_reference(channel) + sky[channel] for channel in range(scenario.n_channels)]
    pixels = np.rint(np.clip(np.stack(planes), 0.0, 65535.0)).astype(np.uint16)
    n, total_s = scenario.n_frames, scenario.n_frames * scenario.exposure_s
    cards = light_cards(scenario, structure_cards(pixels), frame.start, scenario.n_frames)
    cards = [Card("TOTALEXP", total_s, card.comment) if card.keyword == "TOTALEXP" else card for card in cards]
    cards.append(Card("STACKCNT", n, "Stack frames"))
    path = device_stack_path(scenario, truth.lights_folder, frame.start + timedelta(seconds=scenario.exposure_s + 8.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, fits_bytes(cards, pixels), frame.start + timedelta(seconds=scenario.exposure_s + 8.0))
