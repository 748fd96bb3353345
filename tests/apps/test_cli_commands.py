"""The small commands: cache, verify, doctor, config; and the pages that are generated from the program."""

from __future__ import annotations

import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from skyquilt import engine, errors
from skyquilt.apps import doctor
from skyquilt.apps.cli.faults import EXIT_CODES
from skyquilt.apps.cli.options import settings_table
from skyquilt.apps.cli.program import program
from skyquilt.apps.cli.reference import pages
from skyquilt.core import LightGroup, Session
from skyquilt.engine.recipe import PRESETS, Recipe

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("no_settings")


def run(*arguments: str, **extra: Any) -> Result:
    return CliRunner().invoke(program, list(arguments), prog_name="skyquilt", **extra)


def scratch(folder: Path) -> Path:
    place = folder / ".skyquilt"
    for part, size in (("measurements", 1000), ("journal", 500), ("transforms", 20)):
        (place / part).mkdir(parents=True)
        (place / part / "kept.bin").write_bytes(b"\0" * size)
    (folder / "report.md").write_text("# kept\n")
    return place


def test_the_cache_of_a_processed_folder_is_shown(tmp_path: Path) -> None:
    scratch(tmp_path / "out" / "M 94")
    for folder in ("out", "out/M 94", "out/M 94/.skyquilt"):
        document = json.loads(run("cache", folder, "--json").stdout)
        assert {entry["name"]: entry["size_bytes"] for entry in document["entries"]} == {
            "measurements": 1000,
            "stack": 500,
            "transforms": 20,
        }
    assert "measurements" in run("cache", "out", "--status").stdout


@pytest.mark.parametrize(
    ("flag", "freed", "left"),
    [
        ("--clear", 1520, set()),
        ("--clear-transforms", 20, {"measurements", "journal"}),
        ("--clear-stack", 500, {"measurements", "transforms"}),
        ("--clear-measurements", 1000, {"journal", "transforms"}),
    ],
)
def test_clearing_frees_what_it_says_and_leaves_products(tmp_path: Path, flag: str, freed: int, left: set[str]) -> None:
    place = scratch(tmp_path / "out" / "M 94")
    document = json.loads(run("cache", "out", flag, "--json").stdout)
    assert document["freed_bytes"] == freed
    assert {path.name for path in place.iterdir()} == left
    assert (tmp_path / "out" / "M 94" / "report.md").exists()


def test_the_cache_of_a_raw_session_is_found_below_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch(tmp_path / "processedData" / "M 94")
    scratch(tmp_path / "processedData" / "M 81")
    (tmp_path / "raw").mkdir()
    group = LightGroup("M 94", "M 94", None, ())
    monkeypatch.setattr("skyquilt.io.discover.discover", lambda root: Session(root, "seestar", (group,)))
    assert json.loads(run("cache", "raw", "--clear", "--json").stdout)["freed_bytes"] == 1520
    assert (tmp_path / "processedData" / "M 81" / ".skyquilt" / "journal").exists()


@pytest.mark.parametrize("command", ["cache", "verify", "frames", "stack", "doctor"])
def test_a_folder_that_does_not_exist_is_an_error_and_creates_nothing(tmp_path: Path, command: str) -> None:
    result = run(command, "absent")
    assert result.exit_code == 4
    assert "there is no folder absent" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml"]


def test_a_cache_that_was_never_filled_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert "nothing is kept" in run("cache", "raw").stdout
    assert [path.name for path in (tmp_path / "raw").iterdir()] == []


def test_showing_and_clearing_at_once_cannot_be_meant(tmp_path: Path) -> None:
    scratch(tmp_path / "out")
    assert run("cache", "out", "--status", "--clear").exit_code == 2


@pytest.mark.parametrize(("problems", "code"), [([], 0), (["master_linear.fits: the checksum differs"], 10)])
def test_verifying_ends_with_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: list[str], code: int
) -> None:
    (tmp_path / "out" / "M 94").mkdir(parents=True)
    (tmp_path / "out" / "M 94" / "run_manifest.json").write_text("{}")
    monkeypatch.setattr(engine, "verify_products", lambda folder: problems)
    result = run("verify", "out")
    assert result.exit_code == code
    assert all(problem in result.stdout for problem in problems)
    document = json.loads(run("verify", "out", "--json").stdout)
    assert document["exit_code"] == code


def test_there_is_nothing_to_verify_without_a_manifest(tmp_path: Path) -> None:
    assert run("verify", str(tmp_path)).exit_code == 4


def test_the_doctor_finds_this_machine_usable() -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    for name in ("numpy", "numba", "memory", "disk", "compiled loops", "temporary folder"):
        assert name in result.stdout


def test_the_doctor_says_when_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LIBRARIES", ("numpy", "no-such-library"))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["usable"] is False


def test_the_bundle_names_no_person_and_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_user_name", lambda: "galilei")
    monkeypatch.setattr(doctor.socket, "gethostname", lambda: "arcetri-tower")
    folder = tmp_path / "out" / "M 94"
    folder.mkdir(parents=True)
    secret = f'{{"dark": "/media/galilei/darks/d.fit", "at": "{tmp_path}/x", "note": "seen from arcetri-tower"}}'
    (folder / "run_manifest.json").write_text(secret)
    (folder / "stacked.fits").write_bytes(b"pixels")
    (tmp_path / "config.toml").write_text('dark = "/home/galilei/darks"\n')
    result = run("doctor", "out", "--bundle", "bundle.zip")
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {"checks.json", "versions.json", "environment.json", "config.toml", "run_1/run_manifest.json"}
    for text in texts.values():
        assert not any(word in text for word in ("galilei", "arcetri", "/media", str(tmp_path), str(Path.home()) + "/"))
    assert "d.fit" in texts["run_1/run_manifest.json"]


def test_the_settings_can_be_read_back_as_they_are_shown() -> None:
    shown = tomllib.loads(run("config", "show").stdout)
    values = {name: value for table in shown.values() for name, value in table.items()}
    assert Recipe(**values) == Recipe()


def test_the_origin_of_a_value_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("keep = 0.8\n")
    monkeypatch.setenv("SKYQUILT_MAX_ITERATIONS", "4")
    result = run("config", "show", "--origin", "--preset", "quick")
    lines = {line.split(" = ")[0]: line for line in result.stdout.splitlines() if " = " in line}
    assert lines["keep"].endswith(f"# {tmp_path / 'config.toml'}")
    assert lines["max_iterations"].endswith("# SKYQUILT_MAX_ITERATIONS")
    assert lines["debayer"].endswith("# --preset quick")
    assert lines["combine"].endswith("# built-in")
    assert tomllib.loads(result.stdout)["selection"]["keep"] == 0.8


def test_the_schema_and_the_presets_are_printed(tmp_path: Path) -> None:
    assert json.loads(run("config", "schema").stdout)["properties"]["keep"]["maximum"] == 1
    for name in PRESETS:
        assert name in run("config", "presets").stdout
    assert run("config", "path").stdout.strip() == str(tmp_path / "config.toml")


def test_the_pages_of_the_reference_are_current() -> None:
    for name, text in pages().items():
        assert (ROOT / name).read_text("utf-8") == text, f"{name}: run python -m skyquilt.apps.cli.reference"


def test_the_option_table_names_every_setting_in_its_order() -> None:
    assert [setting.name for setting in settings_table()] == list(Recipe.model_fields)


def test_every_error_has_a_documented_exit_code() -> None:
    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    assert codes <= set(EXIT_CODES)
    assert set(EXIT_CODES) == {*range(12), 130, 143}


def test_every_command_and_option_has_a_help_text() -> None:
    def check(command: click.Command) -> None:
        assert command.help, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)
        for inner in getattr(command, "commands", {}).values():
            check(inner)

    check(program)
