"""
Measurements kept between runs, under a key made of the frame's content and of everything that changes the figures.

A file that changed under the same name has another key. An entry is arrays and JSON (no pickle) and ends with the
SHA-256 of itself; a damaged one is measured again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from skyquilt import __version__
from skyquilt.core import Calibration, Figures, Measurement, Stars
from skyquilt.io.arrays import read_arrays
from skyquilt.io.atomic import blocked

__all__ = ["CacheEntry", "MeasurementCache", "cache_status", "calibration_digest", "clear_cache", "file_sha256"]

_VERSION = f"5 {__version__}"
_SCRATCH = ".skyquilt"
_DIGEST_BYTES = 32
_counter = itertools.count()
_process = uuid.uuid4().hex[:12]  # on other machines processes have the same numbers
_PARTS = {"measurements": "measurements", "stack": "journal", "transforms": "transforms"}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def calibration_digest(calibration: Calibration) -> str:
    """Return a digest of the arrays that calibrate a frame."""
    digest = hashlib.sha256()
    for array in (calibration.dark, calibration.inverse_flat, calibration.defects):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


class MeasurementCache:
    """
    Keeps measurements in a folder, one small file each.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder / _PARTS["measurements"] if folder else None

    def key(self, content_sha256: str, *facts: str) -> str:
        """Return the key of one frame's measurement."""
        return hashlib.sha256("\n".join((_VERSION, content_sha256, *facts)).encode()).hexdigest()

    def load(self, key: str) -> Measurement | None:
        """Return what is kept under the key, or None."""
        if self._folder is None:
            return None
        try:
            content = (self._folder / f"{key}.npz").read_bytes()
            arrays, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
            if hashlib.sha256(arrays).digest() != digest:
                return None
            data = read_arrays(io.BytesIO(arrays))
            facts = json.loads(bytes(data["facts"]))
            return Measurement(
                figures=Figures(**facts["figures"]),
                stars=Stars.of_table(data["stars"]),
                background=data["background"],
                noise_adu=data["noise_adu"],
                cell_px=facts["cell_px"],
                width=facts["width"],
                height=facts["height"],
            )
        except (OSError, KeyError, ValueError, TypeError):
            return None

    def store(self, key: str, measurement: Measurement) -> None:
        """Keep a measurement; the file appears whole or not at all."""
        if self._folder is None:
            return
        facts = {
            "figures": asdict(measurement.figures),
            "cell_px": measurement.cell_px,
            "width": measurement.width,
            "height": measurement.height,
        }
        content = io.BytesIO()
        np.savez(
            content,
            facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
            background=measurement.background,
            noise_adu=measurement.noise_adu,
            stars=measurement.stars.table,
        )
        data = content.getvalue()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_whole(self._folder / f"{key}.npz", data + hashlib.sha256(data).digest())
        except OSError as error:
            raise blocked(self._folder, error) from error


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears at once, but need not outlive a power cut: a damaged entry is measured again."""
    part = path.with_name(f".{path.stem}.{_process}.{os.getpid()}-{next(_counter)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            content = memoryview(data)
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One part of the scratch folder of a stack."""

    name: str
    n_files: int
    size_bytes: int


def _scratch_folders(folder: Path) -> list[Path]:
    """Return every scratch folder at or below a processed folder."""
    if folder.name == _SCRATCH:
        return [folder]
    return sorted(path for path in folder.rglob(_SCRATCH) if path.is_dir())


def cache_status(folder: Path) -> list[CacheEntry]:
    """Return the size of each part of the scratch folders at or below `folder`."""
    entries = []
    for name, part in _PARTS.items():
        files = [file for scratch in _scratch_folders(folder) for file in (scratch / part).rglob("*") if file.is_file()]
        entries.append(CacheEntry(name, len(files), sum(file.stat().st_size for file in files)))
    return entries


def clear_cache(folder: Path, what: str) -> int:
    """
    Throw away "all", "measurements", "transforms" or "stack" (unfinished tiles); return the bytes freed.

    Products are never touched.
    """
    names = list(_PARTS) if what == "all" else [what]
    freed = sum(entry.size_bytes for entry in cache_status(folder) if entry.name in names)
    for scratch in _scratch_folders(folder):
        for name in names:
            shutil.rmtree(scratch / _PARTS[name], ignore_errors=True)
    return freed
