"""Settings: the stronger place wins, an unknown key is an error, and the error says where it was written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from skyquilt.apps.settings import Layer, gather_layers, settle, toml_line, user_config_path
from skyquilt.engine.recipe import Recipe
from skyquilt.errors import BadInput, UsageError


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    places = {name: tmp_path / name for name in ("session", "current", "user")}
    for place in places.values():
        place.mkdir()
    (places["user"] / "config.toml").write_text("keep = 0.5\nsigma_low = 2.0\nsigma_high = 2.0\nmax_iterations = 2\n")
    return places


def settled(places: dict[str, Path], preset: str | None = None, flags: Layer | None = None, **environment: str):
    environment = {"SKYQUILT_CONFIG": str(places["user"] / "config.toml"), **environment}
    return settle(
        gather_layers(
            folder=places["session"], current=places["current"], preset=preset, flags=flags, environment=environment
        )
    )


def test_the_stronger_place_wins(places: dict[str, Path]) -> None:
    (places["session"] / "skyquilt.toml").write_text("sigma_low = 2.1\nsigma_high = 2.1\nmax_iterations = 3\n")
    flags = Layer("flags", {"sigma_high": "2.9"}, {"sigma_high": "--sigma-high"})
    result = settled(places, preset="dwarf3", flags=flags, SKYQUILT_SIGMA_LOW="2.5", SKYQUILT_SIGMA_HIGH="2.5")
    recipe = result.recipe
    assert (recipe.keep, recipe.sigma_low, recipe.sigma_high, recipe.max_iterations) == (0.92, 2.5, 2.9, 5)
    assert result.origins["keep"] == "--preset dwarf3"
    assert result.origins["sigma_low"] == "SKYQUILT_SIGMA_LOW"
    assert result.origins["sigma_high"] == "--sigma-high"
    assert result.origins["combine"] == "built-in"


def test_the_session_folder_goes_before_the_current_folder(places: dict[str, Path]) -> None:
    (places["current"] / "skyquilt.toml").write_text("keep = 0.3\n")
    assert settled(places).recipe.keep == 0.3
    (places["session"] / "skyquilt.toml").write_text("[selection]\nkeep = 0.4\n")
    assert settled(places).recipe.keep == 0.4


def test_nothing_written_anywhere_is_the_built_in_recipe(tmp_path: Path) -> None:
    layers = gather_layers(current=tmp_path, environment={"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)})
    assert settle(layer for layer in layers if layer.origin != str(user_config_path({}))).recipe == Recipe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kepe = 1\n", "did you mean keep"),
        ("[selektion]\nkeep = 1\n", "did you mean selection"),
        ("[rejection]\nkeep = 1\n", r"belongs to \[selection\]"),
        ("keep = 2\n", r"keep = 2 \(.*skyquilt.toml\) cannot be meant"),
        ('debayer = "magic"\n', "debayer = magic"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_place(places: dict[str, Path], text: str, words: str) -> None:
    (places["session"] / "skyquilt.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        settled(places)
    assert re.search(words, str(error.value))
    assert "skyquilt.toml" in str(error.value)


@pytest.mark.parametrize("content", [b"keep = \n", b"\xff\xfe", b"keep 1"])
def test_a_file_that_is_no_toml_is_refused(places: dict[str, Path], content: bytes) -> None:
    (places["session"] / "skyquilt.toml").write_bytes(content)
    with pytest.raises(BadInput, match="is not a settings file"):
        settled(places)


def test_an_unknown_variable_of_ours_is_an_error(places: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="SKYQUILT_SIGMA_HIHG"):
        settled(places, SKYQUILT_SIGMA_HIHG="2")
    assert settled(places, SKYQUILT_DATA="/data", SKYQUILT_KEEP="").recipe.keep == 0.5


def test_the_environment_speaks_text(places: dict[str, Path]) -> None:
    result = settled(places, SKYQUILT_EXCLUDE="a*, b*", SKYQUILT_TRAILS="false", SKYQUILT_MEMORY="1GiB")
    assert result.recipe.exclude == ("a*", "b*")
    assert result.recipe.trails is False
    assert result.recipe.memory == 1024**3
    assert settled(places, SKYQUILT_MEMORY="none").recipe.memory is None


def test_a_preset_can_be_a_file(places: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("keep = 0.77\n")
    assert settled(places, preset=str(tmp_path / "mine.toml")).recipe.keep == 0.77
    for absent in ("absent.toml", "absent"):
        with pytest.raises(UsageError, match="there is no preset"):
            settled(places, preset=absent)


def test_paths_in_a_file_are_meant_from_its_folder(places: dict[str, Path]) -> None:
    (places["session"] / "skyquilt.toml").write_text('dark = "../darks"\nflat = "none"\n')
    recipe = settled(places).recipe
    assert recipe.dark == str(places["session"] / "../darks")
    assert recipe.flat == "none"


def test_a_named_config_that_is_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        gather_layers(current=tmp_path, environment={"SKYQUILT_CONFIG": str(tmp_path / "absent.toml")})


def test_the_user_config_has_a_place_of_its_own() -> None:
    assert user_config_path({}).name == "config.toml"
    assert "skyquilt" in str(user_config_path({})).lower()
    assert user_config_path({}).is_absolute()


def test_a_line_of_toml_survives_odd_names() -> None:
    for value in ('a "quoted" \\ name', "línea\nnueva", "tab\t", 0.1, 3, True, ["a", 'b"']):
        assert tomllib.loads(toml_line("key", value)) == {"key": value}
    assert tomllib.loads(toml_line("key", None)) == {}
