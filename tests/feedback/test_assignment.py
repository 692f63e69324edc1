"""Which question next and which side first: shares that are kept exactly, sides that are even, nothing that can be guessed."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from tutelage.feedback.assignment import balance, is_due, plan, show
from tutelage.store.questions import Campaign, Candidate, Terms, Worker

WORKER = Worker(person="ada", num_given=0, balance=0)


def campaign(seed: int = 1, **terms: float) -> Campaign:
    return Campaign(id="c", name="c", kind="comparison", terms=Terms(**terms), seed=seed)      # type: ignore[arg-type]


def work(name: str, **changes: object) -> Candidate:
    return Candidate(**{"item": name, "purpose": "work", "num_samples": 2, **changes})      # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "length"), [(0.1, 10), (0.25, 4), (0.5, 2), (1.0, 1)])
def test_what_is_due_comes_exactly_once_in_every_stretch(share: float, length: int) -> None:
    due = [is_due(3, "ada", "known", number, share) for number in range(20 * length)]
    assert all(sum(due[start:start + length]) == 1 for start in range(0, len(due), length))


def test_when_it_is_due_differs_by_person_and_stretch() -> None:
    places = {person: [number % 10 for number in range(200) if is_due(3, person, "known", number, 0.1)]
              for person in ("ada", "eve")}
    assert places["ada"] != places["eve"] and len(set(places["ada"])) > 5
    assert not any(is_due(3, "ada", "known", number, 0.0) for number in range(50))


def test_sides_are_even_for_each_person_after_every_second_task() -> None:
    chosen = plan(campaign(), WORKER, [work(f"i{number}") for number in range(200)], 200)
    total = 0
    for number, choice in enumerate(chosen):
        total += balance(choice.order)
        assert abs(total) <= 1 and (number % 2 == 0 or total == 0)
    firsts = [choice.order[0] for choice in chosen[::2]]                    # the free ones: a coin
    assert 30 < sum(firsts) < 70


def test_a_person_who_is_even_makes_the_item_even() -> None:
    for lean, order in ((1, (1, 0)), (-1, (0, 1))):
        assert {show(seed, WORKER, work("i", balance=lean)) for seed in range(20)} == {order}
    assert {show(seed, WORKER, work("i")) for seed in range(20)} == {(0, 1), (1, 0)}
    assert show(1, replace(WORKER, balance=1), work("i", balance=-1)) == (1, 0)     # the person comes first


def test_rankings_are_shuffled_and_every_place_is_as_likely() -> None:
    places = Counter(show(5, replace(WORKER, person=f"p{number}"), work("i", num_samples=4))[0] for number in range(400))
    assert set(places) == {0, 1, 2, 3} and min(places.values()) > 60
    assert show(5, WORKER, work("i", num_samples=1)) == (0,) and show(5, WORKER, work("i", num_samples=0)) == ()


def test_a_repeat_has_the_sides_changed() -> None:
    assert show(1, WORKER, work("i", earlier=(1, 0))) == (0, 1)
    assert show(1, WORKER, work("i", earlier=(2, 0, 1), num_samples=3)) == (1, 0, 2)


def test_expertise_first_then_the_fewest_people() -> None:
    items = [work("done", num_taken=1), work("law", tags=("law",)), work("plain"), work("medicine", tags=("medicine",))]
    chosen = plan(campaign(), replace(WORKER, tags=("medicine",)), items, 4)
    assert [choice.item for choice in chosen] == ["medicine", "plain", "done", "law"]


def test_known_answers_and_repeats_come_at_their_share_among_the_work() -> None:
    items = [work(f"w{number}") for number in range(100)]
    items += [work(f"g{number}", purpose="gold" if number % 2 else "attention") for number in range(40)]
    items += [work(f"w{number}", earlier=(0, 1)) for number in range(40)]
    chosen = plan(campaign(gold_share=0.2, duplicate_share=0.1), WORKER, items, 60)
    known = [place for place, choice in enumerate(chosen) if choice.item.startswith("g")]
    again = [place for place, choice in enumerate(chosen) if choice.is_repeat]
    assert len(known) == 12 and 5 <= len(again) <= 6          # where both are due, the known one wins
    assert max(after - before for before, after in itertools.pairwise(known)) < 10


def test_where_the_work_is_done_no_known_answers_are_handed_out_for_their_own_sake() -> None:
    gold = [work(f"g{number}", purpose="gold") for number in range(5)]
    chosen = plan(campaign(gold_share=0.5), WORKER, gold, 5)
    assert len(chosen) <= 1
    quiz = [work(f"q{number}", purpose="quiz") for number in range(3)]
    assert [choice.item for choice in plan(campaign(), WORKER, quiz, 5)] == ["q0", "q1", "q2"]


def test_the_same_question_has_the_same_answer_and_another_seed_another() -> None:
    items = [work(f"w{number}") for number in range(20)] + [work(f"g{number}", purpose="gold") for number in range(9)]
    asked = (WORKER, items, 20)
    assert plan(campaign(1, gold_share=0.3), *asked) == plan(campaign(1, gold_share=0.3), *asked)
    assert plan(campaign(1, gold_share=0.3), *asked) != plan(campaign(2, gold_share=0.3), *asked)
