"""The page: whole, self-contained, in both languages, and deaf to what a model says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from tutelage import reporting
from tutelage.errors import ConfigError, DataError
from tutelage.reporting import Curve, Line, Report, Row, Table, render_html
from tutelage.reporting.html import cell, json_for_script
from tutelage.statistics import Estimate

VENDOR = Path(reporting.__file__).parent / "vendor"

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</SCRIPT ><img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=\"alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>@import url(//evil.example/x.css)</style>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<!--<script>alert(1)//-->",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "{{ 7*7 }}{% for x in ().__class__.__mro__ %}{% endfor %}",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example/><form action=//evil.example><input name=q>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "<details open ontoggle=alert(1)>",
    "\u2028\u2029<script>alert(1)</script>",
]
OURS = {
    "html", "head", "meta", "title", "style", "body", "header", "p", "h1", "h2", "h3", "h4", "div", "nav", "ul",
    "li", "a", "main", "section", "small", "span", "table", "thead", "tbody", "tr", "th", "td", "b", "figure",
    "figcaption", "svg", "line", "circle", "polyline", "polygon", "text", "i", "output", "article", "details",
    "summary", "code", "dl", "dt", "dd", "footer", "script"}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_of_a_model_stays_text_wherever_it_stands(payload, full_report, page):
    clean, seen = page(render_html(full_report())), page(render_html(full_report(text=payload)))
    # The same elements with the same attributes in the same order: nothing became markup, nothing was closed early.
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in clean.elements]
    assert [sorted(attributes) for _, attributes in seen.elements] == [sorted(each) for _, each in clean.elements]
    assert {tag for tag, _ in seen.elements} <= OURS
    assert seen.scripts[1:] == clean.scripts[1:] and seen.styles == clean.styles
    assert seen.words.count(payload) >= 30                          # it is shown, as it was said
    assert json.loads(seen.scripts[0])[0]["name"] == payload


def test_no_attribute_runs_code_or_leads_away(full_report, page):
    for tag, attributes in page(render_html(full_report(text="\" onclick=\"x"))).elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "action", "formaction", "data", "style", "xlink:href"), (tag, name)
            assert name != "href" or (value or "").startswith("#"), (tag, value)


def test_the_page_names_no_address_at_all(full_report):
    html = render_html(full_report())
    assert re.findall(r"https?:", html) == []
    assert re.findall(r"url\(|@import|src=|//[a-z0-9-]+\.[a-z]", html) == []


def test_the_policy_allows_exactly_the_two_scripts_and_the_stylesheet(full_report, page):
    def source(text):
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    seen = page(render_html(full_report()))
    policy = next(each["content"] for tag, each in seen.elements if each.get("http-equiv") == "Content-Security-Policy")
    assert len(seen.scripts) == 3                                   # data, uPlot, ours
    assert policy == (f"default-src 'none'; script-src {source(seen.scripts[1])} {source(seen.scripts[2])}; "
                      f"style-src {source(seen.styles[0])}; base-uri 'none'; form-action 'none'")


def test_control_characters_are_made_visible_and_the_page_can_be_written(full_report):
    html = render_html(full_report(text="a\x00b\x1b[31m\u202egnp.exe\ud800"))
    html.encode("utf-8")
    assert "a\ufffdb\ufffd[31m\ufffdgnp.exe\ufffd" in html
    assert "\u202e" not in html and "\x1b" not in html


def test_line_breaks_and_emoji_of_a_response_are_kept(full_report):
    assert "one\n  two 👍🏽\ttabs" in render_html(full_report(text="one\n  two 👍🏽\ttabs"))


def test_curve_data_is_json_without_nan(full_report, page):
    data = json.loads(page(render_html(full_report())).scripts[0])
    assert data == [{"name": "plain", "unit": "plain", "xUnit": "plain", "x": [0, 1, 2], "lines": [
        {"name": "plain", "y": [3.0, None, 1.0], "low": None, "high": None},
        {"name": "plain", "y": [1.0, 2.0, 3.0], "low": [0.0, 1.0, 2.0], "high": [2.0, 3.0, 4.0]}]}]


def test_json_in_a_script_closes_nothing():
    text = json_for_script({"a": "</script><!--&\u2028"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": "</script><!--&\u2028"}


@pytest.mark.parametrize(("language", "tag", "tied", "cut_off"), [
    ("en", "en", "tied", "cut off"), ("zh", "zh-CN", "持平", "被截断")])
def test_a_tie_is_said_as_a_tie_in_both_languages(language, tag, tied, cut_off, full_report, page):
    seen = page(render_html(full_report(language)))
    assert seen.elements[0] == ("html", {"lang": tag})
    assert f"= {tied}" in seen.words and cut_off in seen.words


def test_a_language_that_is_not_there_is_refused(full_report):
    with pytest.raises(ConfigError, match="wanted one of en, zh"):
        render_html(full_report("fr"))


def test_every_number_stands_with_its_interval_and_n(full_report, page):
    words = page(render_html(full_report())).words
    assert "0.62" in words and "[0.55,\u00a00.69] n=40" in words
    assert cell(Estimate(0.62, 0.55, 0.69, 40), n=40) == ("0.62", "[0.55,\u00a00.69]")      # said once, in the heading
    assert cell(Estimate(9.4, float("nan"), float("nan"), 0)) == ("9.40", "")
    assert cell(None) == ("–", "") and cell("x") == ("x", "") and cell(3) == ("3", "")


def test_plots_are_there_without_scripts(full_report, page):
    tags = [tag for tag, _ in page(render_html(full_report())).elements]
    assert tags.count("polyline") == 2 and tags.count("polygon") == 1 and tags.count("circle") == 1


def test_lineage_tells_each_history_once_and_counts_kinds_apart(full_report, page):
    words = page(render_html(full_report(text="leaf"))).words
    assert words.count("shown above") == 1
    assert words.count("people: 3, with 120 judgments") == words.count("scripts: 1, with 40 judgments") == 1


def test_an_empty_report_is_a_page_too(page):
    seen = page(render_html(Report(title="Nothing yet")))
    assert "Nothing yet" in seen.words
    assert len(seen.scripts) == 1 and "section" not in [tag for tag, _ in seen.elements]


def test_what_is_quoted_can_be_found(full_report):
    assert full_report().quoted == ("p0", "p1", "p2", "p3", "p4", "p5", "s0", "s1", "s2", "s3", "s4", "s5")


def test_the_page_is_the_same_every_time(full_report):
    assert render_html(full_report()) == render_html(full_report())


def test_tables_and_curves_of_the_wrong_shape_are_refused():
    with pytest.raises(DataError, match="has 2 cells; wanted 1"):
        Table(title="t", columns=("a", "b"), rows=(Row(label="r", cells=(1, 2)),))
    with pytest.raises(DataError, match="3 values for 2 x"):
        Curve(name="c", unit="u", x_unit="x", x=[0, 1], lines=(Line(name="l", y=[1, 2, 3]),))
    with pytest.raises(DataError, match="half a band"):
        Curve(name="c", unit="u", x_unit="x", x=[0], lines=(Line(name="l", y=[1], low=[0]),))


def test_vendored_files_are_the_ones_that_were_recorded():
    for package in json.loads((VENDOR / "vendor.json").read_text()):
        assert package["version"] and package["licence"] == "MIT"
        for name, digest in package["files"].items():
            assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
