"""
Pack the Tycho-2 catalogue into the one file that ships with the package.

Usage: python tools/pack_catalogue.py CATALOGUE.npz [OUTPUT.skycat]

The input holds `ra_1e7deg`, `dec_1e7deg` (ICRS, epoch J2000), `pmra_mas` (mu_alpha cos delta), `pmdec_mas` (a year),
`BT_mmag` and `VT_mmag` (32000 = missing).

Source: Tycho-2, ESA / Copenhagen, Hog et al. 2000, A&A 355, L27. Licence: BSD-2-Clause, as packaged by Debian.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from skyquilt.io.catalogue import StarTable, as_bytes, pack_columns

MISSING = 32000
SOURCE = "Tycho-2, ESA / Copenhagen, Hog et al. 2000, A&A 355, L27"
LICENCE = "BSD-2-Clause"


def main(catalogue: Path, output: Path) -> None:
    """Write the packed form of `catalogue` to `output`."""
    with np.load(catalogue) as data:
        magnitudes = {
            name: np.where(data[name] == MISSING, np.nan, data[name] / 1000.0) for name in ("VT_mmag", "BT_mmag")
        }
        stars = StarTable(
            ra_deg=data["ra_1e7deg"] * 1e-7,
            dec_deg=data["dec_1e7deg"] * 1e-7,
            pmra_mas=data["pmra_mas"].astype(np.float64),
            pmdec_mas=data["pmdec_mas"].astype(np.float64),
            vt_mag=magnitudes["VT_mmag"],
            bt_mag=magnitudes["BT_mmag"],
        )
    packed = as_bytes(pack_columns(stars), source=SOURCE, licence=LICENCE)
    output.write_bytes(packed)
    sys.stdout.write(f"{len(stars.ra_deg)} stars, {len(packed) / 1e6:.2f} MB: {output}\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    default = Path(__file__).resolve().parents[1] / "src/skyquilt/io/catalogue/data/tycho2.skycat"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else default)
