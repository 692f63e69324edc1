"""What people do at the studio, step by step, for the tests to tell as a story."""

from __future__ import annotations

from typing import Any

from studio_process import PASSWORD


def come_in(page: Any, url: str, name: str) -> None:
    """Through a set-up or invitation link to the first page."""
    page.goto(url)
    page.fill("[name=person]", name.lower())
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.check("[name=consent]")
    page.click("article button")
    page.wait_for_selector("[data-sign-out]")


def invite(page: Any, url: str, name: str, role: str) -> str:
    """The link for somebody new."""
    page.goto(f"{url}/people")
    form = page.locator('form[action="/people/invite"]')
    form.locator("[name=name]").fill(name)
    for box in form.locator("[name=roles]").all():
        box.set_checked(box.get_attribute("value") == role)
    form.locator("> button").click()
    link: str = page.locator("#link").inner_text()
    return link


def open_campaign(page: Any, url: str, name: str, source: str, kind: str = "comparison", **fields: str) -> str:
    """A campaign out of a source; its id."""
    page.goto(f"{url}/campaigns/new")
    page.fill("[name=name]", name)
    page.select_option("[name=kind]", kind)
    page.select_option("[name=sources]", [source])
    page.locator("details").evaluate_all("every => every.forEach((details) => { details.open = true; })")
    for field, value in fields.items():
        page.fill(f"[name={field}]", value)
    page.click("#new-campaign > button")
    page.wait_for_selector("text=" + name)
    page.wait_for_url(lambda address: "/new" not in address)
    id: str = page.url.rsplit("/", 1)[1]
    return id


def sign_in(page: Any, url: str, person: str) -> None:
    page.goto(f"{url}/sign-in")
    page.fill("[name=person]", person)
    page.fill("[name=password]", PASSWORD)
    page.click("article button")
    page.wait_for_selector("[data-sign-out]")


def draw_campaign(page: Any, url: str, name: str, models: list[str], prompts: str, **fields: str) -> str:
    """A campaign of responses that models have yet to give; its id, once it has opened by itself."""
    page.goto(f"{url}/campaigns/new")
    page.fill("[name=name]", name)
    page.locator("details").evaluate_all("every => every.forEach((details) => { details.open = true; })")
    page.select_option("[name=models]", models)
    page.fill("[name=typed]", prompts)
    for field, value in {"draws": "2", "tokens": "8", **fields}.items():
        page.fill(f"[name={field}]", value)
    page.click("#new-campaign > button")
    page.wait_for_url(lambda address: "/drawings/" in address)
    page.wait_for_url(lambda address: "/campaigns/" in address and "/new" not in address, timeout=300_000)
    id: str = page.url.rsplit("/", 1)[1]
    return id


def begin(page: Any, url: str, campaign: str) -> None:
    page.goto(f"{url}/annotate/{campaign}")
    page.wait_for_selector('#annotate[data-ready="yes"]')
    page.wait_for_selector(".task")


def task(page: Any) -> str:
    """Which task is on screen: the id in its first heading."""
    id: str = page.locator(".task h2").first.get_attribute("id") or ""
    return id


def decide(page: Any, key: str) -> None:
    """Press a key for the task on screen, and wait until another one (or the end) is there."""
    before = task(page)
    page.keyboard.press(key)
    page.wait_for_function("before => (document.querySelector('.task h2')?.id ?? '') !== before", arg=before)


def too_wide(page: Any) -> bool:
    """Whether the page is wider than the screen. A phone's `innerWidth` grows with what sticks out, so it tells nothing."""
    wide: bool = page.evaluate("width => document.documentElement.scrollWidth > width", page.viewport_size["width"])
    return wide


def all_saved(page: Any) -> None:
    page.wait_for_selector('[data-at="saving"][data-state="saved"]')
