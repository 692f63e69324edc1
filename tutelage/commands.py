"""Commands that walk artifacts of every kind: `lineage` and `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.console import console
from tutelage.errors import ArtifactError, UsageError
from tutelage.options import Options
from tutelage.project import Artifact, Project

_LINEAGE_HELP = """usage: tutelage lineage ARTIFACT

What an artifact was made from: its parents, their parents, and every file, template, seed and person on the way.
ARTIFACT is kind/name@version; the kind may be left out where the name is used once, the version for the newest."""
_VERIFY_HELP = """usage: tutelage verify [ARTIFACT]

Recompute the hashes of one artifact, or of all, and name what is not as its manifest says: files, and parents that
are gone or are no longer the ones it was made from. Exit 1 if anything is."""


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
    manifest = artifact.manifest
    console.print(f"{indent}{role}{artifact.ref}, made by {manifest.stage}, content {manifest.content_id[:12]}"
                  + (" (as above)" if artifact.ref in seen else ""))
    if artifact.ref in seen:
        return
    seen.add(artifact.ref)
    nodes[artifact.ref] = {"content_id": manifest.content_id, "stage": manifest.stage, "code": manifest.code,
                           "parents": dict(manifest.parents), "sources": dict(manifest.sources),
                           "people": dict(manifest.people), "template": manifest.template,
                           "seeds": dict(manifest.seeds)}
    below = indent + "  "
    for name, digest in sorted(manifest.sources.items()):
        console.print(f"{below}{name}, sha256 {digest[:12]}")
    if manifest.template:
        console.print(f"{below}chat template, sha256 {manifest.template[:12]}")
    for name, seed in sorted(manifest.seeds.items()):
        console.print(f"{below}seed {name} = {seed}")
    for person, facts in sorted(manifest.people.items()):
        console.print(f"{below}{_person(person, facts)}")
    for parent_role, parent in sorted(manifest.parents.items()):
        found, trouble = _parent(project, parent)
        if found is None or trouble:
            console.print(f"{below}{parent_role}: {trouble}")
        if found is not None:
            _print_tree(project, found, f"{parent_role}: ", below, seen, nodes)


def _person(person: str, facts: Any) -> str:
    if not isinstance(facts, Mapping):
        return f"annotator {person}: {facts}"
    rest = ", ".join(f"{value} {name}" for name, value in facts.items() if name != "kind")
    return f"annotator {person} ({facts.get('kind', 'kind not recorded')})" + (f": {rest}" if rest else "")


def _parent(project: Project, parent: str) -> tuple[Artifact | None, str]:
    """The artifact that `kind/name@version#content_id` names, and what is wrong with it ("" if nothing)."""
    ref, _, content_id = parent.partition("#")
    try:
        found = project.artifact(ref)
    except ArtifactError:
        return None, f"{ref} is gone"
    if content_id and found.manifest.content_id != content_id:
        return found, f"{ref} is not the one this was made from: wanted content {content_id[:12]}"
    return found, ""


def verify(arguments: list[str], options: Options) -> dict[str, Any]:
    """Recompute the hashes of one artifact or all; the result's exit code is 1 if anything differs."""
    if "--help" in arguments or "-h" in arguments:
        return _help(_VERIFY_HELP)
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        raise UsageError(f"verify got {' '.join(arguments)!r}; wanted one artifact, or none for all of them.")
    project = Project.open(options.project)
    artifacts = [project.artifact(arguments[0])] if arguments else project.artifacts()
    changed: dict[str, list[str]] = {} if arguments else {"unreadable": [str(error) for error in project.damaged()]}
    changed = {ref: troubles for ref, troubles in changed.items() if troubles}
    with console.progress("verify", len(artifacts), "artifacts") as bar:
        for artifact in artifacts:
            troubles = _troubles(project, artifact)
            if troubles:
                changed[artifact.ref] = troubles
            bar.advance()
    for ref, troubles in changed.items():
        for trouble in troubles:
            console.print(f"{ref}: {trouble}")
    verdict = f"{len(changed)} of {len(artifacts)} are not as their manifests say." if changed else "all as recorded."
    console.print(f"{len(artifacts)} artifacts checked: {verdict}")
    return {"checked": [artifact.ref for artifact in artifacts], "changed": changed, "exit_code": 1 if changed else 0}


def _troubles(project: Project, artifact: Artifact) -> list[str]:
    troubles = []
    for name in artifact.verify():
        recorded, present = name in artifact.manifest.files, (artifact.path / name).exists()
        trouble = "changed" if recorded and present else "missing" if recorded else "not in the manifest"
        troubles.append(f"{name} is {trouble}")
    for role, parent in sorted(artifact.manifest.parents.items()):
        trouble = _parent(project, parent)[1]
        if trouble:
            troubles.append(f"its {role} {trouble}")
    return troubles


def _help(text: str) -> dict[str, Any]:
    console.print(text)
    return {}
