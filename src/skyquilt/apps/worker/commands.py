"""All commands by name, those about the engine itself included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import skyquilt
from skyquilt.apps.worker import messages
from skyquilt.apps.worker.finish_commands import FINISH_COMMANDS
from skyquilt.apps.worker.image_commands import IMAGE_COMMANDS
from skyquilt.apps.worker.lines import MAX_LINE_BYTES
from skyquilt.apps.worker.run_commands import RUN_COMMANDS
from skyquilt.apps.worker.tasks import Command, Task
from skyquilt.engine.images import OPERATIONS

if TYPE_CHECKING:
    from skyquilt.apps.worker.engine import Engine

__all__ = ["COMMANDS"]


def _version(engine: Engine, task: Task) -> dict[str, Any]:
    return {
        "name": "skyquilt",
        "version": skyquilt.__version__,
        "protocol": messages.PROTOCOL_VERSION,
        "commands": list(COMMANDS),
        "operations": list(OPERATIONS),
        "max_line_bytes": MAX_LINE_BYTES,
    }


def _cancel(engine: Engine, task: Task) -> dict[str, Any]:
    request: messages.Cancel = task.request  # type: ignore[assignment]
    return {"jobs": engine.cancel(None if request.job is None else str(request.job))}


def _adjust(engine: Engine, task: Task) -> dict[str, Any]:
    request: messages.Adjust = task.request  # type: ignore[assignment]
    excluded = engine.adjust(str(request.job), request.exclude, request.include, finish=request.finish)
    return {"excluded": excluded, "finish": request.finish}


def _jobs(engine: Engine, task: Task) -> dict[str, Any]:
    return {"jobs": engine.open_jobs()}


def _subscribe(engine: Engine, task: Task) -> dict[str, Any]:
    request: messages.Subscribe = task.request  # type: ignore[assignment]
    engine.subscribe(request.kinds, request.phases)
    return {"kinds": request.kinds, "phases": request.phases}


_OWN_COMMANDS = (
    Command(
        "version", messages.Version, "name, version, protocol, commands, operations, max_line_bytes", _version, "now"
    ),
    Command("cancel", messages.Cancel, "jobs (ids of those that stop)", _cancel, "now"),
    Command("adjust", messages.Adjust, "excluded (all names), finish", _adjust, "now"),
    Command("jobs", messages.Jobs, "jobs (id, cmd, state, stage, percent)", _jobs, "now"),
    Command("subscribe", messages.Subscribe, "kinds, phases", _subscribe, "now"),
)

COMMANDS: dict[str, Command] = {
    command.name: command for command in (*IMAGE_COMMANDS, *RUN_COMMANDS, *FINISH_COMMANDS, *_OWN_COMMANDS)
}
