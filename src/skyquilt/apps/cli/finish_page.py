"""The reference page of operations, settings and presets, drawn from the register."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["finish_page"]

_INTRO = """What `skyquilt finish` can do to a master, in the order in which steps usually stand. A step of a chain is a
table with its `operation` and any of its settings; [finish.md](../guides/finish.md) tells how chains are written.
`light` is what was measured, a `picture` is stretched; every step can have `optional = true` (passed over where it
cannot be done) and a `mask`."""


def finish_page(notice: str) -> str:
    """Return the page as Markdown."""
    from skyquilt.engine.finish import OPERATIONS, PRESET_TITLES, mask_docs, preset_chain, setting_docs

    parts = ["# Operations of finish", notice, _INTRO.replace("\n", " ")]
    for operation in OPERATIONS.values():
        parts.append(f"## {operation.name}")
        on = {"linear": "On light.", "picture": "On pictures.", "any": "On light and on pictures."}[operation.domain]
        takes = f" Channels: {' or '.join(map(str, operation.channels))}." if operation.channels else ""
        parts.append(f"{operation.title} {on}{takes}")
        parts.append(_table(setting_docs(operation.settings)))
    parts += ["## mask", 'Where a step is done: `mask = { kind = "star" }`, and `mask_inverted = true` for elsewhere.']
    parts.append(_table(mask_docs()))
    parts.append("## Presets")
    for name, title in PRESET_TITLES.items():
        parts.append(f"**{name}**: {title}")
        lines = ["```toml", preset_chain(name).to_toml().rstrip(), "```"]
        if name != "none":
            parts.append("\n".join(_brief(lines)))
    return "\n\n".join(parts) + "\n"


def _brief(lines: list[str]) -> list[str]:
    """Return the lines of a chain without what names its format."""
    return [
        lines[0],
        "\n".join(line for line in lines[1].split("\n") if not line.startswith("schema_")).strip(),
        lines[2],
    ]


def _table(docs: Any) -> str:
    lines = ["| Setting | Default | Values | Meaning |", "|---|---|---|---|"]
    for doc in docs:
        default = "none" if doc.default is None else json.dumps(doc.default)
        lines.append(f"| `{doc.name}` | `{default}` | {_cell(doc.kind)} | {_cell(doc.help)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
