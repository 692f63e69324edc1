"""Both languages are whole: every text has its translation, no text stands outside the catalogues."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment

sys.path.insert(0, str(Path(__file__).parent))

import catalogues

from tutelage.web.i18n import LANGUAGES, Words, choose

TEMPLATES = sorted(path for room in catalogues.ROOMS for path in (catalogues.PACKAGE / room / "templates").glob("*.j2"))
SCRIPTS = sorted(path for room in catalogues.ROOMS for path in (catalogues.PACKAGE / room / "static").glob("*.js"))
SPOKEN = {"title", "alt", "placeholder", "aria-label", "content", "data-confirm", "data-copied"}
NAMES = {"Tutelage", "·", "–", "×"}                     # what reads the same in every language


def forms(message) -> list[str]:  # type: ignore[no-untyped-def]
    return list(message.string) if isinstance(message.string, tuple) else [message.string]


@pytest.mark.parametrize("language", catalogues.TRANSLATED)
@pytest.mark.parametrize("room", catalogues.ROOMS)
def test_every_text_of_the_pages_is_translated_and_no_other_is(room: str, language: str) -> None:
    said = {message.id for message in catalogues.said(room) if message.id}
    known = {message.id: message for message in catalogues.catalogue(room, language) if message.id}
    assert said - set(known) == set(), "run tests/web/catalogues.py, then translate"
    assert set(known) - said == set(), "no longer said"
    for id, message in known.items():
        singular = id if isinstance(id, str) else id[0]
        for form in forms(message):
            assert form and not message.fuzzy, f"{id!r} has no translation"
            assert set(re.findall(r"%(?:\(\w+\))?.", form)) == set(re.findall(r"%(?:\(\w+\))?.", singular)), id


def test_every_text_of_the_scripts_stands_in_the_catalogue_in_every_language_and_is_used() -> None:
    catalogue = json.loads((catalogues.PACKAGE / "studio/static/messages.json").read_text(encoding="utf-8"))
    source = "\n".join(re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE) for path in SCRIPTS)
    said = set(re.findall(r"""\bsay\("(\w+)\"""", source))
    for one, other in re.findall(r"""\bsay\([^()"]*\? "(\w+)" : "(\w+)"[,)]""", source):
        said |= {one, other}
    assert len(said) > 30
    patterns = [re.escape(start) + r"\w[\w-]*" for start in re.findall(r"say\(`(\w+?)\$\{", source)]
    assert {key for key in said if key not in catalogue} == set()
    for key, words in catalogue.items():
        assert set(words) == set(LANGUAGES) and all(words.values()), key
        holes = {language: set(re.findall(r"\{(\w+)\}", text)) for language, text in words.items()}
        assert len({frozenset(each) for each in holes.values()}) == 1, f"{key}: {holes}"
        assert f'"{key}"' in source or any(re.fullmatch(pattern, key) for pattern in patterns), f"{key} is said nowhere"


class _Raw(HTMLParser):
    """Collects what a person reads: text, and attributes that are read out or shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found += [data.strip()] if data.strip() else []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [value for key, value in attrs if key in SPOKEN and value and value.strip()
                       and not (tag == "meta" and named.get("name") in ("viewport", "color-scheme", "robots", "htmx-config"))]


def raw_texts(source: str) -> list[str]:
    """What a template says without a catalogue: its text with all that is between braces taken out."""
    data = "".join(value for _, kind, value in Environment().lex(source) if kind == "data")
    reader = _Raw()
    reader.feed(data)
    words = [re.sub(r"[^\w]+", " ", text).strip() for text in reader.found if text not in NAMES]
    return [text for text in words if re.search(r"[^\W\d_]{2,}", text) and text not in NAMES]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_no_template_says_anything_in_one_language_only(path: Path) -> None:
    assert raw_texts(path.read_text(encoding="utf-8")) == []


def test_a_raw_text_would_be_found() -> None:
    assert raw_texts('<p>{{ _("fine") }}</p><p>Not fine</p>') == ["Not fine"]
    assert raw_texts('<input placeholder="Type here" value="{{ x }}">') == ["Type here"]
    assert raw_texts("<p>{% if x %}也不行{% endif %}</p>") == ["也不行"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_templates_hold_no_script_no_style_and_no_address(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|hx-on|hx-vals|javascript:|https?://|\|\s*safe", source)
    assert not re.search(r"hx-trigger=\"[^\"]*\[", source)            # a filter needs eval, and without it fires on every key


@pytest.mark.parametrize(("accepted", "preferred", "language"), [
    ("", "", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"), ("zh", "", "zh-CN"), ("zh-TW", "", "zh-CN"), ("en-GB", "", "en"),
    ("de, zh;q=0.2, en;q=0.7", "", "en"), ("en;q=0", "", "en"), ("zh;q=0, en;q=0.1", "", "en"), ("zh-CN", "en", "en"),
    ("en", "zh-CN", "zh-CN"), ("en", "xx", "en"), ("de-DE", "", "en"), ("zh;q=banana,en", "", "en"), (",;,=q", "", "en"),
])
def test_the_language_is_the_persons_own_then_the_browsers(accepted: str, preferred: str, language: str) -> None:
    assert choose(accepted, preferred) == language


def test_a_page_comes_in_the_language_that_is_asked_for(browser) -> None:  # type: ignore[no-untyped-def]
    assert '<html lang="en"' in browser("lead").get("/campaigns").text
    page = browser("lead", language="zh-CN").get("/campaigns").text
    assert '<html lang="zh-CN"' in page and "新建活动" in page and "New campaign" not in page


def test_the_choice_is_kept_with_the_account_and_before_that_in_the_browser(browser, store) -> None:  # type: ignore[no-untyped-def]
    lead, nobody = browser("lead"), browser()
    lead.post("/preferences", {"language": "zh-CN", "theme": "dark", "back": "/people"})
    assert store.accounts.settings("lead") == {"language": "zh-CN", "theme": "dark"}
    assert '<html lang="zh-CN" data-theme="dark"' in browser("lead").get("/people").text
    nobody.get("/sign-in")
    nobody.post("/preferences", {"language": "zh-CN", "theme": "nonsense"})
    assert '<html lang="zh-CN">' in nobody.get("/sign-in").text


def test_words_fall_back_to_english_and_holes_are_filled() -> None:
    words = Words([catalogues.PACKAGE / "web"])
    assert words.say("zh-CN", "Sign in") == "登录"
    assert words.say("zh-CN", "nobody ever said this") == "nobody ever said this"
    assert words.say("en", "Too many tries. Wait %(wait)s seconds.", wait=3) == "Too many tries. Wait 3 seconds."
