"""Records survive JSON unchanged, and their names come from what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tutelage.errors import DataError
from tutelage.messages import Message, Text, messages_from_json, messages_to_json, record_id
from tutelage.records import Document, Instruction, Label, Preference, Prompt, Ranking, Rating, Sample, Sampling, Thumb

ASK = Message.of("user", "你好?\n")
TELL = Message("assistant", (Text("one, "), Text("two")))
PROMPT = Prompt(id="p", messages=(ASK,), kind="fact", key_facts=(("two", "2"), ("三",)))
SAMPLE = Sample(id="s", prompt=PROMPT, prompt_ids=(1, 2), response_ids=(3, 4), logprobs=(-0.1, -2.5),
                response_mask=(True, True), text="two", ended=True, policy="model/m@1",
                sampling=Sampling(temperature=0.7, top_k=5, seed=9))


RECORDS = [
    ASK, TELL, PROMPT, SAMPLE,
    Prompt(id="q", messages=()),
    Document(id="d", text="你好", meta={"licence": "CC0-1.0"}),
    Instruction(id="i", messages=(ASK, TELL), annotator="model", tools=({"name": "clock"},), meta={"topic": "time"}),
    Label(id="l", text="hm", labels=("a", "b"), person="ada"),
    Ranking(id="k", prompt=(ASK,), responses=((TELL,), (ASK,)), ranks=(1, 1), meta={"language": "zh"}),
    Rating(id="g", prompt=(ASK,), response=(TELL,), scores={"helpful": 4.0}),
    Thumb(id="t", prompt=(ASK,), response=(TELL,), up=False),
    Preference(id="r", prompt=(ASK,), chosen=(TELL,), rejected=(Message.of("assistant", ""),), margin=0.5, label=0.9,
               weight=2.0, annotator="scripted", judgment_ids=("j1", "j2")),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_json_and_can_be_a_key(record: Any) -> None:
    again = type(record).from_json(json.loads(json.dumps(record.to_json())))
    assert again == record and {record: 1}[again] == 1


def test_what_is_as_usual_is_not_written() -> None:
    assert Thumb(id="t", prompt=(), response=(), up=True).to_json() == {"id": "t", "prompt": [], "response": [], "up": True}


def test_a_message_is_its_parts_and_reads_as_their_text() -> None:
    assert TELL.text == "one, two" and len(TELL.content) == 2
    assert Message.from_json({"role": "user", "content": "plain"}) == Message.of("user", "plain")
    assert messages_from_json(messages_to_json([ASK, TELL])) == (ASK, TELL)


def test_a_role_nobody_has_is_refused() -> None:
    with pytest.raises(DataError, match="role 'bot'; wanted one of system, user, assistant, tool"):
        Message.from_json({"role": "bot", "content": ""})


def test_an_instruction_is_a_prompt_and_the_wanted_response() -> None:
    instruction = Instruction(id="i", messages=(ASK, TELL))
    assert instruction.prompt == (ASK,) and instruction.response == TELL


def test_defaults_fill_what_older_files_lack() -> None:
    short = {"id": "r", "prompt": [], "chosen": [], "rejected": []}
    assert Preference.from_json(short) == Preference(id="r", prompt=(), chosen=(), rejected=())
    plain = {name: value for name, value in SAMPLE.to_json().items() if name not in ("policy", "sampling")}
    assert Sample.from_json(plain).sampling == Sampling()


def test_a_record_is_named_by_its_content() -> None:
    assert record_id("a", {"x": 1, "y": 2}) == record_id("a", {"y": 2, "x": 1})
    assert len({record_id("a"), record_id("b"), record_id("a", "b"), record_id(["a", "b"]), record_id("ab")}) == 5
    assert len(record_id("a")) == 16 and record_id("\ud800") != record_id("?")
