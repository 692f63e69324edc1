"""People as judges: counted by hand, matched by model, and the whole way from a campaign in the store to the report."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from tutelage import api
from tutelage.errors import DataError
from tutelage.evaluation.human import Vote, by_people, correlation, votes_hash
from tutelage.generation.stage import load_samples
from tutelage.records import Scores
from tutelage.store import NewItem, Store, Terms


class Length:
    def score(self, samples):
        return Scores(total=tuple(float(len(each.text)) for each in samples))


@pytest.fixture
def vote(sample):
    def build(prompt: int, share: float, person: str = "ada", turned: bool = False, longer: int = 1) -> Vote:
        """`share` is that of model A, whichever side it is shown on; its response is so many characters longer."""
        mine = replace(sample(f"p{prompt}", "x" * (10 + longer), name=f"a{prompt}"), policy="A")
        other = replace(sample(f"p{prompt}", "x" * 10, name=f"b{prompt}"), policy="B")
        sides = (other, mine, 1 - share) if turned else (mine, other, share)
        return Vote(f"{person}{prompt}{turned}", person, "human", *sides)
    return build


def test_the_side_a_model_is_shown_on_changes_nothing_and_the_other_model_has_the_rest(vote):
    shares = [1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 0.0, 1.0]
    votes = [vote(prompt, share, turned=prompt % 2 == 1) for prompt, share in enumerate(shares)]
    straight = [vote(prompt, share) for prompt, share in enumerate(shares)]
    ours, theirs = by_people(votes, "A", "B", {}), by_people(votes, "B", "A", {})
    assert ours.rate.value == 5.5 / 8 == by_people(straight, "A", "B", {}).rate.value and ours.votes == ours.prompts == 8
    assert theirs.rate.value == 1 - ours.rate.value and theirs.win.p == ours.win.p
    assert ours.first_shown.n == 7      # the tie names nobody


def test_who_always_names_the_first_is_found_out(vote):
    votes = [vote(prompt, 1.0 if prompt % 2 == 0 else 0.0, turned=prompt % 2 == 1) for prompt in range(10)]
    found = by_people(votes, "A", "B", {})
    assert found.first_shown.value == 1.0 and found.rate.value == 0.5 and found.win.verdict == "tied"


def test_ten_people_say_more_than_one_and_three_say_little(vote):
    def of(count):
        return by_people([vote(prompt, float((prompt + at) % 4 > 0), f"p{at}") for prompt in range(20) for at in range(count)],
                         "A", "B", {})
    one, three, ten = of(1), of(3), of(10)
    assert one.rate.n == 20 and three.rate.n == 3 and ten.rate.n == 10 and ten.people == {"human": 10}
    assert ten.rate.high - ten.rate.low < three.rate.high - three.rate.low
    assert ten.win.verdict == "better"


def test_an_answer_given_twice_by_one_person_is_one_vote(vote):
    found = by_people([vote(0, 1.0), vote(0, 0.0, turned=True), vote(1, 1.0)], "A", "B", {})
    assert found.votes == 2 and found.rate.value == 0.75


def test_measures_are_held_against_the_votes_on_what_was_seen(vote):
    votes = [vote(prompt, prompt / 9, longer=prompt) for prompt in range(10)]
    found = by_people(votes, "A", "B", {"length": Length()})
    assert found.agreement["length"].value == pytest.approx(1.0) and found.agreement["length"].low > 0.9
    turned = by_people([vote(prompt, 1 - prompt / 9, longer=prompt) for prompt in range(10)], "A", "B", {"length": Length()})
    assert turned.agreement["length"].value == pytest.approx(-1.0)
    assert math.isnan(by_people([vote(prompt, 1.0, longer=prompt) for prompt in range(10)], "A", "B",
                                {"length": Length()}).agreement["length"].value)


def test_a_correlation_draws_what_shares_a_prompt_together():
    a, b = [0.1, 0.9, 0.3, 0.7, 0.2, 0.8], [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]
    alone, together = correlation(a, b, list("abcdef")), correlation(a, b, list("aabbcc"))
    # ranks 1 6 3 4 2 5 and 1 2 5 3 4 6: the squares of their differences sum to 26, 1 - 6 x 26 / (6 x 35)
    assert alone.value == together.value == pytest.approx(1 - 6 * 26 / 210) and (alone.n, together.n) == (6, 3)
    assert math.isnan(correlation(a, b, ["a"] * 6).low)


def test_votes_on_other_models_are_none(vote):
    with pytest.raises(DataError, match="none of 1 votes compares responses of A and C; the campaign shows A, B"):
        by_people([vote(0, 1.0)], "A", "C", {})


def test_another_vote_is_another_hash(vote):
    votes = [vote(0, 1.0), vote(1, 0.5)]
    assert votes_hash(votes) == votes_hash(list(votes)) != votes_hash([vote(0, 0.0), vote(1, 0.5)])


@pytest.fixture
def judged(project, tmp_path, tiny_directory):
    """Two models' samples in the store, judged by two people in a campaign: the second model wins seven prompts of eight."""
    from tutelage.models.load import save_policy
    from tutelage.models.policy import Policy
    from tutelage.models.tiny import tiny_model, tiny_tokenizer

    other = tmp_path / "other"
    save_policy(Policy(tiny_model(seed=1, initializer_range=0.2)), tiny_tokenizer(), other)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Name river {n}.", "kind": "question", "key_facts": [["Nile"]]}) + "\n"
                               for n in range(8)))
    settings = {"models": [str(tiny_directory), str(other)], "names": ["old", "new"], "data": str(prompts), "precision": "fp32",
                "per_prompt": 1, "max_new_tokens": 6}
    drawn = [load_samples(api.sample(project, model=model, prompts=str(prompts), name=name, per_prompt=1,
                                    precision="fp32", max_new_tokens=6))
             for name, model in (("one", settings["models"][0]), ("two", settings["models"][1]))]
    with Store.open(project.store_place) as store:
        for person in ("ada", "bob"):
            store.add_person(person, "human", person)
        store.add_samples([*drawn[0], *drawn[1]])
        made = store.campaigns.create("blind", "comparison", Terms(guideline="comparison-1", overlap=2), None, 1.0, seed=1)
        store.campaigns.add_items(made.id, [NewItem(prompt=old.prompt, samples=(old.id, new.id))
                                            for old, new in zip(*drawn, strict=True)])
        answer(store, made, {new.id for new in drawn[1][:7]} | {drawn[0][7].id})
    return settings


def answer(store, campaign, winners):
    """Everybody answers all they are given, by who should win."""
    from tutelage.feedback.assignment import plan

    for person in ("ada", "bob"):
        while found := store.tasks.next(person, campaign.id, 1, 2.0, plan):
            task = found[0]
            side = "a" if task.samples[0].id in winners else "b"
            store.tasks.submit(task.id, person, {"winner": side, "strength": 1}, f"{person}-{task.id}", 3.0)


def test_a_campaign_becomes_a_win_rate_in_the_report(project, judged):
    report = api.evaluate(project, **judged, human="blind", name="with-people")
    found = json.loads((report.path / "report.json").read_text(encoding="utf-8"))["human"]
    assert found["votes"] == 16 and found["prompts"] == 8 and found["people"] == {"human": 2}
    assert found["rate"]["value"] == 7 / 8 and found["rate"]["n"] == 2
    assert any(key.startswith("votes of blind") for key in report.manifest.sources)
    for page, words in (("report.html", "Judged by people"), ("report.zh.html", "由人评判")):
        assert words in (report.path / page).read_text(encoding="utf-8")
    everything = "".join(path.read_text(encoding="utf-8") for path in report.path.iterdir())
    assert "ada" not in {word.strip('"') for word in everything.split()}      # people stand there as numbers
    with Store.open(project.store_place) as store:
        first = next(iter(store.judgments("comparison")))
        store.add_judgments([replace(first, id="second-thoughts", supersedes=first.id, answer={"winner": "tie"})])
    again = api.evaluate(project, **judged, human="blind", name="with-people")
    assert again.ref != report.ref      # a changed mind is another report


def test_a_campaign_that_is_none_is_refused(project, judged):
    with pytest.raises(DataError, match="0 campaigns are called 'bling'"):
        api.evaluate(project, **judged, human="bling")


