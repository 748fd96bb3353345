"""The mosaic command: map, plan, summary, document and exit codes, on a tiny mosaic that is really made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skyquilt.apps.cli.options import settings_table
from skyquilt.apps.cli.program import program
from skyquilt.engine import Recipe
from skyquilt.engine.mosaic import NOT_OF_A_MOSAIC, MosaicRecipe
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario

CAMERA = Scenario(
    device="generic",
    target="Quilt",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=208,
    height=160,
    n_faint_stars=200,
    zero_point=22.0,
    dither_px=5.0,
    seed=5,
)


def run(*words: str) -> Result:
    return CliRunner().invoke(program, ["mosaic", *words, "--progress", "none"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mosaic")
    make_mosaic(root / "session", MosaicScenario(CAMERA, rows=1, columns=2, subs=3, overlap=0.3, header_wcs=True))
    return root


def test_a_dry_run_shows_the_map_and_writes_nothing(folder: Path) -> None:
    result = run(str(folder / "session"), "--out", str(folder / "nothing"), "--dry-run", "--solve", "off")
    assert result.exit_code == 0, result.output
    assert "6 frames in 2 pointings onto" in result.output
    assert "P01" in result.output and "P02" in result.output
    rows = [line.strip() for line in result.output.splitlines() if line.strip().startswith("|")]
    assert len({len(row) for row in rows}) == 1 and len(rows) > 3
    assert any("@" in row for row in rows)  # where all frames overlap
    assert not (folder / "nothing").exists()


def test_a_mosaic_is_told_in_lines_and_as_a_document(folder: Path) -> None:
    words = [str(folder / "session"), "--out", str(folder / "out"), "--solve", "off"]
    told = run(*words)
    assert told.exit_code == 0, told.output
    for word in ("sewn       6 of 6 frames", "canvas ", "places ", "seams ", "report "):
        assert word in told.output
    document = json.loads(run(*words, "--json").stdout)
    assert document["schema_id"] == "skyquilt.cli.mosaic" and document["exit_code"] == 0
    made = document["mosaics"][0]
    assert made["mosaic"]["panels"][0]["n_frames"] == 3 and document["plans"][0]["projection"] == "TAN"
    for name in ("mosaic_linear", "mosaic_maps", "mosaic_quicklook", "report_html", "manifest"):
        assert Path(made["outputs"][name]).is_file()
    page = Path(made["outputs"]["report_html"]).read_text("utf-8")
    assert "The frames on the canvas" in page and page.count('<path class="outlines"') == 1
    assert "### Pointings" in Path(made["outputs"]["report_md"]).read_text("utf-8")
    assert not run("--help").output.count("--align-mode")


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        ([], "no folder with frames is given", 2),
        (["nowhere"], "there is no folder", 4),
        (["{folder}", "--rotation", "sideways"], "none of north, auto and an angle", 2),
        (["{folder}", "--centre", "400,10"], "no direction", 2),
        (["{folder}", "--size", "10by10"], "is not WIDTHxHEIGHT", 2),
        (["{folder}", "--combine", "sum"], "steps where coverage changes", 2),
        (["{folder}", "--debayer", "none"], "keeps the pattern of one sensor", 2),
        (["{folder}", "--framing", "reference"], "means nothing in a mosaic", 2),
        (["{folder}", "--canvas", "nothing.fits"], "nothing.fits", 2),
        (["{folder}", "--canvas", "x.fits", "--size", "10x10"], "leave those out", 2),
        (["{folder}", "--align-mode", "integer"], "No such option", 2),
        (["{folder}", "--catalogue", "none.csv"], "does not exist", 2),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(folder: Path, words: list[str], sentence: str, code: int) -> None:
    result = run(*(word.format(folder=folder / "session") for word in words), "--out", str(folder / "refused"))
    assert result.exit_code == code, result.output
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_the_settings_of_a_mosaic_are_those_of_its_recipe() -> None:
    names = [setting.name for setting in settings_table("mosaic")]
    assert names == [name for name in MosaicRecipe.model_fields if name not in NOT_OF_A_MOSAIC]
    assert set(NOT_OF_A_MOSAIC) < set(Recipe.model_fields)


def test_settings_of_the_other_kind_in_a_file_are_passed_over(folder: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared.toml"
    shared.write_text('[registration]\nmodel = "affine"\n[mosaic]\nprojection = "zea"\n', "utf-8")
    words = [str(folder / "session"), "--out", str(folder / "shared"), "--dry-run", "--solve", "off"]
    result = run(*words, "--preset", str(shared), "--json")
    assert json.loads(result.stdout)["plans"][0]["projection"] == "ZEA"
    stacked = CliRunner().invoke(program, ["stack", *words, "--preset", str(shared), "--json", "--progress", "none"])
    assert stacked.exit_code == 0, stacked.output
