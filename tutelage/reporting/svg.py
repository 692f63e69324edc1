"""Plots as inline SVG, drawn here so that a page without scripts shows them too.

Colours come from the page's stylesheet by class, so that a plot follows light and dark. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

from tutelage.reporting.numbers import format_number
from tutelage.reporting.report import Curve, IntervalPlot, IntervalRow, Line
from tutelage.reporting.showable import showable

Place = Callable[[float], float]      # from a value to a place in the picture

_WIDTH, _HEIGHT = 360.0, 200.0                            # of a curve, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 10.0, 36.0     # its margins
_MOST_POINTS = 240                                        # of a line; more cannot be told apart at this width


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside [low, high], at most `most` + 1 of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def axis_limits(plot: IntervalPlot) -> tuple[float, float]:
    """What the axis spans: `plot.limits`, else all intervals and the reference with a little room."""
    if plot.limits is not None:
        return plot.limits
    values = [value for row in plot.rows for value in (row.estimate.low, row.estimate.value, row.estimate.high)]
    values += [] if plot.reference is None else [plot.reference]
    return _with_room(value for value in values if math.isfinite(value))


def interval_track(row: IntervalRow, plot: IntervalPlot) -> Markup:
    """One row of an interval plot: grid, reference, interval and estimate, as wide as its place.

    Places are per cent, not a viewBox, so that the dot stays round on any screen.
    """
    low, high = axis_limits(plot)

    def place(value: float) -> str:
        return f"{100 * (min(max(value, low), high) - low) / (high - low):.2f}%"

    marks = [f'<line class="grid" x1="{place(tick)}" x2="{place(tick)}" y1="0" y2="100%"/>'
             for tick in nice_ticks(low, high, plot.ticks)]
    if plot.reference is not None:
        at = place(plot.reference)
        marks.append(f'<line class="reference" x1="{at}" x2="{at}" y1="0" y2="100%"/>')
    estimate = row.estimate
    tone = row.verdict or "untold"
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        marks.append(f'<line class="interval {tone}" x1="{place(estimate.low)}" x2="{place(estimate.high)}" '
                     'y1="50%" y2="50%"/>')
    if math.isfinite(estimate.value):
        marks.append(f'<circle class="{tone}" cx="{place(estimate.value)}" cy="50%" r="4.5"/>')
    return Markup('<svg class="track" aria-hidden="true">' + "".join(marks) + "</svg>")      # the row says it in words


def interval_axis(plot: IntervalPlot) -> Markup:
    """The axis below the rows: ticks with numbers, in per cent where the plot is."""
    low, high = axis_limits(plot)
    ticks = nice_ticks(low, high, plot.ticks)
    decimals = _tick_decimals([100 * tick for tick in ticks] if plot.percent else ticks)
    marks = []
    for tick in ticks:
        at = 100 * (tick - low) / (high - low)
        anchor = "start" if at < 4 else "end" if at > 96 else "middle"
        number = format_number(tick, decimals, plot.percent)
        marks.append(f'<text x="{at:.2f}%" y="13" text-anchor="{anchor}">{number}</text>')
    return Markup('<svg class="axis" aria-hidden="true">' + "".join(marks) + "</svg>")


def curve_svg(curve: Curve) -> Markup:
    """The whole plot of a curve, with axes, bands and units."""
    xs = [x for x in curve.x if math.isfinite(x)]
    ys = [y for line in curve.lines for values in (line.y, line.low or (), line.high or ()) for y in values
          if math.isfinite(y)]
    if not xs or not ys:
        return Markup(f'<svg class="curve" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img"></svg>')
    x_low, x_high = min(xs), max(xs)
    x_high = x_high if x_high > x_low else x_low + 1
    y_low, y_high = _with_room(ys)

    def x_of(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def y_of(y: float) -> float:
        return _TOP + (y_high - y) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    marks: list[str] = []
    y_ticks, x_ticks = nice_ticks(y_low, y_high, 4), nice_ticks(x_low, x_high, 4)
    for tick in y_ticks:
        y = y_of(tick)
        marks.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{_LEFT - 6:g}" y="{y + 4:.1f}" text-anchor="end">'
                     f'{format_number(tick, _tick_decimals(y_ticks))}</text>')
    for tick in x_ticks:
        marks.append(f'<text x="{x_of(tick):.1f}" y="{_HEIGHT - _BOTTOM + 15:g}" text-anchor="middle">'
                     f'{format_number(tick, _tick_decimals(x_ticks))}</text>')
    marks.append(f'<text class="unit" x="{_WIDTH - _RIGHT:g}" y="{_HEIGHT - 4:g}" text-anchor="end">'
                 f'{_text(curve.x_unit)}</text>')
    for index, line in enumerate(curve.lines):
        marks.extend(_band(curve, line, x_of, y_of, index))
        marks.extend(_strokes(curve.x, line.y, x_of, y_of, index))
    label = _text(f"{curve.name} ({curve.unit}): " + "; ".join(_in_words(line) for line in curve.lines))
    return Markup(f'<svg class="curve" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{label}">'
                  + "".join(marks) + "</svg>")


def first_and_last(values: Sequence[float]) -> tuple[float, float] | None:
    """The finite ends of a line, for those who read and do not look."""
    finite = [value for value in values if math.isfinite(value)]
    return (finite[0], finite[-1]) if finite else None


def thin(points: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, keeping each stretch's lowest and highest, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stretch):
        part = points[start:start + stretch]
        low, high = min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])
        kept.extend(sorted({low, high}))
    return kept


def _strokes(xs: Sequence[float], ys: Sequence[float], x_of: Place, y_of: Place, index: int) -> list[str]:
    """The line through what was measured; a lone point is a dot."""
    points = thin([(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)])
    if len(points) == 1:
        return [f'<circle class="s{index % 6}" cx="{x_of(points[0][0]):.1f}" cy="{y_of(points[0][1]):.1f}" r="2.5"/>']
    path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
    return [f'<polyline class="stroke s{index % 6}" points="{path}"/>'] if points else []


def _band(curve: Curve, line: Line, x_of: Place, y_of: Place, index: int) -> list[str]:
    if line.low is None or line.high is None:
        return []
    low = [(x, y) for x, y in zip(curve.x, line.low, strict=True) if math.isfinite(y)]
    high = [(x, y) for x, y in zip(curve.x, line.high, strict=True) if math.isfinite(y)]
    points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in [*thin(low), *reversed(thin(high))])
    return [f'<polygon class="band s{index % 6}" points="{points}"/>'] if points else []


def _in_words(line: Line) -> str:
    ends = first_and_last(line.y)
    if ends is None:
        return line.name
    return f"{line.name} {format_number(ends[0])}" + (f" → {format_number(ends[1])}" if ends[0] != ends[1] else "")


def _text(text: str) -> Markup:
    return escape(showable(text))


def _with_room(values: Iterable[float]) -> tuple[float, float]:
    """The span of `values` and 6 % on either side; a span of nothing becomes one of 1."""
    found = list(values)
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _tick_decimals(ticks: Sequence[float]) -> int:
    """Places that tell neighbouring ticks apart."""
    if len(ticks) < 2:
        return 2
    return max(0, min(6, -math.floor(math.log10(abs(ticks[1] - ticks[0])) + 1e-9)))
