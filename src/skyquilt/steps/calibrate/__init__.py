"""Taking the camera out of the frames: choosing, judging and applying calibration frames."""

from skyquilt.steps.calibrate.calibrated import Calibrated, negative_share, warn_of_negatives
from skyquilt.steps.calibrate.ceiling import FrameTop, find_ceiling, frame_top
from skyquilt.steps.calibrate.defects import find_defects, find_defects_in_lights
from skyquilt.steps.calibrate.flat import normalise_flat
from skyquilt.steps.calibrate.judge import JudgeRules, Verdict, judge_profiles
from skyquilt.steps.calibrate.match import CalibrationMatch, MatchRow, MatchRules, match_calibration
from skyquilt.steps.calibrate.profile import FrameProfile, RowBand, find_row_bands, frame_profile, stored_profile
from skyquilt.steps.calibrate.scale import fit_dark_scale

__all__ = [
    "Calibrated",
    "CalibrationMatch",
    "FrameProfile",
    "FrameTop",
    "JudgeRules",
    "MatchRow",
    "MatchRules",
    "RowBand",
    "Verdict",
    "find_ceiling",
    "find_defects",
    "find_defects_in_lights",
    "find_row_bands",
    "fit_dark_scale",
    "frame_profile",
    "frame_top",
    "judge_profiles",
    "match_calibration",
    "negative_share",
    "normalise_flat",
    "stored_profile",
    "warn_of_negatives",
]
