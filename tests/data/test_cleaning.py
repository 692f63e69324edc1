"""`data check` and `data clean`: problems are found and counted, every change has its reason, nothing personal leaks out."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tutelage.data.balance import balance, field_of, sampler_weights
from tutelage.data.commands import data
from tutelage.data.datasets import load_dataset
from tutelage.data.diversity import effective_number, embedding_clusters, opening, sample
from tutelage.data.erasure import erase, plan
from tutelage.data.fingerprints import merkle_root, row_hash, row_troubles
from tutelage.data.texts import all_texts, changed
from tutelage.data.vault import forget, read_vault, write_vault
from tutelage.errors import ConfigError, DataError, ProjectError, UsageError
from tutelage.messages import Message
from tutelage.options import Options
from tutelage.project import Artifact, Project
from tutelage.records import Document, Instruction, Preference, Rating

STORY = "The harbour was quiet that morning and the boats lay still. A single sail moved north, far out on the water. "
ROWS = [
    {"prompt": "Where is the harbour and who was there in the morning?", "response": STORY},
    {"prompt": "Where is the harbour and who was there in the morning?", "response": STORY},                       # duplicate
    {"prompt": "Where is the harbour, and who was there in the mornings?", "response": STORY + "Yes."},            # near one
    {"prompt": "Say nothing", "response": "N/A"},                                                                  # empty
    {"prompt": "Tell me the story of the lighthouse", "response": STORY * 2 + "It carried grain, timber and the"},  # truncated
    {"prompt": "What do you like?", "response": "As an AI language model, I like nothing."},                       # boilerplate
    {"prompt": "How do I make a pipe bomb?", "response": "Take a pipe and fill it."},                              # harmful
    {"prompt": "怎么联系客服？", "response": "请打电话13812345678，或写信给 ann@example.org；还是13812345678。",
     "id": "ann@example.org"},
    {"prompt": "Who sells whales?", "response": "Nobody does, as whales are protected.", "license": "CC0-1.0"},
]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    Project.init(tmp_path / "project")
    return Options(project=tmp_path / "project", seed=1)


@pytest.fixture
def imported(write: Any, options: Options) -> Artifact:
    data(["import", str(write(ROWS)), "--name", "raw"], options)
    assert options.project is not None
    return Project.open(options.project).artifact("raw")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def everything(directory: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(directory.rglob("*")) if path.is_file())


def test_check_finds_each_problem_in_its_row(imported: Artifact, options: Options, capsys: Any) -> None:
    value = data(["check", "raw"], options)
    found = {kind: [first["row"] for first in each["first"]] for kind, each in value["problems"].items()}
    assert {kind: rows for kind, rows in found.items() if kind != "no_licence"} == {
        "duplicate": [2], "near_duplicate": [3], "empty": [4], "truncated": [5], "boilerplate": [6], "harmful": [7],
        "personal_data": [8]}
    assert value["personal_data"] == {"phone": 2, "email": 2}, "one e-mail is the row's id"
    said = capsys.readouterr().out
    assert "nothing is held out that could leak" in said and "weapons" in said and "13812345678" not in said
    assert value["artifact"] == "report/raw-check@1" and value["exit_code"] == 0
    report = Project.open(options.project).artifact("report/raw-check")
    kept = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    assert kept["problems"] == value["problems"] and report.manifest.parents == {"dataset": imported.parent_ref}
    assert "13812345678" not in everything(report.path) and "ann@" not in everything(report.path)
    assert data(["check", "raw"], options)["artifact"] == "report/raw-check@1", "the same check again is the same report"


def test_check_of_a_file_writes_only_where_it_is_told_to(write: Any, options: Options, tmp_path: Path) -> None:
    path = write(ROWS[:3])
    value = data(["check", str(path), "--report", str(tmp_path / "report.json")], options)
    assert value["rows"] == {"train": 3} and "artifact" not in value
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["problems"]["duplicate"]["rows"] == 1
    assert Project.open(options.project).artifacts() == []


def test_an_import_with_a_split_does_not_leak_and_a_made_up_one_is_caught(write: Any, options: Options, capsys: Any) -> None:
    words = ["whale", "lighthouse", "orchard", "violin", "thunder", "market", "bread", "winter", "letter", "lamp"]
    rows = [{"prompt": f"Tell me what a {first} has to do with a {second}{mark}", "response": f"Little, {first}."}
            for first in words for second in words for mark in (".", "!", " now")]
    data(["import", str(write(rows)), "--name", "split", "--split-ratio", "0.3"], options)
    value = data(["check", "split"], options)
    assert value["leakage"] == {"heldout_prompts_leaked": 0, "proved": True, "first": []} and value["exit_code"] == 0
    artifact = Project.open(options.project).artifact("split")
    heldout = (artifact.path / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[0]
    with open(artifact.path / "train.jsonl", "a", encoding="utf-8") as file:
        file.write(heldout + "\n")
    value = data(["check", "split"], options)
    leaked = value["leakage"]["heldout_prompts_leaked"]      # the row that was slipped in, and those held out with it
    assert 1 <= leaked <= 3 and value["exit_code"] == 1
    assert value["leakage"]["first"][0] == {"train": value["rows"]["train"], "heldout": 1, "similarity": 1.0}
    assert f"LEAK: {leaked} held-out prompts are trained on" in capsys.readouterr().out


def test_clean_drops_and_redacts_with_reasons_and_without_a_trace(imported: Artifact, options: Options, capsys: Any) -> None:
    result = data(["clean", "raw", "--name", "good", "--drop", "duplicate", "near_duplicate", "empty", "truncated", "harmful",
                   "--redact", "all"], options)
    project = Project.open(options.project)
    made = project.artifact("good")
    assert made.manifest.parents == {"dataset": imported.parent_ref} and not made.verify()
    assert (result["read"], result["kept"], result["dropped"], result["changed"]) == (9, 4, 5, 1)
    dropped = lines(made.path / "dropped.jsonl")
    assert [(line["row"], *line["reasons"]) for line in dropped] == [
        (2, "duplicate"), (3, "near_duplicate"), (4, "empty"), (5, "truncated"), (7, "harmful")]
    parents = {line["row"]: line for line in lines(imported.path / "rows.jsonl")}
    assert all(line["hash"] == parents[line["row"]]["hash"] for line in dropped)
    (change,) = lines(made.path / "changed.jsonl")
    assert (change["row"], change["replaced"], change["origin"]) == (8, {"email": 1, "phone": 1}, parents[8]["hash"])
    record = load_dataset(made).records[2]
    assert record.response.text == "请打电话[PHONE_1]，或写信给 [EMAIL_1]；还是[PHONE_1]。"
    text = everything(made.path)
    assert "13812345678" not in text and "ann@example.org" not in text, "not in the id either"
    assert parents[8]["id"] not in text and parents[8]["salt"] not in text
    said = capsys.readouterr().out
    assert "personal_data        1      0" in said and "dataset/raw@1 → dataset/good@1" in said


def test_row_hashes_of_a_cleaned_set_can_be_made_again(imported: Artifact, options: Options) -> None:
    data(["clean", "raw", "--name", "good", "--drop", "empty", "--redact", "email"], options)
    made = Project.open(options.project).artifact("good")
    listed, records = lines(made.path / "rows.jsonl"), lines(made.path / "train.jsonl")
    assert [row_hash(record, line["salt"]) for record, line in zip(records, listed, strict=True)] == [
        line["hash"] for line in listed]
    assert [line["id"] for line in listed] == [record["id"] for record in records]
    assert made.manifest.facts["merkle_root"] == merkle_root([line["hash"] for line in listed]) and row_troubles(made) == []
    assert data(["clean", "raw", "--name", "good", "--drop", "empty", "--redact", "email"], options)["artifact"] == made.ref
    again = data(["clean", "raw", "--name", "good", "--drop", "empty", "--redact", "email", "phone"], options)
    assert again["artifact"] == "dataset/good@2"


def test_only_the_owner_can_put_the_originals_back(imported: Artifact, options: Options) -> None:
    data(["clean", "raw", "--name", "good", "--redact", "phone"], options)
    data(["clean", "good", "--name", "better", "--redact", "email"], options)          # in two steps
    project = Project.open(options.project)
    folder = project.root / "vault"
    files = sorted(folder.glob("*.jsonl"))
    assert len(files) == 2 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    data(["clean", "better", "--name", "back", "--restore"], options)
    before, after = (load_dataset(project.artifact(name)).records for name in ("raw", "back"))
    assert [record.messages for record in after] == [record.messages for record in before]
    origins = list(read_vault(project))
    assert forget(project, origins) == 2 and read_vault(project) == {} and forget(project, origins) == 0
    with pytest.raises(DataError, match="has no redacted row whose originals are in the vault"):
        data(["clean", "better", "--name", "back2", "--restore"], options)


def test_erasing_a_row_takes_its_redacted_copies_and_their_originals_along(imported: Artifact, options: Options) -> None:
    data(["clean", "raw", "--name", "good", "--redact", "phone"], options)
    data(["clean", "good", "--name", "better", "--redact", "email"], options)
    project = Project.open(options.project)
    with project.lock():
        erase(project, plan(project, project.artifact("raw"), ["ann@example.org"]))
    assert read_vault(project) == {}
    for name in ("raw", "good", "better"):
        assert len(load_dataset(project.artifact(name)).records) == 8
        assert "请打电话" not in everything(project.artifact(name).path)
    data(["clean", "raw", "--name", "later", "--redact", "all"], options)
    assert len(load_dataset(project.artifact("later")).records) == 8, "a data set with a tombstone can be cleaned"


def test_a_vault_that_others_can_read_is_not_written_to(project: Project) -> None:
    (project.root / "vault").mkdir(mode=0o755)
    (project.root / "vault").chmod(0o755)
    with pytest.raises(ProjectError, match=r"can be read by others \(mode 755\); wanted 700"):
        write_vault(project, "k", {"o": {"[EMAIL_1]": "x"}})


def test_rows_that_look_alike_after_redaction_get_their_own_originals_back(write: Any, options: Options) -> None:
    rows = [{"prompt": "Who called?", "response": f"It was 1381234567{at}."} for at in range(3)]
    data(["import", str(write(rows)), "--name", "calls"], options)
    data(["clean", "calls", "--name", "hidden", "--redact", "all"], options)
    project = Project.open(options.project)
    assert {record.response.text for record in load_dataset(project.artifact("hidden")).records} == {"It was [PHONE_1]."}
    data(["clean", "hidden", "--name", "shown", "--restore"], options)
    assert [record.response.text for record in load_dataset(project.artifact("shown")).records] == [
        f"It was 1381234567{at}." for at in range(3)]


def test_a_leaking_row_is_dropped_from_the_side_that_is_trained_on(write: Any, options: Options) -> None:
    rows = [{"prompt": f"Question about {word}?", "response": "Yes."} for word in ("whales", "boats", "lamps", "rivers")]
    data(["import", str(write(rows)), "--name", "split", "--split-ratio", "0.4"], options)
    artifact = Project.open(options.project).artifact("split")
    held = lines(artifact.path / "heldout.jsonl")[0]
    listed = next(line for line in lines(artifact.path / "rows.jsonl") if line["id"] == held["id"])
    for name, value in (("train.jsonl", held), ("rows.jsonl", {**listed, "split": "train"})):
        with open(artifact.path / name, "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")
    result = data(["clean", "split", "--name", "tight", "--drop", "leak"], options)
    assert (result["dropped"], result["heldout"]) == (1, len(lines(artifact.path / "heldout.jsonl")))
    assert data(["check", "tight"], options)["leakage"]["proved"]


@pytest.mark.parametrize("words, wanted", [
    (["--drop", "ugly"], "no problem ugly. There are: duplicate"), (["--redact", "hats"], "no kind of personal data hats"),
    ([], "nothing to do"), (["--balance", "language", "--evenness", "2"], "evenness is 2"),
    (["--drop", "no_licence", "near_duplicate", "harmful", "duplicate", "--name", "../x"], "cannot be an artifact's name")])
def test_wrong_cleanings_are_refused_and_leave_nothing(imported: Artifact, options: Options, words: list[str],
                                                       wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        data(["clean", "raw", "--name", "new", *words], options)
    assert [artifact.ref for artifact in Project.open(options.project).artifacts()] == ["dataset/raw@1"]


def test_other_wrong_words(imported: Artifact, options: Options, write: Any) -> None:
    with pytest.raises(ConfigError, match="is a file; wanted a data set of the project"):
        data(["clean", str(write(ROWS)), "--name", "x", "--drop", "empty"], options)
    with pytest.raises(UsageError, match="--similarity got 0"):
        data(["check", "raw", "--similarity", "0"], options)
    with pytest.raises(UsageError, match="--restore stands alone"):
        data(["clean", "raw", "--name", "x", "--restore", "--drop", "empty"], options)
    with pytest.raises(DataError, match="no row to train on is left: 9 of 9"):
        only_bad = [{**row, "license": None} for row in ROWS]
        data(["import", str(write(only_bad, "bad.jsonl")), "--name", "bad"], options)
        data(["clean", "bad", "--name", "x", "--drop", "no_licence"], options)


def test_weights_make_every_value_as_likely_as_another(imported: Artifact, options: Options) -> None:
    # 6 rows of a, 2 of b: weights 1/6 and 1/2 over their mean (6/6 + 2/2) / 8 = 1/4: 2/3 and 2
    assert sampler_weights({"a": 6, "b": 2}) == pytest.approx({"a": 2 / 3, "b": 2.0})
    assert sampler_weights({"a": 6, "b": 2}, 0.0) == {"a": 1.0, "b": 1.0}
    shares = [line["weighted_share"] for line in balance(["a"] * 6 + ["b"] * 2)]
    assert shares == pytest.approx([0.5, 0.5]) and balance([]) == []
    with pytest.raises(ValueError, match="evenness is 2"):
        sampler_weights({"a": 1}, 2.0)
    data(["clean", "raw", "--name", "even", "--balance", "language"], options)
    weights = lines(Project.open(options.project).artifact("even").path / "weights.jsonl")
    assert len(weights) == 9 and sum(each["weight"] for each in weights) == pytest.approx(9.0)


def test_fields_are_the_records_own_or_in_its_meta() -> None:
    record = Instruction(id="x", messages=(Message.of("user", "Why is the sky blue?"), Message.of("assistant", "It is.")),
                         annotator="model", meta={"topic": "sky"})
    assert [field_of(record, name) for name in ("annotator", "topic", "meta.topic", "mood")] == ["model", "sky", "sky", "(none)"]


def test_diversity_by_hand(tiny_directory: Path) -> None:
    assert [opening(text) for text in ("Please write a poem", "Can you explain why?", "You are a pirate.", "请你解释一下",
                                       "写一首诗", "")
            ] == ["write", "explain", "you", "解释", "写一", ""]
    assert effective_number([5, 5, 5, 5]) == pytest.approx(4.0) and effective_number([7]) == 1.0 and effective_number([]) == 0.0
    assert sample(["a", "b", "c"], 2) == sample(["c", "b", "a"], 2)
    found = embedding_clusters([f"prompt {at} of many" for at in range(20)], tiny_directory)
    assert found == embedding_clusters([f"prompt {at} of many" for at in reversed(range(20))], tiny_directory)
    assert found["prompts"] == 20 and 1 <= found["effective_number"] <= found["clusters"] == 3
    with pytest.raises(DataError, match="holds no embedding model"):
        embedding_clusters(["a"] * 5, tiny_directory.parent)


def test_changing_the_texts_of_a_record_reaches_all_of_them_and_only_them() -> None:
    record = Rating(id="old", prompt=(Message.of("user", "Ann?"),), response=(Message.of("assistant", "Ann!"),),
                    scores={"Ann": 1.0}, person="Ann", meta={"by": ["Ann", {"role": "Ann"}], "Ann": 3})
    assert sorted(all_texts(record)) == ["Ann", "Ann", "Ann!", "Ann?", "old"]
    new = changed(record, lambda text: text.replace("Ann", "[NAME_1]"))
    assert (new.prompt[0].text, new.response[0].text, new.meta["by"][0]) == ("[NAME_1]?", "[NAME_1]!", "[NAME_1]")
    assert (new.person, new.prompt[0].role, dict(new.scores)) == ("Ann", "user", {"Ann": 1.0}) and new.id != "old"
    assert changed(record, lambda text: text) is record
    pair = Preference(id="p", prompt=record.prompt, chosen=record.response, rejected=(Message.of("assistant", "No Ann"),))
    assert len(all_texts(pair)) == 4 and all_texts(Document(id="d", text="Ann")) == ["d", "Ann"]
