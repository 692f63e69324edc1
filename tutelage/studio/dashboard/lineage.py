"""What an artifact was made from and what was made from it, as a graph laid out in layers from left to right."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from tutelage.project import Artifact, Project

MOST_NODES = 60          # drawn; more cannot be read
SWEEPS = 6               # over the layers, to uncross edges


@dataclass(frozen=True, slots=True)
class Edge:
    """`parent` was the `role` of `child`: both are refs."""

    parent: str
    child: str
    role: str


Member = str | tuple[Edge, int]      # of a layer: a ref, or where a long edge passes through
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`known` has the artifact of each ref; a ref without one is gone. `left_out` are too far away to be drawn."""

    root: str
    refs: Sequence[str]
    edges: Sequence[Edge]
    known: Mapping[str, Artifact] = field(hash=False)
    left_out: int = 0


def family(project: Project, root: Artifact) -> Family:
    """All that `root` came from and all that came from it, the nearest first where there are too many."""
    known = {artifact.ref: artifact for artifact in project.artifacts()}
    edges = [Edge(str(parent).partition("#")[0], artifact.ref, role)
             for artifact in known.values() for role, parent in artifact.manifest.parents.items()]
    found = dict.fromkeys([root.ref])
    up = _reached(root.ref, _neighbours((edge.child, edge.parent) for edge in edges))
    down = _reached(root.ref, _neighbours((edge.parent, edge.child) for edge in edges))
    found.update(dict.fromkeys(ref for _, ref in sorted([*up, *down], key=lambda each: each[0])))
    refs = list(found)[:MOST_NODES]
    kept = set(refs)
    return Family(root=root.ref, refs=refs, edges=[edge for edge in edges if {edge.parent, edge.child} <= kept],
                  known=known, left_out=len(found) - len(refs))


def _neighbours(pairs: Iterable[tuple[Place, Place]]) -> dict[Place, list[Place]]:
    found: dict[Place, list[Place]] = {}
    for here, there in pairs:
        found.setdefault(here, []).append(there)
    return found


def _reached(start: str, neighbours: Mapping[str, Sequence[str]]) -> list[tuple[int, str]]:
    """(steps away, ref) of everything that can be reached, breadth first."""
    seen, found, waiting = {start}, [], deque([(0, start)])
    while waiting:
        distance, here = waiting.popleft()
        for there in neighbours.get(here, ()):
            if there not in seen:
                seen.add(there)
                found.append((distance + 1, there))
                waiting.append((distance + 1, there))
    return found


@dataclass(slots=True)
class Layout:
    """`layers` from left to right, each from top to bottom; `routes` has, for each edge, the members it goes by."""

    layers: list[list[Member]]
    routes: dict[Edge, list[Member]]


def layout(family: Family) -> Layout:
    """Parents left of their children, few crossings (layers by longest path, order by the mean place of neighbours)."""
    depth = _depths(family)
    layers: list[list[Member]] = [[] for _ in range(1 + max(depth.values()))]
    for ref in family.refs:
        layers[depth[ref]].append(ref)
    routes: dict[Edge, list[Member]] = {}
    for edge in family.edges:
        between: list[Member] = [(edge, at) for at in range(depth[edge.parent] + 1, depth[edge.child])]
        for at, member in zip(range(depth[edge.parent] + 1, depth[edge.child]), between, strict=True):
            layers[at].append(member)
        routes[edge] = [edge.parent, *between, edge.child]
    _uncross(layers, list(routes.values()))
    return Layout(layers, routes)


def _depths(family: Family) -> dict[str, int]:
    """The longest way from a ref that came from nothing here. A circle, which only a forged manifest can make, is cut."""
    parents = _neighbours((edge.child, edge.parent) for edge in family.edges)
    depth: dict[str, int] = {}

    def of(ref: str, above: frozenset[str]) -> int:
        if ref not in depth:
            above = above | {ref}
            depth[ref] = 1 + max((of(each, above) for each in parents.get(ref, ()) if each not in above), default=-1)
        return depth[ref]

    for ref in family.refs:
        of(ref, frozenset())
    return depth


def _uncross(layers: list[list[Member]], routes: Sequence[Sequence[Member]]) -> None:
    steps = [pair for route in routes for pair in pairwise(route)]
    before, after = _neighbours((right, left) for left, right in steps), _neighbours(steps)
    for sweep in range(SWEEPS):
        order, neighbours = (layers, before) if sweep % 2 == 0 else (layers[::-1], after)
        for fixed, moved in pairwise(order):
            moved[:] = _by_neighbours(moved, fixed, neighbours)


def _by_neighbours(moved: Sequence[Member], fixed: Sequence[Member],
                   neighbours: Mapping[Member, Sequence[Member]]) -> list[Member]:
    """A layer in the order of the mean place of its neighbours in the fixed one; those without stay about where they are."""
    places, own = _heights(fixed), _heights(moved)

    def height(member: Member) -> float:
        found = [places[each] for each in neighbours.get(member, ()) if each in places]
        return sum(found) / len(found) if found else own[member]

    return sorted(moved, key=height)


def _heights(layer: Sequence[Member]) -> dict[Member, float]:
    """From 0 at the top to 1; one alone stands in the middle."""
    return {member: at / (len(layer) - 1) if len(layer) > 1 else 0.5 for at, member in enumerate(layer)}
