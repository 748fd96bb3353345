"""The command that makes a picture of a master: quickly on a reduced one, or whole, into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyquilt.apps.worker import messages
from skyquilt.apps.worker.session import Session
from skyquilt.apps.worker.tasks import Command, Task
from skyquilt.core import Event
from skyquilt.errors import Interrupted, NoUsableInput, UsageError

if TYPE_CHECKING:
    from skyquilt.engine.finish import Chain, ReducedMaster

__all__ = ["FINISH_COMMANDS"]


def _finish(session: Session, task: Task) -> dict[str, Any]:
    from skyquilt.engine.finish import Chain, FinishSettings, finish_master

    request: messages.Finish = task.request  # type: ignore[assignment]
    path = Path(request.path)
    if not path.is_file():
        raise NoUsableInput(f"there is no file {path}", "check the path")
    if not request.outputs:
        raise UsageError("outputs is empty", "name a file to write")
    chain = Chain.from_values({"steps": request.steps}, where="steps")

    def heard(event: Event) -> None:
        if task.should_stop():
            raise Interrupted("stopped on request")
        task.tell(event)

    outputs = tuple(Path(text) for text in request.outputs)
    if request.preview:
        return _preview(session.reduced.of(path), chain, outputs, heard)
    settings = FinishSettings(chain=chain, outputs=outputs, bits=request.bits, quality=request.quality)
    result = finish_master(path, settings, listener=heard)
    record = result.record
    return {
        "steps": [step.model_dump(mode="json") for step in record.steps_done],
        "is_picture": record.is_picture,
        "factor": 1,
        "box": list(record.box),
        "outputs": [str(output) for output in outputs],
        "record": str(result.outputs["record"]),
    }


def _preview(reduced: ReducedMaster, chain: Chain, outputs: tuple[Path, ...], heard: Any) -> dict[str, Any]:
    from skyquilt.engine.finish import preview_chain

    output = outputs[0]
    if len(outputs) > 1 or output.suffix.lower() not in (".fits", ".fit"):
        raise UsageError("a preview is one FITS file", "give one name that ends in .fits")
    if output.exists():
        raise UsageError(f"{output.name} is there already, a preview replaces nothing", "give another name")
    done = preview_chain(reduced, chain, output, listener=heard)
    return {
        "steps": [step.model_dump(mode="json") for step in done.steps],
        "is_picture": done.is_picture,
        "factor": done.factor,
        "box": list(done.box),
        "outputs": [str(output)],
        "record": None,
    }


FINISH_COMMANDS = (
    Command(
        "finish",
        messages.Finish,
        "steps (what each found, notes, skipped), is_picture, factor, box (of the master, px), outputs, record",
        _finish,
        lambda request: "looks" if request.preview else "runs",
    ),
)
