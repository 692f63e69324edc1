"""A new team's first round, in a real browser: set-up link, campaign, two annotators, a reviewer, the export; a reward model
and a better policy from it, a command each; and that policy's samples before the annotators again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desk import all_saved, begin, come_in, decide, draw_campaign, invite, open_campaign, sign_in, task
from studio_process import ROOT, StudioProcess, write_samples

from tutelage.store import Store

NUM_PROMPTS = 20
QUOTA = 30             # of 40 pairs: 60 judgments by two people, 20 pairs judged by both
PROMPTS = [f"What is {i} plus {i}?" for i in range(NUM_PROMPTS)]
PHONE_AT_NIGHT = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "locale": "zh-CN",
                  "color_scheme": "dark"}


def furnish(studio: StudioProcess) -> None:
    rows = [(PROMPTS[i], [f"It is **{2 * i}**.", f"I am ChatGPT and say {2 * i + 1}.", f"It is {2 * i + 3}."])
            for i in range(NUM_PROMPTS)]
    write_samples(studio.project, "first", rows)
    studio.options = ("--min-view-s", "0")
    studio.start()


def command(studio: StudioProcess, *words: str) -> dict[str, Any]:
    """One `tutelage` command in the studio's project, while it serves; what `--json` says."""
    asked = [sys.executable, "-m", "tutelage.cli", *words, "--project", str(studio.project.root), "--json"]
    done = subprocess.run(asked, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def improve(studio: StudioProcess, prompts: Path) -> str:
    """A reward model out of what people said, and a policy trained against it; the policy's artifact."""
    prompts.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS[:4]), encoding="utf-8")
    reward = command(studio, "reward", "--model", "tiny", "--data", "feedback", "--name", "taste", "--precision", "fp32")
    better = command(studio, "rl", "--algorithm", "reinforce", "--policy", "tiny", "--reward", reward["artifact"], "--prompts",
                     str(prompts), "--name", "second-round", "--steps", "1", "--prompts-per-step", "4", "--per-prompt", "2",
                     "--max-new-tokens", "8", "--precision", "fp32")
    assert reward["artifact"] == "reward/taste@1"
    return str(better["artifact"])


def test_a_round_of_the_loop(studio: StudioProcess, person: Callable[..., Any], log: Any, tmp_path: Path,
                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
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

    policy = improve(studio, tmp_path / "prompts.jsonl")
    at_night = person(**PHONE_AT_NIGHT)
    sign_in(at_night, studio.url, "lea")
    at_night.click('button[name=language][value="zh-CN"]')             # her account has the language of her first visit
    at_night.wait_for_selector('html[lang="zh-CN"]')
    second = draw_campaign(at_night, studio.url, "第二轮", ["tiny", policy], "\n".join(PROMPTS[:3]))
    assert "第二轮" in at_night.inner_text("h1") and "进行中" in at_night.inner_text("h1")
    ann = annotators["Ann"]
    with ann.expect_response(lambda response: f"/api/campaigns/{second}/tasks" in response.url) as tasks:
        begin(ann, studio.url, second)
    assert policy not in ann.content() + tasks.value.text() and "second-round" not in ann.content() + tasks.value.text()
    for _ in range(3):
        decide(ann, "3")
    all_saved(ann)
    with Store.open(studio.project.store_path) as store:
        said = [judgment for _, judgments in store.review.item_judgments(second) for judgment in judgments]
        policies = {sample.policy for judgment in said for sample in store.samples(judgment.samples)}
    assert len(said) == 3 and policies == {"tiny", policy}
    assert studio.process is not None
    assert "torch" not in Path(f"/proc/{studio.process.pid}/maps").read_text(encoding="utf-8"), "the server loaded torch"
    assert log.errors == [] and log.elsewhere(studio.url) == []
