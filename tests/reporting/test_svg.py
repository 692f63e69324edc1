"""Plots: where a mark stands, by hand."""

from __future__ import annotations

import math
import re

import pytest

from tutelage.reporting import Curve, IntervalPlot, IntervalRow, Line
from tutelage.reporting.svg import curve_svg, interval_axis, interval_track, nice_ticks, thin
from tutelage.statistics import Estimate


@pytest.mark.parametrize(("low", "high", "most", "wanted"), [
    (0.0, 1.0, 5, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    (0.13, 0.49, 5, [0.2, 0.3, 0.4]),
    (-3.0, 17.0, 4, [0.0, 5.0, 10.0, 15.0]),
    (2.0, 2.0, 5, [2.0]),
    (math.nan, 1.0, 5, []),
])
def test_ticks_are_round_numbers(low, high, most, wanted):
    assert nice_ticks(low, high, most) == wanted


def plot(row: IntervalRow, **changes) -> IntervalPlot:
    return IntervalPlot(title="wins", unit="share", rows=(row,), **{"reference": 0.5, "limits": (0.0, 1.0), **changes})


def test_an_interval_stands_where_its_numbers_say():
    row = IntervalRow(label="a", estimate=Estimate(0.7, 0.6, 0.8, 40), verdict="better")
    track = interval_track(row, plot(row))
    assert '<line class="interval better" x1="60.00%" x2="80.00%"' in track
    assert '<circle class="better" cx="70.00%"' in track
    assert '<line class="reference" x1="50.00%" x2="50.00%"' in track


def test_what_leaves_the_axis_is_held_at_its_end_and_no_interval_draws_none():
    row = IntervalRow(label="a", estimate=Estimate(1.2, math.nan, math.nan, 1))
    track = interval_track(row, plot(row))
    assert 'cx="100.00%"' in track and 'class="interval' not in track


def test_an_axis_of_shares_is_in_per_cent():
    row = IntervalRow(label="a", estimate=Estimate(0.7, 0.6, 0.8, 40))
    shares = re.findall(r">([^<]+)</text>", interval_axis(plot(row, percent=True)))
    assert shares == ["0%", "20%", "40%", "60%", "80%", "100%"]
    assert re.findall(r">([^<]+)</text>", interval_axis(plot(row))) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


def test_a_curve_passes_over_what_was_not_measured_and_says_itself_in_words():
    line = Line(name="a", y=[2.0, math.nan, 1.0])
    svg = curve_svg(Curve(name="loss", unit="nats", x_unit="step", x=[0, 1, 2], lines=(line,)))
    points = re.search(r'points="([^"]+)"', svg)
    assert points is not None and len(points.group(1).split()) == 2
    assert 'aria-label="loss (nats): a 2.00 → 1.00"' in svg and ">step</text>" in svg
    first, last = (tuple(map(float, point.split(","))) for point in points.group(1).split())
    assert first[0] < last[0] and first[1] < last[1]            # down the page is down in value


@pytest.mark.parametrize("y", [[], [math.nan, math.nan], [1.0], [1.0, 1.0]])
def test_short_and_flat_curves_are_drawn(y):
    svg = curve_svg(Curve(name="c", unit="u", x_unit="x", x=list(range(len(y))), lines=(Line(name="l", y=y),)))
    assert svg.startswith("<svg") and "nan" not in svg


def test_thinning_keeps_the_spike():
    points = [(float(x), 0.0) for x in range(10_000)]
    points[4321] = (4321.0, 9.0)
    kept = thin(points)
    assert len(kept) <= 240 and (4321.0, 9.0) in kept
    assert kept == sorted(kept)
