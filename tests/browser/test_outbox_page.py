"""The outbox of the annotating page by itself, in a real browser: what is decided at an awkward moment is sent all the same."""

from __future__ import annotations

from typing import Any

from test_annotating import Desk, desk  # noqa: F401

# Puts an entry each time the one before has been acknowledged, `hops` turns of the microtask queue later, so that it
# falls before, into and behind the moment in which the outbox finds itself empty. The server acknowledges at once.
AWKWARD = """async (most) => {
  const url = performance.getEntriesByType("resource").map(({ name }) => name).find((name) => name.endsWith("/studio/outbox.js"));
  const { Outbox, newKey } = await import(url);
  let put = 0, sent = 0, forgotten = 0;
  window.fetch = async (_, { body }) => {
    const { entries } = JSON.parse(body);
    sent += entries.length;
    return new Response(JSON.stringify({ results: entries.map(({ key }) => ({ key, status: "kept" })) }));
  };
  const outbox = new Outbox("nobody else", ({ waiting }) => { if (waiting < put - sent) forgotten += 1; });
  const add = () => { put += 1; outbox.put({ op: "skip", key: newKey(), task: `t${put}` }); };
  const until = async (number) => {
    const began = performance.now();
    while (sent < number && performance.now() - began < 4000) await new Promise((go) => setTimeout(go, 2));
    return sent >= number;
  };
  await outbox.start();
  for (let hops = 0; hops < most; hops += 1) {
    outbox.acknowledged = async () => {
      outbox.acknowledged = () => {};
      for (let hop = 0; hop < hops; hop += 1) await null;
      add();
    };
    add();
    if (!await until(2 * hops + 2)) return { stuck: hops, forgotten };
  }
  return { stuck: null, forgotten };
}"""


def test_what_comes_while_the_outbox_finds_itself_empty_is_sent_and_counted_at_once(desk: Desk) -> None:  # noqa: F811
    assert desk.page().evaluate(AWKWARD, 40) == {"stuck": None, "forgotten": 0}


def test_a_decision_is_kept_although_the_page_is_left_in_the_same_moment(desk: Desk) -> None:  # noqa: F811
    page: Any = desk.page()
    for number in range(1, 6):
        with page.expect_navigation():
            page.evaluate("""() => { document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "4", bubbles: true }));
                                     location.reload(); }""")
        page.wait_for_selector(".task")
        page.wait_for_function("number => document.querySelector('[data-at=progress]').textContent.startsWith(`${number} `)",
                               arg=number)
    page.wait_for_selector('[data-at="saving"][data-state="saved"]')
    assert desk.answers() == [{"winner": "tie"}] * 5
