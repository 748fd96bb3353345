"""
Measure how long the star catalogue takes to answer, and print the table.

Run: ``python bench/catalogue.py``. The figures behind docs/concepts/sky.md. CPU time, the best of ten after one to
bring the pages into memory; the first answer of a place is wall time, pages from disk or from the system's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from skyquilt.io.catalogue import open_catalogue

PLACES = [
    ("galactic pole", 192.9, 27.1, 1.5),
    ("Andromeda", 10.7, 41.3, 1.5),
    ("galactic centre", 266.4, -29.0, 1.5),
    ("north pole", 0.0, 90.0, 1.5),
    ("RA = 0", 0.0, 0.0, 1.5),
    ("Cygnus, 20 degrees", 305.0, 40.0, 10.0),
    ("the whole sky", 0.0, 0.0, 180.0),
]


def best_of(n: int, ask: Callable[[], object]) -> float:
    """Return the least CPU time of `n` runs, ms."""
    times = []
    for _ in range(n):
        begin = time.process_time()
        ask()
        times.append(time.process_time() - begin)
    return 1e3 * min(times)


def main() -> None:
    """Print the table."""
    catalogue = open_catalogue()
    print(f"{'circle':<22}{'radius':>8}{'stars':>10}{'first ms':>10}{'CPU ms':>9}{'VT < 9 ms':>11}")
    for name, ra, dec, radius in PLACES:
        begin = time.perf_counter()
        n_stars = len(catalogue.cone(ra, dec, radius, epoch_year=2025.0))
        first = 1e3 * (time.perf_counter() - begin)
        n = 3 if radius == 180.0 else 10
        all_ms = best_of(n, lambda at=(ra, dec, radius): catalogue.cone(*at, epoch_year=2025.0))  # type: ignore[misc]
        bright_ms = best_of(n, lambda at=(ra, dec, radius): catalogue.cone(*at, epoch_year=2025.0, limit_mag=9.0))  # type: ignore[misc]
        print(f"{name:<22}{radius:>8g}{n_stars:>10}{first:>10.2f}{all_ms:>9.2f}{bright_ms:>11.2f}")
    cells_ms = best_of(3, lambda: catalogue.brightest_of_cells(10, epoch_year=2025.0))
    print(f"{'10 brightest of every cell':<50}{cells_ms:>9.1f}")


if __name__ == "__main__":
    main()
