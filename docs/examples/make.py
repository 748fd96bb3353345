"""
Make the pictures of this folder from real frames: ``python docs/examples/make.py DATA [WORK]``.

DATA holds the frames that tests/real uses: 20 lights of M 94 and 4 of NGC 7023 from a Seestar S50, 10 s each, and of
M 8 three each through L, R, G and B from a mono camera, 15 s each. They are stacked into WORK (a
folder; what is there is used again), finished by the presets, and set beside a plain automatic stretch of the master.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import skyquilt as sq
from skyquilt.engine.finish import Chain, FinishSettings, Step, combine_lrgb_masters, finish_master, lrgb_settings
from skyquilt.io.images import encode_jpeg

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


def show(name: str, master: Path, box: tuple[int, int, int, int], preset: str, **steps: dict[str, object]) -> None:
    """Write a box of the finished master on the right of the same box stretched plainly."""
    plain = finish_master(master, FinishSettings(chain=PLAIN))
    result = sq.finish(master, preset=preset, steps=steps)
    left, top = result.record.box[:2]
    shifted = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    parts = [screen(plain.pixels, box), screen(result.pixels, shifted)]
    gap = np.full((parts[0].shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    picture = np.concatenate([parts[0], gap, parts[1]], axis=1)
    quality = 92
    while len(data := encode_jpeg(picture, quality)) > MOST_BYTES and quality > 40:
        quality -= 4
    (HERE / f"{name}.jpg").write_bytes(data)
    for note in result.record.notes:
        sys.stdout.write(f"{name}: {note}" + "\n")
    sys.stdout.write(f"{name}.jpg: {len(data) // 1000} kB" + "\n")


def main(data: Path, work: Path) -> None:
    """Make all."""
    seestar, jocular = data / "seestar" / "MyWorks", data / "mono-jocular"
    m94 = stacked(seestar / "M 94_sub", work, "M 94")
    show("m94_galaxy", m94, (250, 560, 850, 1260), "galaxy")
    ngc7023 = stacked(seestar / "NGC 7023_sub", work, "NGC 7023")
    show("ngc7023_nebula", ngc7023, (150, 620, 750, 1320), "nebula")
    filters = {"luminance": "L", "red": "R", "green": "G", "blue": "B"}
    masters = {part: stacked(jocular / "Messier 8", work, f"Messier 8_{letter}") for part, letter in filters.items()}
    m8 = work / "m8_lrgb.fits"
    combined = combine_lrgb_masters(masters, m8, lrgb_settings())
    sys.stdout.write(f"m8: {combined.facts['masters']}\n")
    show("m8_nebula", m8, (40, 30, 712, 550), "nebula")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "examples-work"))
