"""
A run in a process of its own, its peaks measured.

`python measured_run.py kind folder out settings` prints one line of JSON: peak memory and most open files of the
process, and what the plan had predicted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


def measure(folder: Path, out: Path, *, kind: str = "stack", **settings: Any) -> dict[str, Any]:
    """Make a stack or a mosaic in a new process; return its figures."""
    result = subprocess.run(
        [sys.executable, __file__, kind, str(folder), str(out), json.dumps(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def _peak_memory() -> int:
    """Return the most memory that this program held (getrusage would count what the process was before it)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _main(kind: str, folder: str, out: str, settings: str) -> None:
    import skyquilt

    most_files = 0
    is_over = threading.Event()

    def watch() -> None:
        nonlocal most_files
        while not is_over.wait(0.002):
            most_files = max(most_files, len(os.listdir("/proc/self/fd")))  # noqa: PTH208

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = getattr(skyquilt, kind)(folder, out, **json.loads(settings))
    finally:
        is_over.set()
        watcher.join()
    plan = result.plans[0]
    pieces = plan if kind == "stack" else plan.pieces
    figures = {
        "peak_bytes": _peak_memory(),
        "predicted_bytes": pieces.peak_memory_bytes,
        "tile": plan.tile if kind == "stack" else plan.pieces.sub_tile,
        "schedule": pieces.schedule,
        "n_frames": plan.n_frames,
        "most_files": most_files,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
