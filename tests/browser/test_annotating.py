"""The hot screen: keys, undo, what is not a vote, and nothing lost when the server or the network goes away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from desk import all_saved, begin, decide, task, too_wide
from studio_process import StudioProcess, prompt_of, sample_of

from tutelage.store import Store
from tutelage.store.questions import NewItem, Terms

# Whether a cell of a table breaks a word of a few Chinese characters, so that it reads from top to bottom.
VERTICAL = """() => [...document.querySelectorAll("th, td")].some((cell) => {
    const text = cell.innerText.trim();
    return /^[\u4e00-\u9fff]{2,5}$/.test(text) && cell.getClientRects().length && !cell.children.length
        && (() => { const range = document.createRange(); range.selectNodeContents(cell);
            return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1; })();
})"""


class Desk:
    """A campaign, a person and their page."""

    def __init__(self, studio: StudioProcess, person: Callable[..., Any]) -> None:
        self.studio, self.person = studio, person
        with Store.open(studio.project.store_path) as store:
            store.add_person("ann", "human", "Ann")
            store.accounts.set_roles("ann", ["annotator"], None, time.time())
            self.session = store.access.begin_session("ann", time.time(), 3600)
            shown = {"comparison": 2, "ranking": 3, "rating": 1, "label": 1, "spans": 1, "edit": 1, "instruction": 0}
            self.items = {kind: self._campaign(store, kind, number) for kind, number in shown.items()}

    @staticmethod
    def _campaign(store: Store, kind: str, number: int) -> str:
        settings = {"rating": {"aspects": ["helpful", "polite"]}, "label": {"labels": ["sports", "news", "other"], "multi": True}}
        made = store.campaigns.create(f"the {kind}", kind, Terms(settings=settings.get(kind, {})), None, time.time())
        for i in range(12 if kind == "comparison" else 3):
            prompt = prompt_of(f"{kind} prompt {i}")
            samples = [sample_of(prompt, f"🙂 text {i} {chr(97 + k)} ends", "m") for k in range(number)]
            store.add_samples(samples)
            store.campaigns.add_items(made.id, [NewItem(prompt=prompt, samples=tuple(each.id for each in samples))])
        return made.id

    def page(self, kind: str = "comparison", **options: Any) -> Any:
        page = self.person(**options)
        page.context.add_cookies([{"name": "tutelage-session", "value": self.session, "url": self.studio.url}])
        begin(page, self.studio.url, self.items[kind])
        return page

    def waiting(self) -> str:
        """An item that a reviewer has to look at, somebody else's."""
        with Store.open(self.studio.project.store_path) as store:
            store.add_person("bo", "human", "Bo")
            [item, *_] = list(store.campaigns.items(self.items["ranking"]))
            store.review.flag(item.id, "bo", "broken", time.time())
        return item.id

    def answers(self, kind: str = "comparison") -> list[dict[str, Any]]:
        with Store.open(self.studio.project.store_path) as store:
            return [dict(each.answer) for _, said in store.review.item_judgments(self.items[kind]) for each in said]


@pytest.fixture
def desk(studio: StudioProcess, person: Callable[..., Any]) -> Iterator[Desk]:
    made = Desk(studio, person)
    studio.options = ("--min-view-s", "0")
    studio.start()
    yield made


def test_what_is_no_decision_is_not_taken(desk: Desk) -> None:
    page = desk.page()
    before = task(page)
    for event in ("key: '1', isComposing: true", "key: '1', keyCode: 229", "key: '1', repeat: true",
                  "key: '1', ctrlKey: true", "key: '1', metaKey: true", "key: '9'", "key: 'Process'"):
        page.evaluate(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{bubbles: true, {event}}}))")
    page.evaluate("""() => { const field = document.createElement('textarea'); document.querySelector('main').append(field);
        field.focus(); field.dispatchEvent(new KeyboardEvent('keydown', {key: '1', bubbles: true})); field.remove(); }""")
    page.keyboard.press("f")                            # a dialog is open: its keys are its own
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    assert task(page) == before and desk.answers() == []
    # A wide 1, as a Chinese keyboard gives it, is a 1.
    page.evaluate("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '１', bubbles: true}))")
    page.wait_for_function("before => document.querySelector('.task h2').id !== before", arg=before)
    all_saved(page)
    assert desk.answers() == [{"winner": "a", "strength": 3}]


def test_undo_brings_the_task_back_and_the_new_answer_stands(desk: Desk) -> None:
    page = desk.page()
    first = task(page)
    decide(page, "1")
    decide(page, "2")
    decide(page, "z")
    decide(page, "z")
    assert task(page) == first
    decide(page, "4")
    all_saved(page)
    assert desk.answers() == [{"winner": "tie"}]
    decide(page, "8")
    all_saved(page)
    assert sorted(answer["winner"] for answer in desk.answers()) == ["both_bad", "tie"]


def test_a_key_can_be_changed_and_stays_changed(desk: Desk) -> None:
    page = desk.page()
    page.keyboard.press("?")
    page.click('[data-change="tie"]')
    page.keyboard.press("1")
    assert "taken" in page.inner_text('[data-at="keys-note"]')
    page.click('[data-change="tie"]')
    page.keyboard.press("t")
    page.wait_for_function("() => document.querySelector('[data-at=\"keys-note\"]').textContent === 'Kept.'")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".task")
    decide(page, "t")
    all_saved(page)
    assert desk.answers() == [{"winner": "tie"}]


def test_nothing_is_lost_when_the_server_dies_and_the_network_and_the_tab_go(desk: Desk) -> None:
    page = desk.page()
    page.wait_for_timeout(500)                          # the next tasks are in hand
    desk.studio.kill()
    decide(page, "1")
    decide(page, "2")
    page.wait_for_selector('[data-at="saving"][data-state="offline"]')
    assert "2" in page.inner_text('[data-at="saving"]') and desk.answers() == []
    desk.studio.start()
    all_saved(page)
    page.context.set_offline(True)
    decide(page, "4")
    page.wait_for_selector('[data-at="saving"][data-state="offline"]')
    page.close()                                        # the laptop is shut; the browser's own disk has it
    again = page.context.new_page()
    again.context.set_offline(False)
    begin(again, desk.studio.url, desk.items["comparison"])
    all_saved(again)
    again.wait_for_function("() => document.querySelector('[data-at=\"progress\"]').textContent.startsWith('3 ')")
    assert sorted(answer["winner"] for answer in desk.answers()) == ["a", "a", "tie"]


def test_a_decision_before_the_text_can_have_been_read_is_not_taken_and_said_so(desk: Desk) -> None:
    desk.studio.stop()
    desk.studio.options = ("--min-view-s", "20")
    desk.studio.start()
    page = desk.page()
    before = task(page)
    page.keyboard.press("1")
    page.wait_for_selector('[data-at="note"]:not([hidden])')
    assert "20.0 seconds" in page.inner_text('[data-at="note"]') and "20.0" in page.inner_text('[data-at="live"]')
    assert task(page) == before and desk.answers() == []


def test_kinds_that_take_more_than_one_key(desk: Desk) -> None:
    page = desk.page("ranking")
    for key in "213":
        page.keyboard.press(key)
    page.goto(f"{desk.studio.url}/annotate/{desk.items['rating']}")
    page.wait_for_selector(".aspect")
    page.keyboard.press("4")
    page.keyboard.press("5")
    page.goto(f"{desk.studio.url}/annotate/{desk.items['label']}")
    page.wait_for_selector(".task")
    page.keyboard.press("2")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    all_saved(page)
    assert desk.answers("ranking") == [{"ranks": [2, 1, 3]}]
    assert desk.answers("rating") == [{"scores": {"helpful": 4, "polite": 5}}]
    assert desk.answers("label") == [{"labels": ["news", "other"]}]


def test_marks_count_code_points_and_writing_is_sent_as_written(desk: Desk) -> None:
    page = desk.page("spans")
    page.locator(".markable").focus()
    for _ in range(2):                                  # past the emoji (one code point, two of JavaScript's) and the space
        page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("getSelection().toString()") == "text"
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    all_saved(page)
    assert desk.answers("spans") == [{"marks": [{"start": 2, "end": 6, "mark": "wrong"}]}]

    page.goto(f"{desk.studio.url}/annotate/{desk.items['instruction']}")
    page.fill("textarea[name=prompt]", "写一句问候。")
    page.reload()                                       # what is half written is still there
    page.wait_for_selector("textarea[name=response]")
    page.fill("textarea[name=response]", "你好 1 z ?")
    page.keyboard.press("Control+Enter")
    all_saved(page)
    page.wait_for_timeout(200)
    assert desk.answers("instruction") == [{"prompt": "写一句问候。", "response": "你好 1 z ?"}]


@pytest.mark.parametrize("options", [
    {}, {"color_scheme": "dark"},
    {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "locale": "zh-CN"}],
    ids=["desktop", "dark", "phone in Chinese"])
def test_axe_finds_nothing_serious(desk: Desk, options: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with Store.open(desk.studio.project.store_path) as store:
        store.accounts.set_roles("ann", ["annotator", "reviewer", "lead", "admin"], None, time.time())
    page = desk.page(**options)
    wrong = []
    for path in ("", "/", "/campaigns", "/campaigns/new", f"/campaigns/{desk.items['comparison']}", "/people", "/me",
                 "/audit", "/review", f"/review/{desk.waiting()}", f"/annotate/{desk.items['edit']}",
                 f"/annotate/{desk.items['rating']}", f"/annotate/{desk.items['spans']}"):
        if path:
            page.goto(desk.studio.url + path)
            page.wait_for_timeout(200)
        found = axe.Axe().run(page)
        wrong += [(path, each["id"], each["nodes"][0]["html"][:120]) for each in found.response["violations"]
                  if each["impact"] in ("serious", "critical")]
        if too_wide(page):
            wrong.append((path, "too wide", ""))
        if page.evaluate(VERTICAL):
            wrong.append((path, "words of a table stand on end", ""))
    assert wrong == []


def test_the_button_that_sends_is_not_under_the_bar_of_decisions(desk: Desk) -> None:
    page = desk.page("edit")
    send = page.locator(".writing button")
    box = send.bounding_box()
    page.set_viewport_size({"width": 1280, "height": round(box["y"] + box["height"]) + 4})
    assert send.evaluate("""button => { const box = button.getBoundingClientRect();
        return button.contains(document.elementFromPoint(box.x + box.width / 2, box.bottom - 2)); }""")


def test_the_guideline_of_a_lead_is_read_with_its_layout(desk: Desk) -> None:
    with Store.open(desk.studio.project.store_path) as store:
        store.accounts.set_roles("ann", ["annotator", "lead"], None, time.time())
        label = store.campaigns.publish_guideline("own", {"en": "First:\n\n- read\n- decide"}, "ann", time.time())
        made = store.campaigns.create("guided", "thumbs", Terms(guideline=label), None, time.time())
    page = desk.page()
    page.goto(f"{desk.studio.url}/campaigns/{made.id}")
    page.locator("details").evaluate_all("every => every.forEach((details) => { details.open = true; })")
    page.wait_for_selector("details li >> text=decide")


def test_a_phone_shows_all_of_it_and_a_finger_decides(desk: Desk) -> None:
    page = desk.page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert not too_wide(page)
    before = task(page)
    page.locator('.decision[data-action="tie"]').tap()
    page.wait_for_function("before => document.querySelector('.task h2').id !== before", arg=before)
    all_saved(page)
    assert desk.answers() == [{"winner": "tie"}]
