"""Do 95 % intervals hold the truth in 95 of 100 studies? Two thousand simulated studies a design, and what goes wrong without
clusters. The bootstrap is given 500 draws here to be quick; the package draws 10,000.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tutelage.errors import ShapeError
from tutelage.statistics import Estimate, crossed_interval, mean_interval, paired_difference, win_rate

STUDIES = 2000
DRAWS = 500


def covered(study, seed: int) -> float:
    """Share of studies whose interval holds the truth; `study` gives an estimate and the truth."""
    rng = np.random.default_rng(seed)
    hits = 0
    for number in range(STUDIES):
        estimate, truth = study(rng, number)
        assert estimate.n >= 50
        hits += estimate.low <= truth <= estimate.high
    return hits / STUDIES


def normal_prompts(rng, number) -> tuple[Estimate, float]:
    """60 prompts of unlike hardness, three samples each."""
    rows = (rng.normal(size=(60, 1)) + 0.5 * rng.normal(size=(60, 3))).ravel()
    return mean_interval(rows, np.repeat(np.arange(60), 3), DRAWS, number), 0.0


def uneven_prompts(rng, number) -> tuple[Estimate, float]:
    """80 prompts with one to five marks of 0 or 1, which agree within a prompt."""
    sizes = rng.integers(1, 6, 80)
    p = np.repeat(rng.beta(2, 3, 80), sizes)
    rows = (rng.random(len(p)) < p).astype(float)
    return mean_interval(rows, np.repeat(np.arange(80), sizes), DRAWS, number), 0.4


def paired_models(rng, number) -> tuple[Estimate, float]:
    """Two models on 50 prompts, two samples each; the first is better by 0.3."""
    hardness = 3 * rng.normal(size=50)
    gain = 0.3 + 0.5 * rng.normal(size=50)
    ours, theirs = ((hardness + lead)[:, None] + rng.normal(size=(50, 2)) for lead in (gain, 0.0))
    return paired_difference(ours.ravel(), theirs.ravel(), np.repeat(np.arange(50), 2), DRAWS, number), 0.3


def contests(rng, number) -> tuple[Estimate, float]:
    """70 prompts, two judgments each that lean the same way; a quarter of them ties."""
    lean = np.repeat(rng.normal(size=70), 2)
    score = lean + rng.normal(size=140)
    level = rng.random(140) < 0.25
    return win_rate(np.where(level, 0.0, score), np.zeros(140), np.repeat(np.arange(70), 2), DRAWS, number), 0.5


def crossed(rng, number) -> tuple[Estimate, float]:
    """60 prompts and 60 annotators, each prompt seen by four of them; both lean."""
    prompts = np.repeat(np.arange(60), 4)
    annotators = np.concatenate([rng.choice(60, 4, replace=False) for _ in range(60)])
    rows = rng.normal(size=60)[prompts] + rng.normal(size=60)[annotators] + rng.normal(size=240)
    return crossed_interval(rows, prompts, annotators), 0.0


def crossed_without_leanings(rng, number) -> tuple[Estimate, float]:
    """The same design where single judgments are all there is: adding both variances must not count the noise twice."""
    prompts = np.repeat(np.arange(60), 4)
    annotators = np.concatenate([rng.choice(60, 4, replace=False) for _ in range(60)])
    return crossed_interval(rng.normal(size=240), prompts, annotators), 0.0


@pytest.mark.parametrize("study", [normal_prompts, uneven_prompts, paired_models, contests, crossed, crossed_without_leanings])
def test_intervals_cover_as_often_as_they_say(study):
    assert 0.93 <= covered(study, seed=7) <= 0.97


def test_taking_rows_for_independent_fails():
    def naive(rng, number):
        rows = (rng.normal(size=(60, 1)) + 0.5 * rng.normal(size=(60, 3))).ravel()
        return mean_interval(rows, None, DRAWS, number), 0.0

    assert covered(naive, seed=7) < 0.85


def test_clusters_of_prompts_alone_fail_where_annotators_lean_too():
    """Eighty prompts, all seen by the same 50 people: another panel would say something else."""
    def by_prompt(rng, number):
        prompts, annotators = np.repeat(np.arange(80), 10), np.tile(np.arange(10), 80) + 10 * np.repeat(np.arange(80) % 5, 10)
        rows = 0.3 * rng.normal(size=80)[prompts] + rng.normal(size=50)[annotators] + 0.3 * rng.normal(size=800)
        return mean_interval(rows, prompts, DRAWS, number), 0.0

    assert covered(by_prompt, seed=7) < 0.85


def test_three_training_seeds_say_as_little_as_three_numbers():
    """Seeds as a factor: 100 prompts under 3 seeds; the prompt interval forgets the seeds, the crossed one does not."""
    rng = np.random.default_rng(8)
    prompts, seeds = np.repeat(np.arange(100), 3), np.tile(np.arange(3), 100)
    hits = forgetful = 0
    for number in range(STUDIES):
        rows = rng.normal(size=100)[prompts] + 0.5 * rng.normal(size=3)[seeds] + rng.normal(size=300)
        found = crossed_interval(rows, prompts, seeds)
        hits += found.low <= 0 <= found.high
        if number < 200:
            plain = mean_interval(rows, prompts, DRAWS, number)
            forgetful += plain.low <= 0 <= plain.high
        assert found.n == 3
    assert hits / STUDIES >= 0.93 and forgetful / 200 < 0.75


def slow_variance(rows, labels) -> float:
    sums: dict = {}
    for row, label in zip(rows, labels, strict=True):
        sums[label] = sums.get(label, 0.0) + row - sum(rows) / len(rows)
    return len(sums) / (len(sums) - 1) * sum(each**2 for each in sums.values()) / len(rows) ** 2


def test_crossed_is_a_slow_loop_over_names():
    rng = np.random.default_rng(12)
    summed = 0
    for number in range(50):
        prompts, people = [f"p{i}" for i in rng.integers(0, 6, 40)], [f"a{i}" for i in rng.integers(0, 5, 40)]
        leaning = {name: rng.normal() for name in {*prompts, *people}}
        rows = [leaning[prompt] + leaning[person] + rng.normal() for prompt, person in zip(prompts, people, strict=True)]
        by = [slow_variance(rows, labels) for labels in (prompts, people, list(zip(prompts, people, strict=True)))]
        found, fewest = crossed_interval(rows, prompts, people), min(len(set(prompts)), len(set(people)))
        reach = stats.t.ppf(0.975, fewest - 1) * max(by[0] + by[1] - by[2], by[0], by[1]) ** 0.5
        assert (found.high - found.value, found.n) == pytest.approx((reach, fewest), abs=1e-9), number
        summed += by[0] + by[1] - by[2] > max(by[:2])
    assert summed > 20      # the sum is what is held to, not only the larger of two


def test_crossed_by_hand():
    # 2 prompts x 2 annotators, values 0 1 | 2 3: mean 1.5, residuals -1.5 -.5 .5 1.5
    # by prompt 2/1 (4 + 4) / 16 = 1, by annotator 2 (1 + 1) / 16 = 1/4, by both 4/3 (2.25 + .25) 2 / 16 = 5/12
    found = crossed_interval([0.0, 1.0, 2.0, 3.0], ["a", "a", "b", "b"], ["x", "y", "x", "y"])
    reach = 12.706204736432095 * max(1 + 1 / 4 - 5 / 12, 1) ** 0.5
    assert (found.value, found.low, found.high, found.n) == pytest.approx((1.5, 1.5 - reach, 1.5 + reach, 2), abs=1e-9)
    assert np.isnan(crossed_interval([1.0, 2.0], [0, 1], [0, 0]).low)


def test_crossed_refuses_labels_of_other_rows_and_says_nothing_of_one_cluster():
    for first, second in (([0], [0, 1]), ([0, 1], [0]), ([0], [0])):
        with pytest.raises(ShapeError, match="one of each a value"):
            crossed_interval([1.0, 2.0], first, second)
    alone = crossed_interval([1.0, 2.0], [0, 0], [0, 1])
    assert np.isnan(alone.low) and np.isnan(alone.high) and (alone.value, alone.n) == (1.5, 1)
