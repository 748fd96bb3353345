"""skyquilt finish, combine, process and color: words in, pictures out, one sentence where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import skyquilt as sq
from skyquilt.apps.cli.program import program
from skyquilt.errors import UsageError
from skyquilt.io.fits import write_image
from skyquilt.io.images import read_image, write_png

HEIGHT, WIDTH = 160, 200


def image() -> np.ndarray:
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = np.full((3, HEIGHT, WIDTH), 0.01) + 0.02 * np.exp(-np.hypot(x - 90, y - 70) / 12.0)
    for _ in range(40):
        at = random.uniform(9, WIDTH - 9), random.uniform(9, HEIGHT - 9)
        star = 10.0 ** random.uniform(-2.2, -0.8) * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 4.0)
        light += star * np.array([0.8, 1.0, 0.6])[:, None, None]
    return (light + random.normal(0.0, 2e-4, light.shape)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    cards = [("BUNIT", "adu/65535", ""), ("OBJECT", "M 0", "")]
    write_image(tmp_path / "rgb.fits", image(), cards)
    write_image(tmp_path / "mono.fits", image()[1], cards)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments), prog_name="skyquilt")


QUICK = ("--preset", "none", "--step", "neutral", "--step", "auto_stretch target=0.2")


def test_a_picture_and_its_record_appear_in_this_folder() -> None:
    result = run("finish", "rgb.fits", *QUICK)
    assert result.exit_code == 0, result.output
    assert read_image(Path("rgb_finished.png")).shape == (HEIGHT, WIDTH, 3)
    record = json.loads(Path("rgb_finished.finish.json").read_text())
    assert [step["operation"] for step in record["steps_done"]] == ["neutral", "auto_stretch"]
    assert "rgb_finished.png" in result.stdout


def test_the_document_names_what_was_done() -> None:
    result = run("finish", "rgb.fits", *QUICK, "--out", "a.jpg", "--out", "a.fits", "--json", "--no-record")
    document = json.loads(result.stdout)
    assert document["schema_id"] == "skyquilt.cli.finish"
    assert [output["file"] for output in document["outputs"]] == ["a.jpg", "a.fits"]
    assert document["steps_done"][1]["settings"]["target"] == 0.2
    assert not Path("a.finish.json").exists()


def test_a_saved_chain_gives_the_same_picture() -> None:
    assert run("finish", "rgb.fits", *QUICK, "--out", "a.png", "--save-chain", "chain.toml").exit_code == 0
    assert run("finish", "rgb.fits", "--chain", "chain.toml", "--out", "b.png").exit_code == 0
    assert run("finish", "rgb.fits", "--chain", "a.finish.json", "--out", "c.png").exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes() == Path("c.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ((), "crop gradient neutral scnr noise auto_stretch"),
        (("--without", "gradient,noise"), "crop neutral scnr auto_stretch"),
        (("--only", "neutral", "--only", "auto_stretch"), "neutral auto_stretch"),
        (("--undo", "3"), "crop gradient neutral"),
        (("--step", "balance method=stars", "--without", "crop"), "gradient neutral balance scnr noise auto_stretch"),
        (("--preset", "none"), ""),
    ],
)
def test_the_chain_is_switched_step_by_step(options: tuple[str, ...], steps: str) -> None:
    document = json.loads(run("finish", "rgb.fits", *options, "--dry-run", "--json").stdout)
    assert [step["operation"] for step in document["chain"]["steps"]] == steps.split()
    assert not list(Path.cwd().glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("finish",), 2, "no master"),
        (("finish", "none.fits"), 4, "there is no file none.fits"),
        (("finish", "."), 2, "is a folder"),
        (("finish", "rgb.fits", "--preset", "galaxi"), 2, "did you mean galaxy?"),
        (("finish", "rgb.fits", "--chain", "none.toml"), 4, "there is no chain"),
        (("finish", "rgb.fits", "--preset", "galaxy", "--chain", "c.toml"), 2, "both give the steps"),
        (("finish", "rgb.fits", "--step", "gradiant order=1"), 2, "did you mean gradient?"),
        (("finish", "rgb.fits", "--step", "gradient order"), 2, "is no setting"),
        (("finish", "rgb.fits", "--without", "balance"), 2, "has no step balance"),
        (("finish", "rgb.fits", *QUICK, "--out", "a.gif"), 2, "no ending of an image"),
        (("finish", "rgb.fits", *QUICK, "--memory", "much"), 2, "not an amount of memory"),
        (("finish", "bad.fits"), 5, "bad.fits"),
        (("combine", "lrgb", "--red", "mono.fits", "--out", "a.fits"), 2, "green, blue"),
        (("combine", "palette", "--ha", "mono.fits", "--out", "a.fits"), 2, "OIII"),
        (("combine", "duoband", "mono.fits"), 2, "not three"),
        (("process", "mono.fits", "--colormap", "jet"), 2, "no colour map"),
        (("process", "mono.fits", "--bg-cell-size", "9"), 2, "even number"),
        (("color", "rgb.fits", "--rgb-gains", "1,2"), 2, "not three numbers"),
        (("color", "rgb.fits", "--stretch", "0"), 2, "above 0"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(arguments: tuple[str, ...], code: int, words: str) -> None:
    Path("bad.fits").write_bytes(b"hello")
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_operations_and_presets_are_listed() -> None:
    document = json.loads(run("finish", "--list", "--json").stdout)
    assert "gradient" in document["operations"]
    assert "order" in document["operations"]["gradient"]["properties"]
    assert set(document["presets"]) == {"preview", "galaxy", "nebula", "cluster", "duoband", "none"}
    assert "gradient" in run("finish", "--list").stdout


def test_bands_are_separated_and_combined_again() -> None:
    assert run("combine", "duoband", "rgb.fits", "--out", "bands").exit_code == 0
    files = ("--ha", "bands/rgb_ha.fits", "--oiii", "bands/rgb_oiii.fits")
    assert run("combine", "palette", *files, "--out", "hoo.fits").exit_code == 0
    line = ("--narrow", "rgb.fits", "--broad", "mono.fits", "--scale", "0.3", "--out", "line.fits")
    assert run("combine", "continuum", *line).exit_code == 0
    document = json.loads(run("combine", "lrgb", "--colour", "rgb.fits", "--luminance", "mono.fits", "--out", "l.fits",
                              "--json").stdout)  # fmt: skip
    assert document["masters"]["colour"]["by"] in ("stars", "pixels")


PROCESS = {
    "--no-bg-subtract": (), "--bg-cell-size": ("16",), "--stretch": ("single",), "--reduce-noise": (),
    "--noise-method": ("gaussian", "--reduce-noise"), "--noise-size": ("9", "--reduce-noise"), "--colormap": ("warm",),
}  # fmt: skip


def picture_of(*arguments: str) -> np.ndarray:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    name = next(line.split()[1] for line in result.stdout.splitlines() if line.endswith(".png"))
    return read_image(Path(name))


def test_every_flag_of_process_changes_the_picture() -> None:
    base = ("process", "mono.fits", "--out", "p.png", "--no-contrast", "--bg-cell-size", "20")
    plain = picture_of(*base)
    assert read_image(Path("p.tif")).dtype == np.uint16
    for flag, more in PROCESS.items():
        assert not np.array_equal(plain, picture_of(*base, flag, *more)), flag
    contrasts = [
        picture_of("process", "mono.fits", "--out", "p.png", "--no-bg-subtract", *more)
        for more in (("--no-contrast",), ("--contrast-strength", "1.5"), ("--contrast-strength", "0.5"),
                     ("--contrast-scale", "8", "--contrast-strength", "1.5"))
    ]  # fmt: skip
    assert len({picture.tobytes() for picture in contrasts}) == 4
    assert "h_alpha" in run("process", "--list-colormaps").stdout


COLOR = {
    "--wb-method": ("none",), "--scnr": ("1.0",), "--bg": ("mild",), "--stretch": ("0.02",), "--no-stretch": (),
    "--mode": ("galaxy",), "--rgb-gains": ("2,1,0.5",), "--saturation": ("2",),
}  # fmt: skip


def test_every_flag_of_color_changes_the_picture(tmp_path: Path) -> None:
    base = ("color", "rgb.fits", "--out", "c")
    plain = picture_of_color(*base)
    assert {path.name for path in Path("c").iterdir()} >= {
        "master_rgb_calibrated.fits", "master_rgb_color.png", "master_rgb_color.tif", "color_calibration.json",
    }  # fmt: skip
    told = json.loads(Path("c/color_calibration.json").read_text())
    assert told["method"] == "stars"
    assert told["gains"][1] == 1.0
    for flag, more in COLOR.items():
        assert not np.array_equal(plain, picture_of_color(*base, flag, *more)), flag
    write_png(tmp_path / "l.png", np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8))
    lit = [
        picture_of_color(*base, "--luminance", "l.png", *more, name="master_lrgb")
        for more in ((), ("--chroma-boost", "2"), ("--lrgb-method", "hsv"), ("--lrgb-method", "direct"))
    ]
    assert len({picture.tobytes() for picture in lit}) == 4


def picture_of_color(*arguments: str, name: str = "master_rgb_color") -> np.ndarray:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return read_image(Path("c") / f"{name}.png")


def test_color_finds_the_master_of_a_session_folder(tmp_path: Path) -> None:
    (tmp_path / "session" / "stacked").mkdir(parents=True)
    write_image(tmp_path / "session" / "stacked" / "master_linear.fits", image(), [("BUNIT", "adu/65535", "")])
    assert run("color", "session").exit_code == 0
    assert (tmp_path / "session" / "stacked" / "master_rgb_color.png").exists()
    (tmp_path / "empty").mkdir()
    assert run("color", "empty").exit_code == 4


def test_the_python_door_does_the_same() -> None:
    result = sq.finish("rgb.fits", "a.png", preset="none", steps={"neutral": {}, "auto_stretch": {"target": 0.2}})
    assert run("finish", "rgb.fits", *QUICK, "--out", "b.png").exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert result.pixels.shape == (3, HEIGHT, WIDTH)
    again = sq.finish("rgb.fits", chain="a.finish.json", without=["neutral"])
    assert again.outputs == {}
    assert [step.operation for step in again.record.steps_done] == ["auto_stretch"]
    with pytest.raises(UsageError, match="no option of finish"):
        sq.finish("rgb.fits", colour=1)
