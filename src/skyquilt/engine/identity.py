"""What two processes must have in common to give the same bits: the program, its libraries, the processor."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import scipy.linalg  # loads the library whose form is asked for
from numpy.lib.introspect import opt_func_info
from threadpoolctl import threadpool_info

import skyquilt
from skyquilt.kernels.backend import compiler_version, machine_code_target

__all__ = ["difference", "identity"]


@cache
def identity() -> str:
    """
    Return what decides the bits that this process computes, as JSON. A few hundredths of a second, once.

    Notes
    -----
    The same code gives other last bits on another processor: the compiler fuses a multiplication and an addition where
    the processor can, NumPy has its functions in several forms, and so has linear algebra. (How many pixels a kernel
    computes side by side, `kernels.lanes.WIDTH`, changes none.)
    """
    name, target = machine_code_target()
    algebra = {one["architecture"] for one in threadpool_info() if one.get("architecture")}
    forms = {name: {kind: entry["current"] for kind, entry in kinds.items()} for name, kinds in opt_func_info().items()}
    facts = [target, forms, sorted(algebra)]
    return json.dumps(
        {
            "skyquilt": skyquilt.__version__,
            "sources": _sources(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "compiler": compiler_version().partition(" on ")[0],
            "processor": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
            "name": name,
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
    found = next((name for name in ours if name != "name" and theirs.get(name) != ours[name]), None)
    if found is None:
        return ""
    if found == "sources":
        return f"another build of skyquilt {ours['skyquilt']}"
    if found == "processor":
        return f"another processor ({theirs.get('name')}) than this machine ({ours['name']})"
    if found == "compiler":
        return f"{theirs.get(found)}, this machine {ours[found]}"
    return f"{found} {theirs.get(found)}, this machine {ours[found]}"
