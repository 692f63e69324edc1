"""Preferences come in from files and go out again, and nothing is lost or made up on the way."""

import dataclasses
import json
from pathlib import Path

import pytest
from feedback_records import ANSWERS, say

from tutelage.data.sources import read_file
from tutelage.errors import StoreError, UsageError
from tutelage.feedback.aggregation import preferences
from tutelage.feedback.commands import feedback
from tutelage.feedback.exchange.giving import export_preferences
from tutelage.feedback.exchange.taking import import_preferences
from tutelage.feedback.scripted import enroll, judge, panel
from tutelage.messages import Message, record_id
from tutelage.options import Options
from tutelage.project import Project
from tutelage.records import Preference
from tutelage.store import Store


def prefer(better: str, worse: str, about: str = "Why?", **changes: object) -> Preference:
    prompt = (Message.of("user", about),)
    return Preference(id=record_id(about, better, worse), prompt=prompt, chosen=(Message.of("assistant", better),),
                      rejected=(Message.of("assistant", worse),), **changes)     # type: ignore[arg-type]


def plain(terms: list[Preference]) -> set[tuple[object, ...]]:
    return {(term.prompt, term.chosen, term.rejected, term.margin, term.label, term.annotator) for term in terms}


def test_imported_preferences_are_the_same_when_they_come_out(store: Store) -> None:
    store.add_person("crowd", "human", "A crowd")
    records = [prefer("Good.", "Bad."), prefer("Yes.", "No.", margin=1.0), prefer("甲", "乙", "谁？", margin=0.5)]
    taken = import_preferences(store, records, "crowd")
    assert (taken.num_records, taken.num_new, taken.num_known, taken.refused) == (3, 3, 0, ())
    assert plain(preferences(store)) == plain(records)
    again = import_preferences(store, [*records, records[0]], "crowd")
    assert (again.num_new, again.num_known) == (0, 4)


def test_imported_samples_say_that_nobody_knows_their_ids_or_their_policy(store: Store) -> None:
    store.add_person("judge", "model", "A judge")
    import_preferences(store, [prefer("Good.", "Bad.", annotator="model")], "judge", "model")
    assert store.counts() == {"comparison": {"model": 1}}
    for sample in store.samples():
        assert (sample.policy, sample.response_ids, sample.logprobs, sample.ended) == ("", (), (), True)


def test_the_winner_of_an_import_is_not_always_shown_on_one_side(store: Store) -> None:
    store.add_person("crowd", "human", "A crowd")
    import_preferences(store, [prefer(f"Good {i}.", f"Bad {i}.") for i in range(60)], "crowd")
    first = sum(judgment.answer["winner"] == "a" for judgment in store.judgments())
    assert 15 < first < 45


def test_what_cannot_be_one_persons_plain_answer_is_told(store: Store) -> None:
    store.add_person("crowd", "human", "A crowd")
    two = dataclasses.replace(prefer("Good.", "Bad."), chosen=(Message.of("assistant", "A"), Message.of("user", "B")))
    taken = import_preferences(store, [prefer("Same.", "Same."), two, prefer("X.", "Y.", annotator="scripted"),
                                       prefer("So.", "Not so.", label=0.7), prefer("Hm.", "Hum.", label=0.5),
                                       prefer("Ah.", "Oh.", label=0.2)], "crowd")
    assert [reason.split(";")[0] for _, reason in taken.refused] == [
        "chosen and rejected are the same response", "a response of 2 messages",
        "says that it was judged by a scripted annotator, not a human one"]
    assert (taken.num_new, taken.num_rounded) == (3, 2)
    labels = {term.chosen[0].text: term.label for term in preferences(store)}
    assert labels["So."] == 1.0 and labels["Oh."] == 1.0 and 0.5 in labels.values()


def test_an_import_by_nobody_known_keeps_nothing(store: Store) -> None:
    with pytest.raises(StoreError, match="does not know"):
        import_preferences(store, [prefer("Good.", "Bad.")], "nobody")
    assert store.num_samples() == 0 and store.counts() == {}


def test_an_export_is_read_back_by_the_data_room(store: Store, tmp_path: Path) -> None:
    members = panel(3, 0)
    enroll(store, members)
    by_prompt = {prompt.id: [say(prompt, text) for text in texts if text] for prompt, texts in ANSWERS.items()}
    store.add_judgments(judge(by_prompt, members, 0, 5, 3), samples=[s for each in by_prompt.values() for s in each])
    file = tmp_path / "out.jsonl"
    written, draws = export_preferences(store, file)
    terms = [term for term in preferences(store) if term.label > 0.5]
    assert (written, draws) == (len(terms), 0)
    read = read_file(file)
    assert read.refusals == [] and read.kind == "preference"
    back = [record for record in read.records if isinstance(record, Preference)]
    assert [(term.prompt, term.chosen, term.rejected, term.annotator) for term in back] == [
        (term.prompt, term.chosen, term.rejected, term.annotator) for term in terms]
    assert list(tmp_path.glob(".out*")) == []


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(project=Project.init(tmp_path / "project").root)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_command_imports_counts_and_exports(tmp_path: Path, options: Options,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "pairs.jsonl", [{"prompt": "Why?", "chosen": "So.", "rejected": "No."},
                                            {"prompt": "Who?", "chosen": "Ann.", "rejected": "Ann."},
                                            {"prompt": "Who?", "chosen": "Ann."}])
    result = feedback(["import", str(file), "--annotator", "model"], options)
    assert (result["num_read"], result["num_new"], result["num_refused"]) == (3, 1, 2)
    assert result["person"] == "model:pairs.jsonl"
    assert feedback(["import", str(file), "--annotator", "model"], options)["num_known"] == 1
    assert feedback(["stats"], options)["current"] == {"comparison": {"model": 1}}
    assert "model" in capsys.readouterr().out
    out = tmp_path / "out.jsonl"
    assert feedback(["export", "--to", str(out)], options)["num_rows"] == 1
    assert json.loads(out.read_text())["chosen"] == "So."


SKY = {"role": "user", "content": "Sky?"}
BLUE, GREEN = ({"role": "assistant", "content": text} for text in ("Blue.", "Green."))
THEIRS: dict[str, dict[str, object]] = {
    "HH": {"chosen": "\n\nHuman: Sky?\n\nAssistant: Blue.", "rejected": "\n\nHuman: Sky?\n\nAssistant: Green."},
    "TRL, a prompt by itself": {"prompt": [SKY], "chosen": [BLUE], "rejected": [GREEN]},
    "TRL, whole conversations": {"chosen": [SKY, BLUE], "rejected": [SKY, GREEN]},
    "TRL, KTO": {"prompt": [SKY], "completion": [BLUE], "label": True},
    "LLaMA-Factory, sharegpt": {"conversations": [{"from": "human", "value": "Sky?"}],
                                "chosen": {"from": "gpt", "value": "Blue."},
                                "rejected": {"from": "gpt", "value": "Green."}},
    "LLaMA-Factory, alpaca": {"instruction": "Sky?", "input": "", "chosen": "Blue.", "rejected": "Green."}}


@pytest.mark.parametrize("whose", THEIRS)
def test_judgments_in_the_files_of_others_come_in_by_the_command(whose: str, tmp_path: Path, options: Options) -> None:
    file = write(tmp_path / "theirs.jsonl", [THEIRS[whose]])
    assert feedback(["import", str(file)], options)["num_new"] == 1
    with Store.open(Project.open(options.project).store_place) as store:
        judgment, = store.judgments()
        texts = {sample.id: sample.text for sample in store.samples()}
    liked = "ab".index(str(judgment.answer["winner"])) if judgment.kind == "comparison" else 0
    assert texts[judgment.samples[liked]] == "Blue." and judgment.answer.get("up", True)


def test_the_command_says_what_is_wrong(tmp_path: Path, options: Options) -> None:
    with pytest.raises(UsageError, match="feedback"):
        feedback([], options)
    with pytest.raises(UsageError, match="--annotator"):
        feedback(["import", "x.jsonl", "--annotator", "scripted"], options)
    file = write(tmp_path / "rows.jsonl", [{"instruction": "Add 1 and 2.", "output": "3"}])
    with pytest.raises(ValueError, match="holds no preferences"):
        feedback(["import", str(file)], options)
    pairs = write(tmp_path / "pairs.jsonl", [{"prompt": "Why?", "chosen": "So.", "rejected": "No."}])
    feedback(["import", str(pairs), "--person", "ada"], options)
    with pytest.raises(StoreError, match="knows them as human"):
        feedback(["import", str(pairs), "--person", "ada", "--annotator", "model"], options)


def test_stats_of_an_empty_store_say_what_to_do(options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback(["stats"], options)["current"] == {}
    assert "feedback import FILE" in capsys.readouterr().out
