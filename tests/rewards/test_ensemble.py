"""Several rewards as one that says how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tutelage.errors import ConfigError
from tutelage.project import Project
from tutelage.protocols import Score
from tutelage.records import Sample
from tutelage.rewards.callables import CallableReward
from tutelage.rewards.ensemble import Ensemble
from tutelage.rewards.resolve import resolve_reward, resolve_rewards, reward_artifacts
from tutelage.scoring import MEMBER, SPREAD, Scoring

Say = Callable[..., Sample]


def constant(*values: float | None) -> CallableReward:
    def score(samples: Sequence[Sample]) -> list[float | None]:
        return list(values)
    return CallableReward(score, scoring=Scoring(on_error="skip"))


def test_the_total_is_the_mean_less_k_times_the_spread(sample: Say) -> None:
    """By hand: members 1 and 3 have mean 2 and spread 1; -2 and -2 have spread 0."""
    samples = [sample("p", "a", "1"), sample("p", "b", "2")]
    members = [constant(1.0, -2.0), constant(3.0, -2.0)]
    assert isinstance(Ensemble(members), Score)
    plain, careful = Ensemble(members).score(samples), Ensemble(members, k=0.5).score(samples)
    assert plain.total == (2.0, -2.0) and careful.total == (1.5, -2.0)
    assert plain.parts == careful.parts == {SPREAD: (1.0, 0.0), f"{MEMBER}1": (1.0, -2.0), f"{MEMBER}2": (3.0, -2.0)}
    assert Ensemble(members).score([]).total == ()


def test_what_one_member_skips_is_skipped(sample: Say) -> None:
    found = Ensemble([constant(1.0, None), constant(1.0, 2.0)]).score([sample("p", "a", "1"), sample("p", "b", "2")])
    assert list(found.skipped) == [1] and found.total[0] == 1.0 and found.total[1] != found.total[1]


def test_by_name_and_as_a_part_of_several(project: Project, tmp_path: Path, sample: Say) -> None:
    (tmp_path / "own.py").write_text("def one(samples):\n    return [1.0] * len(samples)\n\n\n"
                                     "def three(samples):\n    return [3.0] * len(samples)\n")
    name = f"ensemble({tmp_path}/own.py:one, {tmp_path}/own.py:three, k=0.5)"
    found = resolve_reward(project, name)
    assert found.name == "ensemble(own.py:one, own.py:three)" and len(found.sources) == 2
    assert found.score.score([sample("p", "a")]).total == (1.5,)
    weighted = resolve_rewards(project, [name, f"{tmp_path}/own.py:one"], [2.0, 1.0]).score.score([sample("p", "a")])
    assert weighted.total == (4.0,) and weighted.parts[f"{found.name} {SPREAD}"] == (1.0,)
    assert reward_artifacts(project, name) == [] and reward_artifacts(project, "rule:polite") == []


@pytest.mark.parametrize(("name", "said"), [
    ("ensemble(a)", "wants two rewards or more; got 1"),
    ("ensemble(rule:polite, rule:safe, k=-1)", "wanted a number of 0 or more"),
    ("ensemble(rule:polite, rule:safe, k=much)", "k is 'much'"),
    ("ensemble(rule:polite, rule:safe, size=3)", "does not take size=")])
def test_what_is_no_ensemble_is_refused(project: Project, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve_reward(project, name)
