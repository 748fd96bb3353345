"""ZeMosaic's settings: every key is accounted for, each does what the table says, and the options work on frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skyquilt.apps.cli.program import program
from skyquilt.apps.settings import Layer, gather_layers, settle
from skyquilt.apps.zemosaic import (
    WORKER_OPTIONS,
    Reading,
    blocks,
    from_options,
    look_up,
    read_config,
    read_solver_settings,
)
from skyquilt.apps.zemosaic.reading import CONVERSIONS
from skyquilt.engine import RunOptions
from skyquilt.engine.lock import locked
from skyquilt.engine.mosaic import MosaicRecipe
from skyquilt.engine.mosaic.walk import _check_disks as check_disks
from skyquilt.errors import BadInput, NotEnoughDisk, SkyquiltError, UsageError
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario

NAME = "zemosaic_config.json"
DEFAULTS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / NAME).read_text("utf-8"))
"""Every key that ZeMosaic 4.5 writes into its file, with its default."""
FREE = 4_000_000_000


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    def write(content: object) -> Path:
        path = tmp_path / NAME
        path.write_text(json.dumps(content), "utf-8")
        return path

    return write


def read(path: Path) -> Reading:
    return read_config(path, free_memory=lambda: FREE)


def recipe_of(reading: Reading) -> MosaicRecipe:
    recipe = settle([Layer(reading.origin, reading.settings, reading.origins, is_shared=False)], MosaicRecipe).recipe
    assert isinstance(recipe, MosaicRecipe)
    return recipe


def changes(recipe: MosaicRecipe) -> dict[str, Any]:
    usual = MosaicRecipe()
    return {name: value for name, value in recipe if value != getattr(usual, name)}


# --- the table


def test_every_default_key_is_accounted_for_once() -> None:
    listed = [key.name for block in blocks() for key in (*block.keys, *block.hidden)]
    assert len(listed) == len(set(listed))
    assert {key.name for block in blocks() for key in block.keys} == set(DEFAULTS)
    counts = {fate: sum(len(b.keys) for b in blocks() if b.fate == fate) for fate in ("mapped", "always", "none")}
    assert counts == {"mapped": 22, "always": 25, "none": 216}
    assert sum(counts.values()) == len(DEFAULTS) == 263


def test_every_key_has_a_reason_and_the_default_that_its_program_has() -> None:
    for block in blocks():
        for key in block.keys:
            assert key.reason and key.title, key.name
            assert key.default == DEFAULTS[key.name], key.name
            assert bool(key.to) == (key.fate == "mapped")


def test_the_table_and_the_conversions_agree() -> None:
    told = {key.name: key.to for block in blocks() if block.fate == "mapped" for key in block.keys}
    assert {key: one.to for one in CONVERSIONS for key in one.keys} == told
    for one in CONVERSIONS:
        assert not one.is_setting or one.to in MosaicRecipe.model_fields


def test_settings_that_reasons_name_exist() -> None:
    for name in ("normalise", "surface_order", "feather_px", "scale_arcsec", "keep", "max_fwhm_px", "quicklook"):
        assert name in MosaicRecipe.model_fields
        assert any(name in block.reason for block in blocks()), name


# --- the file


def test_the_file_as_zemosaic_writes_it_has_no_unknown_key(config: Callable[..., Path]) -> None:
    reading = read(config(DEFAULTS))
    assert not reading.unknown
    assert [key.name for key in reading.keys] == list(DEFAULTS)
    assert reading.changed() == []
    assert changes(recipe_of(reading)) == {"weights": "noise", "rejection": "winsorized", "memory": int(0.9 * FREE)}
    assert (reading.input, reading.output, reading.scratch, reading.keep_canvas) == (None, None, None, False)
    assert not reading.is_fresh


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"stacking_kappa_low": 2.5}, {"sigma_low": 2.5}),
        ({"stacking_kappa_high": 4}, {"sigma_high": 4.0}),
        ({"stacking_normalize_method": "none"}, {"normalise": "none"}),
        ({"stacking_normalize_method": "sky_mean"}, {"normalise": "additive"}),
        ({"stacking_normalize_method": "linear_fit"}, {}),
        ({"stacking_weighting_method": "none"}, {"weights": "none"}),
        ({"stacking_weighting_method": "noise_variance"}, {"weights": "noise"}),
        ({"stacking_weighting_method": "noise_fwhm"}, {"weights": "fwhm"}),
        ({"stacking_rejection_algorithm": "none"}, {"rejection": "none"}),
        ({"stacking_rejection_algorithm": "kappa_sigma"}, {"rejection": "sigma"}),
        ({"stacking_rejection_algorithm": "Winsorized_Sigma_Clip"}, {"rejection": "winsorized"}),
        ({"stacking_rejection_algorithm": "linear_fit_clip"}, {"rejection": "linear_fit"}),
        ({"stacking_final_combine_method": "median"}, {"combine": "median"}),
        ({"apply_radial_weight": True}, {"radial_feather": 0.2}),
        ({"apply_radial_weight": True, "radial_feather_fraction": 0.7}, {"radial_feather": 0.3}),
        ({"apply_radial_weight": False, "radial_feather_fraction": 0.7}, {}),
        ({"global_wcs_res_override": "6000x4000"}, {"size": "6000x4000"}),
        ({"global_wcs_res_override": [600, 400]}, {"size": "600x400"}),
        ({"global_wcs_res_override": None}, {}),
        ({"global_wcs_orientation": "median_pc"}, {"rotation": "auto"}),
        ({"solver_method": "NONE"}, {"solve": "off"}),
        ({"solver_method": "ASTAP"}, {}),
        ({"assembly_process_workers": 3}, {"threads": 3}),
        ({"num_processing_workers": 5, "parallel_max_cpu_workers": 4, "winsor_worker_limit": 0}, {"threads": 4}),
        ({"num_processing_workers": -1, "assembly_process_workers": 0}, {}),
        ({"parallel_target_ram_fraction": 0.25}, {"memory": FREE // 4}),
        ({"parallel_target_ram_fraction": 0.25, "parallel_autotune_enabled": False}, {}),
        ({"language": "fr", "patchwork_suppressor_strength": "low"}, {}),
    ],
)
def test_a_key_changes_the_setting_that_the_table_names(
    config: Callable[..., Path], content: dict[str, Any], expected: dict[str, Any]
) -> None:
    reading = read(config(content))
    assert changes(recipe_of(reading)) == expected
    named = {look_up(name).to for name in content}  # type: ignore[union-attr]
    assert set(reading.settings) <= named
    assert all(f"in {NAME}" in origin for origin in reading.origins.values())


def test_folders_are_meant_from_the_folder_of_the_file(config: Callable[..., Path], tmp_path: Path) -> None:
    content = {"input_dir": "raw", "output_dir": "/else/where", "coadd_memmap_dir": "", "resume": "off"}
    reading = read(config(content))
    assert (reading.input, reading.output) == (tmp_path / "raw", Path("/else/where"))
    assert reading.scratch is None
    assert reading.is_fresh
    assert read(config({"coadd_memmap_dir": "fast", "coadd_cleanup_memmap": False})).scratch == tmp_path / "fast"
    assert read(config({"coadd_cleanup_memmap": False})).keep_canvas is True
    assert read(config({"coadd_cleanup_memmap": True})).keep_canvas is False
    assert read(config({})).keep_canvas is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stacking_kappa_low", "3"),
        ("stacking_kappa_low", True),
        ("stacking_kappa_low", 0),
        ("stacking_kappa_high", 101),
        ("stacking_kappa_high", None),
        ("stacking_rejection_algorithm", "esd"),
        ("stacking_rejection_algorithm", 3),
        ("stacking_weighting_method", []),
        ("stacking_final_combine_method", "sum"),
        ("apply_radial_weight", "yes"),
        ("radial_feather_fraction", 1.2),
        ("assembly_process_workers", 2.5),
        ("assembly_process_workers", -2),
        ("winsor_worker_limit", "all"),
        ("parallel_target_ram_fraction", 90),
        ("parallel_autotune_enabled", 1),
        ("stacking_kappa_low", float("nan")),
        ("stacking_kappa_low", float("inf")),
        ("stacking_kappa_low", 10**400),
        ("assembly_process_workers", 10**400),
        ("assembly_process_workers", float("inf")),
        ("output_dir", "a\0b"),
        ("global_wcs_res_override", "large"),
        ("global_wcs_res_override", "9" * 5000 + "x1"),
        ("global_wcs_res_override", [600]),
        ("global_wcs_res_override", [600.5, 400]),
        ("global_wcs_orientation", 90),
        ("solver_method", 1),
        ("resume", "maybe"),
        ("coadd_memmap_dir", 7),
        ("coadd_cleanup_memmap", "true"),
        ("input_dir", ["a"]),
        ("output_dir", False),
    ],
)
def test_a_value_that_cannot_be_meant_is_named_with_its_file(
    config: Callable[..., Path], key: str, value: object
) -> None:
    with pytest.raises(UsageError) as error:
        read(config({key: value}))
    shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
    assert error.value.message.startswith(f"{key} in {NAME} is {shown}, which cannot be meant: ")
    assert error.value.message.endswith("was expected")
    assert "\n" not in error.value.message


def test_the_values_of_keys_without_a_meaning_are_not_judged(config: Callable[..., Path]) -> None:
    reading = read(config({"intertile_prune_k": "many", "language": 4}))
    assert {key.name for key in reading.changed()} == {"intertile_prune_k", "language"}
    assert not reading.settings


@pytest.mark.parametrize(
    ("name", "near"),
    [("stacking_kapa_low", "stacking_kappa_low"), ("intertile_prunek", "intertile_prune_k"), ("zzz", "")],
)
def test_a_key_that_zemosaic_does_not_have_is_unknown(config: Callable[..., Path], name: str, near: str) -> None:
    assert read(config({name: 1, "language": "en"})).unknown == {name: near}


def test_keys_that_zemosaic_reads_but_does_not_write_are_known(config: Callable[..., Path]) -> None:
    hidden = ("cluster_panel_threshold", "use_radec_hints", "phase3_mem_orch_reserve_mb", "logging_level")
    reading = read(config(dict.fromkeys(hidden, 1)))
    assert not reading.unknown
    assert reading.changed() == []  # their defaults are not known


@pytest.mark.parametrize(
    "content", [b"", b"keep = 1", b"[1, 2]", b'{"keep": 1}', b"\xff\xfe\x00", b"[" * 100_000, b'{"a": 1']
)
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(BadInput, match="is no settings file of ZeMosaic"):
        read(tmp_path / NAME)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / NAME)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xef\xbb\xbf" + json.dumps({"stacking_kappa_low": 2}).encode())
    assert read(tmp_path / NAME).settings == {"sigma_low": 2.0}


def test_options_of_the_worker_are_judged_under_their_own_names() -> None:
    names = {option.key: option.name for option in WORKER_OPTIONS if option.key}
    assert from_options({"winsor_worker_limit": 2, "assembly_process_workers": 6}, names).settings == {"threads": 2}
    with pytest.raises(UsageError, match="--assembly_process_workers is -4, which"):
        from_options({"assembly_process_workers": -4}, names)


def test_every_option_of_the_worker_stands_for_a_key_that_is_known() -> None:
    assert all(look_up(option.key) for option in WORKER_OPTIONS if option.key)
    for option in WORKER_OPTIONS:
        assert {option.name, option.name[:2] + option.name[2:].replace("_", "-")} <= set(option.spellings)


# --- its place among the other settings


def test_the_file_counts_more_than_the_project_and_less_than_a_preset(
    config: Callable[..., Path], tmp_path: Path
) -> None:
    path = config({"stacking_kappa_low": 2.1, "stacking_kappa_high": 2.2, "stacking_final_combine_method": "median"})
    (tmp_path / "skyquilt.toml").write_text("sigma_low = 9.0\nkeep = 0.5\n")
    (tmp_path / "mine.toml").write_text("sigma_high = 8.0\n")
    reading = read(path)
    settled = settle(
        gather_layers(
            folder=tmp_path,
            preset=str(tmp_path / "mine.toml"),
            taken_over=Layer(reading.origin, reading.settings, reading.origins, is_shared=False),
            flags=Layer("flags", {"max_iterations": 4}),
            environment={"SKYQUILT_COMBINE": "mean", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        ),
        MosaicRecipe,
    )
    recipe = settled.recipe
    assert (recipe.sigma_low, recipe.sigma_high, recipe.combine, recipe.keep) == (2.1, 8.0, "mean", 0.5)
    assert settled.origins["sigma_low"] == f"stacking_kappa_low in {NAME}"


# --- the command


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    camera = Scenario(
        target="none", width=256, height=320, ra_deg=85.0, dec_deg=34.0, scale_arcsec=5.0, n_faint_stars=150
    )
    make_mosaic(folder, MosaicScenario(camera, rows=1, columns=2, subs=3))
    return folder


@pytest.fixture
def mosaic(no_settings: None) -> Callable[..., Result]:
    """Return the command, which must end with `code`, run in an empty folder."""

    def run(*arguments: object, code: int = 0) -> Result:
        words = ["mosaic", *map(str, arguments), "--progress", "none"]
        result = CliRunner().invoke(program, words, prog_name="skyquilt")
        assert result.exit_code == code, result.output
        return result

    return run


def manifest_in(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run_manifest.json").read_text("utf-8"))
    return content


def data_hashes(folder: Path) -> dict[str, str]:
    return {output["name"]: output["data_sha256"] for output in manifest_in(folder)["outputs"] if output["data_sha256"]}


def test_a_mosaic_as_a_file_of_zemosaic_asks_for_it(
    frames: Path, config: Callable[..., Path], mosaic: Callable[..., Result], tmp_path: Path
) -> None:
    content = {
        **DEFAULTS,
        "input_dir": str(frames),
        "output_dir": "made",
        "coadd_memmap_dir": "fast",
        "stacking_kappa_low": 2.5,
        "stacking_rejection_algorithm": "kappa_sigma",
        "stacking_weighting_method": "none",
        "assembly_process_workers": 1,
        "patchwork_suppressor_strength": "low",
        "parallel_autotune_enabled": False,
        "stacking_kapa_low": 2,
    }
    result = mosaic("--config", config(content), "--combine", "median", "--json")
    recipe = manifest_in(tmp_path / "made" / "none")["recipe"]
    asked = {"sigma_low": 2.5, "rejection": "sigma", "weights": "none", "threads": 1, "combine": "median"}
    assert {name: recipe[name] for name in asked} == asked
    assert changes(MosaicRecipe(**recipe)) == asked
    assert not (tmp_path / "made" / "none" / ".skyquilt").exists()
    assert [path.name for path in (tmp_path / "fast" / "none" / ".skyquilt").iterdir()] == ["measurements"]
    assert f"22 settings of {NAME} were taken over" in result.stderr
    assert "216 have no meaning here" in result.stderr
    assert f"set in {NAME}, of no effect here: patchwork_suppressor_strength\n" in result.stderr
    assert "ZeMosaic has no key stacking_kapa_low; did you mean stacking_kappa_low?" in result.stderr
    told = json.loads(result.stdout)["zemosaic"]
    assert len(told["taken_over"]) == 22
    assert set(told["without_meaning"]) | set(told["always"]) < set(DEFAULTS)
    assert told["unknown"] == {"stacking_kapa_low": "stacking_kappa_low"}


def test_the_scratch_lies_where_it_is_asked_for_and_changes_no_bit(
    frames: Path, mosaic: Callable[..., Result], tmp_path: Path
) -> None:
    usual = mosaic(frames, "--out", "usual", "--solver-settings", _solver(tmp_path, "ASTAP"))
    assert (tmp_path / "usual" / "none" / ".skyquilt" / "canvas" / "canvas.json").exists()
    assert "--solver-settings" in usual.stderr
    mosaic(frames, "--out", "other", "--scratch", "fast")
    work = tmp_path / "fast" / "none" / ".skyquilt"
    assert (work / "canvas" / "canvas.json").exists()
    assert not (tmp_path / "other" / "none" / ".skyquilt").exists()
    before = data_hashes(tmp_path / "usual" / "none")
    assert before == data_hashes(tmp_path / "other" / "none")
    assert {"mosaic_linear", "mosaic_maps"} <= set(before)

    again = mosaic(frames, "--out", "other", "--coadd-memmap-dir", "fast")
    assert "pieces of the canvas are there already" in again.stderr
    assert "--coadd_memmap_dir fast: the same as --scratch" in again.stderr
    anew = mosaic(frames, "--out", "other", "--scratch", "fast", "--cache-refresh", "--coadd_cleanup_memmap")
    assert "there already" not in anew.stderr
    assert sorted(path.name for path in work.iterdir()) == ["measurements"]
    assert data_hashes(tmp_path / "other" / "none") == before


def test_a_scratch_folder_that_is_that_of_the_products_is_the_usual_one(
    frames: Path, mosaic: Callable[..., Result], tmp_path: Path
) -> None:
    mosaic(frames, "--out", "out", "--scratch", tmp_path / "out")
    assert (tmp_path / "out" / "none" / ".skyquilt" / "canvas" / "canvas.json").exists()


@pytest.mark.parametrize("held", ["fast", "out"])
def test_one_run_at_a_time_works_in_a_folder(
    frames: Path, mosaic: Callable[..., Result], tmp_path: Path, held: str
) -> None:
    with locked(tmp_path / held / "none" / ".skyquilt"):
        result = mosaic(frames, "--out", "out", "--scratch", "fast", code=9)
    assert "another run" in result.stderr
    assert not (tmp_path / "out" / "none" / ".skyquilt" / "measurements").exists()
    assert (tmp_path / "out" / "none" / ".skyquilt").exists() == (held == "out")


@pytest.mark.parametrize(("full", "option"), [("fast", "--scratch"), ("out", "--out")])
def test_a_disk_that_is_full_is_named_by_the_option_that_chooses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str, option: str
) -> None:
    for name in ("out", "fast"):
        (tmp_path / name).mkdir()
    devices = {tmp_path / "out": 1, tmp_path / "fast": 2}
    monkeypatch.setattr(Path, "stat", lambda path, **_: SimpleNamespace(st_dev=devices.get(path, 0), st_mode=0o40700))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10 if path.name == full else 10_000))
    island: Any = SimpleNamespace(
        plan=SimpleNamespace(scratch_bytes=800, output_bytes=700),
        folder=tmp_path / "out",
        scratch=tmp_path / "fast",
        run=SimpleNamespace(options=RunOptions(scratch=tmp_path / "fast")),
    )
    with pytest.raises(NotEnoughDisk, match=option):
        check_disks(island)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    check_disks(island)
    devices[tmp_path / "fast"] = 1
    with pytest.raises(NotEnoughDisk, match="--scratch"):
        check_disks(island)


def test_an_unknown_key_counts_as_a_warning(
    frames: Path, mosaic: Callable[..., Result], config: Callable[..., Path]
) -> None:
    path = config({"stacking_kapa_low": 2, "language": "en"})
    assert (
        "ZeMosaic has no key stacking_kapa_low"
        in mosaic(frames, "--config", path, "--dry-run", "--strict", code=3).stderr
    )


def _solver(folder: Path, choice: object) -> Path:
    path = folder / "solver.json"
    path.write_text(json.dumps({"solver_choice": choice, "api_key": "", "timeout": 60}))
    return path


def test_the_options_of_the_worker_are_told_and_count_as_flags(
    frames: Path, mosaic: Callable[..., Result], tmp_path: Path, config: Callable[..., Path]
) -> None:
    path = config({"assembly_process_workers": 7, "solver_method": "astap"})
    arguments = "--dry-run --json --final_assembly_method incremental --coadd_use_memmap --max-raw-per-master-tile 50 "
    arguments += "--no_auto_limit_frames --assembly_process_workers 2 -W 1"
    result = mosaic(frames, "--config", path, *arguments.split(), "-v")
    options = {entry["option"] for entry in json.loads(result.stdout)["zemosaic"]["options"]}
    assert options == {
        "--final_assembly_method incremental",
        "--coadd_use_memmap",
        "--assembly_process_workers 2",
        "--winsor-workers 1",
        "--max-raw-per-master-tile 50",
        "--no_auto_limit_frames",
    }
    assert all(f"{option}: " in result.stderr for option in options)
    assert "assembly_process_workers = 7 -> threads" in result.stderr
    assert ", 1 thread\n" in result.stderr
    assert not (tmp_path / "processedData").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--threads 2 --assembly_process_workers 2", "--threads and --assembly_process_workers both set threads"),
        ("--scratch a --coadd_memmap_dir b", "--scratch and --coadd_memmap_dir say the same thing"),
        ("--keep-canvas --coadd_cleanup_memmap", "contradict each other"),
        ("--assembly_process_workers -3", "--assembly_process_workers is -3"),
        ("--config absent.json", "there is no file absent.json"),
        ("--solver-settings absent.json", "there is no file absent.json"),
        ("--final_assembly_method magic", "magic"),
    ],
)
def test_options_that_cannot_be_meant_end_the_command(
    mosaic: Callable[..., Result], tmp_path: Path, arguments: str, words: str
) -> None:
    (tmp_path / "raw").mkdir()
    assert words in mosaic("raw", *arguments.split(), code=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "raw"]


def test_a_value_of_the_file_that_cannot_be_meant_ends_the_command(
    mosaic: Callable[..., Result], config: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    result = mosaic("raw", "--config", config({"stacking_kappa_low": -1}), code=2)
    assert f"stacking_kappa_low in {NAME} is -1" in result.stderr


def test_input_and_output_as_zemosaic_takes_them_get_a_hint(mosaic: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    result = mosaic("raw", "products", code=4)
    assert "there is no folder products" in result.stderr
    assert "--out" in result.stderr


def test_without_a_folder_the_file_must_name_one(mosaic: Callable[..., Result], config: Callable[..., Path]) -> None:
    assert "no folder with frames is given" in mosaic(code=2).stderr
    assert f"{NAME} has no input_dir" in mosaic("--config", config({"input_dir": ""}), code=2).stderr


@pytest.mark.parametrize(("choice", "solve"), [("NONE", "off"), ("ASTAP", "auto"), ("ANSVR", "auto")])
def test_the_solver_settings_choose_whether_stars_are_looked_up(tmp_path: Path, choice: str, solve: str) -> None:
    assert read_solver_settings(_solver(tmp_path, choice)).settings == {"solve": solve}


def test_a_wrong_solver_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(SkyquiltError, match=r"solver_choice in solver\.json"):
        read_solver_settings(_solver(tmp_path, 3))
