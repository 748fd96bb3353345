"""
Make the pictures of this folder: ``python docs/examples/make.py DATA [WORK]``.

DATA holds real frames; what is missing there is left out. Sessions are stacked into WORK (a folder; what is there is
used again), finished by the presets, and set beside a plain automatic stretch of the master. Pictures of frames whose
licence lets them be handed on under that of this project (README.md) and those of the synthetic sky go to this folder.
Those of other frames stay in WORK: M 94 and NGC 7023 from a Seestar S50, for whoever has them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import skyquilt as sq
from skyquilt.engine.finish import Chain, FinishSettings, Step, combine_lrgb_masters, finish_master, lrgb_settings
from skyquilt.io.images import encode_jpeg
from skyquilt.testing.sky import Scenario, make_session

HERE = Path(__file__).parent
PLAIN = Chain((Step.of("auto_stretch", colours="each"),))
GAP_PX = 6
MOST_BYTES = 300_000


def stacked(folder: Path, work: Path, name: str) -> Path:
    """Return the master of a group of a session, stacked if it is not there."""
    master = work / name / "stacked" / "master_linear.fits"
    if not master.exists():
        sq.stack(folder, work)
    return master


def screen(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return a box of a picture, uint8 (y, x, 3)."""
    left, top, right, bottom = box
    part = np.nan_to_num(pixels[:, top:bottom, left:right])
    picture = (np.clip(part, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def show(picture: Path, master: Path, box: tuple[int, int, int, int], preset: str) -> None:
    """Write a box of the finished master on the right of the same box stretched plainly."""
    plain = finish_master(master, FinishSettings(chain=PLAIN))
    result = sq.finish(master, preset=preset)
    left, top = result.record.box[:2]
    shifted = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    parts = [screen(plain.pixels, box), screen(result.pixels, shifted)]
    gap = np.full((parts[0].shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    both = np.concatenate([parts[0], gap, parts[1]], axis=1)
    quality = 92
    while len(data := encode_jpeg(both, quality)) > MOST_BYTES and quality > 40:
        quality -= 4
    picture.write_bytes(data)
    for note in result.record.notes:
        sys.stdout.write(f"{picture.stem}: {note}\n")
    sys.stdout.write(f"{picture.name}: {len(data) // 1000} kB\n")


def show_synthetic(work: Path) -> None:
    """A galaxy among the real stars of its place, as a Seestar would see it in a quarter of an hour."""
    session = work / "synthetic"
    if not session.exists():
        make_session(session, Scenario(target="M 31", n_frames=24, width=800, height=600, exposure_s=30.0, seed=2))
    show(HERE / "synthetic_galaxy.jpg", stacked(session, work, "M 31"), (100, 50, 700, 550), "galaxy")


def show_jocular(frames: Path, work: Path) -> None:
    """M 8 in LRGB from the frames of Jocular."""
    filters = {"luminance": "L", "red": "R", "green": "G", "blue": "B"}
    masters = {part: stacked(frames / "Messier 8", work, f"Messier 8_{letter}") for part, letter in filters.items()}
    m8 = work / "m8_lrgb.fits"
    combine_lrgb_masters(masters, m8, lrgb_settings())
    show(HERE / "m8_nebula.jpg", m8, (40, 30, 712, 550), "nebula")
    show(HERE / "m8_luminance.jpg", masters["luminance"], (40, 30, 712, 550), "nebula")


def show_seestar(sessions: Path, work: Path) -> None:
    """M 94 and NGC 7023, in WORK."""
    m94 = stacked(sessions / "M 94_sub", work, "M 94")
    show(work / "m94_galaxy.jpg", m94, (250, 560, 850, 1260), "galaxy")
    ngc7023 = stacked(sessions / "NGC 7023_sub", work, "NGC 7023")
    show(work / "ngc7023_nebula.jpg", ngc7023, (150, 620, 750, 1320), "nebula")


def main(data: Path, work: Path) -> None:
    """Make all that can be made."""
    show_synthetic(work)
    for folder, made in ((data / "mono-jocular", show_jocular), (data / "seestar" / "MyWorks", show_seestar)):
        if folder.is_dir():
            made(folder, work)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "examples-work"))
