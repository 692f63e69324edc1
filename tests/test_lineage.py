"""Hashes and manifests: the same content has the same name, everywhere and at any time."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import ArtifactError
from tutelage.lineage import MANIFEST, Manifest, canonical_json, changed_files, content_hash, file_hash, tree_hashes


def manifest(**facts: Any) -> Manifest:
    return Manifest(**{"kind": "model", "name": "m", "stage": "sft", **facts})


def test_canonical_json_ignores_the_order_of_keys_and_keeps_every_letter() -> None:
    assert canonical_json({"b": 1, "a": "规"}) == '{"a":"规","b":1}'
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    # By hand: sha256 of the three bytes `[1]`.
    assert content_hash([1]) == hashlib.sha256(b"[1]").hexdigest()
    assert content_hash(["\ud800"]) != content_hash(["?"])            # half a surrogate pair, as broken files have


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_json_cannot_say_has_no_hash(number: float) -> None:
    with pytest.raises(ValueError):
        content_hash({"loss": number})


def test_file_and_tree_hashes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"abc")
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / MANIFEST).write_text("{}")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"      # FIPS 180-2, example B.1
    assert file_hash(tmp_path / "b" / "x") == abc
    assert tree_hashes(tmp_path) == {"a": hashlib.sha256().hexdigest(), "b/x": abc}


def test_a_manifest_made_twice_is_the_same_in_any_process() -> None:
    code = ("from tutelage.lineage import Manifest\n"
            "print(Manifest(kind='model', name='m', stage='sft', seeds={'a': 1, 'b': 2}).content_id)")
    other = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True,
                           text=True, check=True)
    assert other.stdout.strip() == manifest(seeds={"b": 2, "a": 1}).content_id


def test_a_manifest_holds_no_time_path_or_process(tmp_path: Path) -> None:
    text = canonical_json(manifest().to_json())
    assert str(Path(__file__).parent.parent) not in text and str(Path.home()) not in text
    assert not {"time", "date", "created", "pid", "host", "user"} & set(json.loads(text))


def test_the_key_is_what_was_asked_and_the_content_id_what_became_of_it() -> None:
    asked, done = manifest(seeds={"s": 1}), manifest(seeds={"s": 1}, facts={"loss": 0.5}, files={"a": "00"})
    assert asked.key == done.key and asked.content_id != done.content_id
    assert asked.key != manifest(seeds={"s": 2}).key


def test_a_manifest_comes_back_from_disk_equal(tmp_path: Path) -> None:
    made = manifest(parents={"data": "dataset/d@1#00"}, config={"betas": (0.9, 0.95), "nested": {"x": None}},
                    people={"ann": {"kind": "human", "judgments": 3}}, facts={"rows": 2, "名": "文"})
    made.write(tmp_path)
    assert Manifest.read(tmp_path).content_id == made.content_id
    assert Manifest.read(tmp_path).to_json() == made.to_json()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "m"}', '{"kind": "m", "name": "n", "stage": "s", "x": 1}'])
def test_a_broken_manifest_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(ArtifactError, match=r"has no manifest\.json"):
        Manifest.read(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json is not a manifest"):
        Manifest.read(tmp_path)


def test_changed_files_sees_each_kind_of_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    recorded = manifest(files=tree_hashes(tmp_path))
    assert changed_files(tmp_path, recorded) == []
    (tmp_path / "b").write_text("2")
    assert changed_files(tmp_path, recorded) == ["b"]
    (tmp_path / "a").unlink()
    assert changed_files(tmp_path, recorded) == ["a", "b"]
