"""
Every key of ZeMosaic's configuration, and what becomes of it here: the table keys.json, as nouns.

A key is "mapped" (a setting or an option of ours takes its value), "always" (what it asks for happens in any case), or
"none" (it has no meaning here); the last two come in blocks that share a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Block", "Key", "blocks", "look_up", "nearest_key"]


@dataclass(frozen=True, slots=True)
class Key:
    """
    One key.

    Attributes
    ----------
    fate : "mapped", "always" or "none"
    title : str
        What the keys of its block are about.
    reason : str
        How the value is converted; what stands in its place; or why it has no meaning.
    to : str
        The setting ("sigma_low"), the option ("--scratch") or the argument ("FOLDER") that takes the value; or "".
    default : any JSON value
        ZeMosaic's own; None where that is null, or not worth a comparison.
    """

    name: str
    fate: str
    title: str
    reason: str
    to: str = ""
    default: Any = None

    def is_changed(self, value: Any) -> bool:
        """Return whether a value differs from ZeMosaic's default; False where the table has none."""
        return self.default is not None and value != self.default


@dataclass(frozen=True, slots=True)
class Block:
    """
    Keys that share a fate and a reason.

    Attributes
    ----------
    keys : tuple of Key
        Those that ZeMosaic writes into its file.
    hidden : tuple of Key
        Those that it reads, but never writes.
    prefixes : tuple of str
        How the names of more hidden ones begin.
    """

    fate: str
    title: str
    reason: str
    keys: tuple[Key, ...]
    hidden: tuple[Key, ...]
    prefixes: tuple[str, ...]


@cache
def blocks() -> tuple[Block, ...]:
    """Return the table, mapped keys first."""
    rows = json.loads(Path(__file__).with_name("keys.json").read_text("utf-8"))
    return tuple(_block(row) for row in rows)


def _block(row: Mapping[str, Any]) -> Block:
    fate, title, reason = row["fate"], row["title"], row.get("reason", "")
    if fate == "mapped":
        keys = tuple(
            Key(name, fate, title, entry["how"], entry["to"], entry["default"]) for name, entry in row["keys"].items()
        )
    else:
        keys = tuple(Key(name, fate, title, reason, default=default) for name, default in row["keys"].items())
    hidden = tuple(Key(name, fate, title, reason) for name in row.get("hidden", []))
    return Block(fate, title, reason, keys, hidden, tuple(row.get("prefixes", [])))


@cache
def _known() -> dict[str, Key]:
    return {key.name: key for block in blocks() for key in (*block.keys, *block.hidden)}


def look_up(name: str) -> Key | None:
    """Return a key by its name, or None if ZeMosaic has none of that name."""
    found = _known().get(name)
    if found is not None:
        return found
    for block in blocks():
        if name.startswith(block.prefixes):
            return Key(name, block.fate, block.title, block.reason)
    return None


def nearest_key(name: str) -> str:
    """Return the name that an unknown one is nearest to, or "" if none is near."""
    found = get_close_matches(name, list(_known()), n=1, cutoff=0.6)
    return found[0] if found else ""
