"""The synthetic sky: sessions with known truth, as the devices write them."""

from skyquilt.testing.sky.devices import light_cards
from skyquilt.testing.sky.exposure import raw_frame, render_frame
from skyquilt.testing.sky.fits import Card, fits_bytes, structure_cards
from skyquilt.testing.sky.making import make_truth
from skyquilt.testing.sky.scenario import DEVICES, FAULTS, Scenario
from skyquilt.testing.sky.sensor import Sensor, calibration_frame
from skyquilt.testing.sky.session import make_frames, make_session
from skyquilt.testing.sky.targets import TARGETS
from skyquilt.testing.sky.truth import FrameTruth, StarTruth, Truth

__all__ = [
    "DEVICES",
    "FAULTS",
    "TARGETS",
    "Card",
    "FrameTruth",
    "Scenario",
    "Sensor",
    "StarTruth",
    "Truth",
    "calibration_frame",
    "fits_bytes",
    "light_cards",
    "make_frames",
    "make_session",
    "make_truth",
    "raw_frame",
    "render_frame",
    "structure_cards",
]
