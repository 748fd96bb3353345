"""What a mosaic is worth, measured against the truth of its session."""

from skyquilt.testing.mosaic_judge.figures import Astrometry, Figures, Outlier, Ratio, Seams
from skyquilt.testing.mosaic_judge.judge import MosaicJudge, judge_mosaic

__all__ = ["Astrometry", "Figures", "MosaicJudge", "Outlier", "Ratio", "Seams", "judge_mosaic"]
