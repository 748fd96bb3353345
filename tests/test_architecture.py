"""The layers, read from the imports: who may lean on whom (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "skyquilt"
FILES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT = {
    "core": {"core"},
    "kernels": {"core", "kernels"},
    "io": {"core", "kernels", "io"},
    "steps": {"core", "kernels", "steps"},
    "engine": {"core", "kernels", "io", "steps", "engine"},
    "apps": {"core", "io", "engine", "apps", "testing"},
    "testing": {"core", "kernels", "io", "testing"},
}
EVERYWHERE = {"errors", "__init__"}

ONE_DOOR: dict[str, set[str]] = {
    "numba": {"kernels/backend.py"},
    "llvmlite": {"kernels/backend.py"},
    "torch": {"kernels/backend.py"},
    "PIL": {"io/drawings/png.py"},
    "pyongc": {"io/deepsky.py"},
    "numcodecs": {"io/tiled/arrays.py"},
    "google_crc32c": {"io/tiled/arrays.py"},
    "zarr": set(),  # its format is written without it
    "dask": {"engine/executors/cluster.py"},
    "distributed": {"engine/executors/cluster.py"},
    "starlette": {"apps/web"},
    "uvicorn": {"apps/web"},
    "webview": {"apps/web/window.py"},
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base"}
NOT_IN_CORE = {"os", "threading", "logging", "concurrent", "subprocess", "scipy", "astropy", "pydantic"}


def imports_of(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.append(node.module or "")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    layer = layer_of(path)
    if layer not in MAY_IMPORT:
        return
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "skyquilt" or len(parts) < 2 or not (ROOT / parts[1]).exists():
            continue
        assert parts[1] in MAY_IMPORT[layer] | EVERYWHERE, f"{layer} must not import {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "steps").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_of_steps_do_not_import_each_other(path: Path) -> None:
    parts = path.relative_to(ROOT / "steps").parts
    room = parts[0].removesuffix(".py")
    for name in imports_of(path):
        pieces = name.split(".")
        if pieces[:2] == ["skyquilt", "steps"] and len(pieces) > 2:
            assert pieces[2] == room, f"room {room} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_foreign_libraries_have_one_door(path: Path) -> None:
    place = str(path.relative_to(ROOT))
    for name in imports_of(path):
        doors = ONE_DOOR.get(name.split(".")[0])
        if doors is not None:
            assert any(place.startswith(door) for door in doors), f"{place} must not import {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda path: path.name)
def test_the_nouns_know_no_disk_threads_or_logging(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports_of(path)} & NOT_IN_CORE


def test_print_has_one_door() -> None:
    for path in FILES:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        uses = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not uses or path.relative_to(ROOT).as_posix() == "apps/cli/console.py", path


def test_nothing_is_pickled() -> None:
    for path in FILES:
        assert not any(name.split(".")[0] in {"pickle", "dill", "joblib", "shelve"} for name in imports_of(path)), path


def test_no_room_is_a_drawer() -> None:
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}
    assert not names & FORBIDDEN_NAMES


def test_rooms_have_one_door() -> None:
    """Others import the room, never its modules."""
    rooms = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for layer in ("io", "steps")
        for path in (ROOT / layer).glob("*/__init__.py")
    }
    for path in FILES:
        own = path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("skyquilt."):
                module = node.module.removeprefix("skyquilt.")
                room = ".".join(module.split(".")[:2])
                if room in rooms and not (own == room or own.startswith(room + ".")):
                    assert module == room, f"{path.relative_to(ROOT)} reaches past the door of {room}: {node.module}"
