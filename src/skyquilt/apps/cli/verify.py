"""skyquilt verify: whether the products are still what was written."""

from __future__ import annotations

from pathlib import Path

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import existing_folder, face
from skyquilt.errors import NoUsableInput, VerificationFailed

__all__ = ["verify"]


@click.command(short_help="Check finished products against their checksums.")
@click.argument("folder", type=click.Path(path_type=Path))
@face
def verify(console: Console, folder: Path) -> int:
    """
    Check the products at and below FOLDER against the checksums of their manifests.

    Exit code 0: all is well; 10: something is missing or has changed.
    """
    existing_folder(folder)
    from skyquilt import engine

    places = sorted(path.parent for path in folder.rglob("run_manifest.json"))
    if not places:
        raise NoUsableInput(f"there is no run_manifest.json in or below {folder}", "give a folder with finished stacks")
    found = {place: engine.verify_products(place) for place in places}
    n_problems = sum(map(len, found.values()))
    for place, problems in found.items():
        console.result(f"{place}: {'all products are as they were written' if not problems else 'FAILED'}")
        for problem in problems:
            console.result(f"  {problem}")
    console.document(
        "skyquilt.cli.verify",
        {
            "exit_code": VerificationFailed.exit_code if n_problems else 0,
            "stacks": [{"folder": str(place), "problems": problems} for place, problems in found.items()],
        },
    )
    if not n_problems:
        return 0
    things = "product is" if n_problems == 1 else "products are"
    console.error(f"{n_problems} {things} not as written", "run the stack again, or take the files from a backup")
    return VerificationFailed.exit_code
