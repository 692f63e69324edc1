"""`tutelage data check NAME|FILE` and `tutelage data clean NAME`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.console import console
from tutelage.data.datasets import load_dataset, resolve_dataset
from tutelage.errors import ConfigError, UsageError
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Artifact, Project

if TYPE_CHECKING:
    from tutelage.data.filters import Filters

REPORT = "report.json"


def add_parsers(commands: Any) -> None:
    checking = commands.add_parser("check", help="duplicates, personal data, harmful content, leaks …", epilog=COMMON_HELP)
    checking.add_argument("name", metavar="NAME", help="a data set, a built-in one, or a file")
    _add_filters(checking)
    checking.add_argument("--by", nargs="+", default=["language"], metavar="FIELD",
                          help="fields to show the balance of: language, annotator, kind, a key of the rows (default language)")
    checking.add_argument("--evenness", type=float, default=1.0, metavar="E",
                          help="of sampler weights: 1 draws every value equally often, 0 as it stands (default 1)")
    checking.add_argument("--embeddings", type=Path, metavar="DIR", help="an embedding model, to cluster the prompts by")
    checking.add_argument("--report", type=Path, metavar="FILE", help="write report.json here as well")
    cleaning = commands.add_parser("clean", help="a new data set without some rows or without personal data", epilog=COMMON_HELP)
    cleaning.add_argument("source", metavar="NAME", help="a data set of the project")
    cleaning.add_argument("--name", required=True, metavar="NEW", help="of the new data set")
    cleaning.add_argument("--drop", nargs="+", default=[], metavar="KIND", help="drop rows with these problems (see data check)")
    cleaning.add_argument("--redact", nargs="+", default=[], metavar="KIND",
                          help="put placeholders for personal data of these kinds, or `all`, into the rows that stay")
    cleaning.add_argument("--balance", default="", metavar="FIELD", help="write sampler weights by the values of a field")
    cleaning.add_argument("--evenness", type=float, default=1.0, metavar="E", help="of the weights, 0 to 1 (default 1)")
    cleaning.add_argument("--restore", action="store_true", help="put the originals of a redacted data set back instead")
    _add_filters(cleaning)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--language", default="", metavar="CODE", help="the one wanted: zh, en … (default: as the prompt)")
    parser.add_argument("--similarity", type=float, metavar="S", help="from which texts are near duplicates (default 0.8)")
    parser.add_argument("--confidence", type=float, metavar="C", help="of personal data, 0 to 1 (default 0.5)")
    parser.add_argument("--harm-rules", type=Path, metavar="FILE", help="TOML with harm rules (default: built in)")
    parser.add_argument("--classifier", metavar="C", help="file.py:function, or the directory of a sequence classifier")


def _filters(words: argparse.Namespace) -> Filters:
    from tutelage.data.filters import Filters
    from tutelage.data.harmful import load_classifier, read_rules

    for name, value in (("similarity", words.similarity), ("confidence", words.confidence)):
        if value is not None and not 0.0 < value <= 1.0:
            raise UsageError(f"--{name} got {value}; wanted over 0 and at most 1.")
    given = {"threshold": words.similarity, "min_confidence": words.confidence}
    return Filters(language=words.language, harm_rules=read_rules(words.harm_rules),
                   classifier=load_classifier(words.classifier) if words.classifier else None,
                   **{name: value for name, value in given.items() if value is not None})


def check(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    """Examine a data set or a file. Of a data set of the project the report becomes an artifact."""
    from tutelage.data.checking import report
    from tutelage.data.diversity import embedding_clusters
    from tutelage.data.filters import entries_of, examine
    from tutelage.data.texts import prompt_text

    if not 0.0 <= words.evenness <= 1.0:
        raise UsageError(f"--evenness got {words.evenness}; wanted 0 to 1.")
    filters = _filters(words)
    project = Project.open(options.project)
    source = resolve_dataset(project, words.name)
    entries = entries_of(_splits(source))
    with console.progress("check", len(entries), "rows") as bar:
        value = report(examine(entries, filters, bar.advance), words.by, words.evenness)
    if words.embeddings:
        prompts = [text for entry in entries if (text := prompt_text(entry.record))]
        value["diversity"]["embedding_clusters"] = embedding_clusters(prompts, words.embeddings, options.seed or 0)
    value = {"name": words.name, **value}
    _show(value)
    if isinstance(source, Artifact):
        value["artifact"] = _keep(project, source, value, {**filters.to_json(), "by": words.by, "evenness": words.evenness,
                                                           "embeddings": bool(words.embeddings), "seed": options.seed or 0})
        console.print(f"{value['artifact']}: all of it, in {REPORT}")
    if words.report:
        words.report.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return value | {"exit_code": 1 if value["leakage"]["heldout_prompts_leaked"] else 0}


def _splits(source: Artifact | Path) -> dict[str, list[Any]]:
    if not isinstance(source, Artifact):
        return {"train": load_dataset(source).records}
    return {split: load_dataset(source, split).records for split in ("train", "heldout")
            if (source.path / f"{split}.jsonl").is_file()}


def _keep(project: Project, source: Artifact, value: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    from tutelage.lineage import Manifest

    manifest = Manifest(kind="report", name=f"{source.name[:90]}-check", stage="check", parents={"dataset": source.parent_ref},
                        config=config, facts={"problems": {kind: each["rows"] for kind, each in value["problems"].items()}})
    with project.lock():
        if (existing := project.made_from(manifest.key)) is not None:
            return existing.ref
        with project.writing(manifest) as draft:
            (draft / REPORT).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return draft.artifact.ref


def _show(value: Mapping[str, Any]) -> None:
    from tutelage.data.checking import row_lines

    rows = ", ".join(f"{count} {split}" for split, count in value["rows"].items())
    console.table(f"{value['name']}: {rows}", ["problem", "rows", "share", "first", "what"], row_lines(value))
    console.print()
    if value["personal_data"]:
        console.print("Personal data: " + ", ".join(f"{kind} {count}" for kind, count in value["personal_data"].items()))
    console.print(_leakage_line(value["leakage"], value["rows"]))
    pairs = value["near_duplicate_pairs"]
    console.print(f"Near-duplicate pairs: {pairs['within']} within a split, {pairs['across']} across")
    for side, each in value["lengths"].items():
        if each:
            console.print(f"Length of a {side} in words or Han characters: {each['min']:.0f} to {each['max']:.0f}, half under "
                          f"{each['median']:.0f}, 95 % under {each['p95']:.0f}")
    _show_diversity(value["diversity"])
    for opening, count in value["frames"].items():
        console.print(f"Frame: {count} responses begin with \"{opening}\"")
    for name, lines in value["balance"].items():
        console.print()
        shown = lines[:12]
        console.table(f"Balance by {name}", ["value", "rows", "share", "weight", "share drawn"],
                      [[each["value"][:40], each["rows"], f"{each['share']:.1%}", f"{each['weight']:.3g}",
                        f"{each['weighted_share']:.1%}"] for each in shown])
        if len(lines) > len(shown):
            console.print(f"… and {len(lines) - len(shown)} more values")
    console.print()


def _leakage_line(leakage: Mapping[str, Any], rows: Mapping[str, int]) -> str:
    if leakage["heldout_prompts_leaked"]:
        first = leakage["first"][0]
        return (f"LEAK: {leakage['heldout_prompts_leaked']} held-out prompts are trained on, or nearly (first: heldout "
                f"{first['heldout']} is {first['similarity']:.2f} like train {first['train']})")
    if leakage["proved"]:
        return "No held-out prompt, nor one nearly like it, is trained on."
    return f"One split only ({', '.join(rows)}): nothing is held out that could leak."


def _show_diversity(value: Mapping[str, Any]) -> None:
    openings = value["openings"]
    if openings["different"]:
        top = ", ".join(f"{word} {count}" for word, count in list(openings["top"].items())[:8])
        console.print(f"Prompts begin in {openings['different']} ways (as varied as {openings['effective_number']:.0f} equally "
                      f"common ones): {top}")
    if value["texts"]:
        console.print(f"Distinct 1- and 2-grams of {value['texts']} responses: {value['distinct_1_responses']:.3f}, "
                      f"{value['distinct_2_responses']:.3f}")
    if clusters := value.get("embedding_clusters"):
        console.print(f"Embeddings of {clusters['prompts']} prompts: {clusters['clusters']} clusters, as even as "
                      f"{clusters['effective_number']:.1f}; the largest has {clusters['largest_share']:.1%}")


def clean(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    from tutelage.data.cleaning import Cleaning, restored
    from tutelage.data.cleaning import clean as make_clean
    from tutelage.privacy import KINDS

    project = Project.open(options.project)
    source = resolve_dataset(project, words.source)
    if not isinstance(source, Artifact):
        raise ConfigError(f"{words.source} is a file; wanted a data set of the project. Import it first: "
                          f"tutelage data import {words.source}")
    if words.restore:
        if words.drop or words.redact or words.balance:
            raise UsageError("--restore stands alone: it puts originals back and does nothing else.")
        with project.lock():
            made = restored(project, source, words.name)
        console.print(f"{made.ref}: {made.manifest.facts['changed']} rows have their originals back, in {made.path}")
        return {"artifact": made.ref, "path": str(made.path), **made.manifest.facts}
    redact = KINDS if "all" in words.redact else tuple(words.redact)
    cleaning = Cleaning(drop=tuple(words.drop), redact=redact, filters=_filters(words), balance=words.balance,
                        evenness=words.evenness)
    total = sum(int(source.manifest.facts.get(split, 0)) for split in ("train", "heldout"))
    with project.lock(), console.progress("clean", total, "rows") as bar:
        made, examination, left = make_clean(project, source, words.name, cleaning, bar.advance)
    before = examination.counts()
    console.table(f"{source.ref} → {made.ref}", ["", "before", "after"], _before_after(source, made, before, left))
    console.print(f"Dropped {made.manifest.facts['dropped']}, redacted {made.manifest.facts['changed']} rows; reasons in "
                  f"{made.path / 'dropped.jsonl'} and {made.path / 'changed.jsonl'}")
    if made.manifest.facts["changed"]:
        console.print(f"Originals are in {project.root / 'vault'}, for the project's owner alone; {source.ref} has them too.")
    return {"artifact": made.ref, "path": str(made.path), **made.manifest.facts}


def _before_after(source: Artifact, made: Artifact, before: Mapping[str, int],
                  left: Mapping[str, int]) -> Sequence[Sequence[Any]]:
    rows = [[f"rows, {split}", source.manifest.facts.get(split, 0), made.manifest.facts.get(split, 0)]
            for split in ("train", "heldout")]
    return rows + [[kind, count, left.get(kind, 0)] for kind, count in before.items()]
