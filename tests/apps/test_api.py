"""`import skyquilt as sq; sq.stack(folder)`: the Python face, as its documentation promises it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skyquilt as sq
from skyquilt.apps.api import make_recipe
from skyquilt.core import Event, SkyGrid, Wcs
from skyquilt.engine import PRESETS, Recipe
from skyquilt.errors import Interrupted, NoUsableInput, UsageError
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.fits import write_image
from skyquilt.testing.fields import draw_sky
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.sky import Scenario, make_session


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenario = Scenario(width=270, height=300, n_frames=4, n_faint_stars=300)
    return make_session(tmp_path_factory.mktemp("raw"), scenario).folder


def test_one_call_stacks_a_folder(folder: Path, tmp_path: Path) -> None:
    with RawGuard(folder):
        result = sq.stack(
            str(folder), str(tmp_path), keep=0.9, rejection="winsorized", memory="4GB"
        )  # of a process that holds what other tests left
    stack = result.stacks[0]
    assert isinstance(result, sq.RunResult)
    assert isinstance(stack, sq.StackResult)
    assert isinstance(stack.manifest, sq.Manifest)
    assert stack.outputs["master_linear"].is_file()
    assert stack.manifest.recipe["rejection"] == "winsorized"
    assert stack.manifest.recipe["memory"] == 4 * 10**9
    assert stack.manifest.rejection_rule == "winsorized"


def test_the_output_goes_to_processed_data_unless_said_otherwise(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = sq.stack(folder, quicklook=False)
    assert result.stacks[0].outputs["master_linear"].resolve().is_relative_to(tmp_path / "processedData" / "M 94")


def test_a_recipe_may_be_given_whole_but_not_twice(folder: Path, tmp_path: Path) -> None:
    recipe = sq.Recipe(keep=0.5, quicklook=False)
    result = sq.stack(folder, tmp_path, recipe=recipe)
    assert result.stacks[0].manifest.recipe_sha256 == recipe.digest()
    with pytest.raises(UsageError, match="not both"):
        sq.stack(folder, tmp_path, recipe=recipe, keep=0.7)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"no_such": 1}, "no_such"),
        ({"keep": 2.0}, "keep"),
        ({"sigma_low": -1}, "sigma_low"),
        ({"memory": "many"}, "memory"),
        ({"debayer": "magic"}, "debayer"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        sq.stack(folder, tmp_path, **settings)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


def test_presets_are_valid_recipes() -> None:
    for name, settings in PRESETS.items():
        assert make_recipe(**settings) == Recipe(**settings), name


def test_resources_and_output_choices_do_not_change_the_digest() -> None:
    plain = Recipe().digest()
    assert Recipe(memory="1GB", threads=3, quicklook=False, maps=False, save_masters=False, crop=0.5).digest() == plain
    assert Recipe(keep=0.9).digest() != plain
    assert Recipe(rejection="mad").digest() != plain


def test_the_listener_hears_every_phase_in_order(folder: Path, tmp_path: Path) -> None:
    heard: list[Event] = []
    sq.stack(folder, tmp_path, listener=heard.append)
    phases = [event.phase for event in heard if event.kind == "phase"]
    expected = ["discover", "measure", "register", "trails", "integrate", "products"]
    assert [phase for phase in dict.fromkeys(phases) if phase in expected] == expected
    assert heard[-1].kind == "done"
    assert heard[-1].data == {"stacked": 1, "failed": 0}
    for event in heard:
        assert 0 <= event.done <= max(event.total, event.done)
        assert "\n" not in event.message


def test_a_request_to_stop_interrupts_and_the_same_call_goes_on(folder: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def stop() -> bool:
        return bool(asked)

    def listen(event: Event) -> None:
        if event.kind == "phase" and event.phase == "integrate":
            asked.append("stop")

    with pytest.raises(Interrupted):
        sq.stack(folder, tmp_path / "out", listener=listen, options=sq.RunOptions(should_stop=stop))
    assert not list((tmp_path / "out").rglob("*.fits"))
    result = sq.stack(folder, tmp_path / "out")
    assert result.stacks[0].outputs["master_linear"].is_file()


def test_the_error_of_the_only_group_is_raised(tmp_path: Path) -> None:
    folder = make_session(tmp_path / "raw", Scenario(width=270, height=300, n_frames=1, n_faint_stars=100)).folder
    with pytest.raises(NoUsableInput, match="two frames"):
        sq.stack(folder, tmp_path / "out")


def test_a_dry_run_returns_plans_and_no_error(folder: Path, tmp_path: Path) -> None:
    result = sq.stack(folder, tmp_path / "out", options=sq.RunOptions(dry_run=True))
    assert len(result.plans) == 1
    assert result.stacks == ()
    assert not (tmp_path / "out").exists()


def test_every_public_name_is_there() -> None:
    assert all(hasattr(sq, name) for name in sq.__all__)
    assert dir(sq) == sorted(sq.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        sq.no_such_name  # noqa: B018


def test_the_import_loads_nothing_heavy() -> None:
    heavy = ("numba", "numpy", "scipy", "astropy", "pydantic")
    code = f"import sys, skyquilt; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_frame_is_solved_by_its_name(tmp_path: Path) -> None:
    grid = SkyGrid(Wcs((310.0, 42.0), (299.5, 199.5), 6.0 / 3600 * np.diag([-1.0, 1.0])), 600, 400)
    write_image(tmp_path / "light.fit", draw_sky(open_catalogue(), grid), [])
    found = sq.solve(tmp_path / "light.fit", ra_deg=310.5, dec_deg=41.7, scale_arcsec=6.2, solver="own")
    assert isinstance(found, sq.Solved)
    assert found.grid is not None
    assert found.grid.centre_deg == pytest.approx((310.0, 42.0), abs=1e-3)
    with pytest.raises(UsageError, match="colour is no setting"):
        sq.solve(tmp_path / "light.fit", colour="red")
