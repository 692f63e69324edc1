"""Reading files: every row becomes a record or a refusal with its reason, and the two add up to what was read."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from mutation import mutated

from tutelage.data.formats import FORMATS
from tutelage.data.sources import Imported, read_file
from tutelage.errors import DataError
from tutelage.messages import Message


def said(messages: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


def reasons(imported: Imported) -> dict[int, str]:
    return {refusal.row: refusal.reason for refusal in imported.refusals}


ASK, SAY = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}


def test_an_alpaca_row_becomes_a_conversation(write):
    got = read_file(write([{"instruction": "Add.", "input": "1 2", "output": "3"},
                           {"instruction": "Greet.", "input": "", "output": "你好！"},
                           {"instruction": "Go on.", "output": "Yes.", "system": "Be brief.",
                            "history": [["a", "b"]]}]))
    assert got.format == "alpaca" and got.kind == "instruction" and got.num_read == 3
    assert [said(record.messages) for record in got.records] == [
        [("user", "Add.\n1 2"), ("assistant", "3")],
        [("user", "Greet."), ("assistant", "你好！")],
        [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "Go on."), ("assistant", "Yes.")]]


def test_messages_become_a_conversation_whatever_form_their_text_has(write):
    parts = {"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]}
    got = read_file(write([{"messages": [ASK, SAY]}, {"messages": [parts, SAY]}]))
    assert got.format == "messages"
    assert [said(record.messages) for record in got.records] == [[("user", "Why?"), ("assistant", "Because.")]] * 2
    assert got.records[0].id == got.records[1].id, "a record is named by what was said"


def test_a_prompt_with_a_response_is_an_instruction_and_keeps_its_id(write):
    got = read_file(write([{"id": "en-1", "prompt": "Why?", "response": "Because.", "kind": "question"},
                           {"prompt": [ASK], "completion": [SAY]}]))
    assert got.format == "prompt-response"
    assert [said(record.messages) for record in got.records] == [[("user", "Why?"), ("assistant", "Because.")]] * 2
    assert got.records[0].id == "en-1" and len(got.records[1].id) == 16


def test_a_prompt_alone_is_a_prompt_with_its_rubric(write):
    got = read_file(write([{"id": "p1", "prompt": "湖北的省会？", "kind": "question", "key_facts": [["武汉", "Wuhan"]]},
                           {"prompt": "And you?"}]))
    assert got.format == "prompts" and got.kind == "prompt"
    first, second = got.records
    assert (first.id, first.kind, first.key_facts) == ("p1", "question", (("武汉", "Wuhan"),))
    assert said(second.messages) == [("user", "And you?")] and second.key_facts == ()


def test_sharegpt_turns_become_a_conversation(write):
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]
    got = read_file(write([{"conversations": turns, "system": "Be brief."}, {"conversations": turns, "system": ""}]))
    assert got.format == "sharegpt"
    assert [said(record.messages) for record in got.records] == [
        [("system", "Be brief."), ("user", "Why?"), ("assistant", "Because.")],
        [("user", "Why?"), ("assistant", "Because.")]]


@pytest.mark.parametrize("row", [
    {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    {"prompt": [ASK], "chosen": [SAY], "rejected": [{"role": "assistant", "content": "No."}]},
    {"conversations": [{"from": "human", "value": "Why?"}], "chosen": {"from": "gpt", "value": "Because."},
     "rejected": {"from": "gpt", "value": "No."}},
    {"chosen": [ASK, SAY], "rejected": [ASK, {"role": "assistant", "content": "No."}]},
    {"prompt": "Why?", "chosen": [ASK, SAY], "rejected": [ASK, {"role": "assistant", "content": "No."}]},
], ids=["strings", "messages", "sharegpt", "shared beginning", "shared beginning and prompt"])
def test_every_way_to_write_a_pair_gives_the_same_preference(write, row):
    got = read_file(write([row | {"margin": 2}]))
    (record,) = got.records
    assert got.format == ("sharegpt-pairs" if "conversations" in row else "chosen-rejected") and got.kind == "preference"
    assert said(record.prompt) == [("user", "Why?")]
    assert (said(record.chosen), said(record.rejected)) == ([("assistant", "Because.")], [("assistant", "No.")])
    assert record.margin == 2.0 and record.annotator == "human"


def test_who_judged_is_declared_or_said_by_the_row(write):
    pair = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
    path = write([pair, pair | {"annotator": "scripted"}, pair | {"annotator": "robot"}])
    got = read_file(path, annotator="model")
    assert [record.annotator for record in got.records] == ["model", "scripted"]
    assert reasons(got) == {3: "annotator is 'robot'; wanted one of human, model, scripted"}


REFUSED = {
    "alpaca": [
        ({"instruction": "Go.", "output": ""}, "empty response: output holds no text"),
        ({"instruction": "Go.", "output": " \n"}, "empty response: output holds no text"),
        ({"instruction": "Go.", "output": None}, "output is null; wanted a string"),
        ({"instruction": "Go.", "output": 3}, "output is a number; wanted a string"),
        ({"instruction": ["Go."], "output": "x"}, "instruction is a list; wanted a string"),
        ({"instruction": "", "input": "", "output": "x"}, "empty instruction"),
        ({"instruction": "Go."}, "has no output"),
        ({"instruction": "Go.", "output": "x", "history": [["a"]]},
         "history 1 is not a [question, answer] pair of strings that say something"),
        ({"messages": [ASK, SAY]}, "empty instruction"),
    ],
    "messages": [
        ({"messages": []}, "messages is an empty list"),
        ({"messages": "Why?"}, "messages is a string; wanted a list of turns"),
        ({"messages": [ASK]}, "no assistant turn, so nothing to train on"),
        ({"messages": [SAY, ASK, SAY]}, "the assistant speaks first, so there is no prompt"),
        ({"messages": [ASK, SAY, SAY]}, "turns 2 and 3 are both the assistant's"),
        ({"messages": [ASK, SAY, ASK]}, "ends with a turn of the user; wanted the assistant's response last"),
        ({"messages": [ASK, {"role": "critic", "content": "x"}]},
         "messages 2 has the unknown role 'critic'; wanted one of system, user, assistant, tool, human, gpt, chatgpt, "
         "observation"),
        ({"messages": [ASK, {"role": "assistant", "content": ""}]}, "empty response: messages 2 holds no text"),
        ({"messages": [{"role": "user", "content": ""}, SAY]}, "messages 1 (user) is empty"),
        ({"messages": [ASK, {"role": "assistant", "content": None}]},
         "the content of messages 2 (assistant) is null; wanted a string"),
        ({"messages": [ASK, {"role": "assistant", "content": "x", "tool_calls": [{}]}]},
         "messages 2 calls a tool without a name; wanted {name, arguments}"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAY]},
         "messages 1 (user) has a part of type 'image_url'; only text is read"),
        ({"messages": [ASK, "Because."]},
         "messages 2 is a string; wanted an object with role and content (or from and value)"),
        ({"messages": [ASK, {"role": "system", "content": "x"}, SAY]},
         "turn 2 is a system message; wanted it first or not at all"),
        ({"messages": [ASK, SAY], "label": False},
         "has a boolean label (kto); a judged response is not a wanted response"),
    ],
    "prompt-response": [
        ({"prompt": "", "response": "x"}, "empty prompt"),
        ({"prompt": "Why?", "response": "\t"}, "empty response: response holds no text"),
        ({"response": "x"}, "has no prompt"),
    ],
    "prompts": [
        ({"prompt": 7}, "prompt is a number; wanted a string"),
        ({"prompt": [ASK, SAY]}, "the prompt ends with the assistant's turn; wanted the user's"),
        ({"prompt": "Why?", "key_facts": ["a"]},
         "key_facts is not a list of lists of strings: one list a fact, one string a form that says it"),
    ],
    "sharegpt": [
        ({"conversations": [{"from": "human", "value": "Hi"}]}, "no assistant turn, so nothing to train on"),
        ({"conversations": [{"from": "system", "value": "S"}, {"from": "gpt", "value": "x"}]},
         "the assistant speaks first, so there is no prompt"),
        ({"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"},
                            {"from": "gpt", "value": "x"}], "system": "T"},
         "has two system messages: the key system and the first turn"),
        ({}, "conversations is null; wanted a list of turns"),
    ],
    "chosen-rejected": [
        ({"prompt": "Why?", "chosen": "A", "rejected": "A"}, "chosen == rejected: nothing is preferred"),
        ({"prompt": "Why?", "chosen": "A", "rejected": " A\n"}, "chosen == rejected: nothing is preferred"),
        ({"prompt": "Why?", "chosen": "", "rejected": "A"}, "empty response: chosen holds no text"),
        ({"prompt": "Why?", "chosen": "A"}, "has no rejected"),
        ({"chosen": "A", "rejected": "B"},
         "has no prompt: no prompt, no conversations, and chosen and rejected are bare responses"),
        ({"chosen": [ASK, SAY], "rejected": [{"role": "user", "content": "Who?"}, SAY]},
         "chosen and rejected answer different prompts: they share no turn"),
        ({"chosen": [ASK, SAY], "rejected": [ASK, SAY, ASK, SAY]},
         "one of chosen and rejected is the beginning of the other"),
        ({"prompt": "Why?", "chosen": [ASK, SAY], "rejected": "No."},
         "of chosen and rejected one is a response and the other a whole conversation"),
        ({"prompt": "Who?", "chosen": [ASK, SAY], "rejected": [ASK, {"role": "assistant", "content": "No."}]},
         "prompt is not how chosen and rejected begin"),
        ({"prompt": "Why?", "chosen": "A", "rejected": "B", "margin": "big"},
         "margin is a string; wanted a finite number"),
        ({"prompt": "Why?", "chosen": "A", "rejected": "B", "margin": float("nan")},
         "holds the number nan, which is not JSON"),
    ],
}


@pytest.mark.parametrize("format", REFUSED)
@pytest.mark.parametrize("array", [False, True], ids=["lines", "array"])
def test_a_row_that_cannot_be_a_record_is_refused_with_its_reason(write, format, array):
    rows, wanted = zip(*REFUSED[format], strict=True)
    got = read_file(write(rows, array=array), format=format)
    assert reasons(got) == dict(enumerate(wanted, start=1))
    assert got.num_read == len(rows) and got.records == []


def test_lines_that_are_no_rows_are_refused_by_their_line_number(write):
    good = b'{"prompt": "Why?", "response": "Because."}'
    path = write(b"\n".join([good, b"", b'{"prompt": "Why?"', b"[1, 2]", b'{"prompt": "a\xff\xfeb", "response": "x"}',
                             b'{"prompt": "Why?", "response": Infinity}', b'{"prompt": "\\ud800", "response": "x"}',
                             b'"Why?"', b"   ", good + b"\r", b"null"]))
    got = read_file(path)
    assert len(got.records) == 2 and got.rows == [1, 10]
    assert reasons(got) == {
        3: "not JSON: Expecting ',' delimiter at column 18",
        4: "not an object but a list",
        5: "broken UTF-8: byte 14 of the row is 0xff",
        6: "holds the number inf, which is not JSON",
        7: "holds a lone surrogate: half of a character, which no UTF-8 text can hold",
        8: "not an object but a string",
        11: "not an object but null"}
    assert got.num_read == 9, "blank lines are no rows"


def test_a_broken_byte_in_an_array_costs_its_own_row_only(write):
    path = write('[{"prompt": "天", "response": "地"},\n {"prompt": "a'.encode() + b'\xe5", "response": "b"},\n'
                 b'{"prompt": "c", "response": "d"}]')
    got = read_file(path)
    assert got.rows == [1, 3] and reasons(got) == {2: "broken UTF-8: byte 14 of the row is 0xe5"}


def test_content_decides_between_array_and_lines_and_a_byte_order_mark_is_no_text(write):
    rows = [{"prompt": "为什么？", "response": "因为😀。"}, {"prompt": "Zeile\u2028zwei\x85drei", "response": "ok"}]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    array = json.dumps(rows, ensure_ascii=False, indent=2)
    wanted = [[("user", row["prompt"]), ("assistant", row["response"])] for row in rows]
    for content in (lines, array, "\ufeff" + lines, "\ufeff" + array, "\n\n" + array + "\n", lines.rstrip()):
        for name in ("rows.json", "rows.jsonl", "rows.txt"):
            got = read_file(write(content.encode(), name))
            assert [said(record.messages) for record in got.records] == wanted and not got.refusals


def test_keys_a_row_does_not_have_stay_absent(write):
    """Arrow's schema union fills missing keys with None (ms-swift#10125); here a row is read as it stands."""
    got = read_file(write([{"instruction": "a", "output": "b", "system": "s"}, {"instruction": "a", "output": "b"}]))
    assert [len(record.messages) for record in got.records] == [3, 2]


@pytest.mark.parametrize("content, wanted", [
    (b"", "is empty"), (b" \n\t\n", "is empty"), (b"[]", "has no rows"), (b"hello\nworld\n", "is not JSON"),
    (b'{"data": [\n{"prompt": "a"}\n]}', "is one object with the keys data"), (b"[1, 2]", "2 rows and none"),
    (b'[{"prompt": "a"}, {"prompt": ', "cannot be read from row 2 on"), (b"3", "is a number"),
    (b'[{"prompt": "a"} {"prompt": "b"}]', "breaks off after row 1"),
    (b'[{"prompt": "a"}] and more', "goes on after the end"), ("[]".encode("utf-16"), "UTF-16"),
    (b"PK\x03\x04\0\0", "is not text"), (b'{"said": "a"}\n', "Keys seen: said. Wanted one of: alpaca"),
])
def test_a_file_that_cannot_be_read_as_a_whole_says_why(write, content, wanted):
    with pytest.raises(DataError, match=wanted):
        read_file(write(content))


def test_a_missing_file_a_directory_and_an_unknown_format_are_errors(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_file(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is a directory"):
        read_file(tmp_path)
    with pytest.raises(DataError, match=r"no format 'csv'\. There are: alpaca"):
        read_file(tmp_path / "none.jsonl", format="csv")


def test_a_row_nested_beyond_reason_is_refused_and_stops_nothing(write):
    deep = '{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
    got = read_file(write(deep + '{"prompt": "a", "response": "b"}\n'))
    assert len(got.records) == 1 and reasons(got)[1].startswith(("not JSON: nested too deeply", "prompt 1 is a list"))


def test_a_mixed_file_takes_the_format_of_most_rows_and_refuses_the_others(write):
    rows = [{"instruction": "a", "output": "b"}] * 5 + [{"messages": [ASK, SAY]}, {"prompt": "a", "response": "b"}]
    got = read_file(write(rows))
    assert got.format == "alpaca" and len(got.records) == 5 and sorted(reasons(got)) == [6, 7]


GOOD: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "Add.", "input": "1", "output": "2"},
    "messages": {"messages": [ASK, SAY]},
    "prompt-response": {"prompt": "Why?", "response": "Because.", "id": "x"},
    "prompts": {"prompt": "Why?", "kind": "question", "key_facts": [["a"]]},
    "sharegpt": {"conversations": [{"from": "human", "value": "为什么"}, {"from": "gpt", "value": "因为"}]},
    "seed-tasks": {"id": "t", "name": "n", "instruction": "Add.", "instances": [{"input": "1", "output": "2"}] * 2},
    "text": {"text": "天地玄黄。", "licence": "CC0"},
    "labels": {"text": "Good.", "labels": ["praise", "short"]},
    "chosen-rejected": {"prompt": "Why?", "chosen": [SAY], "rejected": "No.", "margin": 0.5, "judgment_ids": ["j"]},
    "sharegpt-pairs": {"conversations": [{"from": "human", "value": "为什么"}], "chosen": {"from": "gpt", "value": "因为"},
                       "rejected": {"from": "gpt", "value": "不"}},
    "revisions": {"prompt": "Why?", "response": "No.", "critique": "No reason.", "revision": "Because.", "person": "ann"},
    "hh": {"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
    "marks": {"prompt": "Why?", "response": "No.", "marks": [{"start": 0, "end": 2, "mark": "wrong", "note": "Rude."}]},
    "critiques": {"prompt": "Why?", "response": "No.", "critique": "No reason."},
    "kto": {"messages": [ASK, SAY], "label": False, "weight": 2},
    "ratings": {"prompt": "Why?", "response": "Because.", "scores": {"helpful": 3, "correct": 0.5}, "person": "p"},
    "rankings": {"prompt": "Why?", "responses": ["a", "b", "c"], "ranks": [2, 1, 2]},
}
JUNK = [None, True, 0, -1.5, 1e400, "", " ", "😀", "\u2028", [], {}, [[]], [None], {"role": "user"}, "x" * 1000,
        [{"role": "user", "content": None}], {"from": "gpt", "value": "x"}]


@pytest.mark.parametrize("format", FORMATS)
def test_read_is_kept_plus_refused_whatever_the_rows_are(write, format):
    random_ = random.Random(f"nasty {format}")
    for _ in range(40):
        rows = [GOOD[format] if random_.random() < 0.3 else mutated(GOOD[format], random_, JUNK) for _ in range(12)]
        raw = [json.dumps(row, ensure_ascii=random_.random() < 0.5).encode() for row in rows]
        for number in range(len(raw)):
            if random_.random() < 0.2:      # damage the bytes themselves, but make no new lines
                place = random_.randrange(len(raw[number]))
                damage = bytes([random_.choice([c for c in range(1, 256) if c not in (10, 91)])])
                raw[number] = raw[number][:place] + damage + raw[number][place + 1:]
        raw.append(json.dumps(GOOD[format]).encode())
        got = read_file(write(b"\n".join(raw)), format=format)
        assert got.num_read == len(raw) == len({*got.rows}) + len(got.refusals)
        assert sorted([*{*got.rows}, *(refusal.row for refusal in got.refusals)]) == list(range(1, len(raw) + 1))
        assert all(refusal.reason.strip() and "\n" not in refusal.reason for refusal in got.refusals)
        for record in got.records:
            json.dumps(record.to_json(), allow_nan=False).encode()
            assert type(record).from_json(json.loads(json.dumps(record.to_json()))) == record


def test_records_have_the_ids_any_machine_gives_them(write):
    path: Path = write([{"instruction": "Add.", "input": "1 2", "output": "3"}])
    assert read_file(path).records[0].id == read_file(path, format="alpaca").records[0].id == "747ab8f04eafe5ff"
    assert read_file(path).records[0].messages[0] == Message.of("user", "Add.\n1 2")
