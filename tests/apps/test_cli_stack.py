"""The stack and frames commands: options, settings, summaries, documents and exit codes, with an invented engine."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skyquilt import engine
from skyquilt.apps.cli.options import settings_table
from skyquilt.apps.cli.program import program
from skyquilt.core import Box, Event, Session
from skyquilt.engine.manifest import FrameRecord, Manifest, Statistics
from skyquilt.engine.result import GroupFailure, Plan, RunResult, StackResult
from skyquilt.errors import Interrupted, NotEnoughDisk, NotRegistered


def invented_manifest(frames: list[FrameRecord], warnings: list[str]) -> Manifest:
    n_stacked = sum(frame.status == "stacked" for frame in frames)
    statistics = Statistics(
        n_found=len(frames),
        n_stacked=n_stacked,
        n_left_out=len(frames) - n_stacked,
        exposure_s=10.0 * n_stacked,
        effective_exposure_s=9.0 * n_stacked,
        rejected_low=0.002,
        rejected_high=0.006,
        background=[1113.0],
        noise=[3.1],
        noise_8x8=[3.4],
        snr_gain=[2.8],
        fwhm_px=3.3,
        frames_fwhm_px=3.4,
        n_stars=400,
        rotation_range_deg=0.0,
        width=10,
        height=8,
        n_channels=1,
    )
    return Manifest(
        program="skyquilt",
        session="session",
        group="M 94",
        device="seestar",
        target="M 94",
        filter=None,
        recipe={},
        recipe_sha256="0",
        rejection_rule="sigma",
        debayer_method="none",
        kernel="bilinear",
        schedule="cube",
        unit="adu",
        canvas=(0, 0, 10, 8),
        reference=None,
        calibration=[],
        calibration_table=[],
        n_defects=0,
        frames=frames,
        other_files=[],
        statistics=statistics,
        warnings=warnings,
        notes=[],
    )


GOOD = [FrameRecord(file=f"light {k}.fit", status="stacked", exposure_s=10.0, score=k / 10) for k in range(8)]
BROKEN = FrameRecord(file="cut.fit", status="left_out", code="truncated", reason="ends at 40 %", stage="measure")
UNWANTED = FrameRecord(file="soft.fit", status="left_out", code="low_score", reason="score 0.1", stage="select")
PLAN = Plan(
    name="M 94",
    n_frames=8,
    n_channels=1,
    canvas=Box(0, 0, 10, 8),
    tile=(8, 10),
    peak_memory_bytes=300_000_000,
    scratch_bytes=1_000_000,
    output_bytes=2_000_000,
    seconds=12.0,
    schedule="cube",
)


class InventedEngine:
    """Answers what it is told to answer and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.frames: list[FrameRecord] = [*GOOD, UNWANTED]
        self.warnings: list[str] = []
        self.failures: tuple[GroupFailure, ...] = ()
        self.n_stacks = 1
        self.events: list[Event] = []
        self.error: BaseException | None = None

    def stack_session(self, root: Path, out: Path, recipe: Any, *, listener: Any, options: Any) -> RunResult:
        self.calls.append({"root": root, "out": out, "recipe": recipe, "options": options})
        for event in self.events:
            listener(event)
        if self.error:
            raise self.error
        session = Session(root=root, device="seestar", groups=())
        if options.dry_run:
            return RunResult(session, plans=(PLAN,))
        stack = StackResult(
            name="M 94",
            folder=out / "M 94",
            manifest=invented_manifest(self.frames, self.warnings),
            outputs={
                "master_linear": out / "M 94" / "stacked" / "master_linear.fits",
                "master_quicklook": out / "M 94" / "stacked" / "master_quicklook.png",
                "report_html": out / "M 94" / "report.html",
            },
        )
        return RunResult(session, plans=(PLAN,), stacks=(stack,) * self.n_stacks, failures=self.failures)

    def list_frames(self, root: Path, out: Path, recipe: Any, *, scored: bool, **_: Any) -> list[FrameRecord]:
        self.calls.append({"root": root, "recipe": recipe, "scored": scored})
        return self.frames


@pytest.fixture
def fake(no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> InventedEngine:
    invented = InventedEngine()
    monkeypatch.setattr(engine, "stack_session", invented.stack_session)
    monkeypatch.setattr(engine, "list_frames", invented.list_frames)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "session").mkdir()
    return invented


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments), prog_name="skyquilt")


def test_a_stack_ends_with_a_summary_and_the_place_of_the_pictures(fake: InventedEngine) -> None:
    result = run("stack", "session")
    assert result.exit_code == 0
    assert "8 of 9 frames, 1 min 20 s of exposure" in result.stdout
    assert "1 low score" in result.stdout
    assert "master_quicklook.png" in result.stdout
    assert "report.html" in result.stdout
    assert fake.calls[0]["out"] == Path("processedData")


def test_every_setting_of_the_recipe_is_an_option(fake: InventedEngine) -> None:
    texts = {"number": "0.6", "integer": "2", "text": "auto", "list": "*_bad.fit", "bytes": "2GB"}
    for setting in settings_table():
        if setting.kind == "flag":
            arguments = [f"--no-{setting.flag[2:]}" if setting.default else setting.flag]
        else:
            text = setting.choices[1] if setting.kind == "choice" else texts[setting.kind]
            arguments = [setting.flag, text]
        result = run("stack", "session", *arguments)
        assert result.exit_code == 0, (arguments, result.output)
        assert getattr(fake.calls[-1]["recipe"], setting.name) != setting.default or setting.kind == "text"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--sigma", "2.5"], {"sigma_low": 2.5, "sigma_high": 2.5}),
        (["--sigma", "2.5", "--sigma-high", "4"], {"sigma_low": 2.5, "sigma_high": 4.0}),
        (["--maxiters", "7"], {"max_iterations": 7}),
        (["--workers", "3"], {"threads": 3}),
        (["--full-res"], {"debayer": "cfa"}),
        (["--cfa", "rggb"], {"cfa": "RGGB"}),
        (["--memory", "512MB"], {"memory": 512_000_000}),
        (["--no-quicklook"], {"quicklook": False}),
        (["--exclude", "a*", "--exclude", "b*"], {"exclude": ("a*", "b*")}),
        (["--preset", "dwarf3"], {"keep": 0.92, "max_iterations": 5}),
        (["--debayer", "bayer-first", "--align-mode", "rgb_affine"], {"debayer": "bayer-first"}),
        (["--max-fwhm-px", "none"], {"max_fwhm_px": None}),
    ],
)
def test_the_names_of_dwarf3_work(fake: InventedEngine, arguments: list[str], expected: dict[str, Any]) -> None:
    result = run("stack", "session", *arguments)
    assert result.exit_code == 0, result.output
    assert {name: getattr(fake.calls[0]["recipe"], name) for name in expected} == expected


def test_the_ways_of_a_run_reach_the_engine(fake: InventedEngine, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.fit\n")
    (tmp_path / "transforms.json").write_text("{}")
    result = run(
        *("stack", "session", "--dry-run", "--frame-list", "list.txt", "--load-transforms", "transforms.json"),
        *("--save-transforms", "--no-cache", "--cache-refresh", "--out", "elsewhere"),
    )
    assert result.exit_code == 0, result.output
    options = fake.calls[0]["options"]
    assert (options.dry_run, options.save_transforms, options.use_cache, options.refresh_cache) == (
        True,
        True,
        False,
        True,
    )
    assert (options.frame_list, options.load_transforms) == (Path("list.txt"), Path("transforms.json"))
    assert fake.calls[0]["out"] == Path("elsewhere")
    assert "memory 300 MB" in result.stdout
    assert not (tmp_path / "elsewhere").exists()


def test_the_date_of_the_products_comes_from_the_environment_only(
    fake: InventedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("stack", "session")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1742951445")
    run("stack", "session")
    assert [call["options"].created for call in fake.calls] == [None, "2025-03-26T01:10:45"]


def test_asking_for_the_gpu_says_plainly_that_the_cpu_is_used(fake: InventedEngine) -> None:
    for flag in ("--gpu", "--use-gpu"):
        assert "the CPU is used" in run("stack", "session", flag).stderr


def test_the_json_document_is_all_of_standard_output(fake: InventedEngine) -> None:
    fake.events = [Event("notice", "discover", "a word in passing"), Event("progress", "measure", done=1, total=2)]
    result = run("stack", "session", "--json")
    document = json.loads(result.stdout)
    assert (document["schema_id"], document["schema_version"]) == ("skyquilt.cli.stack", 1)
    assert document["stacks"][0]["statistics"]["n_stacked"] == 8
    assert document["stacks"][0]["left_out"] == {"low_score": 1}
    assert "a word in passing" in result.stderr


def test_progress_as_json_lines_is_all_of_standard_error(fake: InventedEngine) -> None:
    fake.events = [Event("phase", "measure", total=2), Event("progress", "measure", done=1, total=2, data={"a": 1})]
    result = run("stack", "session", "--progress", "jsonl", "--gpu")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line["kind"] for line in lines] == ["notice", "phase", "progress"]
    assert lines[-1]["done"] == 1


def test_quiet_leaves_the_folder_only(fake: InventedEngine) -> None:
    fake.events = [Event("warning", "measure", "dark clouds")]
    result = run("stack", "session", "-q")
    assert result.stdout == f"{Path('processedData') / 'M 94'}\n"
    assert result.stderr == ""


def test_the_table_of_calibration_frames_is_shown_before_the_work(fake: InventedEngine) -> None:
    rows = [{"kind": "dark", "n_frames": 20, "used": True, "reason": "same gain"}]
    fake.events = [Event("table", "calibrate", "calibration frames", data={"rows": rows})]
    result = run("stack", "session")
    assert "same gain" in result.stderr
    assert "n frames" in result.stderr


def test_the_log_file_gets_everything(fake: InventedEngine, tmp_path: Path) -> None:
    fake.events = [Event("left_out", "measure", "cut.fit: ends at 40 %")]
    result = run("stack", "session", "-q", "--log-file", "run.log")
    assert result.exit_code == 0
    text = (tmp_path / "run.log").read_text()
    assert "skyquilt stack session -q --log-file run.log" in text
    assert "ends at 40 %" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["stack", "nowhere"], 4, "there is no folder nowhere"),
        (["stack", "sesion"], 4, "did you mean"),
        (["stack", "session", "--keep", "1.5"], 2, "keep = 1.5 (--keep)"),
        (["stack", "session", "--keep", "lots"], 2, "a valid number"),
        (["stack", "session", "--memory", "plenty"], 2, "is not an amount of memory"),
        (["stack", "session", "--preset", "bset"], 2, "did you mean best?"),
        (["stack", "session", "--frame-list", "absent.txt"], 2, "there is no file absent.txt"),
        (["stack", "session", "--load-transforms", "absent.json"], 2, "there is no file absent.json"),
        (["stack", "session", "--full-res", "--debayer", "rcd"], 2, "--full-res means --debayer cfa"),
        (["stack", "session", "--debayer", "magic"], 2, "magic"),
        (["stack", "session", "--kep", "1"], 2, "--keep"),
        (["stack"], 2, "FOLDER"),
        (["stak", "session"], 2, "Did you mean stack?"),
        (["stack", "session", "--log-file", "absent/run.log"], 9, "the log file"),
        (["frames", "nowhere"], 4, "there is no folder nowhere"),
        (["frames", "session", "--frame-list", "absent.txt"], 2, "there is no file absent.txt"),
    ],
)
def test_bad_input_gets_one_sentence_and_its_code(
    fake: InventedEngine, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not fake.calls


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotEnoughDisk("12 MB are needed", "free some space"), 7),
        (MemoryError(), 8),
        (OSError(28, "No space left on device"), 7),
        (PermissionError(13, "Permission denied", "out"), 9),
        (ValueError("a bug"), 1),
        (Interrupted("stopped"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_of_the_engine_becomes_its_exit_code(fake: InventedEngine, error: BaseException, code: int) -> None:
    fake.error = error
    result = run("stack", "session", "--json")
    assert result.exit_code == code
    assert "Traceback" not in result.output
    document = json.loads(result.stdout)
    assert document["schema_id"] == "skyquilt.cli.error"
    assert document["exit_code"] == code


def test_a_fault_of_the_program_shows_its_traceback_only_on_request(fake: InventedEngine, tmp_path: Path) -> None:
    fake.error = ValueError("a bug")
    assert "Traceback" not in run("stack", "session").output
    assert "Traceback" in run("stack", "session", "-v").stderr
    logged = run("stack", "session", "--log-file", "run.log")
    assert "run.log" in logged.stderr
    assert "Traceback" in (tmp_path / "run.log").read_text()


def test_a_stopped_run_prints_the_command_that_goes_on(fake: InventedEngine) -> None:
    fake.error = Interrupted("stopped")
    result = run("stack", "session", "--keep", "0.9", "--out", "my folder")
    assert result.exit_code == 130
    assert "skyquilt stack session --keep 0.9 --out 'my folder'" in result.stderr


def test_targets_stand_for_themselves(fake: InventedEngine) -> None:
    fake.failures = (GroupFailure("M 81", NotRegistered("no stars match", "look at the frames")),)
    result = run("stack", "session")
    assert result.exit_code == 0
    assert "M 81: no stars match" in result.stderr
    assert run("stack", "session", "--strict").exit_code == 3
    fake.n_stacks = 0
    assert run("stack", "session").exit_code == 6


def test_no_target_at_all_is_no_success(fake: InventedEngine) -> None:
    fake.n_stacks = 0
    assert run("stack", "session").exit_code == 4


@pytest.mark.parametrize(
    ("frames", "warnings", "events", "code"),
    [
        ([*GOOD, UNWANTED], [], [], 0),
        ([*GOOD, BROKEN], [], [], 3),
        (GOOD, ["no flats"], [], 3),
        (GOOD, [], [Event("warning", "measure", "clouds")], 3),
    ],
)
def test_strict_minds_warnings_and_spoilt_frames_but_not_what_was_asked_for(
    fake: InventedEngine, frames: list[FrameRecord], warnings: list[str], events: list[Event], code: int
) -> None:
    fake.frames, fake.warnings, fake.events = frames, warnings, events
    assert run("stack", "session", "--strict").exit_code == code
    assert run("stack", "session").exit_code == 0


def test_the_list_of_frames_tells_what_would_be_left_out(fake: InventedEngine) -> None:
    fake.frames = [*GOOD, BROKEN]
    result = run("frames", "session")
    assert result.exit_code == 0
    assert "8 of 9 frames kept; left out: 1 truncated" in result.stdout
    assert "left out: ends at 40 %" in result.stdout
    assert fake.calls[0]["scored"] is False


@pytest.mark.parametrize("arguments", [["--scored"], ["--keep", "0.5"], ["--max-fwhm-px", "4"]])
def test_frames_are_measured_when_their_figures_are_needed(fake: InventedEngine, arguments: list[str]) -> None:
    result = run("frames", "session", *arguments)
    assert result.exit_code == 0
    assert fake.calls[0]["scored"] is True
    assert "score" in result.stdout


def test_a_saved_text_list_names_the_kept_frames(fake: InventedEngine, tmp_path: Path) -> None:
    fake.frames = [*GOOD, BROKEN]
    assert run("frames", "session", "--save", "list.txt").exit_code == 0
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [frame.file for frame in GOOD]
    assert "# cut.fit: ends at 40 %" in lines


def test_a_saved_csv_list_has_every_frame_and_its_figures(fake: InventedEngine, tmp_path: Path) -> None:
    fake.frames = [*GOOD, BROKEN]
    assert run("frames", "session", "--save", "list.CSV").exit_code == 0
    with (tmp_path / "list.CSV").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9
    assert rows[3]["score"] == "0.3"
    assert rows[-1]["reason"] == "ends at 40 %"


def test_a_list_that_cannot_be_saved_is_an_error(fake: InventedEngine) -> None:
    assert run("frames", "session", "--save", "absent/list.txt").exit_code == 9


def test_frames_as_json(fake: InventedEngine) -> None:
    document = json.loads(run("frames", "session", "--json").stdout)
    assert document["schema_id"] == "skyquilt.cli.frames"
    assert len(document["frames"]) == 9


def test_no_frames_is_no_success(fake: InventedEngine) -> None:
    fake.frames = []
    assert run("frames", "session").exit_code == 4


def test_a_setting_of_the_session_folder_counts(fake: InventedEngine, tmp_path: Path) -> None:
    (tmp_path / "session" / "skyquilt.toml").write_text("[selection]\nkeep = 0.5\n")
    run("stack", "session")
    run("stack", "session", "--keep", "0.7")
    assert [call["recipe"].keep for call in fake.calls] == [0.5, 0.7]


def test_the_demo_makes_frames_and_stacks_them(
    fake: InventedEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path] = []

    def make_session(folder: Path, scenario: Any, *, told: Callable[[int, int], None]) -> None:
        made.append(folder)
        told(1, scenario.n_frames)

    monkeypatch.setattr("skyquilt.testing.sky.make_session", make_session, raising=False)
    result = run("demo", "try")
    assert result.exit_code == 0, result.output
    assert made == [Path("try/rawData")]
    assert fake.calls[0]["root"] == Path("try/rawData")
    assert "master_quicklook.png" in result.stdout


def test_the_demo_does_not_touch_a_folder_of_somebody_else(fake: InventedEngine, tmp_path: Path) -> None:
    (tmp_path / "try").mkdir()
    (tmp_path / "try" / "thesis.txt").write_text("mine")
    assert run("demo", "try").exit_code == 9
