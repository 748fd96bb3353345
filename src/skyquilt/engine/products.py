"""The products of a stack: masters, maps, pictures, transforms; each appears whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from skyquilt.core import F32, U8, U16, Box
from skyquilt.engine.canvas import Canvas
from skyquilt.engine.headers import Card, camera_cards
from skyquilt.engine.light import Light
from skyquilt.engine.masters import Master
from skyquilt.io.atomic import blocked, write_atomically
from skyquilt.io.fits import ExtensionLayout, ImageWriter, SixteenBits, write_image
from skyquilt.io.images import TiffWriter, encode_png, write_png

if TYPE_CHECKING:
    from skyquilt.steps.finish import Stretch

__all__ = [
    "Preview",
    "make_folder",
    "write_linear",
    "write_maps",
    "write_masters",
    "write_pictures",
    "write_transforms",
]

_LARGEST_PICTURE = 32_000_000
_SAMPLED_PIXELS = 400_000
_THUMBNAIL_PX = 900
_BAND_ROWS = 128

Rows = Callable[[], Iterator[tuple[int, F32]]]


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """
    What the pictures show: values by rows, so that a large canvas needs no memory of its own size.

    Attributes
    ----------
    shape : (int, int, int)
        (channel, y, x).
    rows : callable
        Yields (first row, float32 (channel, rows, x)) from top to bottom; can be called again.
    """

    shape: tuple[int, int, int]
    rows: Rows

    @classmethod
    def of_canvas(cls, canvas: Canvas) -> Preview:
        return cls(canvas.shape, canvas.value_rows)

    @classmethod
    def of_array(cls, values: F32) -> Preview:
        """Return the preview of an array, float32 (channel, y, x)."""
        starts = range(0, values.shape[1], _BAND_ROWS)
        return cls(
            (values.shape[0], values.shape[1], values.shape[2]),
            lambda: ((y0, values[:, y0 : y0 + _BAND_ROWS]) for y0 in starts),
        )

    def sampled(self, n_pixels: int) -> F32:
        """Return every k-th row and column, at most about `n_pixels` of them."""
        step = max(1, int(np.ceil(np.sqrt(self.shape[1] * self.shape[2] / n_pixels))))
        # copies: a view would hold on to its whole band
        parts = [values[:, -y0 % step :: step, ::step].copy() for y0, values in self.rows()]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def cropped(self, box: Box, channel: int) -> F32:
        """Return the values of a box that lies within, one channel, float32 (y, x)."""
        result = np.empty(box.shape, dtype=np.float32)
        for y0, values in self.rows():
            here = box.intersect(Box(box.x0, y0, box.x1, y0 + values.shape[1]))
            if not here.is_empty:
                rows = values[channel, here.y0 - y0 : here.y1 - y0, box.x0 : box.x1]
                result[here.y0 - box.y0 : here.y1 - box.y0] = rows
        return result


def make_folder(folder: Path) -> None:
    """Make a folder for products, with its parents."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise blocked(folder / "products", error) from error


def write_linear(
    path: Path,
    preview: Preview,
    cards: Sequence[Card],
    *,
    is_16_bit: bool = False,
    axes: Literal["planes first", "planes last"] = "planes first",
) -> None:
    """Write the linear values; a mono image has two axes, a colour one three, in FITS the planes last as a rule."""
    limits = _range(preview)
    scale = SixteenBits(limits[0][1], limits[1][1]) if is_16_bit and limits else None
    with ImageWriter(path, _on_disk(preview.shape), np.float32, [*cards, *limits], scale=scale, axes=axes) as writer:
        for y0, values in preview.rows():
            writer.write_rows(y0, values)


def _range(preview: Preview) -> list[tuple[str, float, str]]:
    """Return DATAMIN and DATAMAX: nothing is clipped, so a reader should know how far the values go."""
    lowest, highest = np.float32(np.nan), np.float32(np.nan)
    for _, values in preview.rows():
        lowest = np.fmin(lowest, np.fmin.reduce(values, axis=None))
        highest = np.fmax(highest, np.fmax.reduce(values, axis=None))
    if not np.isfinite(lowest + highest):
        return []
    return [("DATAMIN", float(lowest), "lowest value"), ("DATAMAX", float(highest), "highest value")]


def write_maps(path: Path, canvas: Canvas, cards: Sequence[Card]) -> None:
    """
    Write coverage (seconds), variance (square of the master's unit) and rejection counts as extensions of one file.

    They are kept apart from the master, because PixInsight and Siril open extensions as separate images.
    """
    shape = _on_disk(canvas.shape)
    unit: list[Card] = [("BUNIT", "s", "exposure that landed on each pixel")]
    layout: list[ExtensionLayout] = [
        ("VARIANCE", shape, np.float32, []),
        ("REJ_LOW", shape, np.uint16, []),
        ("REJ_HIGH", shape, np.uint16, []),
    ]
    with ImageWriter(path, canvas.shape[1:], np.float32, [*unit, *cards], layout) as writer:
        for band in canvas.bands():
            writer.write_rows(band.y0, band.coverage)
            writer.write_rows(band.y0, band.variance, extension="VARIANCE")
            writer.write_rows(band.y0, band.rejected_low, extension="REJ_LOW")
            writer.write_rows(band.y0, band.rejected_high, extension="REJ_HIGH")


def _on_disk(shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the axes of a file: two for a mono image, three for a colour one."""
    return shape if shape[0] > 1 else shape[1:]


def write_masters(folder: Path, masters: Sequence[Master], cards: Sequence[Card]) -> dict[str, Path]:
    """Write the master calibration frames, float32 ADU."""
    paths = {}
    for master in masters:
        record = master.record
        name = f"master_{record.kind}"
        if record.kind == "dark" and record.exposure_s:
            name += f"_{record.exposure_s:g}s"
        while name in paths:
            name += "_b"
        own: list[Card] = [
            ("IMAGETYP", f"Master {record.kind.replace('_', ' ').title()}", "type of image"),
            ("BUNIT", "adu", "unit of the pixel values"),
            ("STACKCNT", record.n_frames, "number of frames"),
            ("NCOMBINE", record.n_frames, "number of frames"),
        ]
        if record.exposure_s is not None:
            own.append(("EXPTIME", record.exposure_s, "[s] exposure of one frame"))
        if record.gain is not None:
            own.append(("GAIN", record.gain, "gain as the camera counts it"))
        if record.temperature_c is not None:
            own.append(("CCD-TEMP", record.temperature_c, "[C] sensor temperature"))
        paths[name] = folder / f"{name}.fits"
        write_image(paths[name], master.pixels, [*own, *camera_cards(master.meta), *cards])
    return paths


def write_pictures(folder: Path, preview: Preview, box: Box, *, stem: str = "master") -> tuple[Path, Path, bytes]:
    """
    Write the stretched 8-bit PNG and 16-bit TIFF of a box; return their paths and a thumbnail as PNG bytes.

    Pictures of more than 32 million pixels are reduced by whole steps.
    """
    from skyquilt.steps.finish import auto_stretch  # a large room: not for a run that makes no picture

    stretch = auto_stretch(preview.sampled(_SAMPLED_PIXELS))
    step = 1
    while box.n_pixels // step**2 > _LARGEST_PICTURE:
        step += 1
    shape = (-(-box.height // step), -(-box.width // step), *((preview.shape[0],) if preview.shape[0] > 1 else ()))
    png, tiff = folder / f"{stem}_quicklook.png", folder / f"{stem}_quicklook.tif"
    picture = np.empty(shape, dtype=np.uint8)
    with TiffWriter(tiff, shape, np.uint16) as writer:
        for y0, rows in _stretched(preview, stretch, box, step):
            writer.write_rows(y0, rows)
            np.right_shift(rows, 8, out=picture[y0 : y0 + len(rows)], casting="unsafe")
    write_png(png, picture)
    side = max(1, -(-max(picture.shape[:2]) // _THUMBNAIL_PX))
    return png, tiff, encode_png(_reduced(picture, side))


def _stretched(preview: Preview, stretch: Stretch, box: Box, step: int) -> Iterator[tuple[int, U16]]:
    """Yield (first row, rows) of the picture of a box, uint16 (rows, x) for mono or (rows, x, 3)."""
    row = 0
    for y0, values in preview.rows():
        here = Box(box.x0, y0, box.x1, y0 + values.shape[1]).intersect(box)
        if here.is_empty:
            continue
        part = values[:, here.y0 - y0 : here.y1 - y0, box.x0 : box.x1]
        rows = stretch.apply(part[:, (box.y0 - here.y0) % step :: step, ::step], np.uint16).astype(
            np.uint16, copy=False
        )
        yield row, rows[:, :, 0] if rows.shape[2] == 1 else rows
        row += len(rows)


def _reduced(picture: U8, side: int) -> U8:
    """Return the picture, each cell of side x side pixels averaged."""
    height, width = picture.shape[0] // side * side, picture.shape[1] // side * side
    total = np.zeros((height // side, width // side, *picture.shape[2:]), dtype=np.uint32)
    for y in range(side):
        for x in range(side):
            total += picture[y:height:side, x:width:side]
    return (total // side**2).astype(np.uint8)


def write_transforms(path: Path, lights: Sequence[Light], reference: Light) -> None:
    """Write the transforms of the registered frames to the reference, with their residuals."""
    frames = [
        {
            "file": light.file.name,
            "transform": light.registration.transform.to_dict(),
            "n_matched": light.registration.n_matched,
            "residual_px": _finite(light.registration.rms_px),
        }
        for light in lights
        if light.registration is not None
    ]
    document = {
        "schema_id": "skyquilt.transforms",
        "schema_version": 1,
        "reference": reference.file.name,
        "maps": "frame pixels to reference pixels, pixel centres at integers",
        "frames": frames,
    }
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
