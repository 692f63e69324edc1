"""Passages that people marked teach a reward of each token: what reaches the loss, what it is worth, that it is kept."""

from __future__ import annotations

import json
import math
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import InterruptedOnce
from reward_terms import asked, marked, pair, thumb

import tutelage
from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.errors import DataError
from tutelage.feedback.kinds import new_judgment
from tutelage.models.policy import Policy, ScalarHead
from tutelage.project import Project
from tutelage.records import Marked, Prompt, Sample, Scores
from tutelage.rewards import train as module
from tutelage.rewards.config import Annotators, Marks, RewardModel
from tutelage.rewards.dense import by_token
from tutelage.rewards.ensemble import Ensemble
from tutelage.rewards.joint import Joint
from tutelage.rewards.judges import Judges
from tutelage.rewards.marks import tokens_of
from tutelage.rewards.model import RESPONSE, RewardScorer
from tutelage.rewards.terms import book_of
from tutelage.rewards.train import train_reward
from tutelage.rewards.weighted import Part, WeightedReward
from tutelage.store import Store
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters
from tutelage.training.pairs import group_judged

Say = Callable[..., Sample]


def z_good_q_wrong(count: int, seed: int = 0) -> list[Marked]:
    """Six letters each; every z is marked good, every q wrong, and the others are nobody's word."""
    draw, terms = random.Random(seed), []
    for i in range(count):
        text = "".join(draw.choice("zq" + string.ascii_lowercase[:8]) for _ in range(6))
        terms.append(marked(f"q{i}", text, *((at, at + 1, "good" if letter == "z" else "wrong")
                                             for at, letter in enumerate(text) if letter in "zq")))
    return terms


@pytest.fixture
def config(tiny_directory: Path) -> Callable[..., RewardModel]:
    def build(**changes: Any) -> RewardModel:
        return RewardModel(**{"model": str(tiny_directory), "precision": "fp32", "optimizer": Optimizer(lr=3e-3), **changes})
    return build


def test_a_passage_weighs_one_however_long_and_the_rest_weighs_together_what_is_declared() -> None:
    """Of five tokens the first is good and the next two are wrong; two are left, the end of turn among them."""
    term = marked("p", "abcd", (0, 1, "good"), (1, 3, "unsafe"), weight=2.0)
    found = tokens_of(term, ((0,), (1, 2)), 5, neutral=0.5)
    assert list(zip(found.at, found.label, found.weight, strict=True)) == [
        (0, 1.0, 2.0), (1, 0.0, 1.0), (2, 0.0, 1.0), (3, 0.5, 0.5), (4, 0.5, 0.5)]
    nothing = tokens_of(marked("p", "ab"), (), 3, neutral=1.0)      # somebody looked and found nothing to mark
    assert nothing.label == (0.5,) * 3 and sum(nothing.weight) == pytest.approx(1.0)


def task_of(judge: Callable[..., Policy], template: ChatTemplate, terms: Sequence[Any], settings: Marks) -> tuple[Joint, Policy]:
    policy = judge()
    policy.token_head = ScalarHead(32)
    torch.nn.init.normal_(policy.token_head.linear.weight, generator=torch.Generator().manual_seed(1))
    priors = Annotators(reliability=0, thresholds=0, loading=0, offset=0)
    policy.add_module("judges", Judges(book_of(terms, (), priors), priors))
    book = book_of(terms, (), priors)
    return Joint(group_judged(terms, template, 100)[0], book, priors, 0.0, True, marks=settings), policy


TERMS = [pair("p", "good", "bad"), marked("p", "good", (0, 2, "good"), (3, 4, "wrong")), marked("p", "bad"),
         thumb("q", "yes", True), marked("r", "hmm ok", (4, 6, "unsafe"), weight=3.0)]


def step(task: Joint, policy: Policy, parts: Sequence[Sequence[int]]) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    masters = Masters(policy, Optimizer(betas=(0.0, 0.0), max_grad_norm=0.0), 1)
    metrics = update(masters, [task.collate(rows) for rows in parts], task)
    return metrics, {name: value["exp_avg"] for name, value in masters.state()["moments"].items()}


def test_the_loss_is_that_of_each_passage_at_its_own_tokens(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    """By another way: each response alone, one forward, its tokens counted from the end."""
    task, policy = task_of(judge, template, TERMS, Marks(weight=0.5, neutral=0.25))
    total = count = 0.0
    for term in TERMS:
        if isinstance(term, Marked):
            ids = template.render_response(term.prompt, term.response).ids
            ids = ids[:len(ids) - ids[::-1].index(template.end_of_turn_id)]
            with torch.no_grad():
                z = policy(TokenBatch.pack([ids], [[False] * len(ids)]), logprobs=False, scores=True).token_scores
            assert z is not None
            z = z.double()[-len(term.response[0].text) - 1:]
            rest = set(range(len(z)))
            for start, end, good in term.passages:
                side = z[start:end] if good else -z[start:end]
                total -= term.weight * float(torch.nn.functional.logsigmoid(side).mean())
                rest -= set(range(start, end))
            left = z[sorted(rest)]
            both = torch.nn.functional.logsigmoid(left) + torch.nn.functional.logsigmoid(-left)
            total -= term.weight * 0.25 * 0.5 * float(both.mean())
            count += term.weight * (len(term.passages) + 0.25)
    metrics, _ = step(task, policy, [[0, 1, 2]])
    assert metrics["marks"] == pytest.approx(total / count, rel=1e-5)
    assert metrics["loss"] == pytest.approx(metrics["judgments"] + 0.5 * metrics["marks"], rel=1e-5)


def test_loss_and_gradient_do_not_depend_on_how_a_step_is_cut(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    """A part has marks and no judgment, another the reverse."""
    found = [step(*task_of(judge, template, TERMS, Marks()), parts) for parts in ([[0, 1, 2]], [[2], [1], [0]])]
    (whole, gradient), (cut, again) = found
    assert whole["loss"] == pytest.approx(cut["loss"], rel=1e-5) and whole["marks"] == pytest.approx(cut["marks"], rel=1e-5)
    assert float(gradient["token_head.linear.weight"].abs().max()) > 1e-3
    for name, value in gradient.items():
        torch.testing.assert_close(again[name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_marks_change_nothing_of_the_scores_where_they_weigh_nothing(judge: Callable[..., Policy],
                                                                     template: ChatTemplate) -> None:
    task, policy = task_of(judge, template, TERMS, Marks(weight=0.0))
    plain, alone = task_of(judge, template, [TERMS[0], TERMS[3]], Marks())
    alone.token_head = None
    (metrics, gradient), (wanted, other) = step(task, policy, [[0, 1, 2]]), step(plain, alone, [[0, 1]])
    assert metrics["judgments"] == pytest.approx(wanted["judgments"], rel=1e-5)
    torch.testing.assert_close(gradient["score_head.linear.weight"], other["score_head.linear.weight"], atol=1e-6, rtol=1e-5)


def test_marks_are_learned_and_hold_for_unseen_prompts(project: Project, config: Callable[..., RewardModel],
                                                       sample: Say) -> None:
    made = train_reward(project, config(epochs=4, batch_tokens=1024, marks=Marks(reward=0.2)), z_good_q_wrong(160))
    facts = made.manifest.facts
    assert facts["objective"] == "joint" and set(facts["judgments"]) == {"spans"} and facts["passages"]["heldout"] > 5
    assert facts["passages_right"]["heldout"] > 0.95 and facts["heldout_accuracy"] is None
    scorer = RewardScorer.load(made.path, "fp32")
    found = scorer.score([sample("new", "zaqbzh")])
    assert found.per_token is not None
    (row,) = found.per_token
    good, plain, wrong = min(row[0], row[4]), max(abs(row[1]), abs(row[3]), abs(row[5])), row[2]
    assert 0.2 > good > 0.1 and plain < 0.08 and -0.2 < wrong < -0.1
    assert found.total[0] == pytest.approx(math.fsum(row)) and len(row) == 7
    assert found.parts[RESPONSE] == (0.0,)      # nothing was said of whole responses
    marks_worth = scorer.score([sample("new", text) for text in ("zzzz", "abab", "qqqq")]).total
    assert marks_worth[0] > 0.4 > abs(marks_worth[1]) and marks_worth[2] < -0.4


def test_marks_at_random_teach_nothing(project: Project, config: Callable[..., RewardModel]) -> None:
    draw = random.Random(3)
    terms = [replace(term, marks=tuple({**mark, "mark": draw.choice(["good", "wrong"])} for mark in term.marks))
             for term in z_good_q_wrong(160)]
    facts = train_reward(project, config(epochs=1, batch_tokens=1024), terms).manifest.facts
    assert 0.25 < facts["passages_right"]["heldout"] < 0.75


def test_what_was_saved_gives_the_same_tokens_to_the_bit(project: Project, config: Callable[..., RewardModel], sample: Say,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the policy that was trained, before it was written."""
    trained: list[Policy] = []
    save = module.save_policy
    monkeypatch.setattr(module, "save_policy", lambda policy, *rest: (trained.append(policy), save(policy, *rest))[1])
    made = train_reward(project, config(epochs=2, heldout_fraction=0.0), [*z_good_q_wrong(12), pair("a", "zz", "qq")])
    again = RewardScorer.load(made.path, "fp32")
    first = RewardScorer(trained[0], again.template, again.mean, again.std, tokens=again.tokens)
    samples = [sample("new", text) for text in ("zaqb", "zz", "qqqqqq")]
    assert again.score(samples) == first.score(samples) == RewardScorer.load(made.path, "fp32").score(samples)
    assert json.loads((made.path / "scale.json").read_text())["tokens"] == 0.1
    alone = [again.score([each]) for each in samples]      # whatever else is in the batch
    for one, row in zip(alone, again.score(samples).per_token or (), strict=True):
        assert (one.per_token or ())[0] == pytest.approx(row, abs=1e-5)


def test_it_goes_on_bit_for_bit_from_a_checkpoint(project: Project, tmp_path: Path, config: Callable[..., RewardModel],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    terms, settings = [*z_good_q_wrong(16), pair("a", "zz", "qq")], config(epochs=2, batch_tokens=256)
    undisturbed = train_reward(Project.init(tmp_path / "other"), settings, terms)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(fitting, "update", InterruptedOnce(fitting.update, after=2))
    with pytest.raises(InterruptedError):
        train_reward(project, settings, terms)
    assert train_reward(project, settings, terms).manifest.files == undisturbed.manifest.files


@pytest.fixture
def scorer(template: ChatTemplate, judge: Callable[..., Policy]) -> RewardScorer:
    policy = judge()
    policy.token_head = ScalarHead(32)
    torch.nn.init.normal_(policy.token_head.linear.weight, generator=torch.Generator().manual_seed(1))
    return RewardScorer(policy, template, tokens=0.3)


def test_sampled_ids_are_read_as_they_are_and_what_is_not_chosen_earns_nothing(scorer: RewardScorer, sample: Say) -> None:
    one = sample("p", "abc")
    row = (scorer.score([one]).per_token or ())[0]
    assert len(row) == len(one.response_ids) == 4 and all(abs(each) > 1e-4 for each in row)
    told = replace(one, response_mask=(True, False, True, True))
    assert (scorer.score([told]).per_token or ())[0] == (row[0], 0.0, *row[2:])


def test_of_another_tokenizers_sample_all_is_paid_at_the_end(scorer: RewardScorer, sample: Say) -> None:
    here, foreign = sample("p", "abc"), sample("p", "abc", ids=(1, 2), prompt_ids=(5, 6))
    found = scorer.score([here, foreign])
    assert found.per_token is not None and found.per_token[1][0] == 0.0
    assert found.total[1] == pytest.approx(found.total[0], abs=1e-5) == found.per_token[1][1]
    bare = scorer.score([sample("p", "abc", ids=())])
    assert bare.per_token == ((),) and bare.total[0] == pytest.approx(found.total[0], abs=1e-5)


def test_sums_of_rewards_are_sums_token_by_token(scorer: RewardScorer, sample: Say) -> None:
    class Whole:
        def score(self, samples: Sequence[Sample]) -> Scores:
            return Scores(total=tuple(float(len(each.text)) for each in samples))

    samples = [sample("p", "abc"), sample("p", "d")]
    dense, whole = scorer.score(samples), Whole().score(samples)
    assert by_token(whole, samples) == ((0.0, 0.0, 0.0, 3.0), (0.0, 1.0))
    found = WeightedReward([Part("dense", scorer, 2.0), Part("whole", Whole(), -1.0)]).score(samples)
    spread = Ensemble([scorer, Whole()], k=0.5).score(samples)
    for scores in (found, spread):
        assert scores.per_token is not None
        for total, row, each in zip(scores.total, scores.per_token, samples, strict=True):
            assert total == pytest.approx(sum(row)) and len(row) == len(each.response_ids)
    assert (found.per_token or ())[0][0] == pytest.approx(2 * (dense.per_token or ())[0][0])
    assert (spread.per_token or ())[0][0] == pytest.approx((dense.per_token or ())[0][0] / 2)
    assert WeightedReward([Part("whole", Whole())]).score(samples).per_token is None


def test_the_projects_own_marks_train_and_can_be_left_out(project: Project, tiny_directory: Path) -> None:
    question = Prompt(id="q", messages=asked("What?"))
    texts = ["good one", "bad one"]
    with Store.open(project.store_place) as store:
        store.add_person("ada", "human", "Ada")
        store.add_samples([Sample(id=text, prompt=question, prompt_ids=(), response_ids=(), logprobs=(), response_mask=(),
                                  text=text, ended=True) for text in texts])
        store.add_judgments([
            new_judgment("comparison", "ada", "human", question, texts, {"winner": "a", "strength": 1}),
            new_judgment("spans", "ada", "human", question, texts[:1], {"marks": [{"start": 0, "end": 4, "mark": "good"}]}),
            new_judgment("spans", "ada", "human", question, texts[1:], {"marks": []})])
    settings: dict[str, Any] = {"model": str(tiny_directory), "heldout_fraction": 0.0, "precision": "fp32"}
    facts = tutelage.reward(project, name="all", **settings).manifest.facts
    assert facts["objective"] == "joint" and facts["judgments"] == {"comparison": {"train": 1, "heldout": 0},
                                                                    "spans": {"train": 2, "heldout": 0}}
    assert facts["passages"] == {"train": 1, "heldout": 0}
    pairs = tutelage.reward(project, name="pairs", sources=["comparison"], **settings)
    assert pairs.manifest.facts["objective"] == "bradley_terry" and "passages" not in pairs.manifest.facts


def test_a_file_of_marks_trains_and_marks_that_weigh_nothing_are_none(project: Project, config: Callable[..., RewardModel],
                                                                      tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(json.dumps({"prompt": "a", "response": "zq", "marks": [{"start": 0, "end": 1, "mark": "good"}]}) + "\n"
                    + json.dumps({"prompt": "b", "chosen": "z", "rejected": "q"}) + "\n", encoding="utf-8")
    facts = train_reward(project, config(data=str(path), heldout_fraction=0.0)).manifest.facts
    assert facts["judgments"]["spans"]["train"] == 1 and facts["passages_right"]["train"] is not None
    off = train_reward(project, config(data=str(path), heldout_fraction=0.0, marks=Marks(weight=0.0))).manifest.facts
    assert off["objective"] == "bradley_terry" and off["left_out"] == {"spans": 1}
    path.write_text(json.dumps({"prompt": "a", "response": "zq", "marks": [{"start": 0, "end": 3, "mark": "good"}]}) + "\n")
    with pytest.raises(DataError, match=r"mark 1 goes from 0 to 3; wanted whole numbers with 0 <= start < end <= 2"):
        train_reward(project, config(data=str(path)))
