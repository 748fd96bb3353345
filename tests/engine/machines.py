"""A Dask scheduler and workers, each a process of its own, as on several machines; everything stays on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import skyquilt

PATIENCE_S = 60.0


class Machines:
    """
    A scheduler, and the workers that are started.

    Parameters
    ----------
    folder : Path
        For the scheduler's address and what the processes say.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        said = folder / "scheduler.json"
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler",
            "--port",
            "0",
            "--no-dashboard",
            "--no-show",
            "--scheduler-file",
            str(said),
        )
        begun = time.monotonic()
        while not (said.exists() and said.read_text()):
            assert time.monotonic() - begun < PATIENCE_S
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address: str = json.loads(said.read_text())["address"]

    def add(
        self, n_threads: int = 1, *words: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker, with further words of its command line and variables of its environment."""
        fixed = ("--nthreads", str(n_threads), "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        place = ("--local-directory", str(self.folder))
        self.workers.append(
            self._start("distributed.cli.dask_worker", self.address, *fixed, *place, *words, variables=variables)
        )
        return self.workers[-1]

    def wait_for(self, n_workers: int) -> None:
        """Return when the scheduler knows so many workers."""
        from distributed import Client

        begun = time.monotonic()
        with Client(self.address, set_as_default=False) as client:
            while len(client.nthreads()) != n_workers:
                assert time.monotonic() - begun < PATIENCE_S
                time.sleep(0.05)

    def _start(self, module: str, *words: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        home = str(Path(skyquilt.__path__[0]).parent)
        environment = {**os.environ, "PYTHONPATH": home, **(variables or {})}
        said = (self.folder / f"{module}-{time.monotonic_ns()}.log").open("wb")
        with said:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words, "--host", "127.0.0.1"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def close(self) -> None:
        """End all processes."""
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()


@contextmanager
def machines(folder: Path, n_workers: int) -> Iterator[Machines]:
    """Give a scheduler with so many workers of one thread."""
    made = Machines(folder)
    try:
        for _ in range(n_workers):
            made.add()
        if n_workers:
            made.wait_for(n_workers)
        yield made
    finally:
        made.close()
