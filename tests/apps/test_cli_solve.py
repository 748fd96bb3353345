"""skyquilt solve on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from skyquilt.apps.cli.program import program
from skyquilt.core import SkyGrid, Wcs
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.fits import read_header, write_image
from skyquilt.testing.fields import draw_sky

PLACE = (310.0, 42.0)
GRID = SkyGrid(Wcs(PLACE, (299.5, 199.5), 6.0 / 3600 * np.array([[-1.0, 0.0], [0.0, 1.0]])), 600, 400)
KEYS = {"file", "solved", "reason", "ra_deg", "dec_deg", "scale_arcsec", "rotation_deg", "parity", "n_matched"}
CARDS = [
    ("DATE-OBS", "2025-01-10T22:00:00", ""),
    ("RA", 310.3, ""),
    ("DEC", 41.8, ""),
    ("FOCALLEN", 100.0, ""),
    ("XPIXSZ", 2.9, ""),
]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["solve", *arguments], prog_name="skyquilt")


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pixels() -> Any:
    return draw_sky(open_catalogue(), GRID)


@pytest.fixture
def light(tmp_path: Path, pixels: Any) -> Path:
    write_image(tmp_path / "light.fit", pixels, CARDS)
    return tmp_path / "light.fit"


def test_the_json_document_lists_every_file(light: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_image(tmp_path / "dark.fit", rng.normal(500, 5, (400, 600)).astype(np.float32), [])
    (tmp_path / "text.fit").write_text("no image, but long enough to be looked at by the reader")
    result = run("light.fit", "dark.fit", "text.fit", "--json", "--solver", "own")
    assert result.exit_code == 0, result.output
    solved, dark, text = json.loads(result.stdout)
    assert (solved["schema_id"], solved["schema_version"]) == ("skyquilt.cli.solve", 1)
    assert set(solved) >= KEYS | {"rms_px", "seconds"}
    assert solved["solved"] and solved["reason"] == ""
    assert solved["ra_deg"] == pytest.approx(PLACE[0], abs=1e-3)
    assert solved["dec_deg"] == pytest.approx(PLACE[1], abs=1e-3)
    assert solved["scale_arcsec"] == pytest.approx(6.0, rel=1e-3)
    assert solved["rotation_deg"] == pytest.approx(0.0, abs=0.05)
    assert solved["parity"] == -1
    assert not dark["solved"] and "solving takes 6" in dark["reason"]
    assert not text["solved"] and "not FITS" in text["reason"]
    assert dark["ra_deg"] is None


def test_the_table_is_for_people(light: Path) -> None:
    result = run("light.fit", "--solver", "own")
    assert result.exit_code == 0
    assert "310.0" in result.stdout and "+42.0" in result.stdout
    assert [path.name for path in light.parent.iterdir() if path.is_file()] == ["light.fit"]


def test_nothing_solved_is_exit_code_6_and_nothing_readable_5(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_image(tmp_path / "dark.fit", rng.normal(500, 5, (400, 600)).astype(np.float32), [])
    assert run("dark.fit", "--solver", "own").exit_code == 6
    (tmp_path / "text.fit").write_text("no image, but long enough to be looked at by the reader")
    assert run("text.fit", "--solver", "own").exit_code == 5
    assert run("text.fit", "dark.fit", "--solver", "own").exit_code == 6


def test_sidecars_are_written_where_asked(light: Path, tmp_path: Path) -> None:
    before = light.read_bytes()
    assert run("light.fit", "--solver", "own", "--write-sidecar").exit_code == 0
    assert run("light.fit", "--solver", "own", "--write-sidecar", "--out", "solved").exit_code == 0
    assert (tmp_path / "light.wcs").read_bytes() == (tmp_path / "solved" / "light.wcs").read_bytes()
    assert light.read_bytes() == before


def test_headers_of_products_are_updated_and_raw_ones_refused(light: Path, tmp_path: Path, pixels: Any) -> None:
    before = light.read_bytes()
    refused = run("light.fit", "--update-header")
    assert refused.exit_code == 2
    assert "raw frames are never changed" in refused.stderr
    assert light.read_bytes() == before
    write_image(tmp_path / "master.fits", pixels.astype(np.float32), [*CARDS, ("PROGRAM", "skyquilt 0.1.0", "")])
    assert run("master.fits", "--solver", "own", "--update-header").exit_code == 0
    header = read_header(tmp_path / "master.fits")
    assert header.text("CTYPE1") == "RA---TAN"
    assert header.number("CRVAL1") == pytest.approx(PLACE[0], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.fit"], 4, "there is no file none.fit"),
        (["."], 2, "is a folder"),
        (["light.fit", "--ra", "10"], 2, "both RA and Dec"),
        (["light.fit", "--out", "x"], 2, "--write-sidecar"),
        (["light.fit", "--scale", "-2"], 2, "no pixel scale"),
        (["light.fit", "--blind", "--ra", "1", "--dec", "2"], 2, "takes no direction"),
        (["light.fit", "--solver", "magic"], 2, "magic"),
        ([], 2, "FILE"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(light: Path, arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr


def test_a_wrong_direction_that_binds_does_not_solve(light: Path) -> None:
    asked = ["light.fit", "--ra", "10", "--dec", "42", "--radius", "2", "--scale", "6", "--solver", "own", "--json"]
    result = run(*asked)
    assert result.exit_code == 6
    record = json.loads(result.stdout)[0]
    assert "within 2 degrees of RA 10.00, Dec +42.00" in record["reason"]


@pytest.mark.long
def test_a_blind_search_keeps_its_index_for_the_next(light: Path, tmp_path: Path) -> None:
    for said in (True, False):
        result = run("light.fit", "--blind", "--solver", "own", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)[0]["found_by"] == "blind"
        assert ("building the index" in result.stderr) == said
    assert len(list((tmp_path / "cache").rglob("*.index"))) == 1
