"""What the label is, when several people said so and not all of them are equally good (Dawid and Skene 1979).

    U items · R raters · V values

    P(label of u is v) = prevalence_v,    P(rater r says k where v is true) = confusion_rvk

fitted by EM from the shares of votes. Every rater has a whole table of mistakes, so that somebody who always says the
opposite is evidence, not noise. The priors are pseudo-counts, as if each rater had been seen to be right once more and
wrong half a time more on each label, and each label had been met half a time: tables stay finite and a rater with three
votes stays near the others. With `Counts(0, 0, 0)` it is the maximum-likelihood fit of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import ShapeError
from tutelage.feedback.votes import MISSING, Votes
from tutelage.statistics import wilson_interval

_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Counts:
    """Pseudo-counts of the Dirichlet priors."""

    right: float = 1.0           # on each label, for each rater
    wrong: float = 0.5           # on each label, for each rater, shared by the other labels
    prevalence: float = 0.5      # of each label


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """A fit. `trace` is the log posterior after each iteration, up to a constant; it never falls."""

    votes: Votes
    posterior: NDArray[np.float64]       # (U, V) P(label of u is v)
    prevalence: NDArray[np.float64]      # (V,)
    confusion: NDArray[np.float64]       # (R, V, V) [r, v, k]: r says k where v is true
    trace: tuple[float, ...]
    converged: bool

    @property
    def labels(self) -> tuple[object, ...]:
        """The likeliest label of each item; of equals the first in order."""
        return tuple(self.votes.values[at] for at in self.posterior.argmax(axis=1))

    @property
    def accuracy(self) -> dict[str, float]:
        """rater -> how often they would name the true label of an item drawn at random."""
        right = np.einsum("v,rvv->r", self.prevalence, self.confusion)
        return dict(zip(self.votes.raters, right.tolist(), strict=True))

    @property
    def misleading(self) -> tuple[str, ...]:
        """Raters who are right less often than chance: the 95 % interval of their share of right votes lies below what
        their own labels would meet in items drawn at random. They know, and say something else; who guesses is at chance.
        """
        named = []
        for column, rater in enumerate(self.votes.raters):
            codes = self.votes.codes[:, column]
            truth = self.posterior[codes != MISSING]                          # (U', V)
            said = codes[codes != MISSING]
            right = float(truth[np.arange(len(said)), said].sum())
            chance = float(np.bincount(said, minlength=truth.shape[1]) @ truth.mean(axis=0)) / len(said)
            if wilson_interval(right, len(said)).high < chance:
                named.append(rater)
        return tuple(named)


def fit_dawid_skene(votes: Votes, counts: Counts = Counts(), iterations: int = 500,
                    tolerance: float = 1e-9) -> DawidSkene:
    """EM from the shares of votes, until no probability moves by more than `tolerance`.

    Raises:
        ShapeError: if nobody voted, or there are fewer than two values to choose from.
    """
    if len(votes.values) < 2 or not len(votes.items):
        raise ShapeError(f"Dawid and Skene's model needs items and two values or more; got {len(votes.items)} items and "
                         f"{len(votes.values)} values.")
    item, rater = np.nonzero(votes.codes != MISSING)
    said = votes.codes[item, rater]                                            # one entry a vote
    size = len(votes.values)
    prior = np.full((size, size), counts.wrong / (size - 1))
    np.fill_diagonal(prior, counts.right)
    shares = votes.counts
    posterior = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)
    posterior[shares.sum(axis=1) == 0] = 1 / size
    trace: list[float] = []
    converged = False
    for _ in range(iterations):
        confusion = np.zeros((len(votes.raters), size, size)) + prior.T        # [r, k, v] while summing
        np.add.at(confusion, (rater, said), posterior[item])
        confusion = _shares(confusion.transpose(0, 2, 1))
        prevalence = _shares(posterior.sum(axis=0) + counts.prevalence)
        log_joint = np.tile(np.log(np.maximum(prevalence, _TINY)), (len(votes.items), 1))
        log_confusion = np.log(np.maximum(confusion, _TINY))
        np.add.at(log_joint, item, log_confusion[rater, :, said])
        evidence = np.logaddexp.reduce(log_joint, axis=1)
        before, posterior = posterior, np.exp(log_joint - evidence[:, None])
        trace.append(float(evidence.sum() + (prior * log_confusion).sum()
                           + counts.prevalence * np.log(np.maximum(prevalence, _TINY)).sum()))
        if np.abs(posterior - before).max() < tolerance:
            converged = True
            break
    return DawidSkene(votes, posterior, prevalence, confusion, tuple(trace), converged)


def _shares(counts: NDArray) -> NDArray:
    """Along the last axis; equal shares where there is nothing."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.where(total > 0, counts / np.where(total > 0, total, 1), 1 / counts.shape[-1])
