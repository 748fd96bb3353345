"""Writes the three forms of the report; a file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

from skyquilt.engine.executors import run_in_order
from skyquilt.engine.manifest import Manifest
from skyquilt.engine.report.document import report_json
from skyquilt.engine.report.language import ENGLISH
from skyquilt.engine.report.markdown import report_markdown
from skyquilt.engine.report.page import report_html
from skyquilt.io.atomic import write_atomically

__all__ = ["write_reports"]


def write_reports(folder: Path, manifest: Manifest, thumbnail_png: bytes | None) -> dict[str, Path]:
    """
    Write report.json, report.md and report.html and return where they lie, by name.

    Parameters
    ----------
    folder : Path
        The folder of one stack; it exists.
    manifest : Manifest
        Complete: statistics and outputs filled in.
    thumbnail_png : bytes or None
        A small PNG of the stack (about 900 px wide) for the page.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If a file cannot be written; an older report then stays as it was.
    """
    texts = {
        "report_json": ("report.json", report_json(manifest)),
        "report_md": ("report.md", report_markdown(manifest)),
        "report_html": ("report.html", report_html(manifest, thumbnail_png, ENGLISH)),
    }

    def write(file: str, text: str) -> Path:
        path = folder / file
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
        return path

    # at once: each waits for the disk, not for the processor
    paths = run_in_order(lambda part: write(*part), texts.values(), n_threads=len(texts))
    return dict(zip(texts, paths, strict=True))
