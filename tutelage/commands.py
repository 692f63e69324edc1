"""Commands that walk artifacts of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.console import console
from tutelage.errors import UsageError
from tutelage.options import Options
from tutelage.project import Artifact, Project
from tutelage.runs.directory import run_path

_LINEAGE_HELP = """usage: tutelage lineage ARTIFACT

What an artifact was made from: its parents, their parents, and every run, file, template, seed and person on the way.
ARTIFACT is kind/name@version; the kind may be left out where the name is used once, the version for the newest."""



def lineage(arguments: list[str], options: Options) -> dict[str, Any]:
    """The graph below one artifact, printed as a tree and returned as nodes with their edges."""
    if "--help" in arguments or "-h" in arguments:
        return _help(_LINEAGE_HELP)
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise UsageError(f"lineage got {' '.join(arguments) or 'nothing'!r}; wanted one artifact. "
                         "See: tutelage lineage --help")
    project = Project.open(options.project)
    root = project.artifact(arguments[0])
    nodes: dict[str, dict[str, Any]] = {}
    _print_tree(project, root, "", "", set(), nodes)
    return {"artifact": root.ref, "nodes": nodes}


def _print_tree(project: Project, artifact: Artifact, role: str, indent: str, seen: set[str],
                nodes: dict[str, dict[str, Any]]) -> None:
    """One artifact and, below it, what it was made from. One that was shown before is only named again."""
    manifest, erased = artifact.manifest, project.ledger.erased_from(artifact.ref)
    console.print(f"{indent}{role}{artifact.ref}, made by {manifest.stage}, content {manifest.content_id[:12]}"
                  + (f", without {len(erased)} rows that were erased" if erased else "")
                  + (" (as above)" if artifact.ref in seen else ""))
    if artifact.ref in seen:
        return
    seen.add(artifact.ref)
    nodes[artifact.ref] = {"content_id": manifest.content_id, "stage": manifest.stage, "code": manifest.code,
                           "parents": dict(manifest.parents), "sources": dict(manifest.sources),
                           "people": dict(manifest.people), "template": manifest.template,
                           "seeds": dict(manifest.seeds), "erased": erased}
    below = indent + "  "
    run = run_path(project, manifest)
    if run.is_dir():
        nodes[artifact.ref]["run"] = run.name
        console.print(f"{below}run {run.name}")
    for name, digest in sorted(manifest.sources.items()):
        console.print(f"{below}{name}, sha256 {digest[:12]}")
    if manifest.template:
        console.print(f"{below}chat template, sha256 {manifest.template[:12]}")
    for name, seed in sorted(manifest.seeds.items()):
        console.print(f"{below}seed {name} = {seed}")
    for person, facts in sorted(manifest.people.items()):
        console.print(f"{below}{_person(person, facts)}")
    for parent_role, parent in sorted(manifest.parents.items()):
        found, trouble = project.parent(parent)
        if found is None or trouble:
            console.print(f"{below}{parent_role}: {trouble}")
        if found is not None:
            _print_tree(project, found, f"{parent_role}: ", below, seen, nodes)


def _person(person: str, facts: Any) -> str:
    if not isinstance(facts, Mapping):
        return f"annotator {person}: {facts}"
    rest = ", ".join(f"{value} {name}" for name, value in facts.items() if name != "kind")
    return f"annotator {person} ({facts.get('kind', 'kind not recorded')})" + (f": {rest}" if rest else "")


def _help(text: str) -> dict[str, Any]:
    console.print(text)
    return {}
