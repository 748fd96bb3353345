"""
Measure how long the operations of finishing take and how well a gradient is told from a nebula; print both tables.

Run: ``python bench/finish.py``. CPU time, the best of three, on a master of a Seestar's size (1080x1920 px, three
colours). The second table: sky gradients of the first order on nebulae of several shapes and brightnesses; what of the
gradient is left (98 % of the pixels, of the sky) and the error of the emission, worst channel. The third: gradients of
the first and second order under nebulae over half of the field, of random direction, edge, texture, colour, brightness;
`swing` is what the model itself says that it may be wrong by.
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


def random_nebula(seed: int) -> np.ndarray:
    """Return the light of a nebula over about half of the field, float64 (3, y, x)."""
    random = np.random.default_rng(1000 + seed)
    u, v = sky.plane()
    angle = random.uniform(0.0, 2.0 * np.pi)
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    softness = 10.0 ** random.uniform(-1.7, -0.9)
    edge = along - np.median(along) + 0.1 * np.sin(random.uniform(4, 9) * across + random.uniform(0, 6))
    inside = 1.0 / (1.0 + np.exp(-edge / softness))
    shape = 0.6 * inside
    for _ in range(25):
        x, y, size = random.uniform(-0.6, 0.6), random.uniform(-1.0, 1.0), random.uniform(0.03, 0.15)
        shape += random.uniform(-0.2, 0.6) * np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / size**2) * inside
    colour = (sky.RED, sky.GREY, (0.5, 0.8, 0.9))[seed % 3]
    return 10.0 ** random.uniform(1.8, 3.0) * np.clip(shape, 0.0, None) * np.array(colour)[:, None, None]


def random_gradient(order: int, seed: int) -> np.ndarray:
    """Return a relative rise of the sky light of 10 % from its least to its most, (y, x)."""
    u, v = sky.plane()
    random = np.random.default_rng(2000 + seed)
    slopes, curves = random.normal(0.0, 1.0, 2), random.normal(0.0, 1.0, 3) * (order == 2)
    rise = slopes[0] * u + slopes[1] * v + curves[0] * u * u + curves[1] * u * v + curves[2] * v * v
    return 0.1 * (rise - rise.mean()) / np.ptp(rise)


def print_random_truth() -> None:
    """Print how well gradients are told under nebulae over half of the field."""
    print(f"{'order':<7}{'seed':>5}{'found':>7}{'free %':>8}{'swing %':>9}{'left %':>8}{'emission %':>12}")
    for order in (1, 2):
        for seed in range(9):
            master = sky.make_master(random_nebula(seed), random_gradient(order, seed), seed=seed)
            model = finish.remove_gradient(master.image, finish.GradientSettings())[1]
            left, lost = sky.gradient_errors(master, model)
            shares = 100.0 * np.array([model.free.mean(), model.swing, left, lost])
            print(
                f"{order:<7}{seed:>5}{model.order:>7}{shares[0]:>8.0f}{shares[1]:>9.2f}{shares[2]:>8.2f}{shares[3]:>12.2f}"
            )


if __name__ == "__main__":
    print_times()
    print_truth()
    print_random_truth()
