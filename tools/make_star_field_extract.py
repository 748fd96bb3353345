"""
Cut the star fields of the synthetic sky out of the Tycho-2 catalogue.

Usage: python tools/make_star_field_extract.py CATALOGUE.npz [OUTPUT.npz]

The catalogue holds `ra_1e7deg`, `dec_1e7deg` (ICRS, epoch J2000), `pmra_mas`, `pmdec_mas` (a year), `BT_mmag` and
`VT_mmag` (32000 = missing). The output keeps every star within 2.5 degrees of each target of
`skyquilt.testing.sky.targets`, one slice a target, brightest first.

Source: Tycho-2, ESA / Copenhagen, Hog et al. 2000, A&A 355, L27.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from skyquilt.testing.sky.targets import EXTRACT_RADIUS_DEG, TARGETS

COLUMNS = ("ra_1e7deg", "dec_1e7deg", "pmra_mas", "pmdec_mas", "BT_mmag", "VT_mmag")
MISSING = 32000


def main(catalogue: Path, output: Path) -> None:
    """Write the extract of `catalogue` to `output`."""
    with np.load(catalogue) as data:
        columns = {name: data[name] for name in COLUMNS}
    ra, dec = np.radians(columns["ra_1e7deg"] * 1e-7), np.radians(columns["dec_1e7deg"] * 1e-7)
    direction = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    magnitude = np.where(columns["VT_mmag"] < MISSING, columns["VT_mmag"], columns["BT_mmag"])
    chosen = []
    for target in TARGETS.values():
        a, d = np.radians(target.ra_deg), np.radians(target.dec_deg)
        centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
        inside = np.flatnonzero(centre @ direction > np.cos(np.radians(EXTRACT_RADIUS_DEG)))
        chosen.append(inside[np.argsort(magnitude[inside], kind="stable")])
    fields = {name: np.concatenate([column[index] for index in chosen]) for name, column in columns.items()}
    ends = np.cumsum([0] + [len(index) for index in chosen])
    np.savez_compressed(output, names=np.array(list(TARGETS)), ends=ends, **fields)
    sys.stdout.write(f"{ends[-1]} stars of {len(TARGETS)} fields, {output.stat().st_size / 1e3:.0f} kB: {output}\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    default = Path(__file__).resolve().parents[1] / "src/skyquilt/testing/data/star_fields.npz"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else default)
