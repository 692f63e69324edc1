"""Nothing that a model or a person wrote runs, wherever it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from desk import all_saved, begin, come_in
from studio_process import StudioProcess, prompt_of, sample_of
from xss_corpus import payloads

from tutelage.store import Store
from tutelage.store.questions import NewItem, Terms

PER_TASK = 40          # payloads in one text, each in a paragraph of its own
CATCH = "window.caught = []; window.tutelageCaught = (n) => { window.caught.push(n); };"


def furnish(store: Store, hostile: list[str]) -> str:
    """Items whose prompt and responses are payloads; the last items hold many, one after another."""
    guideline = store.campaigns.publish_guideline("hostile", {"en": "\n\n".join(hostile), "zh-CN": "x"}, None, time.time())
    made = store.campaigns.create(hostile[0], "comparison", Terms(guideline=guideline), None, time.time())
    items = []
    for start in range(0, len(hostile), PER_TASK):
        text = "\n\n".join(hostile[start:start + PER_TASK])
        prompt = prompt_of(text)
        samples = [sample_of(prompt, text, "m1"), sample_of(prompt, text + "\n\nother", "m2")]
        store.add_samples(samples)
        items.append(NewItem(prompt=prompt, samples=tuple(sample.id for sample in samples)))
    store.campaigns.add_items(made.id, items)
    return made.id


def provoke(page: Any) -> list[Any]:
    """Do to everything on the page what a person might: look at it, click it, focus it; then what has run."""
    page.evaluate("""() => { for (const each of document.querySelectorAll('.text *')) {
        each.dispatchEvent(new Event('pointerenter')); each.focus?.(); if (!each.closest('form')) each.click?.(); } }""")
    page.wait_for_timeout(150)
    caught: list[Any] = page.evaluate("window.caught")
    return caught


def test_two_hundred_hostile_texts_run_nothing_and_fetch_nothing(studio: StudioProcess, person: Callable[..., Any],
                                                                 log: Any) -> None:
    hostile = payloads()
    assert len(hostile) >= 200
    with Store.open(studio.project.store_path) as store:
        campaign = furnish(store, hostile)
    studio.options = ("--min-view-s", "0")
    studio.start()
    page = person()
    page.add_init_script(CATCH)
    come_in(page, studio.url + studio.setup_path, "Lea")
    page.goto(f"{studio.url}/me")
    begin(page, studio.url, campaign)
    for _ in range(0, len(hostile), PER_TASK):
        for key in ("", "d", "m", "m"):                      # with its layout, with differences, as it was written, and back
            if key:
                page.keyboard.press(key)
            assert provoke(page) == []
        assert page.locator(".text").locator("img, script, iframe, svg, a, form, input, style, object, video").count() == 0
        before = page.locator(".task h2").first.get_attribute("id")
        page.keyboard.press("4")
        page.wait_for_function("before => document.querySelector('.task h2')?.id !== before", arg=before)
    all_saved(page)
    page.keyboard.press("g")
    page.wait_for_selector("dialog[open]")
    assert provoke(page) == []

    # Names, notes and critiques: everywhere that people's own words are shown to others.
    with Store.open(studio.project.store_path) as store:
        item = next(iter(store.campaigns.items(campaign)))
        for n, text in enumerate(hostile):
            store.review.flag(item.id, "lea", "other", time.time(), text, str(n))
        store.add_person("eve", "human", hostile[0])
        store.accounts.set_roles("eve", ["annotator", "reviewer"], None, time.time())
        store.accounts.set_abilities("eve", hostile[:60], [])
        session = store.access.begin_session("eve", time.time(), 3600)
    for path in ("/people", "/campaigns", f"/campaigns/{campaign}", "/campaigns/new", "/audit", "/", "/me"):
        page.goto(studio.url + path)
        assert page.evaluate("window.caught") == [], path
    other = person()
    other.add_init_script(CATCH)
    other.context.add_cookies([{"name": "tutelage-session", "value": session, "url": studio.url}])
    for path in ("/review", f"/review/{item.id}", "/"):
        other.goto(studio.url + path)
        assert other.locator("[data-sign-out]").count() == 1 and provoke(other) == [], path
    assert log.elsewhere(studio.url) == []
    assert not [error for error in log.errors if "Content Security Policy" not in error and "dialog" in error]
