"""Watch a run for what its reward does not say, and stop or turn back in time (docs/guard.md).

A policy that is optimised hard enough finds what its reward likes and nobody meant (Gao et al. 2022, arXiv:2210.10760). The
guard compares six signals with where the run began; past a limit it warns, ends the run with the best weights that were
within all limits, or goes back to these and on with smaller steps. Until it acts, no number of the training is another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.console import console
from tutelage.errors import TrainingError
from tutelage.protocols import Score
from tutelage.records import Sample
from tutelage.rl.config import Guarding
from tutelage.rl.snapshots import leaving_generators
from tutelage.rl.trainer import PolicyTrainer
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.directory import Run
from tutelage.runs.metrics import Best
from tutelage.training import preflight

HEALTH = "guard/health"      # what says which state within all limits is the best
RUN_LENGTH = 4               # tokens in a row whose coming back is repetition
_MEASURED = {"score": "objective/score", "score_std": "objective/score_std", "kl": "objective/kl",
             "entropy": "objective/entropy", "length": "rollout/length", "ended": "rollout/ended_fraction"}


class Guard:
    """Told of every step after it was made (`watch`); its state is part of the run's checkpoints.

    `heldout` is a reward that nothing is trained on: the gap between it and the one that is can only be seen with one.
    """

    def __init__(self, config: Guarding, trainer: PolicyTrainer, run: Run, heldout: Score | None = None) -> None:
        self.config, self.trainer, self.run, self.heldout = config, trainer, run, heldout
        self.made = 0                                  # steps
        self.recent: dict[str, list[float]] = {}       # the last `window` values of each measure
        self.start: dict[str, float] = {}              # their means when there were first so many
        self.peak: dict[str, float] = {}               # and when the held-out reward was best
        self.told: list[str] = []                      # signals past their limits that a person was warned of
        self.rollbacks = 0
        self.ended_by = ""                             # what ended the run, in words
        self.best = Best(HEALTH, at_once=True) if config.goes_back else None

    def ended(self) -> bool:
        return bool(self.ended_by)

    def watch(self, samples: Sequence[Sample], metrics: Mapping[str, float]) -> dict[str, float]:
        """Look at a step that was made, act where a limit is passed; the guard's own metrics.

        Raises:
            TrainingError: if it must go back and no state within the limits was ever kept.
        """
        self.made += 1
        if not self.config.watches:
            return {}
        measures = self._measure(samples, metrics)
        self.recent = {name: [*self.recent.get(name, ()), value][-self.config.window:] for name, value in measures.items()}
        found = {"guard/repetition": measures["repetition"], "guard/rollbacks": float(self.rollbacks)}
        if "heldout" in measures:
            found["guard/heldout_reward"] = measures["heldout"]
        if len(self.recent["kl"]) < self.config.window:
            return found
        now = {name: sum(values) / len(values) for name, values in self.recent.items()}
        self.start = self.start or now
        if "heldout" in now and now["heldout"] > self.peak.get("heldout", -math.inf):
            self.peak = now
        past = {signal: said for signal, said in crossed(now, self.start, self.peak, self.config).items()
                if self.config.action_on(signal) != "off"}
        found["guard/crossed"] = float(len(past))
        if "heldout" in now:
            found["guard/gap"] = gap(now, self.start, self.peak)
        if self.best is not None and not past and (self.made - self.config.window) % self.config.every == 0:
            found[HEALTH] = now.get("heldout", now["score"])
        self._act(past)
        return found

    def _measure(self, samples: Sequence[Sample], metrics: Mapping[str, float]) -> dict[str, float]:
        measures = {name: metrics[metric] for name, metric in _MEASURED.items()}
        measures["repetition"] = sum(repeated(sample.response_ids) for sample in samples) / len(samples)
        if self.heldout is not None:
            with leaving_generators():
                scores = self.heldout.score(samples).total
            preflight.finite_scores(scores, [sample.id for sample in samples])
            mean = sum(scores) / len(scores)
            measures["heldout"] = mean
            measures["heldout_std"] = (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
        return measures

    def _act(self, past: Mapping[str, str]) -> None:
        """Do the strictest of what the signals ask for."""
        asked = {self.config.action_on(signal) for signal in past}
        if asked & {"stop", "rollback"}:
            said = "; ".join(past.values())
            if "stop" in asked or self.rollbacks == self.config.max_rollbacks:
                self._end(said)
            else:
                self._go_back(said)
            return
        for signal in past.keys() - set(self.told):
            console.warn(f"guard: after step {self.made}, {past[signal]}. Nothing was done about it (guard.action warn).")
        self.told = sorted(past)

    def _end(self, said: str) -> None:
        self._best_state(said)      # before it is said that the run ends with it
        self.ended_by = said
        spent = f" It had gone back {self.rollbacks} times." if self.rollbacks else ""
        console.warn(f"guard: after step {self.made}, {said}. The run ends here, with the best weights it had before.{spent}")

    def _go_back(self, said: str) -> None:
        step, state = self._best_state(said)
        self.trainer.load_state(state["trainer"])
        self.rollbacks += 1
        self.recent = {}
        self._lower()
        console.warn(f"guard: after step {self.made}, {said}. Back to the weights of step {step}, on with "
                     f"{self.trainer.masters.scale:.3g} of the learning rate.")

    def _lower(self) -> None:
        self.trainer.masters.scale = self.config.lr_factor ** self.rollbacks

    def _best_state(self, said: str) -> tuple[int, dict[str, Any]]:
        checkpoints = DirectoryCheckpoints(self.run.checkpoints, best=self.best)
        if checkpoints.best_step() is None:
            raise TrainingError(f"guard: after step {self.made}, {said}, and no state within all limits was kept before. "
                                "Lower optimizer.lr, raise settings kl_coef, or raise that limit of the guard.")
        return checkpoints.best_state()

    def restore(self) -> None:
        """Leave the policy with the best weights within the limits, where the guard ended the run."""
        if self.ended_by:
            step, state = self._best_state(self.ended_by)
            self.trainer.load_state(state["trainer"])
            console.print(f"RL: the weights of step {step} are restored")

    def facts(self) -> dict[str, Any]:
        """For a manifest: of the run as it ended."""
        told = {"rollbacks": self.rollbacks, "ended_by": self.ended_by}
        return {"steps": self.made, **{name: fact for name, fact in told.items() if fact}}

    def state(self) -> dict[str, Any]:
        return {"made": self.made, "recent": self.recent, "start": self.start, "peak": self.peak, "told": self.told,
                "rollbacks": self.rollbacks, "ended_by": self.ended_by}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.made, self.rollbacks, self.ended_by = state["made"], state["rollbacks"], state["ended_by"]
        self.recent, self.start, self.peak = dict(state["recent"]), dict(state["start"]), dict(state["peak"])
        self.told = list(state["told"])
        self._lower()


def crossed(now: Mapping[str, float], start: Mapping[str, float], peak: Mapping[str, float], limits: Guarding) -> dict[str, str]:
    """Signals past their limits, each with a sentence that says so.

    Args:
        now, start: means over a window of `kl` (nats a response), `entropy` (nats a token), `length` (tokens), `repetition`
            and `ended` (shares of 1), and where there is a held-out reward `score`, `score_std`, `heldout`, `heldout_std`.
        peak: those of when the held-out reward was best.
    """
    found: dict[str, str] = {}
    if limits.kl is not None and now["kl"] > limits.kl:
        found["kl"] = f"the policy is {now['kl']:.3g} nats a response from its reference; the budget is {limits.kl:g}"
    if limits.entropy is not None and now["entropy"] < limits.entropy * start["entropy"]:
        found["entropy"] = (f"entropy fell from {start['entropy']:.3g} to {now['entropy']:.3g} nats a token, below "
                            f"{limits.entropy:g} of where it began")
    if limits.length is not None and not 1 / limits.length <= now["length"] / start["length"] <= limits.length:
        found["length"] = (f"responses went from {start['length']:.3g} to {now['length']:.3g} tokens; within a factor of "
                           f"{limits.length:g} was allowed")
    if limits.repetition is not None and now["repetition"] > start["repetition"] + limits.repetition:
        found["repetition"] = (f"responses repeat {now['repetition']:.0%} of themselves, and began with "
                               f"{start['repetition']:.0%}; {limits.repetition:.0%} more was allowed")
    if limits.ended is not None and now["ended"] < start["ended"] - limits.ended:
        found["ended"] = (f"{now['ended']:.0%} of the responses end their turn, and {start['ended']:.0%} did; "
                          f"{limits.ended:.0%} less was allowed")
    if limits.gap is not None and "heldout" in now and (apart := gap(now, start, peak)) > limits.gap:
        found["gap"] = (f"reward and held-out reward parted by {apart:.3g} standard deviations since the held-out one was best: "
                        f"{peak['score']:.3g} to {now['score']:.3g} against {peak['heldout']:.3g} to {now['heldout']:.3g}; "
                        f"{limits.gap:g} was allowed")
    return found


def gap(now: Mapping[str, float], start: Mapping[str, float], peak: Mapping[str, float]) -> float:
    """How much the training reward rose and the held-out one fell since that was best, each in standard deviations of its
    first samples. 0 while the held-out reward is at its best, however fast the other one rises; about 0 where both fall.
    """
    def risen(name: str) -> float:
        return (now[name] - peak[name]) / (start[f"{name}_std"] or 1.0)      # all alike at first: in its own units

    return risen("score") - risen("heldout")


def repeated(ids: Sequence[int], n: int = RUN_LENGTH) -> float:
    """Share of a response's runs of n tokens that it has said before, 0 to 1; 0 where it is shorter. As seq-rep-n
    (Welleck et al. 2020, arXiv:1908.04319), on ids: a row of exclamation marks has no words, and repeats itself all the same.
    """
    runs = list(zip(*(ids[start:] for start in range(n)), strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
