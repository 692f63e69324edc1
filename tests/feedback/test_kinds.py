"""A kind is one file; its answers are checked, and become neutral training terms."""

import json
from itertools import combinations

import jsonschema
import pytest
from feedback_records import PASTA, say

from tutelage.errors import DataError
from tutelage.feedback import kinds
from tutelage.feedback.asked import LANGUAGES
from tutelage.records import Critique, Instruction, Judgment, Label, Marked, Preference, Ranking, Rating, Thumb

A, B = say(PASTA, "Boil it well and stir it now and then."), say(PASTA, "Pasta is nice.")
SAMPLES = {A.id: A, B.id: B}


def judgment(**answer: object) -> Judgment:
    return kinds.new_judgment("comparison", "ada", "human", PASTA, (A.id, B.id), answer)


def test_every_file_of_the_folder_is_a_kind() -> None:
    assert "comparison" in kinds.names()
    for name in kinds.names():
        asked = kinds.kind(name)
        assert name == asked.NAME and 0 <= asked.NUM_SAMPLES[0] <= asked.NUM_SAMPLES[1] <= 6 and asked.GUIDELINE
        assert set(asked.QUESTION) == set(asked.GUIDELINE_TEXT) == {"en", "zh-CN"}
    with pytest.raises(DataError, match="There are: comparison, critique"):
        kinds.kind("duel")


@pytest.mark.parametrize(("answer", "words"), [
    ({}, "winner is None"),
    ({"winner": "c", "strength": 1}, "winner is 'c'"),
    ({"winner": "a"}, "strength is None"),
    ({"winner": "a", "strength": 4}, "strength is 4"),
    ({"winner": "a", "strength": True}, "strength is True"),
    ({"winner": "tie", "strength": 2}, "only a winner has one"),
    ({"winner": "a", "strength": 1, "why": ""}, "the key 'why'"),
])
def test_an_answer_that_is_none_is_refused_in_words(answer: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        judgment(**answer)


def test_a_comparison_shows_two_different_samples() -> None:
    for shown in [(A.id,), (A.id, A.id), (A.id, B.id, "c")]:
        with pytest.raises(DataError, match="shows 2 different samples"):
            kinds.new_judgment("comparison", "ada", "human", PASTA, shown, {"winner": "tie"})


def test_the_winner_is_chosen_and_strength_is_the_margin() -> None:
    for winner, chosen, rejected in [("a", A, B), ("b", B, A)]:
        for strength, margin in [(1, 0.0), (2, 0.5), (3, 1.0)]:
            said = judgment(winner=winner, strength=strength)
            [term] = kinds.to_preferences(said, SAMPLES)
            assert (term.chosen, term.rejected) == (chosen.response, rejected.response)
            assert (term.label, term.margin, term.weight) == (1.0, margin, 1.0)
            assert (term.prompt, term.annotator, term.judgment_ids) == (PASTA.messages, "human", (said.id,))


def test_a_tie_is_half_and_the_rest_says_nothing_about_which_is_better() -> None:
    [term] = kinds.to_preferences(judgment(winner="tie"), SAMPLES)
    assert (term.label, term.margin) == (0.5, 0.0)
    for winner in ("both_bad", "cannot_judge"):
        assert kinds.to_preferences(judgment(winner=winner), SAMPLES) == []
    with pytest.raises(DataError, match="was not given"):
        kinds.to_preferences(judgment(winner="tie"), {A.id: A})


def test_a_judgment_is_named_by_its_content() -> None:
    first = judgment(winner="a", strength=1)
    assert judgment(strength=1, winner="a") == first
    others = [judgment(winner="a", strength=2), judgment(winner="tie"),
              kinds.new_judgment("comparison", "eve", "human", PASTA, (A.id, B.id), {"winner": "a", "strength": 1}),
              kinds.new_judgment("comparison", "ada", "human", PASTA, (B.id, A.id), {"winner": "a", "strength": 1})]
    assert len({first.id, *(other.id for other in others)}) == 5


@pytest.mark.parametrize("name", kinds.names())
def test_a_kind_says_everything_in_both_languages_and_gives_each_action_one_key(name: str) -> None:
    asked = kinds.kind(name)
    assert all(text.strip() for text in (*asked.QUESTION.values(), *asked.GUIDELINE_TEXT.values()))
    assert {action: each.key for action, each in asked.ACTIONS.items()} == dict(asked.KEYS)
    assert len(set(asked.KEYS.values())) == len(asked.KEYS)
    for action in asked.ACTIONS.values():
        assert set(action.words) == set(LANGUAGES) and all(action.words.values())
        if action.answer is not None:
            assert asked.check_answer(action.answer) == action.answer
            spoken = [asked.in_words(action.answer, language) for language in LANGUAGES]
            assert all(spoken) and spoken[0] != spoken[1]


def answers() -> list[object]:
    """Right and wrong values for every key any kind knows, and answers made of one or two of them."""
    values: dict[str, list[object]] = {
        "winner": ["a", "tie", "c"], "strength": [2, 4, "2", True], "declined": ["cannot_judge", "all_bad", "no"],
        "ranks": [[1, 2], [2, 2, 5], [1], [1, 0], [1, 9], "12", [1.5, 2]], "up": [True, "yes", None],
        "scores": [{"helpful": 3}, {"helpful": 6}, {}, {"nice": 2}, {"polite": 1.5}, [3]], "text": ["fine", "", " ", 3],
        "sample": [0, 9, -1], "labels": [["x"], [], ["x", "x"], "x", [3]], "prompt": ["ask", 3],
        "response": ["say", ""], "system": ["be kind"], "reason": ["other", "broken", "dull"], "note": ["why", "", " ", 3],
        "marks": [[], [{"start": 0, "end": 4, "mark": "good"}], [{"start": -1, "end": 4, "mark": "good"}],
                  [{"start": 0, "end": 4, "mark": "odd"}], [{"start": 0}], 3, [3]],
        "more": [1]}
    single: list[dict[str, object]] = [{key: value} for key, each in values.items() for value in each]
    pairs = [{**first, **second} for first, second in combinations(single, 2) if set(first) != set(second)]
    return [{}, *single, *pairs]


@pytest.mark.parametrize("name", kinds.names())
def test_the_schema_takes_what_the_check_takes(name: str) -> None:
    asked = kinds.kind(name)
    schema = jsonschema.Draft202012Validator(dict(asked.ANSWER_SCHEMA))
    taken = 0
    for answer in answers():
        assert isinstance(answer, dict)
        try:
            said = asked.check_answer(answer)
        except DataError as error:
            assert not schema.is_valid(answer), (answer, str(error))
        else:
            assert schema.is_valid(answer) and schema.is_valid(said), answer
            assert asked.check_answer(said) == said
            taken += 1
    assert taken >= 2


def test_a_ranking_becomes_places_without_gaps() -> None:
    c = say(PASTA, "Use a lot of water.")
    said = kinds.new_judgment("ranking", "ada", "human", PASTA, (A.id, B.id, c.id), {"ranks": [4, 2, 4]})
    assert said.answer == {"ranks": [2, 1, 2]} and kinds.in_words(said) == "B > A = C"
    [term] = kinds.terms(said, {**SAMPLES, c.id: c})
    assert isinstance(term, Ranking) and term.person == "ada"
    assert (term.responses, term.ranks) == ((A.response, B.response, c.response), (2, 1, 2))
    with pytest.raises(DataError, match="one place for each of the 3"):
        kinds.new_judgment("ranking", "ada", "human", PASTA, (A.id, B.id, c.id), {"ranks": [1, 2]})
    with pytest.raises(DataError, match="at most 2"):
        kinds.new_judgment("ranking", "ada", "human", PASTA, (A.id, B.id, c.id), {"ranks": [1, 2, 3]},
                           settings={"max_samples": 2})


def test_the_places_of_equal_texts_become_one() -> None:
    twin = say(PASTA, A.text, ended=False)
    said = kinds.new_judgment("ranking", "ada", "human", PASTA, (A.id, B.id, twin.id), {"ranks": [1, 2, 3]})
    [term] = kinds.terms(said, {**SAMPLES, twin.id: twin})
    assert isinstance(term, Ranking) and term.responses == (A.response, B.response) and term.ranks == (1, 1)


def test_a_rating_holds_the_aspects_that_were_asked_for() -> None:
    settings = {"aspects": ["correct", "polite"]}
    said = kinds.new_judgment("rating", "ada", "human", PASTA, (A.id,), {"scores": {"polite": 5, "correct": 2}},
                              settings=settings)
    [term] = kinds.terms(said, SAMPLES)
    assert isinstance(term, Rating) and term.scores == {"correct": 2.0, "polite": 5.0}
    assert kinds.in_words(said) == "correct 2, polite 5" and kinds.in_words(said, "zh-CN") == "正确 2，礼貌 5"
    for scores, words in [({"polite": 5}, "'correct' has no score"), ({"correct": 1, "polite": 2, "concise": 3}, "not asked")]:
        with pytest.raises(DataError, match=words):
            kinds.new_judgment("rating", "ada", "human", PASTA, (A.id,), {"scores": scores}, settings=settings)
    with pytest.raises(DataError, match="no aspect 'witty'"):
        kinds.new_judgment("rating", "ada", "human", PASTA, (A.id,), {"scores": {}}, settings={"aspects": ["witty"]})


def test_an_edit_is_a_demonstration_and_beats_the_original() -> None:
    better = "Boil it well, stir it now and then, and drain it."
    said = kinds.new_judgment("edit", "ada", "human", PASTA, (A.id,), {"text": better}, texts=(A.text,))
    shown, preferred = kinds.terms(said, SAMPLES)
    assert isinstance(shown, Instruction) and shown.prompt == PASTA.messages and shown.response.text == better
    assert isinstance(preferred, Preference) and preferred.chosen[0].text == better and preferred.rejected == A.response
    assert {term.judgment_ids for term in (shown, preferred)} == {(said.id,)}
    assert kinds.to_preferences(said, SAMPLES) == [preferred]
    with pytest.raises(DataError, match="as it was"):
        kinds.new_judgment("edit", "ada", "human", PASTA, (A.id,), {"text": A.text + "\n"}, texts=(A.text,))
    for reason, up in [("good_as_it_is", True), ("beyond_repair", False)]:
        [thumb] = kinds.terms(kinds.new_judgment("edit", "ada", "human", PASTA, (A.id,), {"declined": reason}), SAMPLES)
        assert isinstance(thumb, Thumb) and thumb.up is up and thumb.response == A.response


def test_what_is_written_from_scratch_becomes_an_instruction() -> None:
    said = kinds.new_judgment("demonstration", "ada", "human", PASTA, (), {"text": "Salt the water."})
    [term] = kinds.terms(said, {})
    assert isinstance(term, Instruction) and [message.text for message in term.messages] == [
        PASTA.messages[0].text, "Salt the water."]
    answer = {"system": "Be brief.", "prompt": "Name a planet.", "response": "Mars."}
    [whole] = kinds.terms(kinds.new_judgment("instruction", "ada", "human", PASTA, (), answer), {})
    assert isinstance(whole, Instruction)
    assert [(message.role, message.text) for message in whole.messages] == [
        ("system", "Be brief."), ("user", "Name a planet."), ("assistant", "Mars.")]


def test_a_label_is_of_the_response_or_of_the_prompt_where_none_is_shown() -> None:
    settings = {"labels": ["kind", "rude", "neither"]}
    said = kinds.new_judgment("label", "ada", "human", PASTA, (), {"labels": ["rude"]}, settings=settings)
    [term] = kinds.terms(said, {})
    assert isinstance(term, Label) and (term.text, term.labels) == (PASTA.messages[0].text, ("rude",))
    both = kinds.new_judgment("label", "ada", "human", PASTA, (A.id,), {"labels": ["rude", "kind"]},
                              settings={**settings, "multi": True})
    [term] = kinds.terms(both, SAMPLES)
    assert isinstance(term, Label) and (term.text, term.labels) == (A.text, ("kind", "rude"))
    for labels, words in [(["odd"], "no label 'odd'"), (["kind", "rude"], "exactly one"), ([], "exactly one")]:
        with pytest.raises(DataError, match=words):
            kinds.new_judgment("label", "ada", "human", PASTA, (), {"labels": labels}, settings=settings)


def test_marks_count_code_points_and_stay_inside_the_text() -> None:
    smile = say(PASTA, "😀 Never stir.")
    said = kinds.new_judgment("spans", "ada", "human", PASTA, (smile.id,), texts=(smile.text,), answer={"marks": [
        {"start": 2, "end": 7, "mark": "wrong", "note": "Always."}, {"start": 0, "end": 1, "mark": "good", "note": ""}]})
    [term] = kinds.terms(said, {smile.id: smile})
    assert isinstance(term, Marked)
    assert [smile.text[mark["start"]:mark["end"]] for mark in term.marks] == ["😀", "Never"]
    assert kinds.in_words(said) == "1 wrong, 1 good"
    for marks, words in [([{"start": 0, "end": 14, "mark": "good"}], "from 1 to 13"),
                         ([{"start": 3, "end": 3, "mark": "good"}], "end is 3"),
                         ([{"start": 0, "end": 4, "mark": "good"}, {"start": 3, "end": 6, "mark": "good"}], "overlap")]:
        with pytest.raises(DataError, match=words):
            kinds.new_judgment("spans", "ada", "human", PASTA, (smile.id,), {"marks": marks}, texts=(smile.text,))


def test_a_critique_is_of_the_response_it_names() -> None:
    about_b = kinds.new_judgment("critique", "ada", "human", PASTA, (A.id, B.id), {"text": "Says nothing.", "sample": 1})
    [term] = kinds.terms(about_b, SAMPLES)
    assert isinstance(term, Critique) and (term.text, term.response) == ("Says nothing.", B.response)
    of_all = kinds.new_judgment("critique", "ada", "human", PASTA, (A.id, B.id), {"text": "Both are short."})
    assert [term.response for term in kinds.terms(of_all, SAMPLES) if isinstance(term, Critique)] == [()]
    with pytest.raises(DataError, match="from 0 to 1"):
        kinds.new_judgment("critique", "ada", "human", PASTA, (A.id, B.id), {"text": "No.", "sample": 2})


def test_a_flag_and_an_answer_that_was_declined_train_nothing() -> None:
    flag = kinds.new_judgment("flag", "ada", "human", PASTA, (A.id,), {"reason": "private"})
    assert kinds.terms(flag, SAMPLES) == [] and kinds.in_words(flag, "zh-CN") == "涉及隐私"
    with pytest.raises(DataError, match="note is None"):
        kinds.new_judgment("flag", "ada", "human", PASTA, (A.id,), {"reason": "other"})
    for name in kinds.names():
        if "cannot_judge" in kinds.kind(name).ACTIONS:
            shown = (A.id, B.id)[:kinds.kind(name).NUM_SAMPLES[1]]
            answer = kinds.kind(name).ACTIONS["cannot_judge"].answer
            assert answer is not None
            assert kinds.terms(kinds.new_judgment(name, "ada", "human", PASTA, shown, answer), SAMPLES) == []


def test_an_occasion_tells_two_askings_apart() -> None:
    first, again, same = (kinds.new_judgment("thumbs", "ada", "human", PASTA, (A.id,), {"up": True}, occasion=occasion)
                          for occasion in ("task 1", "task 2", "task 1"))
    assert first.id != again.id and first == same


def test_terms_travel_as_json() -> None:
    said = [kinds.new_judgment("critique", "ada", "human", PASTA, (A.id,), {"text": "Good."}),
            kinds.new_judgment("spans", "ada", "human", PASTA, (A.id,), {"marks": [{"start": 0, "end": 4, "mark": "good"}]}),
            kinds.new_judgment("edit", "ada", "human", PASTA, (A.id,), {"text": "Better."})]
    for judgment in said:
        for term in kinds.terms(judgment, SAMPLES):
            assert type(term).from_json(json.loads(json.dumps(term.to_json()))) == term


def test_a_text_that_no_store_could_keep_is_refused() -> None:
    for text, words in [("a\0b", "NUL"), ("a\ud800", "surrogate"), (" \n", "says something"), ("x" * 20_001, "at most 20000")]:
        with pytest.raises(DataError, match=words):
            kinds.new_judgment("demonstration", "ada", "human", PASTA, (), {"text": text})
