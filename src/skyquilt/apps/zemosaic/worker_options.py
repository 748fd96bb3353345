"""The options of ZeMosaic's worker, and what each does here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WORKER_OPTIONS", "WorkerOption"]


@dataclass(frozen=True, slots=True)
class WorkerOption:
    """
    One option.

    Attributes
    ----------
    name : str
        As ZeMosaic spells it; dashes in place of the underscores, or the other way round, are understood as well.
    short : str
        A short spelling, or "".
    kind : "flag", "number", "folder", "file" or "choice"
    key : str
        The key of the configuration that it stands for.
    told : str
        What it does here: shown in the help, and said when it is given.
    choices : tuple of str
    value : bool or None
        What a flag says about its key.
    """

    name: str
    kind: str
    key: str
    told: str
    short: str = ""
    choices: tuple[str, ...] = ()
    value: bool | None = None

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every way to write it, ZeMosaic's own first."""
        body = self.name.removeprefix("--")
        both = f"--{body.replace('-', '_')}", f"--{body.replace('_', '-')}"
        return tuple(dict.fromkeys((*([self.short] if self.short else []), self.name, *both)))


WORKER_OPTIONS: tuple[WorkerOption, ...] = (
    WorkerOption(
        "--final_assembly_method",
        "choice",
        "final_assembly_method",
        "one assembly serves both ways: frames are resampled once onto a canvas that further frames can be added to",
        choices=("reproject_coadd", "incremental"),
    ),
    WorkerOption(
        "--coadd_use_memmap",
        "flag",
        "coadd_use_memmap",
        "the canvas grows on disk in any case",
        value=True,
    ),
    WorkerOption(
        "--coadd_memmap_dir", "folder", "coadd_memmap_dir", "the same as --scratch: the canvas grows in that folder"
    ),
    WorkerOption(
        "--coadd_cleanup_memmap",
        "flag",
        "coadd_cleanup_memmap",
        "the same as --no-keep-canvas: the canvas of the work is removed after success",
        value=True,
    ),
    WorkerOption(
        "--assembly_process_workers",
        "number",
        "assembly_process_workers",
        "the same as --threads; 0: as many as there are processors",
    ),
    WorkerOption(
        "--winsor-workers",
        "number",
        "winsor_worker_limit",
        "the same as --threads, of which the smaller number counts; 0: as many as there are processors",
        short="-W",
    ),
    WorkerOption(
        "--max-raw-per-master-tile",
        "number",
        "max_raw_per_master_tile",
        "no effect: there are no master tiles, every frame lies on the canvas by itself",
    ),
    WorkerOption(
        "--no_auto_limit_frames",
        "flag",
        "auto_limit_frames_per_master_tile",
        "no effect: there are no master tiles, and the number of frames is never limited",
        value=False,
    ),
    WorkerOption(
        "--solver-settings",
        "file",
        "",
        "a JSON file: solver_choice none means --solve off, any other --solve auto; the rest has no meaning here, "
        "since the solver comes along",
    ),
)
