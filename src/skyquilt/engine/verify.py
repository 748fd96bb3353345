"""Are the products still what the manifest says?"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from skyquilt.engine.cache import file_sha256
from skyquilt.engine.manifest import Manifest
from skyquilt.errors import NoUsableInput
from skyquilt.io.fits import verify_checksums

__all__ = ["verify_products"]


def verify_products(folder: Path) -> list[str]:
    """
    Return what is wrong with the products of the stacks at or below a folder; an empty list when all is well.

    Raises
    ------
    NoUsableInput
        If no manifest is found.
    """
    manifests = sorted(folder.rglob("run_manifest.json")) if folder.is_dir() else []
    if not manifests:
        raise NoUsableInput(
            f"no run_manifest.json in {folder}", "give the folder of a finished stack, such as processedData"
        )
    problems: list[str] = []
    for path in manifests:
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except (ValidationError, ValueError):
            problems.append(f"{path}: not a manifest of skyquilt, or damaged")
            continue
        for output in manifest.outputs:
            file = path.parent / output.file
            if not file.is_file():
                problems.append(f"{output.file} is missing")
            elif file.stat().st_size != output.size_bytes:
                problems.append(f"{output.file} has {file.stat().st_size} bytes, {output.size_bytes} were written")
            elif file_sha256(file) != output.sha256:
                problems.append(f"{output.file} has changed since it was written")
            elif file.suffix == ".fits":
                problems += [f"{output.file}: {problem}" for problem in verify_checksums(file)]
    return problems
