"""From what a person writes to the settings of an operation, and back; and what there is to write."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from inspect import cleandoc
from typing import Any, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from skyquilt.engine.finish.operation import Operation
from skyquilt.engine.finish.registry import MASK, OPERATIONS
from skyquilt.errors import UsageError

__all__ = [
    "SettingDoc",
    "find_operation",
    "make_settings",
    "mask_docs",
    "operation_schema",
    "parse_value",
    "plain_values",
    "setting_docs",
]

_ENTRY = re.compile(r"^(?=\S)(?P<names>[\w, ]+?) : (?P<kind>.+)$")
_SEE = "docs/reference/finish.md lists the operations and their settings"


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """
    One setting as a person reads of it.

    Attributes
    ----------
    kind : str
        Type and range in words, as the docstring of the settings says.
    default : any JSON value
    """

    name: str
    kind: str
    default: Any
    help: str


def find_operation(name: str) -> Operation:
    """
    Return an operation.

    Raises
    ------
    UsageError
        With the nearest name, if there is none.
    """
    if name in OPERATIONS:
        return OPERATIONS[name]
    near = get_close_matches(name, list(OPERATIONS), n=1, cutoff=0.5)
    raise UsageError(
        f"there is no operation {name}", f"did you mean {near[0]}?" if near else f"one of {', '.join(OPERATIONS)}"
    )


class HasSettings(Protocol):
    """Something with settings of its own: an `Operation`, or a mask."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> type: ...


def make_settings(operation: HasSettings, values: Mapping[str, Any]) -> Any:
    """
    Return the settings of an operation, validated.

    Parameters
    ----------
    values : mapping
        Of JSON or TOML values; text where it can be read as what the setting takes.

    Raises
    ------
    UsageError
        Naming a setting that does not exist (with the nearest name) or cannot be meant.
    """
    _check_names(operation.settings, values, operation.name)
    try:
        return _adapter(operation.settings).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and "[" not in part)
        told = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise UsageError(
            f"{operation.name}: {place} = {first['input']} cannot be meant: expected {told}", _SEE
        ) from None


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(settings: type) -> TypeAdapter[Any]:
    if settings not in _ADAPTERS:
        _ADAPTERS[settings] = TypeAdapter(settings)
    return _ADAPTERS[settings]


def _check_names(settings: type, values: Mapping[str, Any], where: str) -> None:
    known = {f.name: f for f in fields(settings)}
    hints = get_type_hints(settings)
    for name, value in values.items():
        if name not in known:
            near = get_close_matches(name, list(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"its settings: {', '.join(known) or 'none'}"
            raise UsageError(f"{where} has no setting {name}", hint)
        if is_dataclass(hints[name]) and isinstance(value, Mapping):
            _check_names(hints[name], value, f"{where}.{name}")


def plain_values(settings: Any) -> dict[str, Any]:
    """Return settings as JSON values, all of them, those of no value left out."""
    found = _adapter(type(settings)).dump_python(settings, mode="json")
    return {name: value for name, value in found.items() if value is not None}


def parse_value(text: str) -> Any:
    """
    Return what a word of the command line means: a number, true or false, none, a list, or text.

    ``0.5``, ``true``, ``none``, ``[1, 2]``, ``1,2,3`` (a list of numbers) and anything else as text.
    """
    word = text.strip()
    if word.lower() == "none":
        return None
    if "," in word and not word.startswith(("[", '"', "'")):
        word = f"[{word}]"
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def operation_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of the settings of an operation, with the help of every field."""
    operation = find_operation(name)
    schema = _adapter(operation.settings).json_schema()
    schema["title"], schema["description"] = operation.name, operation.title
    schema["additionalProperties"] = False
    for doc in setting_docs(operation.settings):
        schema["properties"][doc.name]["description"] = f"{doc.help} ({doc.kind})"
    return schema


def setting_docs(settings: type) -> tuple[SettingDoc, ...]:
    """Return what the docstrings of settings say of every field, in their order."""
    told: dict[str, tuple[str, str]] = {}
    for kind in reversed(settings.__mro__[:-1]):
        told |= _attributes(cleandoc(kind.__doc__ or ""))  # from Python 3.13 on they are kept clean
    docs = []
    for f in fields(settings):
        words, text = told.get(f.name, ("", ""))
        docs.append(SettingDoc(f.name, words, _default(f), text))
    return tuple(docs)


def mask_docs() -> tuple[SettingDoc, ...]:
    """Return what there is to say of the mask of a step."""
    return setting_docs(MASK.settings)


def _default(f: Any) -> Any:
    value = f.default if f.default is not MISSING else f.default_factory() if f.default_factory is not MISSING else None
    return plain_values(value) if is_dataclass(value) else value


def _attributes(doc: str) -> dict[str, tuple[str, str]]:
    """Return the kind and the help of each attribute of a numpydoc docstring without its indentation."""
    section = doc.partition("Attributes\n")[2].partition("\n")[2]
    found: dict[str, tuple[str, str]] = {}
    names: list[str] = []
    for line in section.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = [name.strip() for name in entry["names"].split(",")]
            found |= dict.fromkeys(names, (entry["kind"].strip(), ""))
        elif not line.startswith("    ") and line.strip():
            break
        elif line.strip():
            for name in names:
                kind, text = found[name]
                found[name] = (kind, f"{text} {line.strip()}".strip())
    # of several names with one text, those without take it
    return found
