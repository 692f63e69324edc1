"""Exports of other annotation tools come in with their people; ours go out and come back; what is lost is counted."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from feedback_records import PASTA, say

from tutelage.data.datasets import load_dataset
from tutelage.data.sources import read_file
from tutelage.errors import DataError, UsageError
from tutelage.feedback.aggregation import preferences, terms
from tutelage.feedback.commands import feedback
from tutelage.feedback.exchange.files import Imported, import_file
from tutelage.feedback.exchange.giving import FORMATS, export
from tutelage.feedback.exchange.taking import Row, take
from tutelage.feedback.exchange.told import Told, text_turn
from tutelage.feedback.kinds import new_judgment
from tutelage.feedback.sets import make_preference_set
from tutelage.options import Options
from tutelage.project import Project
from tutelage.records import Critique, Instruction, Judgment, Label, Marked, Preference, Ranking, Rating, Thumb
from tutelage.store import Store

A, B, C = (say(PASTA, text) for text in ("Boil it well. 😀", "Pasta is nice, \"very\" nice.", "多放水，\n搅一搅。"))


def put(tmp_path: Path, rows: Any, name: str = "rows.json") -> Path:
    file = tmp_path / name
    file.write_text(json.dumps(rows, ensure_ascii=False) if name.endswith(".json") else
                    "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def said(store: Store) -> list[tuple[str, str, tuple[str, ...], dict[str, Any]]]:
    """(kind, who, the texts shown, answer) of every judgment."""
    found = []
    for judgment in store.judgments():
        texts = {sample.id: sample.text for sample in store.samples(judgment.samples)} if judgment.samples else {}
        found.append((judgment.kind, judgment.annotator_id, tuple(texts[id] for id in judgment.samples), dict(judgment.answer)))
    return sorted(found, key=str)


def words(found: Iterable[object]) -> set[str]:
    return {type(term).__name__ for term in found}


ARGILLA = [
    {"id": "1", "fields": {"prompt": "Why?", "response-1": "So.", "response-2": "No."}, "metadata": {"source": "x"},
     "suggestions": {"preference": {"value": "response-1", "score": None, "agent": "gpt"}}, "vectors": {}, "_server_id": "s",
     "responses": {"preference": [{"value": "response-2", "user_id": "u1"}, {"value": "tie", "user_id": "u2"},
                                  {"value": "purple", "user_id": "u3"}],
                   "ranking": [{"value": ["response-2", "response-1"], "user_id": "u1"}],
                   "rating-2": [{"value": 4, "user_id": "u1"}, {"value": 9, "user_id": "u2"}],
                   "comment": [{"value": "The first is curt.", "user_id": "u2"}]}},
    {"id": "2", "fields": {"instruction": "Who?", "input": "In one word.", "response": "Ann."}, "metadata": {}, "vectors": {},
     "suggestions": {}, "_server_id": None,
     "responses": {"correctness": [{"value": 5, "user_id": "u1"}], "polite": [{"value": 2, "user_id": "u1"}],
                   "corrected response": [{"value": "Anna.", "user_id": "u2"}],
                   "topic": [{"value": ["people"], "user_id": "u2"}], "spans": [
                       {"value": [{"start": 0, "end": 3, "label": "wrong", "field": "response"}], "user_id": "u2"}]}}]


def test_argillas_records_come_in_with_their_people(store: Store, tmp_path: Path) -> None:
    done = import_file(store, put(tmp_path, ARGILLA))
    assert (done.format, done.taken.num_records, done.taken.num_refused) == ("argilla", 2, 0)
    assert done.taken.people == ("argilla:u1", "argilla:u2")
    found = said(store)
    assert sorted(kind for kind, *_ in found) == [
        "comparison", "comparison", "critique", "edit", "label", "ranking", "rating", "rating", "spans"]
    chosen = {who: shown["ab".index(answer["winner"])] for kind, who, shown, answer in found
              if kind == "comparison" and answer["winner"] in "ab"}
    assert chosen == {"argilla:u1": "No."}
    assert ("rating", "argilla:u1", ("Ann.",), {"scores": {"correct": 5, "polite": 2}}) in found
    assert ("rating", "argilla:u1", ("No.",), {"scores": {"helpful": 4}}) in found
    assert ("edit", "argilla:u2", ("Ann.",), {"text": "Anna."}) in found
    [demonstrated] = [term for term in terms(store) if isinstance(term, Instruction)]
    assert demonstrated.messages[0].text == "Who?\nIn one word."
    assert dict(done.left_out) == {
        "rows with suggestions of a model": 1, "rows with metadata": 1,
        "question preference: a label beside several responses": 1,                  # "purple"
        "question rating-2: a rating of 9; a rating is a whole number from 1 to 5": 1}


def test_argillas_flat_rows_say_who_only_drafted(store: Store, tmp_path: Path) -> None:
    row = {"id": "1", "status": "pending", "_server_id": "s", "prompt": "Why?", "answer_a": "So.", "answer_b": "No.",
           "better.responses": ["answer_a", "answer_b"], "better.responses.users": ["u1", "u2"],
           "better.responses.status": ["submitted", "draft"], "better.suggestion": None, "better.suggestion.agent": None,
           "difficulty": 0.5}
    done = import_file(store, put(tmp_path, [row], "rows.jsonl"))
    assert [(kind, who) for kind, who, *_ in said(store)] == [("comparison", "argilla:u1")]
    assert dict(done.left_out) == {"responses that are draft": 1,
                                   "column difficulty (a field, metadata or a vector)": 1}
    assert preferences(store)[0].chosen[0].text == "So."


LABEL_STUDIO = [{
    "id": 7, "data": {"prompt": "Why?", "answer1": "So.", "answer2": "No.", "source": "x"}, "predictions": [{"result": []}],
    "annotations": [
        {"id": 1, "completed_by": 10, "was_cancelled": False, "ground_truth": False, "lead_time": 4.2, "result": [
            {"id": "r", "from_name": "comparison", "to_name": "answer1,answer2", "type": "pairwise",
             "value": {"selected": "right"}},
            {"from_name": "reason", "to_name": "prompt", "type": "textarea", "value": {"text": ["Curt.", "Rude."]}}]},
        {"id": 2, "completed_by": {"id": 11, "email": "ada@example.org"}, "was_cancelled": True, "result": []},
        {"id": 3, "completed_by": {"id": 11, "email": "ada@example.org"}, "was_cancelled": False, "result": [
            {"from_name": "box", "to_name": "img", "type": "rectanglelabels", "value": {"x": 1}}]}]},
    {"id": 8, "data": {"prompt": "Who?", "items": [{"id": "m1", "title": "M1", "body": "Ann."}, {"id": "m2", "body": "Bob."},
                                                   {"id": "m3", "body": "Cyd."}]},
     "annotations": [
         {"completed_by": 10, "result": [{"from_name": "rank", "to_name": "answers", "type": "ranker",
                                          "value": {"ranker": {"_": [], "rank": ["m3", "m1", "m2"]}}}]},
         {"completed_by": 11, "result": [{"from_name": "rank", "to_name": "answers", "type": "ranker",
                                          "value": {"ranker": {"_": ["m2"], "good": ["m3"], "bad": ["m1"]}}}]}]},
    {"id": 9, "data": {"prompt": "How?", "response": "😀 Never stir."}, "annotations": [{"completed_by": 10, "result": [
        {"from_name": "marks", "to_name": "response", "type": "labels",
         "value": {"start": 3, "end": 8, "text": "Never", "labels": ["Wrong"]}},
        {"from_name": "helpful", "to_name": "response", "type": "rating", "value": {"rating": 4}}]}]}]


def test_label_studios_tasks_come_in_with_numbers_for_people(store: Store, tmp_path: Path) -> None:
    done = import_file(store, put(tmp_path, LABEL_STUDIO))
    assert (done.format, done.taken.num_refused) == ("label-studio", 0)
    assert ("comparison", "label-studio:10", ("So.", "No."), {"winner": "b", "strength": 1}) in said(store)   # sides as shown
    [ranking] = [term for term in terms(store) if isinstance(term, Ranking)]
    assert {each[0].text: rank for each, rank in zip(ranking.responses, ranking.ranks, strict=True)} == {
        "Cyd.": 1, "Ann.": 2, "Bob.": 3}
    [marked] = [term for term in terms(store) if isinstance(term, Marked)]
    assert [marked.response[0].text[mark["start"]:mark["end"]] for mark in marked.marks] == ["Never"]      # not UTF-16 units
    [critique] = [term for term in terms(store) if isinstance(term, Critique)]
    assert critique.text == "Curt.\nRude."
    assert "ada@example.org" not in str([*store.people()])
    assert dict(done.left_out) == {
        "tasks with predictions of a model": 1, "data source": 1, "skipped annotations": 1,
        "result box (rectanglelabels): a type of result that is not read here": 1,
        "result rank (ranker): responses in several buckets, or in none; which are no order of all": 1}


def test_an_import_again_adds_nothing_and_says_so(store: Store, tmp_path: Path) -> None:
    for rows in (ARGILLA, LABEL_STUDIO):
        first, again = (import_file(store, put(tmp_path, rows)) for _ in range(2))
        assert first.taken.num_new > 0 and (again.taken.num_new, again.taken.num_known) == (0, first.taken.num_new)


def test_a_map_says_what_the_names_do_not(store: Store, tmp_path: Path) -> None:
    row = {"fields": {"q": "Why?", "x": "So.", "y": "No."}, "responses": {"best": [{"value": "y", "user_id": "u"}],
                                                                           "skip": [{"value": "z", "user_id": "u"}]}}
    given = {"prompt": ["q"], "response": ["x", "y"], "comparison": ["best"], "ignore": ["skip"]}
    with pytest.raises(UsageError, match="wanted one of prompt"):
        import_file(store, put(tmp_path, [row]), given={"mood": ["best"]})
    refused = import_file(store, put(tmp_path, [row])).taken
    assert refused.num_refused == 1 and "say which with --map prompt=NAME" in refused.refused[0][1]
    done = import_file(store, put(tmp_path, [row]), given=given)
    assert done.taken.num_new == 1 and preferences(store)[0].chosen[0].text == "No."
    assert dict(done.left_out) == {"question skip: left out as asked": 1}


def test_a_table_written_by_hand_is_read(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    file.write_text("prompt,response_a,response_b,winner,strength,person,mood\nWhy?,So.,No.,b,2,ada,good\n"
                    "Why?,So.,No.,tie,,bob,\nWho?,Ann.,Ann.,a,1,ada,\nWho?,Ann.,Bob.,zebra,1,ada,\n", encoding="utf-8")
    done = import_file(store, file)
    assert (done.format, done.taken.num_new, done.taken.num_refused) == ("csv", 2, 2)
    assert [reason for _, reason in done.taken.refused] == [
        "chosen and rejected are the same response",
        "a comparison's winner is 'zebra'; wanted one of a, b, tie, both_bad, cannot_judge."]
    assert dict(done.left_out) == {"column mood": 1}
    [term] = preferences(store)
    assert (term.chosen[0].text, term.label, term.weight, term.margin) == ("No.", 0.75, 2.0, 0.25)


def everything() -> list[Judgment]:
    one, two = (A.id,), (A.id, B.id)
    asked: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("comparison", two, {"winner": "a", "strength": 3}), ("comparison", two[::-1], {"winner": "tie"}),
        ("ranking", (A.id, B.id, C.id), {"ranks": [2, 1, 2]}), ("rating", one, {"scores": {"helpful": 4, "polite": 2}}),
        ("thumbs", one, {"up": True}), ("critique", one, {"text": "Too short."}), ("edit", one, {"text": "Boil it, stir it."}),
        ("demonstration", (), {"text": "Use a lot of water."}), ("label", one, {"labels": ["cooking"]}),
        ("spans", one, {"marks": [{"start": 14, "end": 15, "mark": "good"}]}), ("flag", one, {"reason": "broken"}),
        ("instruction", (), {"prompt": "Name a planet.", "response": "Mars."})]
    return [new_judgment(kind, "ada", "human", PASTA, shown, answer) for kind, shown, answer in asked]


@pytest.fixture
def full(store: Store) -> Store:
    store.add_person("ada", "human", "Ada")
    first, *others = everything()
    changed = new_judgment("comparison", "ada", "human", PASTA, (A.id, B.id), {"winner": "a", "strength": 1}, supersedes=first.id)
    store.add_judgments([first, changed, *others], samples=[A, B, C])
    return store


def elsewhere(tmp_path: Path, file: Path, **how: Any) -> tuple[Imported, Store]:
    store = Store.open(tmp_path / "other.db")
    return import_file(store, file, **how), store


def test_judgments_go_to_another_store_and_are_the_same(full: Store, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl.gz"
    given = export(full, file, "judgments")
    assert (given.rows, given.left_out) == (13, {})
    done, other = elsewhere(tmp_path, file)
    assert (done.format, done.taken.num_new, done.taken.num_refused) == ("judgments", 13, 0)
    assert other.digest() == full.digest() and list(other.judgments()) == list(full.judgments())
    assert import_file(full, file).taken.num_new == 0
    other.close()


def test_a_judgment_that_was_changed_in_the_file_is_refused(full: Store, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    export(full, file, "judgments")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["judgment"]["answer"] = {"mood": 1}
    done, other = elsewhere(tmp_path, put(tmp_path, [*rows, {"judgment": {}, "samples": []}], "changed.jsonl"))
    assert done.taken.num_refused == 14 and other.counts() == {}
    other.close()


def test_a_table_comes_back_with_every_kind(full: Store, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    assert export(full, file, "csv").rows == 12
    with open(file, encoding="utf-8", newline="") as lines:
        assert {row["kind"] for row in csv.DictReader(lines)} == {judgment.kind for judgment in everything()}
    done, other = elsewhere(tmp_path, file)
    assert (done.taken.num_new, done.taken.num_refused, dict(done.left_out)) == (12, 0, {})
    assert said(other) == said(full)
    other.close()


def test_argilla_and_label_studio_get_what_they_can_hold_and_give_it_back(full: Store, tmp_path: Path) -> None:
    given = export(full, tmp_path / "argilla.json", "argilla")
    assert given.rows == 10 and sum(given.left_out.values()) == 2            # a flag, and an instruction from scratch
    done, other = elsewhere(tmp_path, tmp_path / "argilla.json")
    assert done.taken.num_refused == 0
    assert words(terms(other)) == words(terms(full))
    assert {(term.label, term.weight) for term in preferences(other)} == {(term.label, term.weight) for term in preferences(full)}
    other.close()

    given = export(full, tmp_path / "tasks.json", "label-studio")
    assert (given.rows, sum(given.left_out.values())) == (1, 11)
    (tmp_path / "other.db").unlink()
    done, other = elsewhere(tmp_path, tmp_path / "tasks.json")
    assert [(kind, shown) for kind, _, shown, _ in said(other)] == [("comparison", (A.text, B.text))]
    assert done.left_out == {}
    other.close()


@pytest.mark.parametrize(("format", "record", "rows"), [
    ("chosen-rejected", Preference, 2), ("hh", Preference, 2), ("sharegpt-pairs", Preference, 2), ("kto", Thumb, 1),
    ("trl-kto", Thumb, 1), ("ratings", Rating, 1), ("rankings", Ranking, 1), ("labels", Label, 1), ("messages", Instruction, 3),
    ("alpaca", Instruction, 3), ("sharegpt", Instruction, 3), ("prompt-response", Instruction, 3)])
def test_training_formats_are_read_by_the_data_room(full: Store, tmp_path: Path, format: str, record: type, rows: int) -> None:
    file = tmp_path / "out.jsonl"
    given = export(full, file, format)
    read = read_file(file)
    assert given.rows == len(read.records) == rows and read.refusals == []
    assert all(isinstance(each, record) for each in read.records)
    if format not in ("trl-kto",):
        assert all(each.judgment_ids for each in read.records)               # type: ignore[attr-defined]
    if format in ("kto", "ratings", "rankings", "labels"):
        back = import_file(full, file, person="ada")
        assert (back.taken.num_new, back.taken.num_refused) == (1, 0)


def test_an_export_that_fails_leaves_nothing(full: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are: chosen-rejected"):
        export(full, tmp_path / "x.jsonl", "paper")
    for name in ("no/x.jsonl", "no/x.csv"):
        with pytest.raises(DataError, match="cannot be written"):
            export(full, tmp_path / name, "csv" if name.endswith("csv") else "judgments")
    assert not list(tmp_path.glob(".*")) and len(set(FORMATS)) == len(FORMATS)


def test_a_preference_set_is_a_data_set_with_people_and_versions(full: Store, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    made = make_preference_set(project, full, "votes")
    assert made.ref == "dataset/votes@1" and made.verify() == []
    data = load_dataset(made)
    assert data.kind == "preference" and data.records == preferences(full)
    assert dict(made.manifest.people) == {"ada": {"kind": "human", "judgments": 12}}
    assert make_preference_set(project, full, "votes").ref == made.ref
    weighed = make_preference_set(project, full, "votes", "reliability", split_ratio=0.0)
    assert weighed.ref == "dataset/votes@2" and load_dataset(weighed).records == preferences(full, method="reliability")
    full.add_judgments([new_judgment("comparison", "ada", "human", PASTA, (B.id, C.id), {"winner": "a", "strength": 1})])
    assert make_preference_set(project, full, "votes").ref == "dataset/votes@3"
    with pytest.raises(DataError, match="no judgment"):
        make_preference_set(project, full, "votes", annotator="scripted")


def test_the_command_makes_sets_and_tables_of_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = Options(project=Project.init(tmp_path / "project").root)
    rows = [{"prompt": f"Question {n}?", "response_1": f"So {n}.", "response_2": f"No {n}.", "person": who, "guideline": "ours",
             "winner": "a" if (n + (who == "bob")) % 4 else "b"} for n in range(12) for who in ("ada", "bob")]
    file = put(tmp_path, rows, "votes.jsonl")
    assert feedback(["import", str(file), "--format", "csv"], options)["num_new"] == 24
    assert feedback(["set", "votes", "--method", "reliability", "--split-ratio", "0.3"], options)["artifact"] == "dataset/votes@1"
    found = feedback(["agreement", "--language", "zh-CN"], options)["human"]
    values = {(line["question"], line["measure"]): line["agreement"]["value"] for line in found["agreement"]}
    assert values["comparison", "percent"] == pytest.approx(0.5) and ("all", "self_consistency") in values
    assert {judge["id"] for judge in found["judges"]} == {"ada", "bob"}
    assert "无法定义：没有人被问过两次" in capsys.readouterr().out
    with pytest.raises(UsageError, match="MEANING=NAME"):
        feedback(["import", str(file), "--map", "prompt"], options)


class Watched:
    """Rows that are counted while they live."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts
        counts[0] += 1
        counts[1] = max(counts)

    def __del__(self) -> None:
        self.counts[0] -= 1


def test_an_import_of_many_rows_holds_one_batch_of_them(store: Store) -> None:
    counts = [0, 0]                                      # alive now, most at once

    def rows() -> Iterator[Row]:
        for number in range(1_200):
            watched = Watched(counts)
            told = Told(kind="thumbs", prompt=text_turn(f"Question {number}?"), responses=(text_turn("Yes.", "assistant"),),
                        answer={"up": True}, person="ada")
            yield str(number), lambda watched=watched, told=told: [told] if watched else []
            del watched

    taken = take(store, rows(), "", add_people=lambda id, kind: store.add_person(id, kind, id))
    assert taken.num_new == 1_200 and counts[1] <= 3
