"""The pages of artifacts: all of them, one with its manifest, files and lineage, and the reports as they were written."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from tutelage.lineage import canonical_json
from tutelage.project import KINDS, Artifact, Project
from tutelage.runs.directory import run_path
from tutelage.studio.dashboard import picture
from tutelage.studio.dashboard.lineage import Family, family
from tutelage.studio.dashboard.pages import LEADS, render
from tutelage.web import Refused, Routes
from tutelage.web.i18n import N_
from tutelage.web.middleware import SANDBOX
from tutelage.web.pages import say

REPORTS = {"report.html": "en", "report.zh.html": "zh-CN"}      # file -> its language
LARGEST_REPORT = 32 << 20
KIND_NAMES = {"dataset": N_("Data sets"), "samples": N_("Samples"), "model": N_("Models"), "classifier": N_("Classifiers"),
              "reward": N_("Reward models"), "report": N_("Reports")}
ANNOTATORS = {"human": N_("people"), "model": N_("models"), "scripted": N_("scripts")}
_LICENCES = ("licence", "license", "licences", "licenses")


def add_routes(routes: Routes, project: Project) -> None:
    @routes.get("/artifacts", roles=LEADS)
    def all_artifacts(request: Request) -> Response:
        there = project.artifacts()
        by_kind = [(KIND_NAMES[kind], found[::-1]) for kind in reversed(KINDS)
                   if (found := [each for each in there if each.kind == kind])]
        damaged = [str(error).replace(str(project.root), ".") for error in project.damaged()]
        return render(request, "artifacts", by_kind=by_kind, damaged=damaged)

    @routes.get("/artifacts/{kind}/{name}/{version}", roles=LEADS)
    def page(request: Request, kind: str, name: str, version: str) -> Response:
        return _page(request, project, _artifact(project, kind, name, version))

    @routes.get("/artifacts/{kind}/{name}/{version}/{file}", roles=LEADS)
    def report(request: Request, kind: str, name: str, version: str, file: str) -> Response:
        return _report(_artifact(project, kind, name, version), file)


def _artifact(project: Project, kind: str, name: str, version: str) -> Artifact:
    """Found among those that are there by its whole name: what is in the address never becomes part of a path."""
    found = [each for each in project.artifacts(kind) if each.ref == f"{kind}/{name}@{version}"] if kind in KINDS else []
    if not found:
        raise Refused(404, N_("There is no such artifact."))
    return found[0]


def _page(request: Request, project: Project, artifact: Artifact) -> Response:
    manifest, kin = artifact.manifest, family(project, artifact)
    run = run_path(project, manifest)
    label = say(request, "Where %(ref)s comes from and what was made from it", ref=artifact.ref)
    drawn = picture.draw(kin, label, say(request, "gone"))
    return render(
        request, "artifact", artifact=artifact, manifest=manifest, picture=drawn, kin=kin, rows=_relations(kin),
        run=run.name if run.is_dir() else "", files=_files(artifact), facts=_flat(manifest.facts),
        settings=_flat(manifest.config), licences=_licences(project, kin), people=_people(artifact), annotators=ANNOTATORS,
        reports=[(file, language) for file, language in REPORTS.items() if file in artifact.files],
        erased=project.ledger.erased_from(artifact.ref), as_text=_as_text)


def _relations(kin: Family) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(ref, what made it, its parents with their roles): the picture in words."""
    return [(ref, kin.known[ref].manifest.stage if ref in kin.known else "",
             [(edge.role, edge.parent) for edge in kin.edges if edge.child == ref]) for ref in kin.refs]


def _files(artifact: Artifact) -> list[tuple[str, int | None, str]]:
    """(name, bytes, sha256) as the manifest has them; None for a file that is not there."""
    found: list[tuple[str, int | None, str]] = []
    for name, digest in sorted(artifact.files.items()):
        path = artifact.path / name
        found.append((name, path.lstat().st_size if path.is_file() else None, digest))
    return found


def _people(artifact: Artifact) -> list[tuple[str, int, int]]:
    """(kind of annotator, how many, their judgments): who they are stays in the manifest."""
    found: dict[str, tuple[int, int]] = {}
    for facts in artifact.manifest.people.values():
        kind = str(facts.get("kind", "")) if isinstance(facts, dict) else ""
        judgments = int(facts.get("judgments", 0)) if isinstance(facts, dict) else 0
        number, total = found.get(kind, (0, 0))
        found[kind] = number + 1, total + judgments
    return [(kind, number, total) for kind, (number, total) in sorted(found.items())]


def _licences(project: Project, kin: Family) -> list[tuple[str, str]]:
    """(what, its licence) of the artifact and all it came from, where it is known: facts of manifests, built-in models."""
    from tutelage.models.builtin import BUILTIN

    found: dict[str, str] = {}
    for artifact in (kin.known[ref] for ref in _ancestors(kin) if ref in kin.known):
        for key in _LICENCES:
            if stated := artifact.manifest.facts.get(key):
                found[artifact.ref] = _as_text(stated)
        for source in artifact.manifest.sources:
            name = source.rpartition(" ")[2]
            if name in BUILTIN:
                found[name] = BUILTIN[name].licence
    return sorted(found.items())


def _ancestors(kin: Family) -> list[str]:
    """The root's own ref and those of everything it came from."""
    found = [kin.root]
    for ref in found:
        found += [edge.parent for edge in kin.edges if edge.child == ref and edge.parent not in found]
    return found


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, dict) or not value:
        return [(prefix, _as_text(value))] if prefix else []
    return [each for name, inner in value.items() for each in _flat(inner, f"{prefix}.{name}" if prefix else str(name))]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else canonical_json(value)


def _report(artifact: Artifact, file: str) -> Response:
    """The report as it was written, as a page that belongs to nobody: no script runs on it, not even its own, and it can ask
    for nothing. Only files that the manifest lists, and only the names a report has."""
    path = artifact.path / file
    if file not in REPORTS or file not in artifact.files or path.is_symlink() or not path.is_file():
        raise Refused(404, N_("There is no such report."))
    if path.stat().st_size > LARGEST_REPORT:
        raise Refused(413, N_("The report is too large to be shown here."))
    return Response(path.read_bytes(), media_type="text/html; charset=utf-8", headers={"content-security-policy": SANDBOX})

