"""What two processes must have in common to give the same bits: the program, its libraries, the processor."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import scipy

import skyquilt
from skyquilt.kernels.backend import compiler_version, machine_code_target

__all__ = ["difference", "identity"]


@cache
def identity() -> str:
    """
    Return what decides the bits that this process computes, as JSON.

    The kernels fuse a multiplication and an addition where the processor can, and NumPy's functions differ between
    processors in the last bit; so the processor and what it can do belong to it. A few hundredths of a second, once.
    """
    return json.dumps(
        {
            "skyquilt": skyquilt.__version__,
            "sources": _sources(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "compiler": compiler_version().partition(" on ")[0],
            "processor": machine_code_target(),
        }
    )


def _sources() -> str:
    """Return a digest of the package's own code: versions under development have the same number."""
    root = Path(skyquilt.__path__[0])
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def difference(other: str, own: str) -> str:
    """Return in words what another process has that this one has not, with both values; "" if they are alike."""
    theirs, ours = json.loads(other), json.loads(own)
    for name, value in ours.items():
        found = theirs.get(name)
        if found == value:
            continue
        if name == "sources":
            return f"another build of skyquilt {ours['skyquilt']}"
        if name == "compiler":
            return f"{found}, this machine {value}"
        if name == "processor":
            return f"another processor ({_short(found)}) than this machine ({_short(value)})"
        return f"{name} {found}, this machine {value}"
    return ""


def _short(target: str | None) -> str:
    return (target or "unknown").partition(";")[0]
