"""A chain of operations: an ordered list that is saved, replayed and undone."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from skyquilt.engine.finish.registry import MASK, rank_of
from skyquilt.engine.finish.schema import find_operation, make_settings, parse_value, plain_values
from skyquilt.errors import BadInput, NoUsableInput, UsageError
from skyquilt.io.atomic import write_atomically
from skyquilt.steps.finish import MaskSettings

__all__ = ["CHAIN_SCHEMA", "Chain", "Step", "load_chain", "read_step"]

CHAIN_SCHEMA = "skyquilt.chain"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Step:
    """
    One operation with its settings.

    Attributes
    ----------
    operation : str
    settings : any
        The settings dataclass of the operation.
    optional : bool
        Whether it is passed over, with a note, where it cannot be done on an image (colours of a mono image).
    mask : MaskSettings or None
        Where it is done; None: everywhere. It is made of the image before the step.
    mask_inverted : bool
        Do it where the mask is not.
    """

    operation: str
    settings: Any
    optional: bool = False
    mask: MaskSettings | None = None
    mask_inverted: bool = False

    @classmethod
    def of(
        cls,
        operation: str,
        /,
        *,
        optional: bool = False,
        mask: Mapping[str, Any] | None = None,
        mask_inverted: bool = False,
        **values: Any,
    ) -> Step:
        """
        Return a step with some settings given and the others as they are by default.

        Raises
        ------
        UsageError
            If the operation, or a setting of it, does not exist or cannot be meant.
        """
        for name, flag in (("optional", optional), ("mask_inverted", mask_inverted)):
            if not isinstance(flag, bool):
                raise UsageError(f"{operation}: {name} = {flag} cannot be meant", "write true or false")
        if mask is not None and not isinstance(mask, Mapping):
            raise UsageError(f"{operation}: mask = {mask} cannot be meant", 'write mask = { kind = "star" }')
        chosen = None if mask is None else make_settings(MASK, mask)
        if mask_inverted and chosen is None:
            raise UsageError(f"{operation}: there is no mask to be inverted", 'write mask = { kind = "star" }')
        return cls(operation, make_settings(find_operation(operation), values), optional, chosen, mask_inverted)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, where: str = "the chain") -> Step:
        """Return the step that a table of a file means."""
        if not isinstance(values, Mapping):
            raise UsageError(f"a step of {where} is no table of settings", 'write operation = "gradient"')
        name = values.get("operation")
        if not isinstance(name, str):
            raise UsageError(f"a step of {where} does not say its operation", 'write operation = "gradient"')
        return cls.of(name, **{key: value for key, value in values.items() if key != "operation"})

    def values(self) -> dict[str, Any]:
        """Return the step as JSON values, every setting written out."""
        own: dict[str, Any] = {"optional": True} if self.optional else {}
        if self.mask is not None:
            own |= {"mask": plain_values(self.mask), "mask_inverted": self.mask_inverted}
        return {"operation": self.operation, **own, **plain_values(self.settings)}


@dataclass(frozen=True, slots=True)
class Chain:
    """
    Steps in the order in which they are done; every change gives another chain.

    The start is always the master, so that to undo a step is to leave it out.
    """

    steps: tuple[Step, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """The operations in order."""
        return tuple(step.operation for step in self.steps)

    def undone(self, n: int = 1) -> Chain:
        """Return the chain without its last `n` steps."""
        return Chain(self.steps[: max(0, len(self.steps) - n)])

    def with_step(self, operation: str, /, **values: Any) -> Chain:
        """
        Return the chain with these settings in the step of that operation (the first), or with such a step more.

        A new step goes where it usually stands: before the first one that usually comes later.
        """
        for k, step in enumerate(self.steps):
            if step.operation == operation:
                given = {key: value for key, value in step.values().items() if key not in ("operation", "optional")}
                changed = Step.of(operation, **{**given, **values})
                return Chain((*self.steps[:k], changed, *self.steps[k + 1 :]))
        new = Step.of(operation, **values)
        stretched = find_operation(operation).makes_picture
        kept = tuple(s for s in self.steps if not (stretched and find_operation(s.operation).makes_picture))
        at = next((k for k, s in enumerate(kept) if rank_of(s.operation) > rank_of(operation)), len(kept))
        return Chain((*kept[:at], new, *kept[at:]))

    def without(self, names: Iterable[str]) -> Chain:
        """
        Return the chain without the steps of some operations.

        Raises
        ------
        UsageError
            If the chain has no such step.
        """
        left = self._check(names)
        return Chain(tuple(step for step in self.steps if step.operation not in left))

    def only(self, names: Iterable[str]) -> Chain:
        """Return the chain of the steps of some operations, likewise."""
        kept = self._check(names)
        return Chain(tuple(step for step in self.steps if step.operation in kept))

    def _check(self, names: Iterable[str]) -> set[str]:
        asked = set(names)
        for name in sorted(asked - set(self.names)):
            find_operation(name)
            near = get_close_matches(name, self.names, n=1)
            raise UsageError(
                f"the chain has no step {name}",
                f"did you mean {near[0]}?" if near else f"its steps: {', '.join(self.names) or 'none'}",
            )
        return asked

    def to_values(self) -> dict[str, Any]:
        """Return the chain as the content of a JSON document."""
        steps = [step.values() for step in self.steps]
        return {"schema_id": CHAIN_SCHEMA, "schema_version": _VERSION, "steps": steps}

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, where: str = "the chain") -> Chain:
        """
        Return the chain of a document, or of the record of a finished image.

        Raises
        ------
        UsageError
            Naming what does not exist or cannot be meant.
        """
        if "chain" in values and "steps_done" in values:  # a record
            values = values["chain"]
        unknown = sorted(set(values) - {"schema_id", "schema_version", "steps"})
        if unknown or "steps" not in values:
            raise UsageError(
                f"{where} has no setting {unknown[0]}" if unknown else f"{where} holds no steps",
                'write [[steps]], and below it operation = "gradient"',
            )
        if values.get("schema_version", _VERSION) != _VERSION:
            raise UsageError(f"{where} is of version {values['schema_version']}, this program reads {_VERSION}")
        if not isinstance(values["steps"], list):
            raise UsageError(f"the steps of {where} are no list", "write [[steps]] for each")
        return cls(tuple(Step.from_values(step, where=where) for step in values["steps"]))

    def to_json(self) -> str:
        """Return the chain as JSON."""
        return json.dumps(self.to_values(), indent=1) + "\n"

    def to_toml(self) -> str:
        """Return the chain as TOML."""
        lines = [f'schema_id = "{CHAIN_SCHEMA}"', f"schema_version = {_VERSION}"]
        if not self.steps:
            lines.append("steps = []")
        for step in self.steps:
            lines += ["", "[[steps]]", *_toml_lines(step.values())]
        return "\n".join(lines) + "\n"

    def save(self, path: Path) -> None:
        """
        Write the chain as TOML or JSON, by the ending of the name.

        Raises
        ------
        UsageError
            If it has another ending.
        NotEnoughDisk, OutputBlocked
        """
        write_atomically(path, (self.to_json() if _is_json(path) else self.to_toml()).encode())


def read_step(text: str) -> tuple[str, dict[str, Any]]:
    """
    Return the operation and the settings of a step in one line: ``gradient order=1 model=mesh``.

    Raises
    ------
    UsageError
        If it cannot be read so.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the step {text!r} has a quote that does not end") from error
    if not words:
        raise UsageError("a step is empty", 'write it as "gradient order=1"')
    values: dict[str, Any] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} in the step {words[0]} is no setting", "write key=value")
        place: dict[str, Any] = values
        *outer, last = key.split(".")
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = parse_value(value)
    find_operation(words[0])
    return words[0], values


def _toml_lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items() if inner is not None) + " }"
    if isinstance(value, Sequence):
        return f"[{', '.join(_toml(inner) for inner in value)}]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def _is_json(path: Path) -> bool:
    if path.suffix.lower() not in (".json", ".toml"):
        raise UsageError(f"a chain is a .toml or a .json file, {path.name} is neither", "give it such a name")
    return path.suffix.lower() == ".json"


def load_chain(path: Path) -> Chain:
    """
    Return the chain in a TOML or JSON file, or that of a record (``*.finish.json``).

    Raises
    ------
    NoUsableInput
        If there is no such file.
    BadInput
        If it is no TOML or JSON.
    UsageError
        If it names what does not exist.
    """
    path = Path(path)
    is_json = _is_json(path)
    if not path.is_file():
        raise NoUsableInput(f"there is no chain {path}", "check the path; --save-chain FILE writes one")
    try:
        text = path.read_text("utf-8")
        document = json.loads(text) if is_json else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is no chain: {error}", "see docs/guides/finish.md") from error
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror}") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path.name} is no chain: it holds no table", "see docs/guides/finish.md")
    return Chain.from_values(document, where=path.name)
