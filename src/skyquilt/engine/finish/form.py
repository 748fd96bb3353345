"""The settings of an operation as a form asks for them: one flat schema, with the names and ranges that there are."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from skyquilt.engine.finish.registry import MASK
from skyquilt.engine.finish.schema import find_operation, setting_docs
from skyquilt.steps.finish import BALANCE_METHODS, COLOUR_MATRICES, COLOURMAPS, PALETTES

__all__ = ["mask_form", "operation_form"]

_WORD = re.compile(r'"(\w+)"')
_RANGE = re.compile(r"(?<![\w.])(-?[\d.]+) to (-?[\d.]+)")
_NAMES: dict[str, tuple[str, ...]] = {
    "balance.method": tuple(BALANCE_METHODS),
    "matrix.matrix": tuple(COLOUR_MATRICES),
    "palette.palette": (*PALETTES, "dynamic_SHO", "dynamic_HOO"),
    "colourmap.name": tuple(COLOURMAPS),
}
"""Settings whose names stand in a table of their room; of the others, the docstring gives the words."""


def operation_form(name: str) -> dict[str, Any]:
    """
    Return the settings of an operation by name, each as the JSON Schema of its value.

    A setting that holds settings is given as these: ``stars.kappa``. Besides what the type tells, a field has its
    `enum`, `minimum` and `maximum` where its docstring says them, its `description`, and its `default`.

    Raises
    ------
    UsageError
        If there is no such operation.
    """
    return _fields(find_operation(name).settings, name)


def mask_form() -> dict[str, Any]:
    """Return the settings of the mask of a step, likewise."""
    return _fields(MASK.settings, "mask")


def _fields(settings: type, place: str) -> dict[str, Any]:
    document = TypeAdapter(settings).json_schema(mode="serialization")
    hints = get_type_hints(settings)
    docs = {doc.name: doc for doc in setting_docs(settings)}
    found: dict[str, Any] = {}
    for field in fields(settings):
        kind, doc = hints[field.name], docs[field.name]
        if is_dataclass(kind) and isinstance(kind, type):
            found |= {f"{field.name}.{inner}": value for inner, value in _fields(kind, place).items()}
            continue
        schema = {name: value for name, value in document["properties"][field.name].items() if name != "title"}
        words = _NAMES.get(f"{place}.{field.name}") or tuple(_WORD.findall(doc.kind))
        if words:
            schema["enum"] = list(words)
        if ends := _RANGE.search(doc.kind):
            schema["minimum"], schema["maximum"] = float(ends[1]), float(ends[2])
        found[field.name] = {**schema, "description": doc.help, "default": _plain(doc.default)}
    return found


def _plain(value: Any) -> Any:
    """Return a default as a JSON value."""
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
