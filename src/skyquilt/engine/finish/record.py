"""What was done to an image: the chain, what each step found, and the digests of what went in and came out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["FinishRecord", "MasterRecord", "OutputFile", "StepRecord"]

_CLOSED = ConfigDict(extra="forbid")


class MasterRecord(BaseModel):
    """The file that the chain began with; its digest is that before and after."""

    model_config = _CLOSED

    file: str
    sha256: str
    width: int
    height: int
    n_channels: int
    has_coordinates: bool


class StepRecord(BaseModel):
    """One step: its settings, what was found in the image, what a person should know; `skipped` says why it was not."""

    model_config = _CLOSED

    operation: str
    settings: dict[str, Any]
    facts: dict[str, Any]
    notes: list[str]
    skipped: str | None = None
    n_channels: int
    width: int
    height: int


class OutputFile(BaseModel):
    """A file that was written: what it is of, its format and its digest."""

    model_config = _CLOSED

    file: str
    content: str
    sha256: str


class FinishRecord(BaseModel):
    """
    The record of a finished image; `chain` replays it.

    `result_sha256` is the digest of the final pixels, float32 little-endian, row after row with the channels of a row
    one after the other.
    """

    model_config = _CLOSED

    schema_id: str = "skyquilt.finish"
    schema_version: int = 1
    program: str
    master: MasterRecord
    chain: dict[str, Any]
    steps_done: list[StepRecord]
    result_sha256: str
    is_picture: bool
    box: tuple[int, int, int, int]
    outputs: list[OutputFile] = []

    @property
    def notes(self) -> list[str]:
        """What a person should know, with the step that says it."""
        told = []
        for step in self.steps_done:
            told += [f"{step.operation}: {note}" for note in step.notes]
            if step.skipped:
                told.append(f"{step.operation} was passed over: {step.skipped}")
        return told
