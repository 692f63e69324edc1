"""Does a score follow something it should not, and does it tell two classes apart?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tutelage.errors import ShapeError
from tutelage.statistics.intervals import finite_rows

_NOTHING = 1e-12      # of its size before: a residual below it is rounding


@dataclass(frozen=True, slots=True)
class AtEqual:
    """How one difference goes with another where the judgment is the same; NaN where one of them is settled by it."""

    correlation: float      # -1 to 1
    slope: float            # units of the outcome a unit of the other


def at_equal(outcome: ArrayLike, other: ArrayLike, judgment: ArrayLike) -> AtEqual:
    """Partial correlation and slope of differences between the two sides of a pair, the judgment of it held fixed.

        outcome = a judgment + b other + rest        slope b by least squares; correlation of what is left of both

    There is no intercept, so that turning a pair round, which changes the sign of all three, changes nothing. Where
    every pair is written better side first, the judgment is 1 throughout, takes the place of the intercept, and the
    correlation is Pearson's.

    Args:
        outcome, other: (N,) first side minus second: of a score, of a length.
        judgment: (N,) 2 p - 1, p being the probability that the first side is the better one; 0 for a tie.
    Raises:
        ShapeError: if lengths differ, there is none, or a number is not finite.
    """
    rows = [finite_rows(name, values) for name, values in (("outcome", outcome), ("other", other), ("judgment", judgment))]
    if len({len(row) for row in rows}) > 1:
        raise ShapeError(f"outcome, other and judgment have {', '.join(str(len(row)) for row in rows)} rows; wanted the same.")
    y, x = (_without(row, rows[2]) for row in rows[:2])
    if not x.any():
        return AtEqual(float("nan"), float("nan"))
    slope = float(x @ y / (x @ x))
    return AtEqual(float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1)) if y.any() else float("nan"), slope)


def _without(row: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of `row` is not a multiple of `given`; zeros where nothing but rounding is left."""
    size = float(row @ row)
    if given.any():
        row = row - given * (given @ row) / (given @ given)
    return row if row @ row > _NOTHING**2 * size else np.zeros_like(row)


def area_under_curve(scores: ArrayLike, positive: ArrayLike) -> float:
    """Chance that a positive case has a higher score than a negative one, equal scores half: the area under the ROC curve.

    By ranks (Mann & Whitney 1947); NaN where one of the two classes is empty.

    Args:
        scores: (N,) finite numbers.
        positive: (N,) true or false.
    Raises:
        ShapeError: if lengths differ, there is none, or a score is not finite.
    """
    rows, is_positive = finite_rows("scores", scores), np.asarray(positive, dtype=bool)
    if is_positive.shape != rows.shape:
        raise ShapeError(f"there are {len(rows)} scores and {is_positive.size} classes; wanted one each.")
    above = int(is_positive.sum())
    below = len(rows) - above
    if not above or not below:
        return float("nan")
    return float((stats.rankdata(rows)[is_positive].sum() - above * (above + 1) / 2) / (above * below))
