"""
What the assembly of a mosaic needs to know, in one file: any process that can read it can integrate any tile.

Frames are data here (`TileFrame`), no longer lights: threads of one process and workers on other machines build the
same samplers from the same numbers, so the same bits come out.
"""

from __future__ import annotations

import hashlib
import json
import threading
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from skyquilt import __version__
from skyquilt.core import F64, I32, Box, Calibration, Cfa, FrameFile, FrameMeta, Normalisation, SkyGrid, Trail, Wcs
from skyquilt.core.sky import Sip
from skyquilt.engine.kept_calibrations import keep_calibrations, remove_calibrations
from skyquilt.engine.light import Light
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.engine.sampling import Sampling
from skyquilt.io.atomic import write_atomically
from skyquilt.steps import integrate, mosaic, stars

__all__ = [
    "BAND_HALO_PX",
    "CHUNK_PX",
    "UNKNOWN_EXPOSURE_S",
    "MosaicJob",
    "TileFrame",
    "frame_terms_of",
    "per_channel",
    "read_job",
    "remove_jobs",
    "tile_frame",
    "write_job",
]

CHUNK_PX = 512
"""Side of the pieces in which the canvas is stored, integrated and journalled."""

UNKNOWN_EXPOSURE_S = 1.0
"""What a frame whose header tells no exposure counts in the coverage, which tells where anything is known, too."""

BAND_HALO_PX = 64
"""What two bands look at around a chunk."""

_RIM_PX = 1  # the limits look at the neighbouring pixels
_JOBS_KEPT = 2

_lock = threading.Lock()
_jobs: dict[Path, MosaicJob] = {}


class _Data(BaseModel):
    # JSON has no infinity, which is where frames of floats saturate
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class SipData(_Data):
    """A `Sip`, as lists."""

    a: list[list[float]]
    b: list[list[float]]
    ap: list[list[float]] | None = None
    bp: list[list[float]] | None = None


class WcsData(_Data):
    """A `Wcs`, exactly: numbers survive JSON to the last bit."""

    crval_deg: tuple[float, float]
    crpix0: tuple[float, float]
    cd: list[list[float]]
    projection: str = "TAN"
    sip: SipData | None = None

    @classmethod
    def of(cls, wcs: Wcs) -> WcsData:
        sip = None
        if wcs.sip is not None:
            ap, bp = (None if part is None else part.tolist() for part in (wcs.sip.ap, wcs.sip.bp))
            sip = SipData(a=wcs.sip.a.tolist(), b=wcs.sip.b.tolist(), ap=ap, bp=bp)
        return cls(crval_deg=wcs.crval_deg, crpix0=wcs.crpix0, cd=wcs.cd.tolist(), projection=wcs.projection, sip=sip)

    def wcs(self) -> Wcs:
        sip = None
        if self.sip is not None:
            ap, bp = (None if part is None else np.array(part) for part in (self.sip.ap, self.sip.bp))
            sip = Sip(np.array(self.sip.a), np.array(self.sip.b), ap, bp)
        return Wcs(self.crval_deg, self.crpix0, np.array(self.cd), sip, self.projection)


class TileFrame(_Data):
    """
    One frame as the tiles see it.

    `surface`, `centre` and `radius` are those of a `Normalisation` in canvas pixels; `sky_sigma`, `shot` and
    `sky_level` those of `integrate.FrameTerms`, one a canvas channel. `sha256` is that of the raw file. `calibration`
    names the arrays that calibrate it, `base_calibration` those without the defects that the frames of the run told.
    `saturation_adu` is where pixels count as saturated; `saturated_stars` are pixels (x, y) of stars that saturate in
    any frame.
    """

    path: str
    hdu: int
    size_bytes: int
    mtime_ns: int
    sha256: str
    width: int
    height: int
    n_planes: int
    cfa: str | None
    saturation_adu: float
    base_calibration: str
    calibration: str
    wcs: WcsData
    scale: list[float]
    surface: list[list[float]]
    centre: tuple[float, float]
    radius: float
    transparency: float
    weight: float
    exposure_s: float
    sky_sigma: list[float]
    shot: list[float]
    sky_level: list[float]
    trails: list[tuple[float, float, float, float, float, float]] = []
    saturated_stars: list[tuple[int, int]] = []

    @cached_property
    def digest(self) -> str:
        """Everything that decides the samples of the frame; not where its file lies."""
        return hashlib.sha256(self.model_dump_json(exclude={"path", "mtime_ns"}).encode()).hexdigest()

    @property
    def grid(self) -> SkyGrid:
        return SkyGrid(self.wcs.wcs(), self.width, self.height)

    @property
    def file(self) -> FrameFile:
        meta = FrameMeta(
            self.width,
            self.height,
            self.n_planes,
            saturation_adu=self.saturation_adu,
            cfa=None if self.cfa is None else Cfa(self.cfa),
        )
        return FrameFile(Path(self.path), meta, self.hdu, self.size_bytes, self.mtime_ns)

    @property
    def normalisation(self) -> Normalisation:
        return Normalisation(np.array(self.scale), np.array(self.surface), self.centre, self.radius, self.transparency)

    @property
    def shielded(self) -> I32 | None:
        """The pixels of stars that saturate in any frame, int32 (n, 2)."""
        return np.array(self.saturated_stars, dtype=np.int32) if self.saturated_stars else None

    @property
    def trail_bands(self) -> tuple[Trail, ...]:
        return tuple(Trail(*band) for band in self.trails)


class GridData(_Data):
    """The canvas."""

    wcs: WcsData
    width: int
    height: int

    def grid(self) -> SkyGrid:
        return SkyGrid(self.wcs.wcs(), self.width, self.height)


class MosaicJob(_Data):
    """
    Everything that decides the pixels of a mosaic, and how its tiles are cut for the memory there is.

    Attributes
    ----------
    frames : list of TileFrame
        In frame order, in which samples are summed.
    sub_tile : (int, int), px
        Width and height of what is integrated at once within a chunk; it changes no bit.
    """

    recipe: MosaicRecipe
    canvas: GridData
    method: str
    kernel: str
    window_px: float
    n_channels: int
    cell: int
    star_colour: tuple[float, float]
    schedule: str
    sub_tile: tuple[int, int]
    frames: list[TileFrame]

    @cached_property
    def grid(self) -> SkyGrid:
        return self.canvas.grid()

    @property
    def box(self) -> Box:
        return Box.of_shape(self.canvas.height, self.canvas.width)

    @cached_property
    def index(self) -> mosaic.FrameIndex:
        """Tells which frames touch a box of the canvas."""
        return mosaic.FrameIndex(self.grid, mosaic.footprints_of([frame.grid for frame in self.frames]))

    def chunks(self) -> list[Box]:
        """Return the chunks of the canvas, rows of them from the top."""
        return list(self.box.tiles(CHUNK_PX, CHUNK_PX))

    def sampling(self, frame: TileFrame) -> Sampling:
        """Return how a frame is laid on the canvas."""
        return Sampling(
            self.method if frame.cfa else "planes",
            self.kernel,
            self.window_px,
            Cfa(frame.cfa) if frame.cfa else None,
            self.n_channels,
            self.cell,
            star_colour=self.star_colour,
        )

    @cached_property
    def key(self) -> str:
        """A digest of what is common to all tiles: a store of another key holds nothing of this mosaic."""
        facts = [
            __version__,
            self.recipe.digest(),
            self.canvas.model_dump(),
            [self.method, self.kernel, self.window_px, self.n_channels, self.cell, self.star_colour],
            self.schedule,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def with_frames(self, frames: list[TileFrame]) -> MosaicJob:
        """Return the same job of other frames."""
        made = self.model_copy(update={"frames": frames})
        made.__dict__.pop("index", None)  # a copy takes over what was worked out from the frames before
        return made

    def touching(self, box: Box) -> list[int]:
        """Return the numbers of the frames that may have samples within a pixel of a box, ascending."""
        return [int(k) for k in self.index.touching(box.grow(_RIM_PX))]

    def deciding(self, box: Box) -> list[int]:
        """Return the numbers of the frames that have a say in a chunk, those of its halo included where it has one."""
        has_halo = self.recipe.blend == "multiband"
        return self.touching(box.grow(BAND_HALO_PX).intersect(self.box) if has_halo else box)

    def tile_key(self, box: Box) -> str:
        """Return a digest of what decides the pixels of a chunk; "" where no frame touches it."""
        deciding = self.deciding(box)
        if not deciding or (self.recipe.blend == "multiband" and not self.touching(box)):
            return ""
        digest = hashlib.sha256(self.key.encode())
        for k in deciding:
            digest.update(self.frames[k].digest.encode())
        return digest.hexdigest()


def tile_frame(light: Light, wcs: Wcs, n_channels: int) -> TileFrame:
    """Return what the tiles need of a light that has been measured, placed, normalised and weighed."""
    measured, terms, meta = light.measurement, light.normalisation, light.file.meta
    assert measured is not None and terms is not None and light.weight is not None and light.sha256 is not None
    noise = per_channel(measured.noise_adu, n_channels)
    scale = per_channel(terms.scale, n_channels)
    planes = measured.background.reshape(len(measured.background), -1).astype(np.float64)
    level = np.nanmedian(planes, axis=1)
    sky = max(measured.figures.background_adu, 1.0)
    gain = meta.gain_e_per_adu
    # without a known gain all of the sky's noise is taken for photon noise: an upper bound that never clips a star
    shot = scale / gain if gain else scale * noise**2 / sky
    return TileFrame(
        path=str(light.file.path.absolute()),
        hdu=light.file.hdu,
        size_bytes=light.file.size_bytes,
        mtime_ns=light.file.mtime_ns,
        sha256=light.sha256,
        width=meta.width,
        height=meta.height,
        n_planes=meta.n_planes,
        cfa=meta.cfa.name if meta.cfa else None,
        saturation_adu=stars.saturation_limit(light.saturation_adu),
        base_calibration=light.looked_with[1] if light.looked_with else light.calibration_key,
        calibration=light.calibration_key,
        wcs=WcsData.of(wcs),
        scale=terms.scale.tolist(),
        surface=terms.surface.tolist(),
        centre=terms.centre,
        radius=terms.radius,
        transparency=terms.transparency,
        weight=light.weight,
        exposure_s=meta.exposure_s or UNKNOWN_EXPOSURE_S,
        sky_sigma=(noise * scale).tolist(),
        shot=shot.tolist(),
        sky_level=(per_channel(level, n_channels) * scale + per_channel(terms.surface[:, 0], n_channels)).tolist(),
        trails=[(t.x0, t.y0, t.x1, t.y1, t.half_width, t.significance) for t in light.trails],
        saturated_stars=[] if light.saturated_stars is None else [(int(x), int(y)) for x, y in light.saturated_stars],
    )


def per_channel(values: F64, n_channels: int) -> F64:
    """Return one value a canvas channel; a mono canvas of colour frames takes the green one."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) == n_channels:
        return array
    return np.full(n_channels, array[1] if len(array) == 3 else array[0])


def frame_terms_of(frames: list[TileFrame]) -> integrate.FrameTerms:
    """Return weight, exposure and noise model of frames."""
    return integrate.FrameTerms(
        weight=np.array([frame.weight for frame in frames]),
        exposure_s=np.array([frame.exposure_s for frame in frames]),
        sky_sigma=np.array([frame.sky_sigma for frame in frames]),
        shot=np.array([frame.shot for frame in frames]),
        sky_level=np.array([frame.sky_level for frame in frames]),
    )


def write_job(folder: Path, job: MosaicJob, calibrations: dict[str, Calibration]) -> Path:
    """Write the job and the arrays that calibrate its frames; return its file, whose name tells its content."""
    keep_calibrations(folder, calibrations)
    content = job.model_dump_json().encode()
    path = folder / f"job-{hashlib.sha256(content).hexdigest()[:16]}.json"
    for old in folder.glob("job-*.json"):
        if old != path:
            old.unlink(missing_ok=True)
    write_atomically(path, content)
    with _lock:
        _keep(path, job)
    return path


def remove_jobs(folder: Path) -> None:
    """Throw away what `write_job` left."""
    for path in folder.glob("job-*.json"):
        path.unlink(missing_ok=True)
        with _lock:
            _jobs.pop(path.absolute(), None)
    remove_calibrations(folder)


def read_job(path: Path) -> MosaicJob:
    """Return the job that `write_job` left; read once a process, and never by the one that wrote it."""
    with _lock:  # for the reading too: no two threads hold all frames twice
        job = _jobs.get(path.absolute())
        if job is None:
            job = MosaicJob.model_validate_json(path.read_bytes())
            _keep(path, job)
    return job


def _keep(path: Path, job: MosaicJob) -> None:
    """Keep a job for `read_job`; of earlier ones the last stays."""
    _jobs[path.absolute()] = job
    while len(_jobs) > _JOBS_KEPT:
        _jobs.pop(next(iter(_jobs)))
