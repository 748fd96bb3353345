"""
What the engine is asked and what it answers, as models: checked at the door, and the source of the schema.

Names follow sidera where it has the command (camelCase); commands that it has not use the words of the command line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from skyquilt.apps.stretch_given import StretchGiven
from skyquilt.engine import Recipe
from skyquilt.engine.mosaic import MosaicRecipe

__all__ = [
    "PROTOCOL_VERSION",
    "Adjust",
    "AutoStretch",
    "Cancel",
    "Failure",
    "Finish",
    "Frames",
    "HistogramOf",
    "ImageInfo",
    "Info",
    "Jobs",
    "Load",
    "Mosaic",
    "Pipeline",
    "Plan",
    "Preview",
    "ProbeAt",
    "ProgressLine",
    "Release",
    "ReleaseAll",
    "Request",
    "Save",
    "Sessions",
    "Solve",
    "Stack",
    "Subscribe",
    "Success",
    "TileOf",
    "Version",
    "Watch",
]

PROTOCOL_VERSION = 1
"""Changes when a field changes its meaning or goes away; new commands and new fields in replies do not change it."""

_IMAGE = "Handle of `load` or `pipeline`, or `job:` and the id of a job: its picture as far as it has grown."
_SETTINGS = "Settings that are given here win over settings files and presets."
EventKind = Literal["phase", "progress", "notice", "warning", "left_out", "table", "done"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Request(_Message):
    """A line for the engine."""

    id: Annotated[str, Field(min_length=1, max_length=200)] | int = Field(
        description="Chosen by the one who asks; every line of the answer carries it."
    )
    cmd: str


class _CamelRequest(Request):
    """A request whose fields are written as sidera writes them: imageId, outputPath."""

    model_config = ConfigDict(alias_generator=to_camel)


class Version(Request):
    """Say which engine this is and what it can do."""

    cmd: Literal["version"]


class Info(_CamelRequest):
    """Read the header of a file."""

    cmd: Literal["info"]
    path: str = Field(description="FITS, PNG, TIFF, JPEG, or the folder of a tiled canvas.")


class Load(_CamelRequest):
    """Open an image; FITS files and canvases are read at the places that are asked for."""

    cmd: Literal["load"]
    path: str = Field(description="As of `info`.")
    debayer: Literal["auto", "none", "bilinear", "malvar", "rcd", "superpixel"] = Field(
        "auto", description="How a raw frame gets its colour; none keeps the mosaic of the sensor."
    )


class Release(_CamelRequest):
    """Let an image go, with its memory."""

    cmd: Literal["release"]
    image_id: str = Field(description=_IMAGE)


class ReleaseAll(_CamelRequest):
    """Let all images go."""

    cmd: Literal["releaseAll"]


class ImageInfo(_CamelRequest):
    """Say what an open image is."""

    cmd: Literal["imageInfo"]
    image_id: str = Field(description=_IMAGE)


class Preview(_CamelRequest):
    """Write an image as raw bytes: red, green, blue, 255 for each pixel, rows from the top."""

    cmd: Literal["preview"]
    image_id: str = Field(description=_IMAGE)
    output_path: str = Field(description="File to write.")
    stretch: StretchGiven | Literal["auto"] | None = Field(
        None,
        description="null: a straight line from the lowest to the highest value; auto: one curve a channel.",
    )
    longest: int | None = Field(None, ge=1, description="Longest side of the picture, px; null: full size.")


class HistogramOf(_CamelRequest):
    """Count the known pixels of a channel in equal bins from the lowest to the highest value."""

    cmd: Literal["histogram"]
    image_id: str = Field(description=_IMAGE)
    channel: int = Field(0, ge=0, description="Counted from 0.")
    bins: int = Field(256, ge=1, le=65536, description="How many.")


class AutoStretch(_CamelRequest):
    """Find the stretch that shows the sky at a quarter of the range."""

    cmd: Literal["autoStretch"]
    image_id: str = Field(description=_IMAGE)
    linked: bool = Field(True, description="One curve for all channels (numbers); false: one a channel (lists).")


class TileOf(_CamelRequest):
    """Write a tile for the viewer: half floats, little-endian, (channel, y, x), value = offset + scale * half."""

    cmd: Literal["tile"]
    image_id: str = Field(description=_IMAGE)
    level: int = Field(0, ge=0, description="0 is the full size, each further level half of it.")
    column: int = Field(ge=0, description="Of the tile of 512 px, from the left.")
    row: int = Field(ge=0, description="Of the tile, from the top.")
    rough: bool = Field(
        False, description="Pixels from the middles of the cells, not means: at once, however large the file is."
    )
    output_path: str = Field(description="File to write.")


class ProbeAt(_CamelRequest):
    """Return the exact values of a pixel and its direction."""

    cmd: Literal["probe"]
    image_id: str = Field(description=_IMAGE)
    x: int = Field(description="px of the full size, from 0.")
    y: int = Field(description="px of the full size, from 0.")


class Save(_CamelRequest):
    """Write an image for other programs; raw frames and open files are never replaced."""

    cmd: Literal["save"]
    image_id: str = Field(description=_IMAGE)
    output_path: str = Field(description="File to write.")
    format: Literal["fits", "tiff", "tif", "png", "jpeg", "jpg"]
    stretch: StretchGiven | Literal["auto"] | None = Field(
        None, description="null: linear for fits and tiff, an auto curve a channel for png and jpeg."
    )


class Pipeline(_CamelRequest):
    """
    Make a new image.

    Either operations on an open one (imageId and steps), or, as in sidera, a stack of files (lightPaths and the rest),
    which is a job.
    """

    cmd: Literal["pipeline"]
    image_id: str | None = Field(None, description=_IMAGE)
    steps: list[dict[str, Any]] | None = Field(
        None,
        description="Operations, one after the other: the name as op, and its settings; see operations. A step of a "
        "finishing chain has its name as operation (finish.md).",
    )
    light_paths: list[str] | None = Field(None, description="FITS files to stack.")
    dark_paths: list[str] = Field([], description="Calibration frames; those that fit are used.")
    flat_paths: list[str] = Field([], description="As darkPaths.")
    bias_paths: list[str] = Field([], description="As darkPaths.")
    bayer_pattern: Literal["none", "RGGB", "BGGR", "GRBG", "GBRG"] | None = Field(
        None, description="null: what the headers say; none: the frames are mono."
    )
    stack_method: Literal["mean", "median", "sigma_clip_mean", "sigma_clip_median"] = Field(
        "sigma_clip_mean", description="Of the lights: with or without rejection, mean or median of what is kept."
    )
    kappa: float = Field(3.0, gt=0, le=100, description="Limits of the rejection, sigma.")
    iterations: int = Field(5, ge=1, le=100, description="Most iterations of the rejection.")


class _Run(Request):
    """What all runs over a folder can be told."""

    folder: str = Field(description="As the telescope left it.")
    out: str = Field("processedData", description="Folder for everything that is written.")
    preset: str | None = Field(None, description="A named set of settings, or a .toml file.")
    frame_list: str | None = Field(None, description="Only the frames named in this file take part.")
    use_cache: bool = Field(True, description="Keep measurements and reuse them.")
    refresh_cache: bool = Field(False, description="Throw kept measurements away first.")


class Sessions(Request):
    """Say what a folder holds: groups of lights, calibration frames, what is left out and why."""

    cmd: Literal["sessions"]
    folder: str = Field(description="As the telescope left it.")
    exclude: list[str] = Field([], description="File-name patterns to leave out.")


class Frames(_Run):
    """List the frames of a folder; scored: measure them, and say which a stack would leave out."""

    cmd: Literal["frames"]
    scored: bool = Field(False, description="Measure the frames; without, their headers are read alone.")
    recipe: Recipe = Field(Recipe(), description=_SETTINGS)


class Stack(_Run):
    """Stack the frames of a folder."""

    cmd: Literal["stack"]
    recipe: Recipe = Field(Recipe(), description=_SETTINGS)
    save_transforms: bool = Field(False, description="Write transforms.json.")
    load_transforms: str | None = Field(None, description="Reuse the registration of an earlier run.")


class Watch(Request):
    """
    Stack a folder while it grows, until adjust says finish, or until or idle_s do; then the products are written.

    Events of the phase live carry the figures. `cancel` ends without products; the same request goes on.
    """

    cmd: Literal["watch"]
    folder: str = Field(description="Into which the frames come; it may be empty as yet.")
    out: str = Field("processedData", description="Folder for everything that is written.")
    preset: str | None = Field(None, description="A named set of settings, or a .toml file.")
    until: int | None = Field(None, ge=2, description="End when so many frames are in the picture.")
    idle_s: float | None = Field(None, ge=0, description="End when nothing has come for so long, s.")
    recipe: Recipe = Field(Recipe(), description=_SETTINGS)


class Adjust(Request):
    """Exclude frames of a watch that waits or runs, take others in again, or let it write its products and end."""

    cmd: Literal["adjust"]
    job: str | int = Field(description="The id of the watch.")
    exclude: list[str] = Field([], max_length=10_000, description="Names of files.")
    include: list[str] = Field([], max_length=10_000, description="Names of files that were excluded.")
    finish: bool = Field(False, description="End, with products.")


class Plan(Request):
    """Predict what a stack of a folder takes; nothing is written. That of a mosaic: `mosaic` with dry_run."""

    cmd: Literal["plan"]
    folder: str = Field(description="As the telescope left it.")
    preset: str | None = Field(None, description="A named set of settings, or a .toml file.")
    frame_list: str | None = Field(None, description="Only the frames named in this file take part.")
    recipe: Recipe = Field(Recipe(), description=_SETTINGS)


class Mosaic(Request):
    """Sew the frames of folders into mosaics."""

    cmd: Literal["mosaic"]
    folders: list[str] = Field(min_length=1, description="As the telescopes left them.")
    out: str = Field("processedData", description="Folder for everything that is written.")
    preset: str | None = Field(None, description="A named set of settings, or a .toml file.")
    frame_list: str | None = Field(None, description="Only the frames named in this file take part.")
    use_cache: bool = Field(True, description="Keep measurements and reuse them.")
    refresh_cache: bool = Field(False, description="Throw kept measurements away first.")
    dry_run: bool = Field(False, description="Plan, predict and stop.")
    recipe: MosaicRecipe = Field(MosaicRecipe(), description=_SETTINGS)


class Finish(Request):
    """
    Make a picture, or cleaner linear data, of a master, which is only read.

    A preview works on coarser pixels (about 700,000) and stands in the line of those that only look; `factor` of the
    answer says how many pixels of the master make one of its.
    """

    cmd: Literal["finish"]
    path: str = Field(description="FITS, XISF, TIFF or PNG.")
    steps: list[dict[str, Any]] = Field(
        description='In order: {"operation": name, setting: value, ...}, as in the file of a chain (finish.md).'
    )
    outputs: list[str] = Field(
        description="Files to write; their endings are the formats. Beside the first of a whole run lies its record."
    )
    preview: bool = Field(False, description="On coarser pixels, into one FITS file that is not there yet.")
    bits: Literal[8, 16, 32] | None = Field(None, description="Bits a channel; null: as is usual for the format.")
    quality: int = Field(92, ge=1, le=100, description="Of a JPEG.")


class Solve(Request):
    """Tell where on the sky a file lies."""

    cmd: Literal["solve"]
    path: str = Field(description="FITS file.")
    blind: bool = Field(False, description="Leave pointing and scale of the header aside.")
    ra_deg: float | None = Field(None, description="ICRS, degrees: near which the frame lies.")
    dec_deg: float | None = Field(None, description="ICRS, degrees; with ra_deg.")
    radius_deg: float | None = Field(None, description="How far from there it may lie, degrees.")
    scale_arcsec: float | None = Field(None, description="Pixel scale, arcsec/px, known within 10 %.")
    solver: Literal["auto", "own", "astap", "solve-field"] = Field(
        "auto", description="auto: the own one, then those that are installed."
    )
    timeout_s: float = Field(30.0, ge=1, description="Of an outside program, s.")
    catalogue: str | None = Field(None, description="A deeper catalogue: CSV or FITS table.")


class Cancel(Request):
    """Stop a job after the block in hand; what was done is kept. The job itself answers that it was cancelled."""

    cmd: Literal["cancel"]
    job: str | int | None = Field(None, description="The id of the job; null: all of them.")


class Jobs(Request):
    """List the jobs that wait or are at work."""

    cmd: Literal["jobs"]


class Subscribe(Request):
    """Choose which events of jobs come along with their progress; each call replaces the choice before."""

    cmd: Literal["subscribe"]
    kinds: list[EventKind] | None = Field(None, description="null: all kinds; an empty list: no events.")
    phases: list[str] | None = Field(None, description="null: all phases.")


class Progress(BaseModel):
    """A job on its way; percent never falls."""

    model_config = ConfigDict(extra="forbid")

    stage: str = Field(description="The phase of the run, or complete.")
    percent: float = Field(ge=0, le=1, description="Share of the whole job, 0 to 1.")


class ProgressLine(BaseModel):
    """Any number of these may come before the final line."""

    model_config = ConfigDict(extra="forbid")
    id: str | int
    progress: Progress
    event: dict[str, Any] | None = Field(
        None, description="kind, phase, message, done, total and data of an event that was subscribed to."
    )


class Success(BaseModel):
    """The final line of a request that was done."""

    model_config = ConfigDict(extra="forbid")
    id: str | int
    ok: Literal[True]
    data: dict[str, Any] | None


class Failure(BaseModel):
    """The final line of a request that was not done."""

    model_config = ConfigDict(extra="forbid")
    id: str | int | None = Field(description="null where the line has no id that can be used.")
    ok: Literal[False]
    error: str = Field(description="One sentence.")
    hint: str = Field("", description="What to do next.")
    kind: str = Field(description="Name of the error, as in exit-codes.md.")
    cancelled: bool = Field(False, description="Stopped by cancel; the same request goes on where it stopped.")
