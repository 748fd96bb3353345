"""What the page may say in the body of a POST, as models: checked at the door."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from skyquilt.apps.stretch_given import StretchGiven
from skyquilt.errors import UsageError

__all__ = [
    "ChainSave",
    "ChainText",
    "Choice",
    "FinishRun",
    "LiveChoice",
    "Nothing",
    "Open",
    "OpenImage",
    "Run",
    "Save",
    "Scored",
    "SettingsPart",
    "Token",
    "Watch",
    "read_body",
]

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Ids = Annotated[list[Id], Field(max_length=50_000)]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=10_000)]
_LARGEST_VIEW = 64 << 10
_DEEPEST = 40


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Nothing(_Body):
    """An empty object."""


class Token(_Body):
    """The token of the address."""

    token: str = Field(max_length=200)


class Open(_Body):
    """One folder, or some for a mosaic."""

    folder: Id | None = None
    folders: Annotated[list[Id], Field(max_length=50)] = []

    @property
    def ids(self) -> list[str]:
        return [*([self.folder] if self.folder else []), *self.folders]


class Scored(_Body):
    """Whether frames are measured."""

    scored: bool = False


class Choice(_Body):
    """Frames that are left out, and taken in again."""

    exclude: Ids = []
    include: Ids = []
    clear: Ids = []


class Run(_Body):
    """A run, or the plan of one."""

    kind: Literal["stack", "mosaic"] = "stack"
    settings: dict[str, JsonValue] = {}
    preset: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")] | None = None


class Watch(_Body):
    """A live stack of a folder that grows; null: the folder that is open, or else the first root."""

    folder: Id | None = None
    settings: dict[str, JsonValue] = {}
    preset: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")] | None = None


class LiveChoice(_Body):
    """Frames of a live stack, by the names of their files."""

    exclude: Names = []
    include: Names = []


class OpenImage(_Body):
    """A product, a frame, or the picture that grows."""

    product: Id | None = None
    frame: Id | None = None
    live: bool = False

    @model_validator(mode="after")
    def _one(self) -> OpenImage:
        if (self.product is not None) + (self.frame is not None) + self.live != 1:
            raise ValueError("give one of product, frame and live")
        return self


def _plain_name(name: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 or letter in '/\\:*?"<>|' for letter in name):
        raise ValueError("the name holds a letter that file names may not have")
    if name.strip(". ") != name or not name.isprintable():
        raise ValueError("the name may not begin or end with a dot or a blank")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the name is no text") from None
    return name


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain_name)]
"""What a file can be called."""


class Save(_Body):
    """How an image is saved."""

    format: Literal["fits", "tiff", "png", "jpeg"]
    stretch: StretchGiven | None = None
    name: Name


Steps = Annotated[list[dict[str, JsonValue]], Field(max_length=100)]


class FinishRun(_Body):
    """A chain to be done on a product: a preview of it, or the whole into files."""

    product: Id
    steps: Steps
    preview: bool = True
    name: Name = "finished"
    formats: Annotated[list[Literal["png", "jpeg", "tiff", "xisf"]], Field(max_length=4)] = []
    quality: int = Field(92, ge=1, le=100)


class ChainSave(_Body):
    """A chain to be kept."""

    name: Name
    steps: Steps


class ChainText(_Body):
    """A kept chain, or the text of a file."""

    kept: Id | None = None
    text: str = Field("", max_length=200_000)
    format: Literal["toml", "json"] = "toml"


class SettingsPart(_Body):
    """Any part of the settings; what is left out stays."""

    language: Literal["en", "fr"] | None = None
    theme: Literal["dark", "light", "night"] | None = None
    kind: Literal["stack", "mosaic"] = "stack"
    recipe: dict[str, JsonValue] = {}
    preset: str | None = Field(None, max_length=100)
    view: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _small(self) -> SettingsPart:
        if len(json.dumps(self.view)) > _LARGEST_VIEW or len(json.dumps(self.recipe)) > _LARGEST_VIEW:
            raise ValueError(f"view and recipe may have {_LARGEST_VIEW:,} bytes each")
        return self


AnyBody = TypeVar("AnyBody", bound=_Body)


def read_body(content: bytes, kind: type[AnyBody]) -> AnyBody:
    """
    Return what a body says.

    Raises
    ------
    UsageError
        If it is no JSON object, or not what is expected.
    """
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise UsageError("the body is no JSON object", "send what docs/reference/app-api.md says") from None
    if not isinstance(found, dict) or _depth(found) > _DEEPEST:
        raise UsageError("the body is no JSON object", "send what docs/reference/app-api.md says")
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{name}: {told}" if name else told, "") from None


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _depth(value: Any) -> int:
    """Return how deep lists and objects are nested; stops where it is too deep."""
    level, inner = 0, [value]
    while inner and level <= _DEEPEST:
        level += 1
        inner = [
            one
            for each in inner
            if isinstance(each, dict | list)
            for one in (each.values() if isinstance(each, dict) else each)
        ]
    return level
