"""
What decides whether this machine can run skyquilt: versions, compiled loops, memory, disk, folders.

A check only looks; the one thing that is written is a temporary file, which is removed at once.
"""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import skyquilt
from skyquilt.errors import SkyquiltError
from skyquilt.io.atomic import write_atomically

__all__ = ["Check", "diagnose", "is_usable", "redact", "write_bundle"]

_LIBRARIES = (
    "numpy",
    "numba",
    "llvmlite",
    "scipy",
    "astropy",
    "pydantic",
    "click",
    "rich",
    "tifffile",
    "imagecodecs",
    "platformdirs",
    "pillow",
    "pyongc",
    "numcodecs",
)
_LEAST_MEMORY = 700_000_000
_LEAST_DISK = 2_000_000_000
_LARGEST_RECORD = 64_000_000
# Folders of an absolute path; what follows the last separator stays.
_FOLDERS = re.compile(r"""(?<![\w.:/>~-])(?:[A-Za-z]:[\\/]+|/)(?:[^\s/\\"'<>|:,]+[\\/]+)+""")
_TOLD_VARIABLES = ("SKYQUILT_", "NUMBA_", "OMP_", "NO_COLOR", "FORCE_COLOR", "TERM", "LANG", "LC_")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `state` is "ok", "warning" or "bad"; a bad one means that skyquilt cannot run."""

    name: str
    state: str
    found: str
    hint: str = ""


def diagnose(folder: Path) -> list[Check]:
    """
    Look at everything that a run needs.

    Parameters
    ----------
    folder : Path
        Where the products would go; its disk is looked at.
    """
    return [
        _python(),
        *(_library(name) for name in _LIBRARIES),
        _kernels(),
        _catalogue(),
        _compiled(),
        _memory(),
        _threads(),
        _disk(folder),
        _temporary(),
    ]


def is_usable(checks: list[Check]) -> bool:
    """Tell whether no check is bad."""
    return not any(check.state == "bad" for check in checks)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("Python", "ok", found)


def _library(name: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "bad", "not installed", f"python -m pip install {name}")


def _kernels() -> Check:
    """Import the engine, and with it every compiled loop."""
    try:
        import_module("skyquilt.engine")
    except Exception as error:  # whatever keeps the engine from loading is what the doctor is asked about
        return Check("engine", "bad", f"{type(error).__name__}: {error}", "reinstall skyquilt: pip install -U skyquilt")
    return Check("engine", "ok", f"skyquilt {skyquilt.__version__}")


def _catalogue() -> Check:
    """Open the star catalogue of the package."""
    from skyquilt.io.catalogue import open_catalogue

    try:
        catalogue = open_catalogue()
    except SkyquiltError as error:
        return Check("star catalogue", "bad", error.message, error.hint)
    return Check("star catalogue", "ok", f"{len(catalogue):,} stars, {catalogue.source}")


def _compiled() -> Check:
    """Look at the folder in which the compiled loops are kept between runs."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(named) if named else Path(skyquilt.__file__).parent / "kernels" / "__pycache__"
    files = [path for path in folder.rglob("*.nbc") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files)
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        return Check(
            "compiled loops",
            "warning",
            f"{folder} cannot be written: every start may compile again",
            "set NUMBA_CACHE_DIR to a folder that can be written",
        )
    if not files:
        return Check("compiled loops", "ok", "none yet: the first run compiles them and takes a minute longer")
    return Check("compiled loops", "ok", f"{len(files)} files, {size / 1e6:.1f} MB")


def _memory() -> Check:
    from skyquilt.engine.budget import available_memory

    free = available_memory()
    found = f"{free / 1e9:.1f} GB free"
    if free < _LEAST_MEMORY:
        return Check("memory", "warning", found, "close other programs, or use --preset lowmem")
    return Check("memory", "ok", found)


def _threads() -> Check:
    from skyquilt.engine.budget import n_processors

    return Check("processors", "ok", f"{n_processors()} of {os.cpu_count() or 1} may be used")


def _disk(folder: Path) -> Check:
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free for products"
    if not os.access(place, os.W_OK):
        return Check("disk", "warning", f"{place} cannot be written", "choose another folder with --out")
    if free < _LEAST_DISK:
        return Check("disk", "warning", found, "free some space, or choose another disk with --out")
    return Check("disk", "ok", found)


def _temporary() -> Check:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"skyquilt")
    except OSError as error:
        return Check(
            "temporary folder", "bad", f"cannot be written: {error.strerror}", "set TMPDIR to a folder that can"
        )
    return Check("temporary folder", "ok", "can be written")


def redact(text: str) -> str:
    """Take the names of the person, of the machine and of their folders out of a text."""
    home = str(Path.home())
    names = {str(Path.cwd()): "<current>", home: "~", tempfile.gettempdir(): "<temporary>"}
    names |= {sys.prefix: "<python>", str(Path(skyquilt.__file__).parent): "<skyquilt>"}
    for name in sorted((name for name in names if len(name) > 1), key=len, reverse=True):
        text = text.replace(name, names[name])
    text = _FOLDERS.sub("<path>", text)
    for secret, word in ((_user_name(), "<user>"), (socket.gethostname(), "<machine>")):
        if len(secret) > 2:
            text = re.sub(rf"\b{re.escape(secret)}\b", word, text)
    return text


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def write_bundle(
    path: Path,
    checks: list[Check],
    *,
    folder: Path | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """
    Write a zip file that helps others to find a fault: checks, versions, settings, manifests; no pixels, no paths.

    Parameters
    ----------
    path : Path
        The zip file; it appears whole or not at all.
    folder : Path or None
        A processed folder: the manifests and reports (JSON) at and below it are added.
    config : Path or None
        The user's settings file.

    Returns
    -------
    list of str
        Names of the files in the bundle.
    """
    parts: dict[str, str] = {
        "checks.json": json.dumps([asdict(check) for check in checks], indent=1),
        "versions.json": json.dumps(_versions(), indent=1, sort_keys=True),
        "environment.json": json.dumps(
            {name: value for name, value in sorted(environment.items()) if name.startswith(_TOLD_VARIABLES)}, indent=1
        ),
    }
    if config and config.is_file():
        parts["config.toml"] = config.read_text("utf-8", "replace")
    if folder:
        for kind in ("run_manifest.json", "report.json"):
            for number, file in enumerate(sorted(folder.rglob(kind)), 1):
                if file.stat().st_size <= _LARGEST_RECORD:
                    parts[f"run_{number}/{kind}"] = file.read_text("utf-8", "replace")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, redact(text))
    write_atomically(path, content.getvalue())
    return list(parts)


def _versions() -> dict[str, Any]:
    installed = {
        dist.metadata["Name"]: dist.version
        for dist in metadata.distributions()
        if dist.metadata and dist.metadata["Name"]
    }
    return {
        "skyquilt": skyquilt.__version__,
        "python": sys.version,
        "platform": platform.platform(),
        "installed": installed,
    }
