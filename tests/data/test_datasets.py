"""Data-set artifacts: what was read is in them or listed as refused, equal prompts stay together, twice is once."""

from __future__ import annotations

import json

import pytest

from tutelage.data.datasets import builtin_names, builtin_path, load_dataset, resolve_dataset, write_dataset
from tutelage.data.fingerprints import merkle_root, prompt_key, row_hash
from tutelage.data.sources import read_file
from tutelage.data.splits import held_out
from tutelage.errors import ArtifactError, ConfigError, DataError
from tutelage.project import Project


@pytest.fixture
def project(tmp_path):
    return Project.init(tmp_path / "project")


def rows(n: int, prompts: int | None = None) -> list[dict[str, str]]:
    return [{"prompt": f"Question {i % (prompts or n)}?", "response": f"答案 {i} 😀."} for i in range(n)]


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_an_import_keeps_every_row_or_lists_it_as_refused(project, write):
    path = write([*rows(7), {"prompt": "x", "response": ""}, rows(1)[0]])
    artifact = write_dataset(project, "demo", [read_file(path)])
    assert artifact.ref == "dataset/demo@1" and not artifact.verify()
    facts = artifact.manifest.facts
    assert {key: facts[key] for key in ("records", "read", "kept", "refused", "train", "heldout", "duplicates")} == {
        "records": "instruction", "read": 9, "kept": 8, "refused": 1, "train": 8, "heldout": 0, "duplicates": 1}
    assert lines(artifact.path / "refusals.jsonl") == [
        {"file": "rows.jsonl", "row": 8, "reason": "empty response: response holds no text"}]
    assert [line["row"] for line in lines(artifact.path / "rows.jsonl")] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert artifact.manifest.sources == {"rows.jsonl": read_file(path).sha256}
    assert load_dataset(artifact).records == read_file(path).records
    with pytest.raises(ArtifactError, match="no split 'heldout'; it has train"):
        load_dataset(artifact, "heldout")


def test_the_same_import_again_is_the_same_artifact_and_another_is_another(project, write):
    path = write(rows(20))
    first = write_dataset(project, "demo", [read_file(path)], 0.2, 5)
    assert write_dataset(project, "demo", [read_file(path)], 0.2, 5).path == first.path
    assert write_dataset(project, "demo", [read_file(path)], 0.2, 6).ref == "dataset/demo@2"
    assert write_dataset(project, "other", [read_file(path)], 0.2, 5).ref == "dataset/other@1"
    elsewhere = Project.init(project.root.parent / "elsewhere")
    assert write_dataset(elsewhere, "demo", [read_file(path)], 0.2, 5).manifest.content_id == first.manifest.content_id


def test_equal_prompts_never_stand_on_both_sides_of_a_split(project, write):
    path = write([*rows(300, prompts=40), {"prompt": " Question  3?\n", "response": "again"}])
    artifact = write_dataset(project, "demo", [read_file(path)], 0.3, 1)
    sides = {split: {prompt_key(record) for record in load_dataset(artifact, split).records}
             for split in ("train", "heldout")}
    assert not sides["train"] & sides["heldout"] and len(sides["train"] | sides["heldout"]) == 40
    sizes = [len(load_dataset(artifact, split).records) for split in ("train", "heldout")]
    assert sum(sizes) == 301 and sizes == [artifact.manifest.facts[split] for split in ("train", "heldout")]
    assert [line["split"] for line in lines(artifact.path / "rows.jsonl")].count("heldout") == sizes[1]


def test_a_prompt_stays_on_its_side_when_the_file_is_reordered_or_grows(write):
    keys = [f"Question {i}?" for i in range(400)]
    apart = held_out(keys, 0.1, 0)
    assert held_out(reversed(keys), 0.1, 0) == apart and 20 <= len(apart) <= 60
    assert apart <= held_out([*keys, "more", "and more"], 0.1, 0)
    assert held_out(keys, 0.1, 1) != apart and held_out(keys, 0.0, 0) == set()


def test_a_small_split_leaves_no_side_empty():
    for ratio in (0.001, 0.5, 0.999):
        for n in (2, 3, 5):
            assert 0 < len(held_out([str(i) for i in range(n)], ratio, 0)) < n
    assert held_out(["only"], 0.5, 0) <= {"only"}


def test_row_hashes_can_be_made_again_and_guessing_needs_the_file(project, write):
    artifact = write_dataset(project, "demo", [read_file(write(rows(5)))])
    listed, records = lines(artifact.path / "rows.jsonl"), lines(artifact.path / "train.jsonl")
    assert [row_hash(record, line["salt"]) for record, line in zip(records, listed, strict=True)] == [
        line["hash"] for line in listed]
    assert artifact.manifest.facts["merkle_root"] == merkle_root([line["hash"] for line in listed])
    assert len({line["salt"] for line in listed}) == 5
    more = write_dataset(project, "more", [read_file(write([*rows(5), rows(6)[5]]))])
    assert not {line["salt"] for line in listed} & {line["salt"] for line in lines(more.path / "rows.jsonl")}


def test_the_merkle_root_by_hand():
    from hashlib import sha256
    a, b, c = (sha256(b"\0" + bytes([i]) * 32).digest() for i in (1, 2, 3))
    leaves = [(bytes([i]) * 32).hex() for i in (1, 2, 3)]
    assert merkle_root(leaves) == sha256(b"\1" + sha256(b"\1" + a + b).digest() + c).hexdigest()
    assert merkle_root(leaves[:1]) == a.hex() and merkle_root(leaves) != merkle_root(leaves[::-1])
    assert merkle_root([]) == sha256(b"").hexdigest()


def test_files_of_one_kind_join_and_keep_their_names(project, write, tmp_path):
    (tmp_path / "other").mkdir()
    second = tmp_path / "other" / "rows.jsonl"
    second.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a"}\n', encoding="utf-8")
    artifact = write_dataset(project, "both", [read_file(write(rows(3))), read_file(second)])
    assert list(artifact.manifest.sources) == ["rows.jsonl", "rows.jsonl#2"]
    assert artifact.manifest.config["formats"] == ["prompt-response", "alpaca"]
    assert lines(artifact.path / "refusals.jsonl") == [{"file": "rows.jsonl#2", "row": 2, "reason": "has no output"}]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "a"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="of the kinds instruction, prompt; wanted one kind"):
        write_dataset(project, "mixed", [read_file(second), read_file(prompts)])


def test_what_cannot_be_a_data_set_is_refused_and_leaves_nothing(project, write):
    with pytest.raises(DataError, match=r"no row was kept\. 2 times: empty response"):
        write_dataset(project, "none", [read_file(write([{"prompt": "x", "response": ""}] * 2))])
    with pytest.raises(ConfigError, match="split_ratio is 1"):
        write_dataset(project, "none", [read_file(write(rows(3)))], 1.0)
    with pytest.raises(ArtifactError, match="cannot be an artifact's name"):
        write_dataset(project, "../none", [read_file(write(rows(3)))])
    assert project.artifacts() == []


@pytest.mark.parametrize("kind, row", [
    ("instruction", {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "天"},
                                  {"role": "assistant", "content": "地\u2028\x85"}]}),
    ("preference", {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 0.5, "annotator": "model"}),
    ("prompt", {"id": "p", "prompt": "a", "kind": "k", "key_facts": [["x", "y"], ["z"]]})])
def test_records_of_every_kind_come_back_as_they_went_in(project, write, kind, row):
    imported = read_file(write([row]))
    artifact = write_dataset(project, "demo", [imported])
    named = [resolve_dataset(project, name) for name in ("demo", "demo@1", "dataset/demo@1")]
    for source in (artifact, artifact.path, *named):
        dataset = load_dataset(source)
        assert (dataset.kind, dataset.records) == (kind, imported.records)
        assert dataset.parents == {"dataset": artifact.parent_ref} and dataset.sources == {}
    assert artifact.manifest.facts["annotators"] == {"instruction": ["human"], "preference": ["model"], "prompt": []}[kind]


def test_a_name_is_a_built_in_an_artifact_or_a_file(project, write, monkeypatch):
    path = write(rows(3), "three.jsonl")
    monkeypatch.chdir(path.parent)
    assert resolve_dataset(project, str(path)) == path and resolve_dataset(project, "three.jsonl").is_file()
    loaded = load_dataset(path)
    assert (loaded.kind, len(loaded.records), loaded.parents) == ("instruction", 3, {})
    assert loaded.sources == {"three.jsonl": read_file(path).sha256}
    assert "instructions.zh" in builtin_names()
    assert resolve_dataset(project, "builtin:instructions.zh") == builtin_path("instructions.zh")
    for name, wanted in (("builtin:poems", "no built-in data set 'poems'"), ("hf:org/x", "on the hub"),
                         ("gone.jsonl", "does not exist")):
        with pytest.raises(DataError, match=wanted):
            resolve_dataset(project, name)
    with pytest.raises(ArtifactError, match="no artifact 'nothing'"):
        resolve_dataset(project, "nothing")


def test_a_plain_file_with_refused_rows_is_not_trained_on_silently(write):
    with pytest.raises(DataError, match=r"1 of 3 rows that are no records \(first: row 3: empty response"):
        load_dataset(write([*rows(2), {"prompt": "x", "response": ""}]))


def test_an_artifact_that_was_changed_by_hand_says_so(project, write):
    artifact = write_dataset(project, "demo", [read_file(write(rows(3)))])
    with open(artifact.path / "train.jsonl", "a", encoding="utf-8") as file:
        file.write("{}\n")
    assert artifact.verify() == ["train.jsonl"]
    with pytest.raises(ArtifactError, match="line 4, is no instruction"):
        load_dataset(artifact)


def test_the_merkle_root_of_rows_that_come_one_by_one_is_the_same():
    from tutelage.data.writer import _Merkle
    leaves = [bytes([number]) * 32 for number in range(70)]
    for count in range(70):
        merkle = _Merkle()
        for leaf in leaves[:count]:
            merkle.add(leaf)
        assert merkle.root() == merkle_root([leaf.hex() for leaf in leaves[:count]])
