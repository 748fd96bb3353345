"""skyquilt doctor: whether this machine can run a stack, and a bundle for those who help."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import existing_folder, face

__all__ = ["doctor"]


@click.command(short_help="Check whether this machine can run skyquilt.")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a zip file for bug reports: versions, checks, settings, the manifests of FOLDER; no pixels, no paths.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Where products would go; its disk is looked at.",
)
@face
def doctor(console: Console, folder: Path | None, bundle: Path | None, out: Path) -> int:
    """
    Look at everything a run needs: versions, compiled loops, memory, disk, folders.

    FOLDER, a processed folder, is for --bundle only. Exit code 0: skyquilt can be used here.
    """
    from skyquilt.apps import doctor as check_up

    if folder is not None:
        existing_folder(folder)
    checks = check_up.diagnose(out)
    for check in checks:
        console.log(check.state, f"{check.name}: {check.found}")
    words = {"ok": "ok", "warning": "warning", "bad": "BAD"}
    rows = [{"check": check.name, "state": words[check.state], "found": check.found} for check in checks]
    console.table(rows)
    for check in checks:
        if check.state != "ok" and check.hint:
            console.result(f"{check.name}: {check.hint}")
    if bundle is not None:
        from skyquilt.apps.settings import user_config_path

        check_up.write_bundle(bundle, checks, folder=folder, config=user_config_path())
        console.note(f"the bundle is in {bundle}; look into it before you pass it on")
    usable = check_up.is_usable(checks)
    console.result("skyquilt can be used here" if usable else "skyquilt cannot be used here as it is")
    console.document("skyquilt.cli.doctor", {"usable": usable, "checks": [asdict(check) for check in checks]})
    return 0 if usable else 1
