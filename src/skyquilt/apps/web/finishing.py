"""The Finish screen's side of the server: operations and presets, chains kept as files, previews and whole runs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyquilt.apps.web.bodies import ChainSave, ChainText, FinishRun
from skyquilt.apps.web.images import Images, handle_of
from skyquilt.apps.web.project import Project
from skyquilt.apps.web.tasks import Task, Tasks
from skyquilt.errors import BadInput, NoUsableInput, UsageError

if TYPE_CHECKING:
    from skyquilt.apps.web.products import Product, Products
    from skyquilt.engine.finish import Chain

__all__ = ["FINISHED", "Finishing", "free_stem", "make_kept_folder", "offer"]

FINISHED = "finished"
"""Folder of finished images below the output folder, and the name of their group of products."""

_CHAINS = "chains"
_MOST_CHAINS = 500
_LARGEST_CHAIN = 200_000
_MOST_PREVIEWS = 3
_MOST_NAMES = 10_000
_FILE_SETTING = ("lrgb", "luminance")
"""The setting that names a file: pages give and get the id of a product for it, never a path."""

Ask = Callable[..., Awaitable[Any]]


def offer() -> dict[str, Any]:
    """Return the operations with the schema of their settings, and the presets."""
    from skyquilt.engine.finish import OPERATIONS, PRESET_TITLES, mask_form, operation_form, preset_chain

    operations = [
        {
            "name": one.name,
            "title": one.title,
            "domain": one.domain,
            "channels": list(one.channels),
            "makes_picture": one.makes_picture,
            "schema": {"properties": operation_form(one.name)},
        }
        for one in OPERATIONS.values()
    ]
    presets = [
        {"name": name, "title": title, "steps": preset_chain(name).to_values()["steps"]}
        for name, title in PRESET_TITLES.items()
    ]
    return {"operations": operations, "mask": {"schema": {"properties": mask_form()}}, "presets": presets}


class Finishing:
    """
    Chains and what comes of them.

    Parameters
    ----------
    project : Project
    tasks : Tasks
    images : Images
    products : callable
        Returns the products of the project.
    ask : callable
        ``(task, cmd, **fields)``: asks the engine for a task.
    tell : callable
        Called when there are new products.
    """

    def __init__(
        self,
        project: Project,
        tasks: Tasks,
        images: Images,
        products: Callable[[], Products],
        ask: Ask,
        tell: Callable[[], None],
    ) -> None:
        self._project, self._tasks, self._images = project, tasks, images
        self._products, self._ask, self._tell = products, ask, tell
        self._previews: list[tuple[str, Path]] = []
        self._numbers = itertools.count(1)

    def as_json(self) -> dict[str, Any]:
        """Return operations with the schema of their settings, presets and kept chains (app-api.md, section 9)."""
        return {**offer(), "chains": [{"id": key, "name": path.name} for key, path in self._kept().items()]}

    # chains

    def read_chain(self, asked: ChainText) -> dict[str, Any]:
        """Return the steps of a kept chain, or of the text of a file, as a page shows them."""
        from skyquilt.engine.finish import Chain, load_chain

        if asked.kept is not None:
            path = self._kept().get(asked.kept)
            if path is None:
                raise UsageError("there is no such chain", "look at the list of chains again")
            return {"steps": self._shown(load_chain(path))}
        try:
            document = json.loads(asked.text) if asked.format == "json" else tomllib.loads(asked.text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the file is no chain: {error}", "see docs/guides/finish.md") from None
        if not isinstance(document, dict):
            raise BadInput("the file is no chain: it holds no table", "see docs/guides/finish.md")
        return {"steps": self._shown(Chain.from_values(document, where="the file"))}

    def save_chain(self, asked: ChainSave) -> Path:
        """Write a chain as TOML below the output folder, as `skyquilt finish --chain` reads it; return its file."""
        chain = self._meant(asked.steps)
        folder = make_kept_folder(self._project, _CHAINS)
        path = folder / f"{free_stem(folder, asked.name, ('.toml',))}.toml"
        chain.save(path)
        return path

    def _kept(self) -> dict[str, Path]:
        """Return the kept chains by id, by name."""
        folder = self._project.out / _CHAINS
        found: dict[str, Path] = {}
        with contextlib.suppress(OSError):
            if folder.is_symlink():
                return {}
            for path in sorted(folder.iterdir()):
                is_chain = path.suffix in (".toml", ".json") and path.is_file() and not path.is_symlink()
                if is_chain and path.stat().st_size <= _LARGEST_CHAIN:
                    found[handle_of("chain", path)] = path
                if len(found) >= _MOST_CHAINS:
                    break
        return found

    def _meant(self, steps: list[dict[str, Any]]) -> Chain:
        """Return the chain that a page means; the sentence of a refusal begins with the number of the step."""
        from skyquilt.engine.finish import Chain, Step

        made = []
        for number, values in enumerate(steps, 1):
            try:
                made.append(Step.from_values(self._with_path(values), where="the page"))
            except UsageError as refusal:
                raise UsageError(f"step {number}: {refusal.message}", refusal.hint) from None
        return Chain(tuple(made))

    def _with_path(self, values: dict[str, Any]) -> dict[str, Any]:
        operation, name = _FILE_SETTING
        if values.get("operation") != operation or not values.get(name):
            return values
        _, product = self._products().get(str(values[name]))
        return {**values, name: str(product.path)}

    def _shown(self, chain: Chain) -> list[dict[str, Any]]:
        """Return the steps as JSON values, a file by the id of its product."""
        operation, name = _FILE_SETTING
        steps: list[dict[str, Any]] = chain.to_values()["steps"]
        for values in steps:
            if values["operation"] == operation and values.get(name):
                product = self._products().find(Path(values[name]))
                if product is None:
                    raise UsageError(
                        f"{operation}: {Path(values[name]).name} is no product of this project",
                        "use the command line, or choose another luminance",
                    )
                values[name] = product.id
        return steps

    # runs

    def begin(self, asked: FinishRun) -> Task:
        """Start a chain: on a reduced master to look at, or whole, into files below the output folder."""
        chain = self._meant(asked.steps)
        _, product = self._products().get(asked.product)
        if product.kind != "image":
            raise UsageError(f"{product.path.name} is no image that can be finished", "choose a master")
        if asked.preview:
            return self._tasks.start("preview", lambda task: self._preview(task, product, chain))
        folder = make_kept_folder(self._project, FINISHED)
        endings = (".fits", *(_ENDINGS[one] for one in asked.formats))
        stem = free_stem(folder, asked.name, (*endings, ".finish.json"))
        outputs = [folder / f"{stem}{ending}" for ending in endings]
        return self._tasks.start("finish", lambda task: self._whole(task, product, chain, outputs, asked))

    async def _preview(self, task: Task, product: Product, chain: Chain) -> dict[str, Any]:
        output = self._project.exchange() / f"finish-{next(self._numbers)}.fits"
        done = await self._ask(
            task, "finish", path=str(product.path), steps=_steps(chain), outputs=[str(output)], preview=True
        )
        handle = await self._opened(output, f"{product.name} preview", None)
        self._previews.append((handle, output))
        for old, path in self._previews[:-_MOST_PREVIEWS]:
            await self._images.close(old)
            path.unlink(missing_ok=True)
        del self._previews[:-_MOST_PREVIEWS]
        return {**_told(done), "image": handle, "files": []}

    async def _whole(
        self, task: Task, product: Product, chain: Chain, outputs: list[Path], asked: FinishRun
    ) -> dict[str, Any]:
        done = await self._ask(
            task,
            "finish",
            path=str(product.path),
            steps=_steps(chain),
            outputs=[str(path) for path in outputs],
            quality=asked.quality,
        )
        handle = await self._opened(outputs[0], outputs[0].stem, self._project.levels())
        self._tell()
        files = [*outputs, Path(done["record"])]
        return {**_told(done), "image": handle, "files": [path.name for path in files]}

    async def _opened(self, path: Path, name: str, levels: Path | None) -> str:
        from skyquilt.apps.web.opened import ProductImage
        from skyquilt.engine.viewing import open_product

        status = path.stat()
        handle = handle_of(path, 0, status.st_size, status.st_mtime_ns)
        async with self._images.decodes:
            viewed = await asyncio.to_thread(open_product, path, levels, 0)
        self._images.hold(ProductImage(handle, name, "image", viewed, FINISHED, [], path))
        return handle


_ENDINGS = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif", "xisf": ".xisf"}


def _steps(chain: Chain) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = chain.to_values()["steps"]
    return steps


def _told(done: dict[str, Any]) -> dict[str, Any]:
    """Return what a page is told of the engine's answer: no path."""
    return {name: done[name] for name in ("steps", "is_picture", "factor", "box")}


def make_kept_folder(project: Project, name: str) -> Path:
    """
    Return a folder below the output folder, made where it is not there.

    Raises
    ------
    OutputBlocked
        If another app has the project.
    UsageError
        If it is a link.
    NoUsableInput
        If it cannot be made.
    """
    project.must_write()
    folder = project.out / name
    if folder.is_symlink():
        raise UsageError(f"the folder {name} is a link", f"make {name} a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoUsableInput(f"the folder {name} cannot be made: {error.strerror}", "") from error
    return folder


def free_stem(folder: Path, name: str, endings: tuple[str, ...], taken: frozenset[Path] = frozenset()) -> str:
    """Return a name, with a number where needed, under which no file with one of the endings lies."""
    stem = next((name[: -len(one)] for one in endings if name.lower().endswith(one) and len(name) > len(one)), name)
    for number in range(1, _MOST_NAMES):
        tried = stem if number == 1 else f"{stem} {number}"
        paths = [folder / f"{tried}{ending}" for ending in endings]
        if not any(os.path.lexists(path) or path in taken for path in paths):
            return tried
    raise UsageError(f"there are too many files named {stem}", "choose another name")
