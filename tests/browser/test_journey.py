"""A new team's first day, in a real browser: set-up link, campaign, two annotators, a reviewer, the export."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from desk import all_saved, begin, come_in, decide, invite, open_campaign, task
from studio_process import StudioProcess, write_samples

from tutelage.store import Store

NUM_PROMPTS = 20
QUOTA = 30             # of 40 pairs: 60 judgments by two people, 20 pairs judged by both


def furnish(studio: StudioProcess) -> None:
    rows = [(f"What is {i} plus {i}?", [f"It is **{2 * i}**.", f"I am ChatGPT and say {2 * i + 1}.", f"It is {2 * i + 3}."])
            for i in range(NUM_PROMPTS)]
    write_samples(studio.project, "first", rows)
    studio.options = ("--min-view-s", "0")
    studio.start()


def test_from_the_set_up_link_to_the_export(studio: StudioProcess, person: Callable[..., Any], log: Any) -> None:
    furnish(studio)
    lead = person()
    come_in(lead, studio.url + studio.setup_path, "Lea")
    campaign = open_campaign(lead, studio.url, "Sums", "samples/first@1", overlap="2", duplicate_share="0",
                             per_prompt="2", quota=str(QUOTA))

    annotators = {name: person(locale=locale) for name, locale in (("Ann", "en-GB"), ("Bo", "zh-CN"))}
    for name, page in annotators.items():
        come_in(page, invite(lead, studio.url, name, "annotator"), name)
        begin(page, studio.url, campaign)
    assert annotators["Bo"].locator("html").get_attribute("lang") == "zh-CN"
    assert "ChatGPT" not in annotators["Ann"].content()

    # Ann chooses the response in bold wherever it stands, Bo the one on the left whatever it is.
    for name, page in annotators.items():
        seen = set()
        for _ in range(QUOTA):
            seen.add(task(page))
            bold_on_the_right = page.locator('.response[data-side="1"] strong').count() == 1
            decide(page, "6" if name == "Ann" and bold_on_the_right else "2")
        assert len(seen) == QUOTA, "no task came twice"
        all_saved(page)
        page.wait_for_selector('.empty[data-state="quota"]')

    reviewer = person()
    come_in(reviewer, invite(lead, studio.url, "Rae", "reviewer"), "Rae")
    reviewer.goto(f"{studio.url}/review")
    waiting = reviewer.locator("tbody tr").count()
    with Store.open(studio.project.store_path) as store:
        said = dict(store.review.item_judgments(campaign))
    differing = [item for item, judgments in said.items()
                 if len({each.samples["ab".index(each.answer["winner"])] for each in judgments}) > 1]
    assert waiting == len(differing) > 0
    for _ in range(waiting):
        reviewer.goto(f"{studio.url}/review")
        reviewer.locator("tbody a").first.click()
        reviewer.locator("input[name=answer]").first.check()
        reviewer.click("button[value=judged]")
        reviewer.wait_for_url(studio.url + "/review")
    assert reviewer.locator("tbody tr").count() == 0

    lead.goto(f"{studio.url}/campaigns/{campaign}")
    assert f"of {4 * NUM_PROMPTS} wanted" in lead.inner_text(".facts") and "Krippendorff" in lead.inner_text("main")
    with lead.expect_download() as download:
        lead.click("text=Export judgments")
    rows = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2 * QUOTA + waiting and {row["person"] for row in rows} == {"ann", "bo", "rae"}
    assert sum(row["resolved_by"] is not None for row in rows) == 2 * waiting
    assert sum(row["counts"] for row in rows) == 2 * QUOTA - waiting
    assert log.errors == [] and log.elsewhere(studio.url) == []
