"""skyquilt finish: from the linear master to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import face
from skyquilt.apps.cli.stack import progress_option
from skyquilt.errors import UsageError

if TYPE_CHECKING:
    from skyquilt.engine.finish import Chain, FinishResult

__all__ = ["finish", "result_lines", "tell_result"]

_FILE = click.Path(path_type=Path)
_NAME = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Make a picture of a master, step by step.")
@click.argument("master", type=_FILE, required=False)
@click.option(
    "--out",
    "outputs",
    type=_NAME,
    multiple=True,
    help="The finished image: .png, .jpg, .tif, .fits or .xisf. May be given several times.  "
    "[default: MASTER's name with _finished.png, in this folder]",
)
@click.option(
    "--preset", metavar="NAME", help="preview, galaxy, nebula, cluster, duoband, or none.  [default: preview]"
)
@click.option("--chain", "chain_file", type=_NAME, help="The steps in this .toml or .json file, or those of a record.")
@click.option(
    "--step",
    "steps",
    multiple=True,
    metavar='"NAME key=value ..."',
    help="Settings of a step of the chain, or a step more: --step 'gradient order=2'. May be given several times.",
)
@click.option("--without", metavar="NAMES", multiple=True, help="Leave these steps out: gradient,scnr.")
@click.option("--only", metavar="NAMES", multiple=True, help="Do these steps of the chain alone.")
@click.option("--undo", type=click.IntRange(min=0), default=0, metavar="N", help="Leave the last N steps out.")
@click.option("--bits", type=click.Choice(["8", "16", "32"]), help="Bits a channel, as the format has them.")
@click.option("--quality", type=click.IntRange(1, 100), default=92, show_default=True, help="Of a JPEG.")
@click.option("--save-linear", type=_NAME, help="Write the image before its first stretch too.")
@click.option("--save-model", type=_NAME, help="Write the sky that the gradient step takes off.")
@click.option("--save-chain", type=_NAME, help="Write the chain as .toml or .json.")
@click.option("--no-record", is_flag=True, help="Write no record (NAME.finish.json) beside the image.")
@click.option("--catalogue", type=_NAME, help="A deeper star catalogue of yours: CSV or FITS table.")
@click.option("--memory", metavar="AMOUNT", help="Most memory to take, such as 2GB; larger images work on the disk.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads; default: the processors of the machine.")
@click.option("--list", "is_list", is_flag=True, help="List the operations, their settings and the presets, and end.")
@click.option("--dry-run", is_flag=True, help="Show the chain and write nothing.")
@progress_option
@face
def finish(console: Console, master: Path | None, **options: Any) -> int:
    """
    Make a picture of MASTER, a linear FITS or XISF image, by a chain of steps.

    MASTER is only read. The steps, what they found in the image, and the digests of what went in and came out are
    written beside the picture; --chain with that record does the same again.
    """
    from skyquilt import engine
    from skyquilt.apps.cli.progress import Progress
    from skyquilt.engine import finish as room

    if options["is_list"]:
        return _list(console)
    if master is None:
        raise UsageError("no master is given", "skyquilt finish MASTER, or --list for what can be done")
    chain = _chain(options)
    if options["save_chain"] is not None:
        chain.save(options["save_chain"])
        console.detail(f"written: {options['save_chain']}")
    if options["dry_run"]:
        console.result(chain.to_toml().rstrip())
        console.document("skyquilt.cli.finish", {"chain": chain.to_values()})
        return 0
    outputs = options["outputs"] or (Path(f"{master.stem}_finished.png"),)
    settings = room.FinishSettings(
        chain=chain,
        outputs=tuple(outputs),
        bits=int(options["bits"]) if options["bits"] else None,
        quality=options["quality"],
        save_linear=options["save_linear"],
        save_model=options["save_model"],
        catalogue=options["catalogue"],
        memory=engine.parse_memory(options["memory"]),
        n_threads=options["threads"],
        record=not options["no_record"],
    )
    with Progress(console, options["progress"]) as progress:
        result = room.finish_master(master, settings, listener=progress)
    return tell_result(console, result)


def _chain(options: dict[str, Any]) -> Chain:
    """Return the chain that the options mean: preset or file, then steps, then what is left out."""
    from skyquilt.engine.finish import load_chain, preset_chain, read_step

    if options["preset"] is not None and options["chain_file"] is not None:
        raise UsageError("--preset and --chain both give the steps", "give one of the two")
    if options["chain_file"] is not None:
        chain: Chain = load_chain(options["chain_file"])
    else:
        chain = preset_chain(options["preset"] or "preview")
    for text in options["steps"]:
        name, values = read_step(text)
        chain = chain.with_step(name, **values)
    for names in options["without"]:
        chain = chain.without(_names(names))
    if options["only"]:
        chain = chain.only([name for names in options["only"] for name in _names(names)])
    return chain.undone(options["undo"]) if options["undo"] else chain


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def tell_result(console: Console, result: FinishResult) -> int:
    """Say what came of it, and return the exit code."""
    for note in result.record.notes:
        console.note(note)
    for line in result_lines(result):
        console.result(line)
    document = result.record.model_dump(mode="json")
    del document["schema_id"], document["schema_version"]
    files = {name: str(path) for name, path in result.outputs.items()}
    console.document("skyquilt.cli.finish", {**document, "files": files})
    return 0


def result_lines(result: FinishResult) -> list[str]:
    """Return what was done, in a few lines."""
    done = [step.operation for step in result.record.steps_done if not step.skipped]
    channels, height, width = result.image.shape
    size = f"{width} x {height} px, {channels} channel{'s' if channels > 1 else ''}"
    lines = [f"steps      {', '.join(done) or 'none'}", f"image      {size}"]
    lines += [f"{output.content:<10} {output.file}" for output in result.record.outputs]
    if "record" in result.outputs:
        lines.append(f"record     {result.outputs['record'].name}")
    return lines


def _list(console: Console) -> int:
    """List operations, settings and presets."""
    from skyquilt.engine.finish import OPERATIONS, PRESET_TITLES, operation_schema, preset_chain, setting_docs

    for operation in OPERATIONS.values():
        console.heading(f"{operation.name}  {operation.title}")
        for doc in setting_docs(operation.settings):
            console.result(f"  {doc.name} = {'none' if doc.default is None else doc.default}  ({doc.kind}) {doc.help}")
    for name, title in PRESET_TITLES.items():
        console.heading(f"--preset {name}  {title}")
        console.result(f"  {', '.join(preset_chain(name).names) or 'no step'}")
    schemas = {name: operation_schema(name) for name in OPERATIONS}
    presets = {name: preset_chain(name).to_values() for name in PRESET_TITLES}
    console.document("skyquilt.cli.finish_list", {"operations": schemas, "presets": presets})
    return 0
