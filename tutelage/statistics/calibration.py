"""Do probabilities mean what they say? Brier score, expected calibration error, and the bins of a reliability plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tutelage.errors import ShapeError
from tutelage.statistics.intervals import Estimate, finite_rows, wilson_interval

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The cases whose probability lies in one stretch: what was said on average, and how often it came true."""

    said: float
    happened: Estimate        # with Wilson's interval; n cases
    low: float
    high: float


def brier(probabilities: ArrayLike, outcomes: ArrayLike) -> float:
    """Mean squared distance of probability and outcome (Brier 1950), 0 best.

    Args:
        probabilities: (N,) 0 to 1.
        outcomes: (N,) 0 to 1: 0 or 1 where something came true or not, between them for a share of votes.
    Raises:
        ShapeError: if lengths differ, there is none, or a value is outside 0 to 1.
    """
    said, true = _probabilities(probabilities, outcomes)
    return float(np.mean((said - true) ** 2))


def calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error (Naeini et al. 2015): mean distance of what was said and what happened, by bins.

        ECE = sum_b n_b / N * | mean outcome in b - mean probability in b |

    Bins are equally wide, closed above, the first closed below too. Args and errors as `brier`.
    """
    said, true = _probabilities(probabilities, outcomes)
    where = _bin(said, bins)
    gaps = np.bincount(where, weights=true, minlength=bins) - np.bincount(where, weights=said, minlength=bins)
    return float(np.abs(gaps).sum() / len(said))


def reliability(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = BINS) -> list[Bin]:
    """The bins that hold a case, in order. Args and errors as `brier`."""
    said, true = _probabilities(probabilities, outcomes)
    where = _bin(said, bins)
    return [Bin(float(said[where == at].mean()), wilson_interval(float(true[where == at].sum()), int((where == at).sum())),
                at / bins, (at + 1) / bins) for at in np.unique(where).tolist()]


def _bin(said: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    if bins < 1:
        raise ShapeError(f"{bins} bins were asked for; wanted 1 or more.")
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, said, side="left")


def _probabilities(probabilities: ArrayLike, outcomes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    said, true = finite_rows("probabilities", probabilities), finite_rows("outcomes", outcomes)
    if len(said) != len(true):
        raise ShapeError(f"there are {len(said)} probabilities and {len(true)} outcomes; wanted one outcome each.")
    for name, row in (("probabilities", said), ("outcomes", true)):
        if row.min() < 0 or row.max() > 1:
            raise ShapeError(f"{name} reach from {row.min():g} to {row.max():g}; wanted 0 to 1.")
    return said, true
