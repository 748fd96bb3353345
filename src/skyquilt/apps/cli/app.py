"""skyquilt app: the local app in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import existing_folder, face
from skyquilt.apps.cli.options import GroupedCommand

__all__ = ["app"]


@click.command(cls=GroupedCommand, short_help="Open the app in the browser: look, choose, run, compare.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Where products, and what the app remembers, are kept.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; default: a free one.")
@click.option("--host", default="localhost", show_default=True, help="127.0.0.1, ::1, or localhost for both.")
@click.option("--allow-host", "allow_hosts", multiple=True, metavar="NAME:PORT", help="Reached under this name, too.")
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="Write the token here, for scripts."
)
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@click.option("--window", is_flag=True, help="Open a window of its own (needs pywebview).")
@face
def app(
    console: Console,
    folders: tuple[Path, ...],
    out: Path,
    port: int,
    host: str,
    allow_hosts: tuple[str, ...],
    token_file: Path | None,
    no_browser: bool,
    window: bool,
) -> int:
    """
    Serve the app to this machine alone, and open it in the browser.

    FOLDER is a session or a folder of sessions, the current one if none is given; nothing outside of it can be opened
    from the app. Ctrl-C ends it; a run that was going on can be continued at the next start.
    """
    from skyquilt.apps.web import AppOptions, ServerRun, check_window, host_and_port, serve_app, serve_in_window

    if window:
        check_window()
    options = AppOptions(
        folders=tuple(existing_folder(folder) for folder in folders) or (Path.cwd(),),
        out=out,
        host=host,
        port=port,
        allow_hosts=tuple(host_and_port(text) for text in allow_hosts),
        token_file=token_file,
    )

    def ready(run: ServerRun) -> None:
        console.result(run.url)
        console.note("the address holds the key of this start: do not pass it on; Ctrl-C ends the app")
        console.note(f"from another machine: ssh -L {run.port}:127.0.0.1:{run.port} USER@HOST, then the same address")
        if not run.is_built:
            console.note("the viewer is not built in this installation: make viewer builds it")
        if not no_browser and not window:
            _open_browser(run.url)

    (serve_in_window if window else serve_app)(options, ready)
    console.document("skyquilt.cli.app", {"ended": True})
    return 0


def _open_browser(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
