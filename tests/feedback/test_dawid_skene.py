"""Labels of several raters: equal to the oracle without priors, better than the majority, never falling."""

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene as OfCrowdKit

from tutelage.errors import ShapeError
from tutelage.feedback.dawid_skene import Counts, fit_dawid_skene
from tutelage.feedback.votes import MISSING, Votes

NO_PRIOR = Counts(0.0, 0.0, 0.0)


def labelled(seed: int, confusions: list[np.ndarray], items: int = 150, missing: float = 0.2) -> tuple[Votes, np.ndarray]:
    """Raters with the given tables [true, said]; also the truth, as indices into `values`."""
    rng = np.random.default_rng(seed)
    size = len(confusions[0])
    truth = rng.choice(size, items, p=np.arange(1, size + 1) / np.arange(1, size + 1).sum())
    said = [(f"i{u:04d}", f"i{u:04d}", f"rater {r}", f"label {rng.choice(size, p=table[truth[u]])}")
            for u in range(items) for r, table in enumerate(confusions) if rng.random() >= missing]
    votes = Votes.of(said)
    return votes, truth[[int(item[1:]) for item in votes.items]]


def honest(size: int, accuracy: float) -> np.ndarray:
    table = np.full((size, size), (1 - accuracy) / (size - 1))
    np.fill_diagonal(table, accuracy)
    return table


ADVERSARY = np.roll(honest(3, 0.85), 1, axis=1)        # says the next label instead of the true one
MIXED = [honest(3, 0.8), honest(3, 0.7), honest(3, 0.65), ADVERSARY, np.full((3, 3), 1 / 3)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("iterations", [1, 15])
@pytest.mark.filterwarnings("ignore")         # the oracle's own, of pandas
def test_without_priors_it_is_the_oracle(seed: int, iterations: int) -> None:
    votes, _ = labelled(seed, MIXED)
    rows, columns = np.nonzero(votes.codes != MISSING)
    frame = pd.DataFrame({"task": [votes.items[u] for u in rows], "worker": [votes.raters[r] for r in columns],
                          "label": [votes.values[code] for code in votes.codes[rows, columns]]})
    oracle = OfCrowdKit(n_iter=iterations, tol=-np.inf).fit(frame)
    fit = fit_dawid_skene(votes, NO_PRIOR, iterations=iterations, tolerance=-1.0)
    expected = oracle.probas_.loc[list(votes.items), list(votes.values)].to_numpy()
    np.testing.assert_allclose(fit.posterior, expected, atol=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_it_beats_the_majority_and_names_who_misleads(seed: int) -> None:
    votes, truth = labelled(seed, MIXED)
    fit = fit_dawid_skene(votes)
    majority = float((votes.counts.argmax(axis=1) == truth).mean())
    assert fit.converged and float((fit.posterior.argmax(axis=1) == truth).mean()) >= majority + 0.05
    assert fit.misleading == ("rater 3",)
    assert min(fit.accuracy, key=lambda rater: fit.accuracy[rater]) == "rater 3"


@pytest.mark.parametrize("counts", [Counts(), NO_PRIOR, Counts(5.0, 1.0, 2.0)])
def test_the_log_posterior_never_falls(counts: Counts) -> None:
    votes, _ = labelled(0, MIXED)
    trace = fit_dawid_skene(votes, counts).trace
    assert len(trace) > 3 and min(np.diff(trace)) > -1e-9 * abs(trace[0])


def test_where_all_agree_tables_stay_inside_by_the_prior() -> None:
    fit = fit_dawid_skene(Votes.table({f"i{u}": {"a": u % 2, "b": u % 2} for u in range(20)}))
    assert fit.converged and fit.confusion.min() > 0 and fit.confusion.max() < 1
    assert fit.labels == tuple(int(item[1:]) % 2 for item in fit.votes.items) and fit.misleading == ()


def test_probabilities_are_probabilities() -> None:
    fit = fit_dawid_skene(labelled(2, MIXED)[0])
    for shares in (fit.posterior, fit.confusion, fit.prevalence):
        np.testing.assert_allclose(shares.sum(axis=-1), 1.0, atol=1e-12)


def test_there_must_be_something_to_choose_from() -> None:
    with pytest.raises(ShapeError, match="1 values"):
        fit_dawid_skene(Votes.table({"one": {"a": "x", "b": "x"}}))
