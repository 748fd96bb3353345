"""
What a mosaic costs as it grows: raw subs of 64 pointings onto one large canvas, with a bound on the memory.

    python bench/mosaic_scale.py [--subs 3 9 32] [--canvas 12000] [--memory 2GB] [--folder DIR]
        [--plan 20000] [--json FILE]

8 x 8 pointings of colour subs of 720 x 720 px (as many pixels as 540 x 960), 3, 9 and 32 subs a pointing: 192, 576 and
2,048 subs of the same sky, each onto the same canvas. Every size runs in a process of its own, measures its frames anew
and keeps its canvas. The table has wall and CPU seconds, peak memory, the most files open at once, the scratch over the
products, and CPU milliseconds by stage, a sub; the last column is what a further sub costs between two sizes. A larger
canvas is then planned (`--dry-run`), and a strip of it assembled.

The largest run takes some ten minutes of two cores that are free, and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from skyquilt.core import Event
from skyquilt.engine.mosaic import MosaicRecipe, make_mosaics
from skyquilt.engine.result import RunOptions
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario

POINTINGS = 8
SIDE = 720
OVERLAP = 0.2
SCALE = 3.0
STAGES = (
    "discover",
    "calibrate",
    "measure",
    "solve",
    "select",
    "register",
    "normalise",
    "trails",
    "integrate",
    "products",
)


def scenario(subs: int) -> MosaicScenario:
    """Return the sky under all pointings."""
    camera = Scenario(
        device="seestar",
        target="wide field",
        ra_deg=85.0,
        dec_deg=34.0,
        scale_arcsec=SCALE,
        width=SIDE,
        height=SIDE,
        n_faint_stars=4000,
        zero_point=22.0,
        rotation_deg=(0.0, 8.0),
        dither_px=8.0,
        gradient=0.1,
        transparency_scatter=0.05,
        nebula_adu=120.0,
        n_trails=20,
        n_bias=0,
        n_dark=0,
        n_flat=0,
        seed=21,
    )
    return MosaicScenario(camera, rows=POINTINGS, columns=POINTINGS, subs=subs, overlap=OVERLAP, quick_noise=True)


def make_sessions(folder: Path, subs: list[int]) -> dict[int, Path]:
    """Return the folder of each size; the smaller ones hold links to files of the largest."""
    most = max(subs)
    whole = folder / f"subs-{most}"
    note = folder / f"subs-{most}.json"
    if not note.exists():
        truth = make_mosaic(whole, scenario(most))
        note.write_text(json.dumps([[frame.panel, str(frame.path.relative_to(whole))] for frame in truth.frames]))
    sessions = {most: whole}
    for n in subs:
        if n == most:
            continue
        sessions[n] = folder / f"subs-{n}-of-{most}"
        sessions[n].mkdir(exist_ok=True)
        taken: dict[int, int] = defaultdict(int)
        for panel, name in json.loads(note.read_text()):
            taken[panel] += 1
            link = sessions[n] / Path(name).name
            if taken[panel] <= n and not link.exists():
                os.link(whole / name, link)
    return sessions


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Watch:
    """Hears the phases, and counts CPU seconds by phase and open files meanwhile."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self.lines: list[str] = []
        self.most_files = 0
        self._stage, self._at = "discover", (time.process_time(), time.perf_counter())
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        if event.kind == "phase":
            self.turn(event.phase)
        if event.kind == "notice" and event.phase == "plan":
            self.lines.append(event.message)

    def turn(self, stage: str) -> None:
        now = time.process_time(), time.perf_counter()
        self.cpu[self._stage] += now[0] - self._at[0]
        self.wall[self._stage] += now[1] - self._at[1]
        self._stage, self._at = stage, now

    def end(self) -> None:
        self.turn("end")
        self._ends.set()
        self._thread.join()

    def _count(self) -> None:
        files = Path("/proc/self/fd")
        while not self._ends.wait(0.05) and files.is_dir():
            self.most_files = max(self.most_files, sum(1 for _ in files.iterdir()))


def child(arguments: argparse.Namespace) -> None:
    """Sew once in this process and print the figures as JSON."""
    out = Path(arguments.out)
    shutil.rmtree(out, ignore_errors=True)
    recipe = MosaicRecipe(
        memory=arguments.memory, scale_arcsec=arguments.scale, size=arguments.size, centre="85.0,34.0", threads=2
    )
    watch, begun = Watch(), time.perf_counter()
    options = RunOptions(dry_run=arguments.dry_run)
    result = make_mosaics([Path(arguments.session)], out, recipe, listener=watch, options=options)
    watch.end()
    for failure in result.failures:
        sys.exit(f"{failure.name}: {failure.error}")
    found: dict[str, Any] = {
        "wall_s": time.perf_counter() - begun,
        "cpu_s": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "files": watch.most_files,
        "cpu": dict(watch.cpu),
        "wall": dict(watch.wall),
        "plan": watch.lines,
    }
    if not arguments.dry_run:
        made = result.mosaics[0]
        found["frames"] = made.manifest.statistics.n_stacked
        found["scratch_mb"] = size_of(made.folder / ".skyquilt") / 1e6
        found["output_mb"] = size_of(made.folder) / 1e6 - found["scratch_mb"]
    print(json.dumps(found))


def measured(session: Path, out: Path, memory: str, size: str, scale: float, *extra: str) -> dict[str, Any]:
    """Sew in a process of its own; return its figures."""
    words = [
        "--session",
        str(session),
        "--out",
        str(out),
        "--memory",
        memory,
        "--size",
        size,
        "--scale",
        f"{scale:.6f}",
    ]
    command = [sys.executable, __file__, "--child", *words, *extra]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        sys.exit(done.returncode)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(rows: dict[int, dict[str, Any]]) -> None:
    """Print the figures of all sizes."""
    print(
        f"{'subs':>6}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'files':>7}{'scratch/output':>16}{'CPU ms a sub':>14}"
        f"{'a further':>11}"
    )
    last: tuple[int, float] | None = None
    for row in rows.values():
        n, cpu = row["frames"], row["cpu_s"]
        further = "" if last is None else f"{1e3 * (cpu - last[1]) / (n - last[0]):.0f}"
        share = row["scratch_mb"] / row["output_mb"]
        print(
            f"{n:6}{row['wall_s']:9.1f}{cpu:9.1f}{row['peak_mb']:9.0f}{row['files']:7}{share:16.2f}"
            f"{1e3 * cpu / n:14.0f}{further:>11}"
        )
        last = n, cpu
    print("\nCPU ms a sub by stage\n" + f"{'':12}" + "".join(f"{row['frames']:>9}" for row in rows.values()))
    stages = [stage for row in rows.values() for stage in row["cpu"]]
    for stage in dict.fromkeys(sorted(stages, key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES))):
        figures = (1e3 * row["cpu"].get(stage, 0.0) / row["frames"] for row in rows.values())
        print(f"{stage:12}" + "".join(f"{figure:9.1f}" for figure in figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subs", type=int, nargs="+", default=[3, 9, 32], help="subs a pointing")
    parser.add_argument("--canvas", type=int, default=12_000, help="px of a side")
    parser.add_argument("--plan", type=int, default=20_000, help="px of a side of the canvas that is planned; 0: none")
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "skyquilt-bench" / "scale")
    parser.add_argument("--json", type=Path, help="where to keep all figures")
    for name in ("--session", "--out", "--size"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, help=argparse.SUPPRESS)
    for name in ("--child", "--dry-run"):
        parser.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sessions = make_sessions(arguments.folder, sorted(arguments.subs))
    covered = SIDE * (1.0 + (POINTINGS - 1) * (1.0 - OVERLAP))
    out = arguments.folder / "out"
    canvas = f"{arguments.canvas}x{arguments.canvas}"
    rows = {}
    for n in sorted(arguments.subs):
        rows[n] = measured(sessions[n], out, arguments.memory, canvas, SCALE * covered / arguments.canvas)
        print(f"{rows[n]['frames']} subs: {rows[n]['wall_s']:.0f} s", file=sys.stderr, flush=True)
    print(f"canvas {canvas} px RGB, --memory {arguments.memory}, 2 threads")
    table(rows)
    if arguments.plan:
        session, scale = sessions[min(arguments.subs)], SCALE * covered / arguments.plan
        whole = f"{arguments.plan}x{arguments.plan}"
        plan = measured(session, out, arguments.memory, whole, scale, "--dry-run")
        print(f"\n{whole} planned: {plan['wall_s']:.1f} s, {plan['peak_mb']:.0f} MB", *plan["plan"], sep="\n  ")
        strip = measured(session, out, arguments.memory, f"{arguments.plan}x512", scale)
        print(
            f"a strip of {arguments.plan}x512 px of it: {strip['wall_s']:.1f} s, {strip['cpu_s']:.1f} s of CPU, "
            f"{strip['peak_mb']:.0f} MB"
        )
        rows |= {-1: plan, -2: strip}
    if arguments.json:
        arguments.json.write_text(json.dumps({str(n): row for n, row in rows.items()}, indent=1))


if __name__ == "__main__":
    main()
