"""
Measure how long presets take on a master, reading and writing included: ``python bench/chain.py MASTER``.

The first run of each also compiles what was never compiled on this machine, so the better of two counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from skyquilt.engine.finish import FinishSettings, finish_master, preset_chain, preset_names


def main(master: Path) -> None:
    """Print the times of all presets, and of the steps of the default one."""
    print(f"{'preset':<12}{'CPU s':>8}{'wall s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in preset_names()[:-1]:
            best = min(_times(master, name, Path(folder)) for _ in range(2))
            print(f"{name:<12}{best[0]:>8.2f}{best[1]:>8.2f}")


def _times(master: Path, name: str, folder: Path) -> tuple[float, float]:
    begin = time.process_time(), time.perf_counter()
    finish_master(master, FinishSettings(chain=preset_chain(name), outputs=(folder / f"{name}.jpg",)))
    return time.process_time() - begin[0], time.perf_counter() - begin[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
