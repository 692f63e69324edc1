"""What a report's models descend from."""

from __future__ import annotations

from tutelage.lineage import Manifest
from tutelage.project import Artifact, Project
from tutelage.reporting.report import Node, lineage_node


def ancestors(project: Project, manifest: Manifest) -> list[Artifact]:
    """Every artifact `manifest` descends from, parents before children, each once."""
    found: dict[str, Artifact] = {}
    def visit(each: Manifest) -> None:
        for ref in each.parents.values():
            artifact, trouble = project.parent(ref)
            if artifact is not None and not trouble and artifact.ref not in found:
                visit(artifact.manifest)
                found[artifact.ref] = artifact

    visit(manifest)
    return list(found.values())


def lineage_tree(project: Project, ref: str, role: str = "") -> Node:
    """The node of `ref` ("kind/name@version#content") with all it was made from."""
    artifact, trouble = project.parent(ref)
    if artifact is None or trouble:
        return Node(ref=ref.partition("#")[0], role=role)
    parents = [lineage_tree(project, parent, name) for name, parent in artifact.manifest.parents.items()]
    return lineage_node(artifact.ref, artifact.manifest, parents, role)
