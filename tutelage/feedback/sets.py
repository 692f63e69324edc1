"""A preference set: the project's judgments at one moment as a data set, with soft labels and weights, hashed and versioned.

    train.jsonl, heldout.jsonl   one `Preference` a line, with the ids of the judgments it was made of
    rows.jsonl                   one line a preference: id, file, row, split, salt, hash (as in every data set)

Reward training reads it by name, and its manifest says whose judgments went in, by which method, and the digests of all
that was in the store and of the preferences it made. Made again from the same judgments it is the same artifact; new
judgments make the next version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.data.fingerprints import fingerprint, merkle_root, prompt_key
from tutelage.data.splits import held_out
from tutelage.errors import ConfigError, DataError
from tutelage.feedback.gathering import gather
from tutelage.lineage import Manifest, content_hash
from tutelage.project import Artifact, Project, check_name
from tutelage.records import AnnotatorKind, Preference
from tutelage.store import Store

FORMAT = "chosen-rejected"         # what `tutelage data export` writes it as
SOURCE = "judgments"


def make_preference_set(project: Project, store: Store, name: str, method: str = "vote",
                        annotator: AnnotatorKind | None = None, split_ratio: float = 0.0, seed: int = 0) -> Artifact:
    """Write the current preferences as the next version of `dataset/NAME`, or give the one that holds just them.

    Args:
        method: vote or reliability, as `aggregation.preferences` takes it.
        annotator: judgments of this kind of annotator only.
        split_ratio: share of prompts held out.
    Raises:
        DataError: if there is no preference; ConfigError: if `split_ratio` is not in [0, 1).
    """
    check_name(name)
    if not 0.0 <= split_ratio < 1.0:
        raise ConfigError(f"split_ratio is {split_ratio}; wanted at least 0 and under 1.")
    gathered = gather(project, store, annotator, method)
    terms = [term for term in gathered.terms if isinstance(term, Preference)]
    if not terms:
        raise DataError("there is no judgment that says which of two responses is better. "
                        "Bring some in: tutelage feedback import")
    who = {id: facts for id, facts in gathered.people.items() if annotator in (None, facts["kind"])}
    # The judgments alone do not say it all: one may have been withdrawn, or overruled by a reviewer, since.
    sources = {SOURCE: store.digest(), "preferences": content_hash([term.id for term in terms])}
    manifest = Manifest(kind="dataset", name=name, stage="feedback", sources=sources,
                        parents=gathered.parents, people=who,
                        config={"method": method, "annotator": annotator or "all", "split_ratio": split_ratio,
                                "formats": [FORMAT]}, seeds={"split": seed})
    if (known := project.made_from(manifest.key)) is not None:
        return known
    apart = held_out({prompt_key(term) for term in terms}, split_ratio, seed)
    splits = ["heldout" if prompt_key(term) in apart else "train" for term in terms]
    lines = [{**line, "file": SOURCE, "split": split}
             for line, split in zip(fingerprint([(term.to_json(), ()) for term in terms]), splits, strict=True)]
    facts = {"records": "preference", "kept": len(terms), "train": splits.count("train"), "heldout": splits.count("heldout"),
             "judgments": len({id for term in terms for id in term.judgment_ids}),
             "draws": sum(term.label == 0.5 for term in terms), "annotators": sorted({term.annotator for term in terms}),
             "merkle_root": merkle_root([line["hash"] for line in lines])}
    with project.writing(replace(manifest, facts=facts)) as draft:
        for split in ("train", "heldout") if split_ratio > 0 else ("train",):
            _write(draft / f"{split}.jsonl",
                   (term.to_json() for term, side in zip(terms, splits, strict=True) if side == split))
        _write(draft / "rows.jsonl", lines)
    return draft.artifact


def _write(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
