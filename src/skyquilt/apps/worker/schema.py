"""The protocol as a JSON Schema document and as a page, both drawn from the models that check the requests."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from skyquilt.apps.worker.commands import COMMANDS
from skyquilt.apps.worker.lines import MAX_LINE_BYTES
from skyquilt.apps.worker.messages import PROTOCOL_VERSION, Failure, ProgressLine, Success
from skyquilt.engine.images import OPERATIONS

__all__ = ["protocol_page", "protocol_schema"]

_RULES = f"""`skyquilt engine` reads a JSON object a line from standard input and writes one a line to standard output;
its log goes to standard error. Try it:

```sh
echo '{{"id":"1","cmd":"info","path":"frame.fit"}}' | skyquilt engine
```

| Line | Shape |
|---|---|
| request | `{{"id": ..., "cmd": ..., ...}}`; the id is text or a whole number |
| done | `{{"id": ..., "ok": true, "data": ...}}` |
| not done | `{{"id": ..., "ok": false, "error": sentence, "hint": ..., "kind": ...}}`; `"cancelled": true` if so |
| job on its way | `{{"id": ..., "progress": {{"stage": ..., "percent": 0 to 1}}}}`; `"event"` if it was subscribed to |

- Every line that is not blank is answered by exactly one final line. What cannot be read (no JSON, no object, no UTF-8,
  NaN, a name that stands twice, too deep, no usable id) is answered with the id `null`.
- A line may have {MAX_LINE_BYTES:,} bytes; a longer one is skipped as a whole and answered as one.
- Commands about the engine itself (`version`, `cancel`, `adjust`, `jobs`, `subscribe`) are answered at once, those
  about images one after the other in their order, whatever jobs are at work.
- Jobs that only look (`sessions`, `frames`, `solve`, `finish` with `preview`) stand in one line, those that run
  (`frames` with `scored`, `plan`, `stack`, `watch`, `mosaic`, `finish`, `pipeline` of files) in another: one of each
  line works at a time, in the order in which they were asked; 100 may wait, more are refused. A `watch` keeps its line
  until it ends. The folder of a run is locked against other processes.
- The id of a job that is not done cannot be used for another request: that one is answered with the id `null`.
- `cancel` stops a job after the block in hand; the job answers itself, with `cancelled`. A job that is done before it
  hears of it answers as usual. The same request goes on where it stopped, and ends with the same bits.
- The lines end: what was asked is done, then the engine ends. Nobody reads the answers any more: jobs stop after the
  block in hand and the engine ends without a word. SIGINT, SIGTERM: jobs stop, answer as cancelled, and the engine ends
  with 130 or 143; a second signal ends it at once.
- Files that are opened are only read. `preview`, `tile` and `save` replace no FITS file that skyquilt did not make, no
  packed file, no raw file of a camera, and no file that is open.
- `job:` and the id of a stack or mosaic is the handle of its picture: what has landed so far, at most 1024 px long and
  in ADU, then its master. The masters of the last eight jobs are kept, and what the last one that was stopped had.
- Stretches are in the unit of the image: ADU of raw frames, 0 to 1 of masters.
"""


def protocol_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of every line, in and out; `operations` are the steps of `pipeline`."""
    requests = [command.request for command in COMMANDS.values()]
    kinds: list[Any] = [*requests, Success, Failure, ProgressLine]
    _, document = models_json_schema([(kind, "validation") for kind in kinds], ref_template="#/$defs/{model}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "skyquilt engine",
        "schema_id": "skyquilt.engine",
        "schema_version": PROTOCOL_VERSION,
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in requests],
        "answers": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in (Success, Failure, ProgressLine)],
        "operations": {name: operation.settings.model_json_schema() for name, operation in OPERATIONS.items()},
        "$defs": document["$defs"],
    }


def protocol_page(notice: str) -> str:
    """Return the reference page of the protocol."""
    parts = ["# The engine process", notice, f"Version {PROTOCOL_VERSION} of the protocol.", _RULES.strip()]
    parts.append(
        "The schema of all lines is [engine.schema.json](engine.schema.json); `skyquilt engine --schema` prints it."
    )
    lines = ["| Command | Data of the answer | Of sidera |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.answer} | {'yes' if one.is_from_sidera else ''} |" for one in COMMANDS.values()]
    parts += ["## Commands", "\n".join(lines)]
    for command in COMMANDS.values():
        parts += [f"### {command.name}", " ".join((command.request.__doc__ or "").split()), _fields(command.request)]
    parts += [
        "## Operations of pipeline",
        'Each step is an object with the name as `op`, such as `{"op": "crop", "box": [0, 0, 100, 100]}`.',
    ]
    for name, operation in OPERATIONS.items():
        parts += [f"### {name}", operation.help, _fields(operation.settings)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _fields(model: Any) -> str:
    """Return the fields of a model as a table; those that all requests have are left out."""
    schema = model.model_json_schema()
    required = set(schema.get("required", []))
    lines = ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, field in schema.get("properties", {}).items():
        if name in ("id", "cmd"):
            continue
        default = "required" if name in required else _default(field)
        lines.append(f"| `{name}` | {_type(field)} | {default} | {_cell(field.get('description', ''))} |")
    return "\n".join(lines) if len(lines) > 2 else "It has no fields besides id and cmd."


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return "built-in" if isinstance(value, dict) else f"`{json.dumps(value)}`"


def _type(field: dict[str, Any]) -> str:
    """Return the type of a field in a few words."""
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in field:
        return ", ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array" and isinstance(field.get("items"), dict):
        return f"list of {_type(field['items'])}"
    return str(field.get("type", "any"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
