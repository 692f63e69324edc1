"""How long a person waits for the next task: key press to the frame that shows it, while the outbox drains over a slow link.

    PYTHONPATH=. python bench/studio_latency.py [--decisions 40] [--link-ms 300] [--pace-ms 900]

A real Chromium (Debian's `chromium`) in front of a real studio; the link's delay is the browser's own (DevTools), so that
every request and every acknowledgement waits for it. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))

from desk import all_saved, begin, come_in, open_campaign
from playwright.sync_api import sync_playwright
from studio_process import CHROMIUM, CHROMIUM_ARGS, StudioProcess, write_samples

from tutelage.project import Project

PARAGRAPH = "The leaves open at dawn and close at dusk; **water** rises through the stem.\n\n1. root\n2. stem\n\n"


def measure(decisions: int, link_ms: float, pace_ms: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        project = Project.init(Path(folder) / "project")
        write_samples(project, "texts", [(f"Question {i}?", [PARAGRAPH * 4 + f"A{i}", PARAGRAPH * 5 + f"B{i}"])
                                         for i in range(decisions + 10)])
        studio = StudioProcess(project, "--min-view-s", "0")
        studio.start()
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGS))
                return _decide(browser, studio, decisions, link_ms, pace_ms)
        finally:
            studio.stop()


def _decide(browser: Any, studio: StudioProcess, decisions: int, link_ms: float, pace_ms: float) -> dict[str, Any]:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    come_in(page, studio.url + studio.setup_path, "Lea")
    begin(page, studio.url, open_campaign(page, studio.url, "latency", "samples/texts@1", overlap="1", duplicate_share="0"))
    link = page.context.new_cdp_session(page)
    link.send("Network.enable")
    link.send("Network.emulateNetworkConditions",
              {"offline": False, "latency": link_ms, "downloadThroughput": -1, "uploadThroughput": -1})
    page.wait_for_timeout(2 * link_ms + 500)
    most_waiting = 0
    for _ in range(decisions):
        page.keyboard.press("2")
        page.wait_for_timeout(pace_ms)
        saving = page.inner_text('[data-at="saving"]')
        most_waiting = max(most_waiting, *(int(word) for word in saving.split() if word.isdecimal()), 0)
    all_saved(page)
    waits = page.evaluate("performance.getEntriesByName('decision-to-next').map(each => each.duration)")
    waits.sort()
    return {"decisions": len(waits), "link_ms": link_ms, "pace_ms": pace_ms, "most_waiting_in_outbox": most_waiting,
            "median_ms": round(statistics.median(waits), 1), "p95_ms": round(waits[int(0.95 * (len(waits) - 1))], 1),
            "max_ms": round(waits[-1], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Key press to the next task on screen.")
    parser.add_argument("--decisions", type=int, default=40)
    parser.add_argument("--link-ms", type=float, default=300.0)
    parser.add_argument("--pace-ms", type=float, default=900.0, help="between two key presses")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.decisions, asked.link_ms, asked.pace_ms)))


if __name__ == "__main__":
    main()
