"""
Measure how long the operations of finishing take and how well a gradient is told from a nebula; print both tables.

Run: ``python bench/finish.py``. CPU time, the best of three, on a master of a Seestar's size (1080x1920 px, three
colours). The second table: sky gradients of the first order on nebulae of several shapes and brightnesses; what of the
gradient is left (98 % of the pixels, of the sky) and the error of the emission, worst channel.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skyquilt.steps import finish

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "steps"))
import finish_sky as sky  # the masters of the tests


def best_of(n: int, run: Callable[[], object]) -> float:
    """Return the least CPU time of `n` runs, ms."""
    times = []
    for _ in range(n):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return 1e3 * min(times)


def print_times() -> None:
    """Print what each operation takes."""
    small = sky.make_master(sky.emission_of("galaxy"), sky.gradient_of(1)).image
    image = np.ascontiguousarray(np.repeat(np.repeat(small, 2, axis=1), 2, axis=2))
    cells = finish.read_cells(image, finish.choose_cell(*image.shape[1:]))
    model = finish.plan_gradient(cells, finish.GradientSettings())
    neutral = finish.neutralise(model.apply(image), finish.NeutralSettings())
    picture = finish.stretch_image(neutral, finish.AutoStretchSettings())
    steps: list[tuple[str, Callable[[], object]]] = [
        ("gradient: cells", lambda: finish.read_cells(image, cells.cell_px)),
        ("gradient: search", lambda: finish.plan_gradient(cells, finish.GradientSettings())),
        ("gradient: subtract", lambda: model.apply(image)),
        ("neutralise", lambda: finish.neutralise(image, finish.NeutralSettings())),
        ("SCNR", lambda: finish.reduce_colour(neutral, finish.ScnrSettings())),
        ("colour matrix", lambda: finish.apply_colour_matrix(neutral, finish.MatrixSettings())),
        ("saturation, luminance", lambda: finish.saturate(picture, finish.SaturationSettings(1.3))),
        ("saturation, Lab", lambda: finish.saturate(picture, finish.SaturationSettings(1.3, "lab"))),
        ("stretch, automatic", lambda: finish.stretch_image(neutral, finish.AutoStretchSettings())),
        ("stretch, asinh", lambda: finish.stretch_image(neutral, finish.AsinhSettings())),
        ("stretch, two-stage", lambda: finish.stretch_image(neutral, finish.TwoStageSettings())),
        ("stretch, hyperbolic", lambda: finish.stretch_image(neutral, finish.HyperbolicSettings())),
    ]
    print(f"{'operation':<26}{'CPU ms':>8}")
    for name, run in steps:
        print(f"{name:<26}{best_of(3, run):>8.0f}")


def print_truth() -> None:
    """Print how well gradients are told from nebulae."""
    print(f"{'nebula':<14}{'peak / sky':>11}{'cases':>7}{'left %':>8}{'worst':>7}{'emission %':>12}{'worst':>7}")
    v = sky.plane()[1]
    gradients = [0.1 * v, -0.1 * v, sky.gradient_of(1), 0.0 * v]
    for kind in ("none", "galaxy", "cloud", "half", "smooth half"):
        for peak in (60.0, 250.0, 1500.0):
            if kind == "none" and peak > 60.0:
                continue
            found = []
            for seed in (1, 2):
                for gradient in gradients:
                    master = sky.make_master(sky.emission_of(kind, peak=peak), gradient, seed=seed)
                    model = finish.remove_gradient(master.image, finish.GradientSettings())[1]
                    found.append(sky.gradient_errors(master, model))
            left, lost = 100.0 * np.array(found).T
            share = 0.0 if kind == "none" else peak / 570.0
            print(
                f"{kind:<14}{share:>11.2f}{len(found):>7}{np.median(left):>8.2f}{left.max():>7.2f}"
                f"{np.median(lost):>12.2f}{lost.max():>7.2f}"
            )


if __name__ == "__main__":
    print_times()
    print_truth()
