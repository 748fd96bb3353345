"""The guide for those who come from ZeMosaic, drawn from the table that the program itself goes by."""

from __future__ import annotations

from skyquilt.apps.zemosaic import WORKER_OPTIONS, Block, blocks

__all__ = ["zemosaic_page"]

_BEGINNING = """`skyquilt mosaic` reads ZeMosaic's configuration file and understands the options of its worker:

```
skyquilt mosaic INPUT --out OUTPUT --config zemosaic_config.json
skyquilt mosaic --config zemosaic_config.json                      # the file's input_dir and output_dir
skyquilt mosaic INPUT --assembly_process_workers 4 --coadd_memmap_dir /fast/disk
```

The folder of the products is named by `--out`: a second folder on the line is a second folder with frames.

The settings of the file count more than a `skyquilt.toml` and less than a `--preset`, the environment and options of
the command line. A short note says how many settings were taken over and how many have no meaning here, and names those
that you had changed; `-v` lists all of them with the reason, `--json` has them under `zemosaic`. A key that ZeMosaic
does not have is named in a warning, a value that cannot be meant is an error. The file is only read.

What is different: there are no panels and no master tiles. Every frame is placed on the sky by its stars, resampled
once, straight onto the canvas, and rejected, weighted and combined there together with all others. What ZeMosaic sets
about the tiles between has therefore nothing to act on."""
_MAPPED = (
    "The value goes to a setting ([recipe.md](../reference/recipe.md)), or to an option or argument of the command."
)
_ALWAYS = "What these keys ask for happens in any case; their value changes nothing."
_NONE = "These have nothing to act on. They are read over, and counted."
_HIDDEN = """Keys that ZeMosaic reads but does not write into its file are known as well; they stand in parentheses, and
a star stands for the rest of a name."""
_OPTIONS = """Dashes and underscores are the same in all of them. What each does is said when it is given; one that
says the same as an option of skyquilt cannot go together with it."""


def zemosaic_page(notice: str) -> str:
    """Return docs/guides/from-zemosaic.md; `notice` says that it is generated."""
    parts = ["# From ZeMosaic", notice, _BEGINNING]
    for fate, heading, text in (
        ("mapped", "Settings that are taken over", _MAPPED),
        ("always", "What is done in any case", _ALWAYS),
        ("none", "Settings without a meaning here", _NONE),
    ):
        found = [block for block in blocks() if block.fate == fate]
        n_keys = sum(len(block.keys) for block in found)
        parts += [f"## {heading} ({n_keys})", text]
        parts.append(_mapped_table(found) if fate == "mapped" else _table(found))
        if fate == "none":
            parts.append(_HIDDEN)
    return "\n\n".join([*parts, "## Options of the worker", _OPTIONS, _option_table()]) + "\n"


def _mapped_table(found: list[Block]) -> str:
    lines = ["| ZeMosaic | skyquilt | Values |", "|---|---|---|"]
    lines += [f"| `{key.name}` | `{key.to}` | {key.reason} |" for block in found for key in block.keys]
    return "\n".join(lines)


def _table(found: list[Block]) -> str:
    lines = ["| About | Instead | Keys |" if found[0].fate == "always" else "| About | Why | Keys |", "|---|---|---|"]
    for block in found:
        names = ", ".join(f"`{key.name}`" for key in block.keys)
        hidden = [*(key.name for key in block.hidden), *(f"{prefix}*" for prefix in block.prefixes)]
        more = f" ({', '.join(f'`{name}`' for name in hidden)})" if hidden else ""
        lines.append(f"| {block.title} | {block.reason} | {names}{more} |")
    return "\n".join(lines)


def _option_table() -> str:
    lines = ["| Option | Here |", "|---|---|"]
    values = {"number": " N", "folder": " FOLDER", "file": " FILE", "flag": ""}
    for option in WORKER_OPTIONS:
        value = values.get(option.kind, f" {', '.join(option.choices)}")
        short = f"{option.short}, " if option.short else ""
        lines.append(f"| `{short}{option.name}{value}` | {option.told} |")
    return "\n".join(lines)
