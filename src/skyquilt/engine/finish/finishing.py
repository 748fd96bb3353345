"""From a master and a chain to files: the picture, the linear image, the model of the sky, the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skyquilt import __version__
from skyquilt.core import F32, Box, Wcs
from skyquilt.core.event import Listener, silent
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.finish.chain import Chain
from skyquilt.engine.finish.master import Master, cards_for, master_of, open_master
from skyquilt.engine.finish.presets import preset_chain
from skyquilt.engine.finish.products import Product, check_name, write_product
from skyquilt.engine.finish.record import FinishRecord, MasterRecord, OutputFile
from skyquilt.engine.finish.run import Finished, Finisher, read_rows
from skyquilt.engine.finish.working import WorkingImage
from skyquilt.engine.products import make_folder
from skyquilt.errors import UsageError, VerificationFailed
from skyquilt.io.atomic import write_atomically

__all__ = ["FinishResult", "FinishSettings", "finish_image", "finish_master", "finish_pixels", "record_path"]

_MODEL_BAND = 64


@dataclass(frozen=True, slots=True)
class FinishSettings:
    """
    What is made of a master, and where it goes.

    Attributes
    ----------
    chain : Chain
    outputs : tuple of Path
        The finished image, in the formats that their endings mean.
    bits : int or None
        8, 16 or 32 a channel; None: as is usual for the format.
    quality : int, 1 to 100
        Of JPEG.
    save_linear : Path or None
        The image before its first stretch.
    save_model : Path or None
        The sky that the first gradient step takes off.
    catalogue : Path or None
        A deeper star catalogue.
    memory : int or None, bytes
    n_threads : int or None
    record : bool
        Write the record beside the first output.
    """

    chain: Chain = field(default_factory=lambda: preset_chain("preview"))
    outputs: tuple[Path, ...] = ()
    bits: int | None = None
    quality: int = 92
    save_linear: Path | None = None
    save_model: Path | None = None
    catalogue: Path | None = None
    memory: int | None = None
    n_threads: int | None = None
    record: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class FinishResult:
    """
    What came of it.

    Attributes
    ----------
    record : FinishRecord
    outputs : dict of str to Path
        By their content: "picture" (or "image" where it is linear), "linear", "model", "record".
    image : WorkingImage
        The pixels; ``image.read(box)``, or `pixels` for all of them.
    """

    record: FinishRecord
    outputs: dict[str, Path]
    image: WorkingImage

    @property
    def pixels(self) -> F32:
        """The finished image, float32 (c, y, x)."""
        return self.image.read(Box.of_shape(*self.image.shape[1:]))


def record_path(output: Path) -> Path:
    """Return where the record of an image goes: beside it."""
    return output.with_name(f"{output.stem}.finish.json")


def finish_master(path: Path, settings: FinishSettings, *, listener: Listener = silent) -> FinishResult:
    """
    Do a chain on the image in a file and write what was asked for; the file is only read.

    Raises
    ------
    UsageError, NoUsableInput, UnreadableFrame, NotRegistered
        As `open_master`, `Finisher.run` and `write_product`.
    VerificationFailed
        If the file changed meanwhile.
    NotEnoughDisk, OutputBlocked
    """
    _check_names(path, settings)
    return finish_image(open_master(path), settings, listener=listener)


def finish_image(master: Master, settings: FinishSettings, *, listener: Listener = silent) -> FinishResult:
    """Do the same with a master that is open."""
    before = master.sha256()
    scratch = settings.outputs[0].parent if settings.outputs else Path.cwd()
    for output in _all_outputs(settings):
        make_folder(output.parent)
    finisher = Finisher(
        master,
        catalogue=settings.catalogue,
        scratch=scratch,
        memory=settings.memory,
        n_threads=settings.n_threads,
        listener=listener,
    )
    done = finisher.run(settings.chain, keep_linear=settings.save_linear is not None)
    if settings.save_linear is not None and done.linear is None:
        raise UsageError("the image was a picture from the start, there is no linear one to save")
    if settings.save_model is not None and done.model is None:
        raise UsageError("no gradient was taken off, there is no model of it to save", "add a gradient step")
    record = _record(master, settings.chain, done, before)
    outputs: dict[str, Path] = {}
    written: list[OutputFile] = []
    for content, place, product, bits in _products(master, settings, done):
        write_product(place, product, bits=bits, quality=settings.quality)
        outputs.setdefault(content, place)
        written.append(OutputFile(file=place.name, content=content, sha256=file_sha256(place)))
    if master.sha256() != before:
        raise VerificationFailed(f"{master.path.name} changed while it was finished", "run it again")
    record = record.model_copy(update={"outputs": written})
    if settings.record and settings.outputs:
        outputs["record"] = record_path(settings.outputs[0])
        write_atomically(outputs["record"], (record.model_dump_json(indent=1) + "\n").encode())
    return FinishResult(record, outputs, done.image)


def finish_pixels(
    pixels: F32, chain: Chain, *, name: str = "the image", wcs: Wcs | None = None, is_picture: bool = False
) -> tuple[F32, Box, bool]:
    """
    Return pixels after a chain, which box of the image they cover, and whether they are a picture by then.

    Parameters
    ----------
    pixels : float32 (c, y, x)
        NaN where nothing is known; they stay as they are.

    Raises
    ------
    UsageError, NoUsableInput
        As `Finisher.run`.
    """
    done = Finisher(master_of(pixels, name=name, wcs=wcs, is_picture=is_picture)).run(chain)
    return done.image.read(Box.of_shape(*done.image.shape[1:])), done.box, done.is_picture


def _all_outputs(settings: FinishSettings) -> tuple[Path, ...]:
    extra = [path for path in (settings.save_linear, settings.save_model) if path is not None]
    return (*settings.outputs, *extra)


def _check_names(master: Path, settings: FinishSettings) -> None:
    for k, path in enumerate(_all_outputs(settings)):
        check_name(path, settings.bits if k < len(settings.outputs) else None)
        if path.exists() and master.exists() and path.samefile(master):
            raise UsageError(f"{path.name} is the master itself, which is never changed", "give another name")
    names = [path.resolve() for path in _all_outputs(settings)]
    if len(set(names)) < len(names):
        raise UsageError("two outputs have the same name", "give each a name of its own")


def _products(
    master: Master, settings: FinishSettings, done: Finished
) -> Iterator[tuple[str, Path, Product, int | None]]:
    """Yield what is to be written: content, place, image, bits."""
    history = _history(done)
    content = "picture" if done.is_picture else "image"
    for path in settings.outputs:
        cards = cards_for(master, done.box, is_picture=done.is_picture, history=history)
        yield content, path, _product(master, done.image, done.is_picture, cards), settings.bits
    if settings.save_linear is not None and done.linear is not None and done.linear_box is not None:
        cards = cards_for(master, done.linear_box, is_picture=False, history=history)
        yield "linear", settings.save_linear, _product(master, done.linear, False, cards), None
    if settings.save_model is not None and done.model_shape is not None and done.model_box is not None:
        cards = cards_for(master, done.model_box, is_picture=False, history=("model of the sky that was taken off",))
        product = Product(done.model_shape, lambda: _model_rows(done), False, master.is_bottom_up, cards)
        is_tiff = settings.save_model.suffix.lower() in (".tif", ".tiff")
        yield "model", settings.save_model, product, 32 if is_tiff else None


def _product(
    master: Master, image: WorkingImage, is_picture: bool, cards: Sequence[tuple[str, object, str]]
) -> Product:
    return Product(image.shape, lambda: read_rows(image), is_picture, master.is_bottom_up, cards)  # type: ignore[arg-type]


def _model_rows(done: Finished) -> Iterator[tuple[int, F32]]:
    assert done.model is not None and done.model_shape is not None
    _, height, width = done.model_shape
    for y0 in range(0, height, _MODEL_BAND):
        yield y0, np.asarray(done.model(Box(0, y0, width, min(y0 + _MODEL_BAND, height))), dtype=np.float32)


def _history(done: Finished) -> tuple[str, ...]:
    names = [step.operation for step in done.steps if not step.skipped]
    return (f"skyquilt finish: {', '.join(names) or 'nothing'}",)


def _record(master: Master, chain: Chain, done: Finished, digest: str) -> FinishRecord:
    channels, height, width = master.shape
    return FinishRecord(
        program=f"skyquilt {__version__}",
        master=MasterRecord(
            file=master.path.name,
            sha256=digest,
            width=width,
            height=height,
            n_channels=channels,
            has_coordinates=master.wcs is not None,
        ),
        chain=chain.to_values(),
        steps_done=done.steps,
        result_sha256=done.sha256(),
        is_picture=done.is_picture,
        box=(done.box.x0, done.box.y0, done.box.x1, done.box.y1),
    )
