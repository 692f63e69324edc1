"""An HTTP endpoint as a reward: texts in, one number a sample out.

    POST URL   {"samples": [{"id", "prompt": [{"role", "content"}, …], "response", "ended", "wanted"}, …]}
    200        {"scores": [0.3, -1.2, null, …]}      one a sample, in order; null: this one has none

A key, where there is one, comes from the environment (`TUTELAGE_REWARD_KEY`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from tutelage.records import Sample, Scores
from tutelage.remote import LONGEST_WAIT_S, OutOfReach, Remote, reason
from tutelage.rewards.outcomes import NOT_ASKED, SKIP_REMEDY, Failed, in_threads, settle
from tutelage.scoring import Scoring

KEY_VARIABLE = "TUTELAGE_REWARD_KEY"
LARGEST_ANSWER = 4_000_000       # bytes
Batch = Sequence[Sample]


class EndpointReward:
    """The `Score` of an address; requests of `batch` samples, several in flight."""

    def __init__(self, url: str, scoring: Scoring, sleep: Callable[[float], None] = time.sleep) -> None:
        """
        Raises:
            ConfigError: if `url` is no address, or a key would be shown or sent in the clear.
        """
        self.scoring = scoring
        self._remote = Remote(url, "reward", KEY_VARIABLE, timeout_s=scoring.timeout_s, retries=scoring.retries, sleep=sleep)
        self.name = f"the reward at {self._remote.place}"

    def score(self, samples: Sequence[Sample]) -> Scores:
        """
        Raises:
            RewardError: if a sample has no score after all tries, and such samples are not to be skipped.
            Untouched: where a signal asked to stop.
        """
        s, stop = self.scoring, self.scoring.on_error == "stop"
        batches = [samples[start : start + s.batch] for start in range(0, len(samples), s.batch)]
        longest = (s.retries + s.batch + 1) * (2 * s.timeout_s * s.batch + LONGEST_WAIT_S) if s.timeout_s else 0.0
        answers = in_threads(self._ask, batches, s.at_once, longest, stop=stop)      # one that trickles outlasts its own limit
        outcomes = [each for batch, answer in zip(batches, answers, strict=True)
                    for each in ([answer] * len(batch) if isinstance(answer, Failed) else answer)]
        return settle(self.name, outcomes, samples, s.on_error)

    def close(self) -> None:
        self._remote.close()

    def _ask(self, batch: Batch) -> list[float | Failed | None]:
        """A batch's answers. Where it is refused as a whole, each sample is asked about alone: one cannot spoil the rest."""
        answer = self._once(batch)
        if not isinstance(answer, Failed):
            return answer
        if len(batch) == 1 or "out of reach" in answer.reason:
            return [answer] * len(batch)
        found: list[float | Failed | None] = []
        for sample in batch:
            alone = self._once([sample], retries=0)
            found += [alone] if isinstance(alone, Failed) else alone
            if isinstance(alone, Failed) and self.scoring.on_error == "stop":
                return [*found, *[NOT_ASKED] * (len(batch) - len(found))]
        return found

    def _once(self, batch: Batch, retries: int | None = None) -> list[float | Failed | None] | Failed:
        try:
            body = {"samples": [_told(sample) for sample in batch]}
            return _read(self._remote.post(body, timeout_s=self.scoring.timeout_s * len(batch), retries=retries), len(batch))
        except OutOfReach as trouble:
            return Failed(str(trouble), "Is it running, and is the address right?")


def _told(sample: Sample) -> dict[str, Any]:
    return {"id": sample.id, "prompt": [{"role": each.role, "content": each.text} for each in sample.prompt.messages],
            "response": sample.text, "ended": sample.ended, "wanted": sample.prompt.wanted}


def _read(response: httpx.Response, wanted: int) -> list[float | Failed | None] | Failed:
    if response.status_code != 200:
        return Failed(f"refused with status {response.status_code} ({reason(response)})",
                      f"Check the address, and the key in {KEY_VARIABLE}.")
    try:
        if len(response.content) > LARGEST_ANSWER:
            raise ValueError(f"{len(response.content)} bytes")
        scores = response.json()["scores"]
        if not isinstance(scores, list) or len(scores) != wanted:
            raise ValueError(f"{len(scores)} scores for {wanted} samples")
        return [_number(score) for score in scores]
    except (ValueError, KeyError, TypeError) as error:
        return Failed(f'gave no {{"scores": [one number a sample]}} ({type(error).__name__}: {str(error)[:80]})', SKIP_REMEDY)


def _number(score: Any) -> float | Failed | None:
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        return Failed(f"returned {str(score)[:40]!r}, which is no number")
    return float(score)
