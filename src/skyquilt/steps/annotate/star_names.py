"""Names of bright stars, as the IAU's Working Group on Star Names has approved them."""

from __future__ import annotations

import numpy as np

from skyquilt.core import CatalogueStars
from skyquilt.core.sky import separation_deg

__all__ = ["STAR_NAMES", "names_of"]

_REACH_DEG = 2.5 / 60.0  # alpha Centauri moves 1.6 arcmin in 26 years
_FAINTEST = 6.0

STAR_NAMES: tuple[tuple[str, float, float], ...] = (
    ("Achernar", 24.429, -57.237), ("Acrux", 186.650, -63.099), ("Adhara", 104.656, -28.972),
    ("Albireo", 292.680, 27.960), ("Alcor", 201.306, 54.988), ("Alcyone", 56.871, 24.105),
    ("Aldebaran", 68.980, 16.509), ("Alderamin", 319.645, 62.586), ("Algieba", 154.993, 19.842),
    ("Algol", 47.042, 40.956), ("Alhena", 99.428, 16.399), ("Alioth", 193.507, 55.960),
    ("Alkaid", 206.885, 49.313), ("Almach", 30.975, 42.330), ("Alnair", 332.058, -46.961),
    ("Alnilam", 84.053, -1.202), ("Alnitak", 85.190, -1.943), ("Alphard", 141.897, -8.659),
    ("Alphecca", 233.672, 26.715), ("Alpheratz", 2.097, 29.091), ("Altair", 297.696, 8.868),
    ("Ankaa", 6.571, -42.306), ("Antares", 247.352, -26.432), ("Arcturus", 213.915, 19.182),
    ("Atlas", 57.291, 24.053), ("Atria", 252.166, -69.028), ("Avior", 125.628, -59.510),
    ("Bellatrix", 81.283, 6.350), ("Betelgeuse", 88.793, 7.407), ("Canopus", 95.988, -52.696),
    ("Capella", 79.172, 45.998), ("Caph", 2.295, 59.150), ("Castor", 113.650, 31.888),
    ("Cor Caroli", 194.007, 38.318), ("Deneb", 310.358, 45.280), ("Denebola", 177.265, 14.572),
    ("Diphda", 10.897, -17.987), ("Dubhe", 165.932, 61.751), ("Electra", 56.219, 24.113),
    ("Elnath", 81.573, 28.608), ("Eltanin", 269.152, 51.489), ("Enif", 326.046, 9.875),
    ("Errai", 354.837, 77.632), ("Fomalhaut", 344.413, -29.622), ("Gacrux", 187.791, -57.113),
    ("Hadar", 210.956, -60.373), ("Hamal", 31.793, 23.462), ("Izar", 221.247, 27.074),
    ("Kaus Australis", 276.043, -34.385), ("Kochab", 222.676, 74.156), ("Maia", 56.457, 24.368),
    ("Markab", 346.190, 15.205), ("Megrez", 183.857, 57.033), ("Meissa", 83.784, 9.934),
    ("Menkar", 45.570, 4.090), ("Menkent", 211.671, -36.370), ("Merak", 165.460, 56.382),
    ("Merope", 56.582, 23.948), ("Miaplacidus", 138.300, -69.717), ("Mimosa", 191.930, -59.689),
    ("Mintaka", 83.002, -0.299), ("Mira", 34.837, -2.978), ("Mirach", 17.433, 35.620),
    ("Mirfak", 51.081, 49.861), ("Mizar", 200.981, 54.925), ("Nunki", 283.816, -26.297),
    ("Peacock", 306.412, -56.735), ("Phecda", 178.458, 53.695), ("Pleione", 57.297, 24.137),
    ("Polaris", 37.955, 89.264), ("Pollux", 116.329, 28.026), ("Procyon", 114.825, 5.225),
    ("Rasalhague", 263.734, 12.560), ("Regulus", 152.093, 11.967), ("Rigel", 78.634, -8.202),
    ("Rigil Kentaurus", 219.902, -60.834), ("Ruchbah", 21.454, 60.235), ("Sadr", 305.557, 40.257),
    ("Saiph", 86.939, -9.670), ("Scheat", 345.944, 28.083), ("Schedar", 10.127, 56.537),
    ("Shaula", 263.402, -37.104), ("Sheratan", 28.660, 20.808), ("Sirius", 101.287, -16.716),
    ("Spica", 201.298, -11.161), ("Suhail", 136.999, -43.433), ("Taygeta", 56.302, 24.467),
    ("Thuban", 211.097, 64.376), ("Unukalhai", 236.067, 6.426), ("Vega", 279.234, 38.784),
    ("Zubenelgenubi", 222.720, -16.042), ("Zubeneschamali", 229.252, -9.383),
)  # fmt: skip
"""(name, right ascension, declination), ICRS, epoch J2000, degrees to 0.001."""


def names_of(stars: CatalogueStars) -> dict[int, str]:
    """Return the names of those stars that have one, by index: the brightest within 2.5 arcmin of the named place."""
    found: dict[int, str] = {}
    bright = np.flatnonzero(stars.mag <= _FAINTEST)
    if not len(bright):
        return found
    for name, ra, dec in STAR_NAMES:
        near = bright[separation_deg(stars.ra_deg[bright], stars.dec_deg[bright], ra, dec) < _REACH_DEG]
        if len(near):
            found.setdefault(int(near[np.argmin(stars.mag[near])]), name)
    return found
