"""A family of artifacts drawn as SVG: boxes that are links, lines between them. Colours come from the stylesheet by class."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from markupsafe import Markup, escape

from tutelage.reporting.showable import showable
from tutelage.studio.dashboard.lineage import Edge, Family, Layout, layout

WIDTH, HEIGHT = 176.0, 46.0       # of a box
ACROSS, DOWN = 62.0, 16.0         # between boxes
PASSING = 10.0                    # height of a long edge's place in a layer
MARGIN = 8.0
LONGEST = 24                      # characters in a box

Say = Callable[[str], str]
Places = dict[object, tuple[float, float]]      # member of the layout -> left end, middle


def address(ref: str) -> str:
    """The page of an artifact."""
    kind, _, rest = ref.partition("/")
    name, _, version = rest.partition("@")
    return f"/artifacts/{quote(kind, safe='')}/{quote(name, safe='')}/{quote(version, safe='')}"


def draw(family: Family, label: str, gone: str) -> Markup:
    """The whole picture. `label` says what it is, `gone` is the word for what is no longer there."""
    laid = layout(family)
    places, width, height = _places(laid)
    lines = Markup("").join(_line(edge, [places[member] for member in route]) for edge, route in laid.routes.items())
    refs = [member for layer in laid.layers for member in layer if isinstance(member, str)]
    boxes = Markup("").join(_box(family, ref, places[ref], gone) for ref in refs)
    return Markup('<svg class="lineage" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}" role="figure" '
                  'aria-label="{label}">{inside}</svg>').format(w=width, h=height, label=showable(label), inside=lines + boxes)


def _places(laid: Layout) -> tuple[Places, float, float]:
    """Where everything stands; each layer in the middle of the height."""
    heights = [[HEIGHT if isinstance(member, str) else PASSING for member in layer] for layer in laid.layers]
    tallest = max(sum(each) + DOWN * (len(each) - 1) for each in heights)
    places: Places = {}
    for at, (layer, sizes) in enumerate(zip(laid.layers, heights, strict=True)):
        top = MARGIN + (tallest - sum(sizes) - DOWN * (len(sizes) - 1)) / 2
        for member, size in zip(layer, sizes, strict=True):
            places[member] = MARGIN + at * (WIDTH + ACROSS), top + size / 2
            top += size + DOWN
    return places, 2 * MARGIN + len(laid.layers) * (WIDTH + ACROSS) - ACROSS, 2 * MARGIN + tallest


def _line(edge: Edge, by: list[tuple[float, float]]) -> Markup:
    """From the right side of the parent to the left side of the child, level where it passes between boxes."""
    (x, y), path = by[0], ""
    path, x = f"M{x + WIDTH:.1f},{y:.1f}", x + WIDTH
    for at, (left, middle) in enumerate(by[1:], start=2):
        bend = (left - x) / 2
        path += f" C{x + bend:.1f},{y:.1f} {left - bend:.1f},{middle:.1f} {left:.1f},{middle:.1f}"
        x, y = left, middle
        if at < len(by):
            path, x = path + f" H{left + WIDTH:.1f}", left + WIDTH
    said = showable(f"{edge.role}: {edge.parent} → {edge.child}")
    return Markup('<path class="edge" d="{}"><title>{}</title></path>').format(path, said)


def _box(family: Family, ref: str, place: tuple[float, float], gone: str) -> Markup:
    left, middle = place
    kind, _, name = ref.partition("/")
    artifact = family.known.get(ref)
    about = artifact.manifest.stage if artifact else gone
    inside = Markup('<title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{:.0f}" height="{:.0f}" rx="6"/>').format(
        showable(f"{ref} ({about})"), left, middle - HEIGHT / 2, WIDTH, HEIGHT)
    for style, down, text in (("name", -3, name), ("kind", 14, f"{kind} · {about}")):
        inside += Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
            style, left + 12, middle + down, showable(_shortened(text)))
    tone = "root" if ref == family.root else "gone" if artifact is None else escape(kind)
    if artifact is None or ref == family.root:
        return Markup('<g class="node {}">{}</g>').format(tone, inside)
    return Markup('<a class="node {}" href="{}">{}</a>').format(tone, address(ref), inside)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 8]}…{text[-7:]}"
