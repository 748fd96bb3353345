"""
skyquilt beside Debian's siril-cli, in one run: calibrate, debayer, register and stack the same raw frames.

    python bench/siril.py [--frames 60] [--width 1080] [--height 1920] [--repeat 3] [--folder DIR]

20 bias, 20 darks, 20 flats; winsorized sigma clipping 3 3; two threads each. Wall seconds, peak memory and the
disk that each program filled. Neither looks for its place on the sky (`--solve off`). skyquilt runs as it does once it
is installed, byte code and kernels compiled (one run before), and measures its frames anew.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import skyquilt
from skyquilt.testing.sky import Scenario, make_session

SIRIL_SCRIPT = """requires 1.0.0
setcpu 2
cd {biases}
convert bias -out={work}
cd {work}
stack bias rej 3 3 -nonorm
cd {flats}
convert flat -out={work}
cd {work}
preprocess flat -bias=bias_stacked
stack pp_flat rej 3 3 -norm=mul
cd {darks}
convert dark -out={work}
cd {work}
stack dark rej 3 3 -nonorm
cd {lights}
convert light -out={work}
cd {work}
preprocess light -dark=dark_stacked -flat=pp_flat_stacked -cc=dark -cfa -equalize_cfa -debayer
register pp_light
stack r_pp_light rej 3 3 -norm=addscale -out=result
close
"""


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def timed(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Return (wall seconds, peak memory of the largest child so far in MB)."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


def run_skyquilt(session: Path, out: Path, extra: list[str]) -> tuple[float, float, int]:
    shutil.rmtree(out, ignore_errors=True)
    command = [str(Path(sys.executable).parent / "skyquilt"), "stack", str(session), "--out", str(out)]
    command += ["--rejection", "winsorized", "--sigma", "3", "--threads", "2", "--solve", "off", "--quiet", *extra]
    wall, memory = timed(command)
    return wall, memory, size_of(out)


def run_siril(session: Path, work: Path) -> tuple[float, float, int]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folders = {name: session / name for name in ("biases", "flats", "darks", "lights")}
    script = work / "script.ssf"
    script.write_text(SIRIL_SCRIPT.format(work=work, **folders))
    wall, memory = timed(["siril-cli", "-s", str(script)], {**os.environ, "HOME": str(work), "LC_ALL": "C.UTF-8"})
    return wall, memory, size_of(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--width", type=int, default=1080)
    parser.add_argument("--height", type=int, default=1920)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "skyquilt-bench")
    parser.add_argument("--memory", default=None)
    arguments = parser.parse_args()
    if shutil.which("siril-cli") is None:
        print("siril-cli is not installed: nothing to compare with")
        return
    name = f"{arguments.frames}x{arguments.width}x{arguments.height}"
    session = arguments.folder / name
    if not (session / "done").exists():
        scenario = Scenario(
            device="generic",
            target="M 94",
            n_frames=arguments.frames,
            width=arguments.width,
            height=arguments.height,
            n_bias=20,
            n_dark=20,
            n_flat=20,
            vignetting=0.3,
            rotation_deg=(0.0, 3.0),
            n_trails=arguments.frames // 12,
            seed=7,
        )
        make_session(session, scenario)
        (session / "done").touch()
    compileall.compile_dir(Path(skyquilt.__file__).parent, quiet=2)
    extra = ["--memory", arguments.memory] if arguments.memory else []
    run_skyquilt(session, arguments.folder / "out", extra)
    ours, theirs = [], []
    for _ in range(arguments.repeat):
        ours.append(run_skyquilt(session, arguments.folder / "out", extra))
        theirs.append(run_siril(session, arguments.folder / "siril"))
    print(f"{arguments.frames} frames of {arguments.width}x{arguments.height}, 20 bias, 20 darks, 20 flats; 2 threads")
    print(f"{'':12}{'wall s':>10}{'min':>8}{'max':>8}{'disk MB':>10}")
    for label, runs in (("skyquilt", ours), ("siril-cli", theirs)):
        walls = [run[0] for run in runs]
        disk = runs[0][2] / 1e6
        print(f"{label:12}{statistics.median(walls):10.2f}{min(walls):8.2f}{max(walls):8.2f}{disk:10.0f}")
    ratios = [them[0] / us[0] for us, them in zip(ours, theirs, strict=True)]
    print(f"siril / skyquilt, pair by pair: median {statistics.median(ratios):.2f}")
    print(f"peak memory of skyquilt's first run: {ours[0][1]:.0f} MB")


if __name__ == "__main__":
    main()
