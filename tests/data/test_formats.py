"""Every format: what its rows become, how it is known by its keys, and that what is written back reads the same."""

from __future__ import annotations

import json

import pytest

from tutelage.data.columns import parse_map
from tutelage.data.formats import FORMATS, detect
from tutelage.data.rows import RowError
from tutelage.data.sources import read_file
from tutelage.data.writing import content_id
from tutelage.errors import ConfigError, DataError, UsageError
from tutelage.lineage import canonical_json
from tutelage.records import Rating, Thumb

ASK, SAY = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "武汉"}'}}]}
FOUND = {"role": "tool", "content": "31°", "tool_call_id": "c1", "name": "weather"}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

ROWS = [
    ("alpaca", {"instruction": "Add.", "input": "1\n2", "output": "3", "licence": "CC0", "year": 2024}),
    ("alpaca", {"instruction": "Add.", "input": "", "output": "3", "system": "S", "history": [["a", "b"], ["c", "d"]]}),
    ("messages", {"messages": [ASK, CALL, FOUND, SAY], "tools": TOOLS, "annotator": "model"}),
    ("prompt-response", {"prompt": "Why?", "response": "Because.", "id": "x-1"}),
    ("prompt-response", {"prompt": [{"role": "system", "content": "S"}, ASK], "response": "Because."}),
    ("prompts", {"prompt": "为什么？", "kind": "question", "key_facts": [["a", "b"]], "licence": "MIT"}),
    ("sharegpt", {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"},
                                    {"from": "gpt", "value": "x"}]}),
    ("seed-tasks", {"id": "t0", "name": "n", "instruction": "Add.", "instances": [{"input": "1", "output": "2"}],
                    "is_classification": False}),
    ("text", {"text": "天地玄黄。\n宇宙洪荒。", "source": "a book"}),
    ("labels", {"text": "Good.", "labels": ["praise", "short"], "person": "ann", "weight": 0.5}),
    ("chosen-rejected", {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "margin": 0.5, "label": 0.9, "weight": 2.0,
                         "annotator": "scripted", "id": "p1", "judgment_ids": ["j1", "j2"], "person": "ann"}),
    ("chosen-rejected", {"prompt": [ASK, SAY, ASK], "chosen": [SAY], "rejected": [{"role": "assistant", "content": "No."}]}),
    ("sharegpt-pairs", {"conversations": [{"from": "human", "value": "为什么"}], "chosen": {"from": "gpt", "value": "因为"},
                        "rejected": {"from": "gpt", "value": "不"}}),
    ("hh", {"chosen": "\n\nHuman: Why?\n\nAssistant: Eh. \n\nHuman: Why?\n\nAssistant: Because.",
            "rejected": "\n\nHuman: Why?\n\nAssistant: Eh. \n\nHuman: Why?\n\nAssistant: No."}),
    ("revisions", {"prompt": "Why?", "response": "No.", "revision": "Because."}),
    ("revisions", {"prompt": "Why?", "response": "No.", "critique": "No reason.", "revision": "Because.", "person": "ann"}),
    ("revisions", {"prompt": "Why?", "response": "No.", "demonstration": "Because.", "weight": 0.5}),
    ("marks", {"prompt": "为什么？", "response": "因为🙂。", "marks": [{"start": 2, "end": 3, "mark": "good", "note": "n"},
                                                              {"start": 0, "end": 2, "mark": "wrong"}], "person": "ann"}),
    ("marks", {"prompt": "Why?", "response": "No.", "marks": []}),
    ("critiques", {"prompt": "Why?", "response": "No.", "critique": "No reason.", "licence": "MIT"}),
    ("kto", {"messages": [ASK, SAY], "label": False, "weight": 2.0}),
    ("ratings", {"prompt": "Why?", "response": "Because.", "scores": {"helpful": 3.0, "correct": 0.5}}),
    ("rankings", {"prompt": "Why?", "responses": ["a", "b", "c"], "ranks": [2, 1, 2]}),
]


@pytest.mark.parametrize("format, row", ROWS, ids=[f"{at}-{format}" for at, (format, _) in enumerate(ROWS)])
def test_a_row_is_known_by_its_keys_and_comes_back_as_it_was(write, format, row):
    got = read_file(write([row]))
    assert (got.format, got.refusals) == (format, []) and got.kind == FORMATS[format].kind
    (record,) = got.records
    assert FORMATS[format].write(record) == row
    assert record.id == row.get("id", content_id(record)) and record.canonical() == canonical_json(record.to_json())
    again = read_file(write([FORMATS[format].write(record)], "again.jsonl"))
    assert again.records == got.records


def test_every_format_has_a_row_here_and_each_kind_is_written_by_some():
    assert {format for format, _ in ROWS} == {*FORMATS}


def test_what_a_row_says_besides_goes_to_meta(write):
    row = {"prompt": "a", "response": "b", "licence": "CC0", "n": 3, "nested": {"a": 1}, "none": None}
    (record,) = read_file(write([row])).records
    assert record.meta == {"licence": "CC0", "n": 3}
    exported = FORMATS["prompt-response"].write(read_file(write([{"prompt": "a", "response": "b", "score": 3}]),
                                                          format="prompt-response").records[0])
    assert exported == {"prompt": "a", "response": "b", "meta": {"score": 3}}, "a key that another format reads stays apart"


def test_pictures_are_not_left_out_in_silence(write):
    got = read_file(write([{"instruction": "What is it?", "output": "A cat.", "images": ["cat.png"]},
                           {"instruction": "a", "output": "b", "images": []}]))
    assert [refusal.reason for refusal in got.refusals] == ["has images; only text is read"] and len(got.records) == 1


def test_tool_calls_are_kept_whichever_way_they_are_written(write):
    ours = read_file(write([{"messages": [ASK, CALL, FOUND, SAY], "tools": TOOLS}])).records[0]
    assert ours.messages[1].tool_calls[0]["function"]["name"] == "weather" and ours.messages[1].text == ""
    assert (ours.messages[2].role, ours.messages[2].tool_call_id, ours.messages[2].name) == ("tool", "c1", "weather")
    shared = {"conversations": [{"from": "human", "value": "Why?"},
                                {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "武汉"}}'},
                                {"from": "observation", "value": "31°"}, {"from": "gpt", "value": "Because."}],
              "tools": json.dumps(TOOLS)}
    theirs = read_file(write([shared])).records[0]
    assert theirs.tools == ours.tools and theirs.messages[1].tool_calls[0]["function"]["arguments"] == {"city": "武汉"}
    bad = read_file(write([{"messages": [ASK, {**SAY, "tool_calls": [{"id": 1}]}]},
                           {"messages": [{**ASK, "tool_calls": [1]}, SAY]}, {"messages": [ASK, SAY], "tools": "{}"},
                           {"messages": [ASK, SAY]}]))
    assert len(bad.refusals) == 3


def test_a_transcripts_shared_turns_are_the_prompt(write):
    (record,) = read_file(write([{"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
                                  "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e"}])).records
    assert [message.text for message in record.prompt] == ["a", "b", "c"]
    assert (record.chosen[0].text, record.rejected[0].text) == ("d", "e")
    bad = [{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: b"},
           {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: "},
           {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: other\n\nAssistant: b"},
           {"chosen": "\n\nHuman: a\n\nAssistant:\n\nHuman: b\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}]
    got = read_file(write(bad), format="hh")
    assert len(got.refusals) == 4 and got.refusals[0].reason.startswith("chosen == rejected")


@pytest.mark.parametrize("row", [
    {"prompt": "Why?", "completion": "Because.", "label": True}, {"prompt": "Why?", "response": "Because.", "label": True},
    {"messages": [ASK, SAY], "label": True}, {"instruction": "Why?", "input": "", "output": "Because.", "kto_tag": True},
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}], "kto_tag": True}])
def test_a_boolean_label_is_a_thumb_whatever_stands_beside_it(write, row):
    (record,) = read_file(write([row])).records
    assert isinstance(record, Thumb) and record.up is True
    assert (record.prompt[0].text, record.response[0].text) == ("Why?", "Because.")


def test_ratings_by_aspect_of_one_response_or_of_several(write):
    helpsteer = {"prompt": "Why?", "response": "Because.", "helpfulness": 3, "correctness": 4, "verbosity": 0}
    ultra = {"instruction": "Why?", "source": "web", "completions": [
        {"response": "a", "model": "m1", "annotations": {"helpfulness": {"Rating": "4"}, "honesty": {"Rating": "N/A"}}},
        {"response": "b", "model": "m2", "annotations": {"helpfulness": {"Rating": "2"}}, "overall_score": 7.5}]}
    (one,) = read_file(write([helpsteer])).records
    assert isinstance(one, Rating) and one.scores == {"helpfulness": 3.0, "correctness": 4.0, "verbosity": 0.0}
    got = read_file(write([ultra]))
    assert got.num_read == 1 and got.rows == [1, 1], "one row, two records"
    assert [record.scores for record in got.records] == [{"helpfulness": 4.0}, {"helpfulness": 2.0, "overall_score": 7.5}]
    assert [record.meta for record in got.records] == [{"source": "web", "model": "m1"}, {"source": "web", "model": "m2"}]
    listed = read_file(write([{"prompt": "Why?", "responses": ["a", "b"], "scores": [1, 2.5]}]))
    assert [record.scores for record in listed.records] == [{"score": 1.0}, {"score": 2.5}]
    assert read_file(write([{**ultra, "completions": [{"response": "a"}]}]), format="ratings").refusals


@pytest.mark.parametrize("row", [
    {"responses": ["a", "b", "c"], "ranks": [3, 1, 2]}, {"responses": ["a", "b", "c"], "ranking": [1, 2, 0]},
    {"answers": [{"answer": "a", "rank": 3}, {"answer": "b", "rank": 1}, {"answer": "c", "rank": 2}]},
    {"responses": [{"text": "a", "score": 0.1}, {"text": "b", "score": 9}, {"text": "c", "score": 4}]},
    {"candidates": ["a", "b", "c"], "ranks": [9, 2, 4]}])
def test_every_way_to_rank_gives_the_same_places(write, row):
    (record,) = read_file(write([{"prompt": "Why?", **row}]), format="rankings").records
    assert [each[0].text for each in record.responses] == ["a", "b", "c"] and record.ranks == (3, 1, 2)


def test_ranks_that_say_nothing_are_refused(write):
    got = read_file(write([{"prompt": "a", "responses": ["x", "y"], "ranks": [1, 1]},
                           {"prompt": "a", "responses": ["x"], "ranks": [1]},
                           {"prompt": "a", "responses": ["x", "y"], "ranks": [1]}, {"prompt": "a", "responses": ["x", "y"]},
                           {"prompt": "a", "responses": ["x", "y"], "ranking": [1, 2]}]), format="rankings")
    assert len(got.refusals) == 5


@pytest.mark.parametrize("value, wanted", [("spam", ("spam",)), (3, ("3",)), (True, ("true",)), (["a", 1], ("a", "1")),
                                           ({"toxic": 1, "rude": 0, "mean": True}, ("toxic", "mean")), ([], ())])
def test_labels_are_names_numbers_lists_or_switches(write, value, wanted):
    assert read_file(write([{"text": "x", "label": value}])).records[0].labels == wanted


def test_a_seed_task_is_an_instruction_an_instance(write):
    both = [{"input": "1", "output": "2"}, {"input": "", "output": "3"}]
    got = read_file(write([{"id": "t", "instruction": "Add.", "instances": both},
                           {"id": "u", "instruction": "Add.", "instances": []},
                           {"id": "v", "instruction": "Add.", "instances": [{"input": "1", "output": ""}]}]))
    assert [record.id for record in got.records] == ["t#1", "t#2"] and got.rows == [1, 1]
    assert got.records[0].prompt[0].text == "Add.\n1" and [refusal.row for refusal in got.refusals] == [2, 3]


def test_columns_are_mapped_and_the_others_stay(write):
    rows = [{"question": "Why?", "answer": {"text": ["Because."]}, "topic": "t", "prompt": "not this"}]
    got = read_file(write(rows), columns={"prompt": "question", "response": "answer.text.0"})
    assert got.format == "prompt-response" and got.records[0].messages[0].text == "Why?"
    assert got.records[0].response.text == "Because." and got.records[0].meta == {"topic": "t"}
    assert got.asked == {"columns": {"prompt": "question", "response": "answer.text.0"}}
    with pytest.raises(ConfigError, match=r"no format reads 'promt'\. Did you mean 'prompt'"):
        read_file(write(rows), columns={"promt": "question"})
    assert parse_map(["prompt=question", "response=a=b"]) == {"prompt": "question", "response": "a=b"}
    for words in (["prompt"], ["=x"], ["prompt=a", "prompt=b"]):
        with pytest.raises(UsageError, match="--map"):
            parse_map(words)


def test_strict_refuses_the_file_at_its_first_bad_row(write):
    path = write([{"prompt": "a", "response": "b"}, {"prompt": "", "response": "b"}, {"prompt": 3, "response": "b"}])
    with pytest.raises(DataError, match=r"rows.jsonl, row 2: empty prompt\. Mend it"):
        read_file(path, strict=True)
    assert len(read_file(path).refusals) == 2


def test_a_converter_refuses_with_a_reason_and_never_otherwise():
    for format in FORMATS.values():
        for row in ({}, {"prompt": None}, {"messages": {}}, {"instruction": 3, "output": []}, {"text": []},
                    {"chosen": 1, "rejected": 2}):
            with pytest.raises(RowError):
                format.read(row, "human")
    with pytest.raises(DataError, match="Keys seen: a, b"):
        detect([{"a": 1}, {"b": 2}], "x")
