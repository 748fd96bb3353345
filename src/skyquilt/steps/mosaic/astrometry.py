"""One astrometric solution for all frames of a mosaic, so that frames that overlap agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.mosaic.astrometry_maps import N_COLUMNS, Devices, given_maps
from skyquilt.steps.mosaic.astrometry_nouns import AstroFrame, AstroSettings, AstroSolution
from skyquilt.steps.mosaic.astrometry_report import report
from skyquilt.steps.mosaic.astrometry_rounds import settle
from skyquilt.steps.mosaic.astrometry_state import Problem
from skyquilt.steps.mosaic.astrometry_ties import pick_points

__all__ = ["solve_astrometry"]

_DEFAULTS = AstroSettings()


def solve_astrometry(frames: Sequence[AstroFrame], settings: AstroSettings = _DEFAULTS) -> AstroSolution:
    """
    Return coordinates of all frames that agree with each other and with the catalogue.

    Parameters
    ----------
    frames : sequence of AstroFrame
        At least one; of any pointings and devices, those without catalogue stars among them.
    settings : AstroSettings

    Raises
    ------
    NoUsableInput
        If there is no frame.
    UsageError
        If two frames share a key.
    BadInput
        If the coordinates of a frame do not cover it, the frames of one device differ in size, or the indices of a
        frame's catalogue stars are none.

    Notes
    -----
    Definition: each frame is a tangent plane of its own with a similarity (or an affine map held near one), the frames
    of a device share a polynomial distortion, each star that two frames or the catalogue know has one direction. All
    of these minimise the squares of the residuals on the sensors, in units of their errors, with Tukey's biweight;
    catalogue stars are held by the catalogue's error (`Equations` has the linear form). Stars are matched twice: by
    the coordinates given, and by those of the first solution within a smaller reach.

    Frames that no catalogue star reaches are held by the coordinates that they came with, on the whole (`Component`).
    The result does not depend on the order of the frames.

    Source: block adjustment of overlapping plates, Eichhorn 1960, Astron. Nachr. 285, 233; as done for surveys of CCD
    frames by Bertin 2006, ASP Conf. Ser. 351, 112 (SCAMP).
    Cost: proportional to the number of star positions, some 10 microseconds a round for each.
    """
    if not frames:
        raise NoUsableInput("there are no frames to solve for", "give the frames of a mosaic")
    order = sorted(range(len(frames)), key=lambda k: frames[k].key)
    ordered = [frames[k] for k in order]
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise UsageError(f"two frames have the key {one.key}", "give each frame a key of its own")
    devices = Devices.of(ordered, settings.most_order, N_COLUMNS[settings.model])
    maps, given = given_maps(ordered, devices)
    most = max(min(settings.stars_a_frame, settings.most_observations // len(frames)), 1)
    points = pick_points(ordered, most)
    unit = float(np.median(_scales(maps.matrix)))
    problem = Problem(devices, points, given, unit, settings)
    tied, state = settle(problem, ordered, maps)
    return report(ordered, _inverse(order), tied, state)


def _scales(matrix: F64) -> F64:
    scales: F64 = np.sqrt(np.abs(np.linalg.det(matrix)))
    return scales


def _inverse(order: list[int]) -> I64:
    """Return where each frame of the list that was given stands in the sorted one."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place
