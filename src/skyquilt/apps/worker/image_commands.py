"""The commands about open images: quick, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyquilt.apps.stretch_given import StretchGiven
from skyquilt.apps.worker import messages
from skyquilt.apps.worker.session import Session
from skyquilt.apps.worker.tasks import Command, Task
from skyquilt.engine.images import (
    Hyperbola,
    OpenImage,
    ScreenLook,
    auto_stretch,
    describe_file,
    encode_tile,
    histogram,
    make_look,
    probe,
    refuse_raw,
    run_operations,
    save_image,
    write_rgba,
    write_tile,
)
from skyquilt.errors import UsageError

__all__ = ["IMAGE_COMMANDS", "apply_steps"]


def _info(session: Session, task: Task) -> dict[str, Any]:
    return describe_file(Path(_of(task, messages.Info).path))


def _load(session: Session, task: Task) -> dict[str, Any]:
    request = _of(task, messages.Load)
    return {"imageId": session.store.open(Path(request.path), request.debayer)}


def _release(session: Session, task: Task) -> None:
    session.release(_of(task, messages.Release).image_id)


def _release_all(session: Session, task: Task) -> None:
    session.release_all()


def _image_info(session: Session, task: Task) -> dict[str, Any]:
    image = session.image(_of(task, messages.ImageInfo).image_id)
    channels, height, width = image.shape
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "kind": image.facts.kind,
        "name": image.facts.name,
        "levels": image.n_levels,
        "hasCoordinates": image.facts.wcs is not None,
    }


def _preview(session: Session, task: Task) -> dict[str, Any]:
    request = _of(task, messages.Preview)
    image = session.image(request.image_id)
    path = _output(session, request.output_path)
    width, height = write_rgba(path, image, _look(image, request.stretch), request.longest)
    return {"path": str(path), "width": width, "height": height}


def _histogram(session: Session, task: Task) -> dict[str, Any]:
    request = _of(task, messages.HistogramOf)
    counts, low, high = histogram(session.image(request.image_id), request.channel, request.bins)
    return {"bins": counts.tolist(), "min": low, "max": high, "channel": request.channel}


def _auto_stretch(session: Session, task: Task) -> dict[str, Any]:
    request = _of(task, messages.AutoStretch)
    found = auto_stretch(session.image(request.image_id), linked=request.linked)
    parts = {"shadows": found.shadows, "midtones": found.midtones, "highlights": found.highlights}
    return {name: values[0] if request.linked else list(values) for name, values in parts.items()}


def _tile(session: Session, task: Task) -> dict[str, Any]:
    request = _of(task, messages.TileOf)
    image = session.image(request.image_id)
    tile = encode_tile(image, request.level, request.column, request.row, rough=request.rough)
    path = _output(session, request.output_path)
    write_tile(path, tile)
    channels, height, width = tile.halves.shape
    return {
        "path": str(path),
        "width": width,
        "height": height,
        "channels": channels,
        "offset": list(tile.offset),
        "scale": list(tile.scale),
    }


def _probe(session: Session, task: Task) -> dict[str, Any]:
    request = _of(task, messages.ProbeAt)
    found = probe(session.image(request.image_id), request.x, request.y)
    return {"values": list(found.values), "ra_deg": found.ra_deg, "dec_deg": found.dec_deg}


def _save(session: Session, task: Task) -> None:
    request = _of(task, messages.Save)
    image = session.image(request.image_id)
    save_image(_output(session, request.output_path), image, request.format, _look(image, request.stretch))


def apply_steps(session: Session, request: messages.Pipeline) -> dict[str, Any]:
    """Run the operations of a pipeline on an open image."""
    if request.image_id is None:
        raise UsageError("pipeline: neither imageId nor lightPaths is given", "give one of them")
    pixels, facts = run_operations(session.image(request.image_id), request.steps or [])
    return {"imageId": session.store.add(pixels, facts)}


def _look(image: OpenImage, given: StretchGiven | str | None) -> ScreenLook | None:
    """Return the look that was asked for, None where the default is meant."""
    if given is None:
        return None
    if isinstance(given, str):
        return ScreenLook.of_stretch(auto_stretch(image, linked=False))
    return make_look(
        image.shape[0],
        (given.shadows, given.highlights),
        midtones=given.midtones,
        asinh=given.asinh,
        hyperbola=None if given.hyperbolic is None else Hyperbola(**given.hyperbolic.model_dump()),
        saturation=given.saturation,
    )


def _output(session: Session, text: str) -> Path:
    """Return where something may be written."""
    path = Path(text)
    refuse_raw(path, session.store.sources())
    return path


def _of(task: Task, kind: type[Any]) -> Any:
    assert isinstance(task.request, kind)
    return task.request


IMAGE_COMMANDS = (
    Command(
        "info",
        messages.Info,
        "id, path, width, height, channels, bitpix, frameType, exposureTime (s), temperature (C), gain, filterName, "
        "bayerPattern; dateObs, objectName, instrument, notes",
        _info,
        is_from_sidera=True,
    ),
    Command("load", messages.Load, "imageId", _load, is_from_sidera=True),
    Command("release", messages.Release, "none", _release, is_from_sidera=True),
    Command("releaseAll", messages.ReleaseAll, "none", _release_all, is_from_sidera=True),
    Command(
        "imageInfo",
        messages.ImageInfo,
        "width, height, channels; kind, name, levels, hasCoordinates",
        _image_info,
        is_from_sidera=True,
    ),
    Command("preview", messages.Preview, "path, width, height", _preview, is_from_sidera=True),
    Command("histogram", messages.HistogramOf, "bins, min, max, channel", _histogram, is_from_sidera=True),
    Command("autoStretch", messages.AutoStretch, "shadows, midtones, highlights", _auto_stretch, is_from_sidera=True),
    Command("save", messages.Save, "none", _save, is_from_sidera=True),
    Command("tile", messages.TileOf, "path, width, height, channels, offset, scale (one a channel)", _tile),
    Command("probe", messages.ProbeAt, "values (one a channel, null where unknown), ra_deg, dec_deg", _probe),
)
