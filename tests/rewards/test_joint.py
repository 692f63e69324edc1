"""One reward model of every kind of judgment: what reaches the loss, what is learned of annotators, and that it resumes."""

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
from reward_terms import asked, pair, ranking, rating, thumb

import tutelage
from tutelage.algorithms import bradley_terry_loss
from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, DataError
from tutelage.feedback.kinds import new_judgment
from tutelage.models.policy import Policy
from tutelage.project import Project
from tutelage.records import Preference, Prompt, Ranking, Rating, Sample, Term, Thumb
from tutelage.rewards.config import Annotators, RewardModel
from tutelage.rewards.joint import Joint, decided_pairs
from tutelage.rewards.judges import Judges, Scale
from tutelage.rewards.lessons import JUDGES_FILE, lessons
from tutelage.rewards.model import RewardScorer
from tutelage.rewards.terms import book_of
from tutelage.rewards.train import train_reward
from tutelage.store import Store
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters
from tutelage.training.pairs import group_judged

EXACT = Annotators(reliability=0, thresholds=0, loading=0, offset=0, strengths=0)      # nothing is learned of anybody


def mixed(prompts: int, seed: int = 0) -> list[Term]:
    """Four letters each; how many of them are a z is how good a response is. Every kind of judgment, by four people."""
    draw = random.Random(seed)
    terms: list[Term] = []
    for i in range(prompts):
        texts = []
        for zs in range(3):
            letters = [draw.choice(string.ascii_lowercase[:25]) for _ in range(4)]
            for place in draw.sample(range(4), zs):
                letters[place] = "z"
            texts.append("".join(letters))
        person = f"p{i % 4}"
        kind = (i // 4) % 4
        if kind == 0:
            terms.append(pair(f"q{i}", texts[2], texts[0], person=person))
        elif kind == 1:
            terms.append(ranking(f"q{i}", texts, (3, 2, 1), person=person))
        elif kind == 2:
            terms += [rating(f"q{i}", text, person, helpful=1.0 + 2 * zs) for zs, text in enumerate(texts)]
        else:
            terms += [thumb(f"q{i}", text, zs > 0, person) for zs, text in enumerate(texts)]
    return terms


@pytest.fixture
def config(tiny_directory: Path) -> Callable[..., RewardModel]:
    def build(**changes: Any) -> RewardModel:
        return RewardModel(**{"model": str(tiny_directory), "precision": "fp32", "optimizer": Optimizer(lr=3e-3),
                              "objective": "joint", **changes})
    return build


def task_and_policy(judge: Callable[..., Policy], template: ChatTemplate, terms: Sequence[Term],
                    priors: Annotators = EXACT, centring: float = 0.0, prior_weight: float = 0.0) -> tuple[Joint, Policy]:
    policy = judge()
    book = book_of(terms, (), priors)
    policy.add_module("judges", Judges(book, priors))
    return Joint(group_judged(terms, template, 100)[0], book, priors, centring, True, prior_weight), policy


def loss_of(task: Joint, policy: Policy, parts: Sequence[Sequence[int]]) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """A step's metrics, and its gradient (Adam's first moment with betas of 0)."""
    masters = Masters(policy, Optimizer(betas=(0.0, 0.0), max_grad_norm=0.0), 1)
    metrics = update(masters, [task.collate(rows) for rows in parts], task)
    return metrics, {name: value["exp_avg"] for name, value in masters.state()["moments"].items()}


def scores_of(policy: Policy, task: Joint) -> torch.Tensor:
    with torch.no_grad():
        scores = policy(task.collate(range(len(task.groups))).tokens, logprobs=False, scores=True).scores
    assert scores is not None
    return scores.double()


def test_of_pairs_alone_it_is_the_bradley_terry_objective(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    terms = [pair("p", "good", "bad", margin=0.4), pair("p", "bad", "best", label=0.3, weight=2.0), pair("q", "yes", "no")]
    task, policy = task_and_policy(judge, template, terms, centring=0.02)
    fields = task.collate(range(2)).fields
    scores = scores_of(policy, task)[fields["compared.at"]]
    wanted = bradley_terry_loss(scores[:, 0], scores[:, 1], fields["compared.margin"].double(), fields["compared.label"].double(),
                                0.02, fields["compared.weight"].double())
    metrics, _ = loss_of(task, policy, [[0, 1]])
    assert metrics["loss"] == pytest.approx(float(wanted.sum / wanted.count), rel=1e-5)
    assert metrics["correct"] * 4 == pytest.approx(float(wanted.stats["correct"]))


def test_every_kind_is_a_summand_of_one_likelihood(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    """By hand from the scores, the thresholds being those of the marginal shares."""
    terms: list[Term] = [pair("p", "aa", "bb"), ranking("p", ("aa", "bb", "cc"), (2, 1, 3), weight=2.0),
                         rating("p", "cc", helpful=3.0), rating("p", "aa", helpful=1.0), thumb("p", "bb", True),
                         thumb("p", "dd", False)]
    task, policy = task_and_policy(judge, template, terms)
    a, b, c, d = scores_of(policy, task).tolist()

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    # one rating of each level and a thumb of each sort: a half and a half, so that both thresholds are 0
    wanted = -math.log(sigma(a - b)) - math.log(sigma(c)) - math.log(sigma(-a)) - math.log(sigma(b)) - math.log(sigma(-d))
    wanted -= 2 * math.log(math.exp(a + b) / (math.exp(a) + math.exp(b) + math.exp(c)) / (math.exp(a) + math.exp(c)))
    metrics, _ = loss_of(task, policy, [[0]])
    assert metrics["loss"] == pytest.approx(wanted / 7, rel=1e-5)
    shares = {name: metrics[f"{name}_share"] * 7 for name in ("comparison", "ranking", "rating", "thumbs")}
    assert shares == pytest.approx({"comparison": 1, "ranking": 2, "rating": 2, "thumbs": 2})


def test_a_strength_is_an_answer_and_no_margin(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    """By hand from the scores; an edit's margin stays one, a tie has no strength, a soft label has it on both sides."""
    terms: list[Term] = [pair("p", "aa", "bb"), pair("p", "aa", "cc", margin=0.5), pair("p", "bb", "cc", margin=1.0, label=0.0),
                         pair("p", "bb", "dd", margin=1.0, label=0.8), pair("p", "ee", "aa", margin=0.5, source="edit")]
    task, policy = task_and_policy(judge, template, terms, replace(EXACT, strengths=1.0))
    judges = policy.get_submodule("judges")
    assert isinstance(judges, Judges) and judges.book.strengths.cuts == (0.5, 1.0) and set(judges.spreads) == {"strength"}
    # four strengths and a half of each: 1.5, 1.5 and 2.5 of 5.5, so that at equal scores P(|z| > c) is 4 of 5.5, and 2.5
    c, far = (math.log((2 - share) / share) for share in (4 / 5.5, 2.5 / 5.5))
    assert judges.strength_cuts.tolist() == pytest.approx([c, far], abs=1e-5)
    a, b, third, d, e = scores_of(policy, task).tolist()

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    wanted = -math.log(sigma(a - b) - sigma(a - b - c)) - math.log(sigma(a - third - c) - sigma(a - third - far))
    wanted -= math.log(sigma(third - b - far)) + math.log(sigma(e - a - 0.5))
    wanted -= 0.8 * math.log(sigma(b - d - far)) + 0.2 * math.log(sigma(d - b - far))
    metrics, gradient = loss_of(task, policy, [[0]])
    assert metrics["loss"] == pytest.approx(wanted / 5, rel=1e-5)
    assert gradient["judges.strength"].abs().min() > 0
    assert judges.to_json({name: name for name in judges.book.judges})["strengths"]["levels_from"] == [0.5, 1.0]


def test_margins_that_are_all_alike_say_no_strength(template: ChatTemplate) -> None:
    priors = Annotators()
    book = book_of([pair("p", "aa", "bb", margin=0.5), pair("p", "bb", "cc", margin=0.5)], (), priors)
    assert book.strengths.cuts == () and "strength" not in Judges(book, priors).spreads
    assert Judges(book, priors).strength_cuts.shape == (0,)


def test_a_rating_of_several_aspects_weighs_as_one_judgment(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    task, _ = task_and_policy(judge, template, [rating("p", "aa", helpful=1, correct=2, polite=3), rating("p", "bb", helpful=2)])
    assert task.counts(task.collate([0])) == pytest.approx({"judgments": 2.0})


def test_loss_and_gradient_do_not_depend_on_how_a_step_is_cut(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    """Rankings with ties in one part and none in the other, and a prior that is paid once."""
    terms = [*mixed(16), ranking("t", ("za", "zb", "c", "d"), (1, 1, 2, 2), person="p1"), pair("u", "z", "y", label=0.5),
             pair("v", "z", "x", margin=1.0)]
    priors = Annotators()
    results = []
    for parts in ([list(range(19))], [[0, 3, 17], [1], list(range(4, 17)), [2, 18]]):
        task, policy = task_and_policy(judge, template, terms, priors, 0.01, prior_weight=1 / len(terms))
        judges = policy.get_submodule("judges")
        with torch.no_grad():
            for at, name in enumerate(judges.spreads):
                judges.get_parameter(name).add_(0.1 * (at + 1))
        results.append(loss_of(task, policy, parts))
    (whole, gradient), (cut, again) = results
    assert whole["loss"] == pytest.approx(cut["loss"], rel=1e-5) and whole["prior"] == pytest.approx(cut["prior"], rel=1e-5)
    # each parameter stands so far from its prior's mean: half the square of that over the deviation
    far = [(0.1 * at / spread, judges.get_parameter(name).numel()) for at, (name, spread) in enumerate(judges.spreads.items(), 1)]
    assert whole["prior"] == pytest.approx(sum(0.5 * steps**2 * count for steps, count in far), rel=1e-5)
    assert {name for name in gradient if name.startswith("judges.")} == {
        f"judges.{name}" for name in ("reliability", "common", "own", "loading", "strength", "tie_above")}
    for name, value in gradient.items():
        torch.testing.assert_close(again[name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_the_joint_model_learns_from_all_kinds_and_whom_to_believe(project: Project, config: Callable[..., RewardModel],
                                                                   sample: Callable[..., Sample]) -> None:
    """p3 says the opposite of what they see."""
    terms = []
    for term in mixed(280):
        if term.person == "p3":
            if isinstance(term, Preference):
                term = replace(term, chosen=term.rejected, rejected=term.chosen)
            elif isinstance(term, Ranking):
                term = replace(term, ranks=tuple(4 - rank for rank in term.ranks))
            elif isinstance(term, Rating):
                term = replace(term, scores={"helpful": 6 - term.scores["helpful"]})
            elif isinstance(term, Thumb):
                term = replace(term, up=not term.up)
        terms.append(term)
    made = train_reward(project, config(epochs=6, batch_tokens=1536, annotators=Annotators(reliability=2.0, lr=0.1)), terms,
                        people={f"p{i}": {"kind": "human", "judgments": 1} for i in range(4)})
    facts = made.manifest.facts
    assert facts["objective"] == "joint" and {"comparison", "ranking", "rating", "thumbs"} == set(facts["judgments"])
    assert sum(facts["judgments"]["rating"].values()) == 204
    learned = json.loads((made.path / JUDGES_FILE).read_text(encoding="utf-8"))
    reliability = {each["judge"]: each["reliability"] for each in learned["judges"]}
    assert reliability["p3"] < 0.2 < min(reliability[f"p{i}"] for i in range(3))
    for each in learned["judges"]:
        assert each["thresholds"]["helpful"] == sorted(each["thresholds"]["helpful"])
    worth = RewardScorer.load(made.path, "fp32").score([sample("new", text) for text in ("zzab", "zacd", "bacd")]).total
    assert worth[0] > worth[1] > worth[2]


def test_the_annotators_rate_lets_them_go_as_far_in_few_steps_as_in_many(judge: Callable[..., Policy], template: ChatTemplate,
                                                                         config: Callable[..., RewardModel]) -> None:
    book = book_of([pair("p", "aa", "bb")], (), EXACT)
    assert [Judges(book, EXACT, steps).peak_lr for steps in (4000, 40, 20, 1, 0)] == pytest.approx([0.001, 0.1, 0.2, 0.2, 0.2])
    assert Judges(book, replace(EXACT, lr=0.03), 4000).peak_lr == 0.03
    groups, _ = group_judged([pair(f"q{i}", "aa", "bb") for i in range(64)], template, 100)
    policy, tokens = judge(), sum(group.num_tokens for group in groups)
    lessons("joint", config(epochs=3, batch_tokens=-(-tokens // 25)), policy, groups, [])      # 3 x 25 steps
    assert policy.get_submodule("judges").peak_lr == pytest.approx(4 / 75, rel=0.05)


def test_it_goes_on_bit_for_bit_from_a_checkpoint(project: Project, tmp_path: Path, config: Callable[..., RewardModel],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    terms, settings = mixed(24), config(epochs=2, batch_tokens=256)
    undisturbed = train_reward(Project.init(tmp_path / "other"), settings, terms)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    update = InterruptedOnce(fitting.update, after=4)
    monkeypatch.setattr(fitting, "update", update)
    with pytest.raises(InterruptedError):
        train_reward(project, settings, terms)
    made = train_reward(project, settings, terms)
    assert update.calls == made.manifest.facts["steps"] > 5
    assert JUDGES_FILE in made.manifest.files and made.manifest.files == undisturbed.manifest.files


def test_names_from_files_are_hashed_and_ids_are_kept(project: Project, config: Callable[..., RewardModel]) -> None:
    terms = [pair("a", "z", "y", person="Ann Smith"), pair("b", "z", "y", person="01ABC"), pair("c", "z", "y")]
    made = train_reward(project, config(heldout_fraction=0.0), terms, people={"01ABC": {"kind": "human", "judgments": 1}})
    text = (made.path / JUDGES_FILE).read_text(encoding="utf-8")
    assert "Ann" not in text and "01ABC" in text and "unnamed (human)" in text


def test_sources_are_told_apart_left_out_and_refused_by_name(project: Project, config: Callable[..., RewardModel],
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    terms = [*mixed(16), pair("e", "zz", "ab", source="edit")]
    made = train_reward(project, config(sources=("comparison", "edit"), heldout_fraction=0.0), terms)
    assert {name: each["train"] for name, each in made.manifest.facts["judgments"].items()} == {"comparison": 4, "edit": 1}
    assert made.manifest.facts["left_out"] == {"ranking": 4, "rating": 12, "thumbs": 12}
    said = "".join(capsys.readouterr())
    assert "judgments to learn from: comparison 4, edit 1; left out: ranking 4, rating 12, thumbs 12" in " ".join(said.split())
    with pytest.raises(ConfigError, match="no judgments of the source 'spans'; there are comparison"):
        train_reward(project, config(sources=("spans",)), terms)


@pytest.mark.parametrize("objective, kind", [("regression", "rating"), ("classification", "thumbs")])
def test_plain_objectives_learn_from_their_own_kind(project: Project, config: Callable[..., RewardModel], objective: str,
                                                    kind: str) -> None:
    made = train_reward(project, config(objective=objective, epochs=3, batch_tokens=512), mixed(160))
    facts = made.manifest.facts
    assert list(facts["judgments"]) == [kind] and facts["heldout_accuracy"] is None and not (made.path / JUDGES_FILE).exists()
    # at a score of 0: half the variance, which is 1; or log 2
    assert facts["first_loss"] == pytest.approx({"regression": 0.5, "classification": math.log(2)}[objective], abs=0.15)
    assert facts["heldout_loss"] < 0.8 * facts["first_loss"]


def test_auto_is_bradley_terry_of_pairs_and_joint_of_more(project: Project, config: Callable[..., RewardModel]) -> None:
    pairs = [term for term in mixed(16) if isinstance(term, Preference)]
    for terms, wanted in ((pairs, "bradley_terry"), ([*pairs, thumb("t", "z", True)], "joint")):
        made = train_reward(project, config(objective="auto", heldout_fraction=0.0), terms)
        assert made.manifest.facts["objective"] == wanted
    with pytest.raises(DataError, match="regression learns from rating"):
        train_reward(project, config(objective="regression"), pairs)


def test_a_file_may_mix_all_kinds_and_others_come_beside_it(project: Project, config: Callable[..., RewardModel],
                                                            tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": "z", "rejected": "y"}, {"prompt": "a", "responses": ["z", "x"], "ranks": [1, 2]},
            {"prompt": "b", "response": "z", "scores": {"helpful": 5}}, {"prompt": "b", "response": "z", "label": True},
            {"prompt": "c", "response": "x", "revision": "z"}, {"prompt": "c", "response": "y", "demonstration": "z"}]
    path, other = tmp_path / "mixed.jsonl", tmp_path / "more.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    other.write_text(json.dumps({"prompt": "d", "response": "x", "critique": "No z.", "revision": "z"}) + "\n", encoding="utf-8")
    made = train_reward(project, config(objective="auto", data=str(path), also=(str(other),), heldout_fraction=0.0))
    assert {name: each["train"] for name, each in made.manifest.facts["judgments"].items()} == dict.fromkeys(
        ("comparison", "critique", "demonstration", "edit", "ranking", "rating", "thumbs"), 1)
    assert set(made.manifest.sources) >= {"mixed.jsonl", "more.jsonl"}
    path.write_text(json.dumps(rows[0]) + "\n" + json.dumps({"prompt": "a", "response": "b"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mixed.jsonl, row 2, is no judgment: it is a row of kind instruction"):
        train_reward(project, config(data=str(path)))


def test_a_scale_has_a_level_for_each_value_or_ten_of_many() -> None:
    few = Scale.of("helpful", [3, 1, 5, 1])
    assert [few.level(value) for value in (0, 1, 2, 3, 5, 9)] == [0, 0, 0, 1, 2, 2]
    many = Scale.of("score", [value / 7 for value in range(100)])
    assert len(many.cuts) == 9 and [many.level(value / 7) for value in (0, 9, 10, 99)] == [0, 0, 1, 9]


def test_pairs_that_decide_are_those_of_comparisons_and_of_rankings(template: ChatTemplate) -> None:
    group, = group_judged([pair("p", "aa", "bb", label=0.2), ranking("p", ("aa", "bb", "cc"), (2, 1, 2)), thumb("p", "dd", True),
                           pair("p", "aa", "cc", label=0.5)], template, 100)[0]
    assert decided_pairs(group) == [(1, 0), (1, 0), (1, 2)]
    assert len(decided_pairs(group, ties=True)) == 5


def test_groups_have_offsets_of_their_own(template: ChatTemplate) -> None:
    """Two populations that see the same and put their thumbs up at another point."""
    terms = [thumb("p", text, up, f"{country}{i}", meta={"country": country}) for country, up in (("x", True), ("y", False))
             for i in range(3) for text in ("aa", "bb")]
    priors = Annotators(group_by="country")
    judges = Judges(book_of(terms, (), priors), priors)
    assert judges.book.groups == ("x", "y") and "offset" in judges.spreads
    with torch.no_grad():
        judges.offset.copy_(torch.tensor([1.0, -1.0]))
    at = torch.tensor([0, 0])
    low, high = judges.thresholds(at, at, torch.tensor([0, 1]))[:, 0].tolist()
    assert high - low == pytest.approx(2.0)


def test_the_projects_own_judgments_train_by_what_they_say(project: Project, tiny_directory: Path) -> None:
    """More than pairs: each in its own words, and the samples that a demonstration is set against are known to be used."""
    question = Prompt(id="q", messages=asked("What?"))
    samples = [Sample(id=text, prompt=question, prompt_ids=(), response_ids=(), logprobs=(), response_mask=(), text=text,
                      ended=True) for text in ("good", "bad", "worse")]
    with Store.open(project.store_place) as store:
        store.add_person("ada", "human", "Ada")
        store.add_samples(samples)
        for kind, shown, answer in (("comparison", ("good", "bad"), {"winner": "a", "strength": 2}),
                                    ("ranking", ("worse", "good", "bad"), {"ranks": [3, 1, 2]}),
                                    ("rating", ("bad",), {"scores": {"helpful": 2}}),
                                    ("critique", ("bad",), {"text": "Be good."}), ("edit", ("bad",), {"text": "better"}),
                                    ("demonstration", (), {"text": "best"})):
            store.add_judgments([new_judgment(kind, "ada", "human", question, shown, answer)])
    settings: dict[str, Any] = {"model": str(tiny_directory), "heldout_fraction": 0.0, "precision": "fp32"}
    facts = tutelage.reward(project, name="all", **settings).manifest.facts
    assert facts["objective"] == "joint" and {name: each["train"] for name, each in facts["judgments"].items()} == dict.fromkeys(
        ("comparison", "critique", "demonstration", "ranking", "rating"), 1)
    assert facts["pairs"] == 1 + 3 + 1 + 3
    pairs = tutelage.reward(project, name="pairs", sources=["comparison", "ranking"], **settings)
    assert pairs.manifest.facts["objective"] == "bradley_terry" and pairs.manifest.people["ada"]["judgments"] == 6
    # the pair that was both compared and ranked is one, of two judgments
    assert {name: each["train"] for name, each in pairs.manifest.facts["judgments"].items()} == {"comparison": 2, "ranking": 1}
