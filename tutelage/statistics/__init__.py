"""What numbers allow to be said: intervals, tests, effects that a sample can show, correlations, calibration, strengths."""

from tutelage.statistics.association import kendall, pearson, spearman
from tutelage.statistics.calibration import Bin, brier, calibration_error, reliability
from tutelage.statistics.clusters import FEW_CLUSTERS, crossed_interval
from tutelage.statistics.intervals import (
    CONFIDENCE,
    DRAWS_AT_ONCE,
    Estimate,
    mean_interval,
    paired_difference,
    share_interval,
    t_interval,
    wilson_interval,
    win_rate,
)
from tutelage.statistics.significance import (
    ALPHA,
    holm,
    minimum_detectable_effect,
    sample_size,
    sign_flip_test,
    tied_groups,
)
from tutelage.statistics.strengths import fit_bradley_terry

__all__ = [
    "ALPHA", "CONFIDENCE", "DRAWS_AT_ONCE", "FEW_CLUSTERS", "Bin", "Estimate", "brier", "calibration_error",
    "crossed_interval", "fit_bradley_terry", "holm", "kendall", "mean_interval", "minimum_detectable_effect",
    "paired_difference", "pearson", "reliability", "sample_size", "share_interval", "sign_flip_test", "spearman",
    "t_interval", "tied_groups", "wilson_interval", "win_rate",
]
