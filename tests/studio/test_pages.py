"""The pages of leads, reviewers and people themselves, over HTTP: what they show and what they change."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studio_work import campaign, entry, prompt_of, sample_of

import tutelage
from tutelage.errors import UsageError
from tutelage.lineage import Manifest
from tutelage.options import Options
from tutelage.project import Project
from tutelage.store import Store
from tutelage.store.accounts import ROLES
from tutelage.store.questions import STATES
from tutelage.studio.campaigns import KIND_NAMES
from tutelage.studio.command import studio
from tutelage.studio.items import make, typed
from tutelage.studio.people import ACTIONS

Visit = Callable[..., Any]


def write_samples(project: Project, name: str, num: int = 3, per_prompt: int = 3) -> None:
    with project.writing(Manifest(kind="samples", name=name, stage="sample")) as directory:
        rows = [sample_of(prompt_of(f"Q{i}?"), f"A{k} to {i}", f"model/m{k}@1") for i in range(num) for k in range(per_prompt)]
        (directory / "samples.jsonl").write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows), encoding="utf-8")


def fields(**changed: Any) -> dict[str, Any]:
    return {"name": "first", "kind": "comparison", "sources": ["samples/s@1"], "per_prompt": "1", "overlap": "2",
            "lease_min": "15", "seed": "0", "max_samples": "3", "aspects": ["helpful"], "labels": "yes\nno", **changed}


def judge(browser: Visit, store: Store, id: str, answers: dict[str, dict[str, Any]]) -> None:
    """Each person answers every task they are given with the same answer."""
    for person, answer in answers.items():
        if person not in {each.id for each in store.people()}:
            store.add_person(person, "human", person)
            store.accounts.set_roles(person, ["annotator"], None, time.time())
        visitor = browser(person)
        while tasks := visitor.get(f"/api/campaigns/{id}/tasks?want=10").json()["tasks"]:
            entries = [entry(task["id"], f"{person}{task['id']}"[:40], answer) for task in tasks]
            said = visitor.send("/api/outbox", {"person": person, "entries": entries}).json()["results"]
            assert {each["status"] for each in said} == {"kept"}


@pytest.mark.parametrize("kind", sorted(KIND_NAMES))
def test_a_campaign_of_every_kind_is_made_in_the_form(browser: Visit, store: Store, project: Project, kind: str) -> None:
    write_samples(project, "s")
    more = "One more?\nAnd one." if kind == "instruction" else ""
    answer = browser("lead").post("/campaigns/new", fields(kind=kind, typed=more))
    assert answer.status_code == 303, answer.text
    [made] = store.campaigns.all()
    items = list(store.campaigns.items(made.id))
    fewest, most = {"comparison": (2, 2), "ranking": (3, 3), "demonstration": (0, 0), "instruction": (0, 0)}.get(kind, (1, 1))
    assert made.state == "open" and len(items) == (5 if kind == "instruction" else 3)
    assert {len(item.samples) for item in items} == {fewest} == {most}
    assert browser("lead").get(answer.headers["location"]).status_code == 200
    page = browser("annotator").get(f"/annotate/{made.id}")
    assert page.status_code == 200 and made.name in page.text


@pytest.mark.parametrize(("changed", "words"), [
    ({"sources": []}, "nothing to ask"), ({"sources": ["samples/none@1"]}, "no artifact"), ({"overlap": "0"}, "people an item"),
    ({"overlap": "many"}, "people an item"), ({"name": ""}, "needs a name"), ({"kind": "label", "labels": ""}, "labels"),
    ({"kind": "nonsense"}, "no kind of judgment"), ({"sources": ["builtin:prompts.rl.en"]}, "no prompt of these sources"),
    ({"sources": ["/etc/hostname"]}, "is no data set of this project"),
    ({"gold_share": "50", "duplicate_share": "51"}, "repeats"), ({"quiz": "none", "pass_mark": "80"}, "no campaign")])
def test_a_form_that_makes_no_sense_comes_back_filled_in_with_the_reason(browser: Visit, store: Store, project: Project,
                                                                         changed: dict[str, Any], words: str) -> None:
    write_samples(project, "s")
    answer = browser("lead").post("/campaigns/new", fields(guideline_en="my own words", **changed))
    assert answer.status_code == 422 and words in answer.text and "my own words" in answer.text
    assert store.campaigns.all() == []


def test_pairs_show_different_texts_and_different_models_first() -> None:
    prompt = prompt_of("Q?")
    samples = [sample_of(prompt, text, policy) for text, policy in
               (("a", "m1"), ("b", "m1"), ("c", "m2"), ("c", "m1"), ("", "m2"), (" ", "m2"))]
    by_id = {sample.id: sample for sample in samples}
    for seed in range(20):
        for item in make("comparison", {}, [prompt], samples, 1, seed):
            first, second = (by_id[id] for id in item.samples)
            assert first.text != second.text and first.policy != second.policy
            assert first.text.strip() and second.text.strip()
    assert len(make("comparison", {}, [prompt], samples, 9, 0)) == 3                 # a-b, a-c, b-c
    assert make("comparison", {}, [prompt], samples, 2, 7) == make("comparison", {}, [prompt], samples, 2, 7)


def test_typed_prompts_are_lines_or_paragraphs() -> None:
    assert [prompt.messages[0].text for prompt in typed("one\ntwo\n\n")] == ["one", "two"]
    paragraphs = typed("one\nmore of one\n\ntwo\n\none\nmore of one")
    assert [prompt.messages[0].text for prompt in paragraphs] == ["one\nmore of one", "two"]
    assert typed("  \n ") == []


def test_the_lead_sees_how_far_people_agree_in_both_languages(browser: Visit, store: Store) -> None:
    made = campaign(store, num=6, overlap=2)
    nothing = browser("lead").get(f"/campaigns/{made.id}").text
    assert "Nothing to compare yet" in nothing
    judge(browser, store, made.id, {"ann": {"winner": "a", "strength": 1}, "bo": {"winner": "tie"}})
    page = browser("lead").get(f"/campaigns/{made.id}").text
    assert "alpha" in page and "0.00" in page and "disagreements: 6" in page and "bo" in page
    chinese = browser("lead", language="zh-CN").get(f"/campaigns/{made.id}/progress").text
    assert "6 处分歧" in chinese and "比较" in chinese and "Krippendorff" in chinese


def test_known_questions_are_written_asked_and_told(browser: Visit, store: Store) -> None:
    made = campaign(store, num=1, overlap=1, gold_share=0.5)
    lead = browser("lead")
    known = {"prompt": "2+2?", "first": "4", "second": "5", "answer": "a_clearly"}
    assert lead.post(f"/campaigns/{made.id}/gold", {**known, "second": "4"}).status_code == 422
    assert lead.post(f"/campaigns/{made.id}/gold", {**known, "answer": "nonsense"}).status_code == 422
    assert lead.post(f"/campaigns/{made.id}/gold", known).status_code == 303
    [gold] = [item for item in store.campaigns.items(made.id) if item.purpose == "gold"]
    assert gold.gold == {"winner": "a", "strength": 2}
    judge(browser, store, made.id, {"annotator": {"winner": "tie"}})
    assert store.progress.of_person(made.id, "annotator").num_gold_right == 0
    page = browser("annotator").get("/me").text
    assert "known answer:" in page and "Contest it" in page
    task = re.search(r'name="task" value="([^"]+)"', page)[1]  # type: ignore[index]
    browser("annotator").post("/me/contest", {"task": task, "note": "it depends"})
    assert "contested" in browser("annotator").get("/me").text
    assert [contest.note for contest in store.review.contests(made.id)] == ["it depends"]
    assert "it depends" in browser("reviewer").get("/review").text
    assert "known answer: A is clearly better" in browser("reviewer").get(f"/review/{gold.id}").text


def test_a_reviewer_settles_by_an_answer_and_names_are_not_shown(browser: Visit, store: Store) -> None:
    made = campaign(store, num=1, overlap=2)
    judge(browser, store, made.id, {"annlee": {"winner": "a", "strength": 3}, "bobby": {"winner": "both_bad"}})
    [item] = [item.id for item in store.campaigns.items(made.id)]
    page = browser("reviewer").get(f"/review/{item}").text
    assert "annlee" not in page and "bobby" not in page and "both bad" in page and "model/" not in page
    settle = {"decision": "judged", "answer": '{"winner": "tie"}', "note": "equal"}
    assert browser("reviewer").post(f"/review/{item}", {"decision": "judged"}).status_code == 422
    assert browser("reviewer").post(f"/review/{item}", {**settle, "answer": '{"winner": "z"}'}).status_code == 422
    assert browser("reviewer").post(f"/review/{item}", {**settle, "answer": "not json"}).status_code == 422
    assert browser("reviewer").post(f"/review/{item}", settle).status_code == 303
    [resolution] = store.review.resolutions(made.id)
    assert (resolution.decision, resolution.note) == ("judged", "equal")
    assert "Nothing waits" in browser("reviewer").get("/review").text
    rows = [json.loads(line) for line in browser("lead").get(f"/campaigns/{made.id}/export").text.splitlines()]
    assert [(row["person"], row["counts"], row["resolved_by"]) for row in rows[2:]] == [("reviewer", True, None)]
    assert {(row["person"], row["counts"], row["resolved_by"]) for row in rows[:2]} == {
        ("annlee", False, resolution.judgment), ("bobby", False, resolution.judgment)}
    assert "a reviewer says:" in browser("annlee").get("/me").text


def test_a_reviewer_reads_which_question_waits_and_which_passage_was_marked(browser: Visit, store: Store) -> None:
    made = campaign(store, name="marks", kind="spans", num=1, num_samples=1)
    judge(browser, store, made.id, {"ann": {"marks": [{"start": 0, "end": 6, "mark": "wrong", "note": "no"}]}})
    [item] = [item.id for item in store.campaigns.items(made.id)]
    store.review.flag(item, "ann", "broken", time.time())
    assert "Question 0 of marks?" in browser("reviewer").get("/review").text
    page = browser("reviewer").get(f"/review/{item}").text
    assert "1 wrong · wrong: “Answer” (no)" in page and "Mark what is wrong" in page


def test_numbers_agree_with_their_words(browser: Visit, store: Store) -> None:
    for num in (1, 2):
        made = campaign(store, name=f"of {num}", num=num, overlap=2)
        judge(browser, store, made.id, {"ann": {"winner": "tie"}, "bo": {"winner": "tie"}})
    page = browser("ann").get("/me").text
    assert "on 1 item others judged too" in page and "on 2 items others judged too" in page


def test_nobody_agrees_with_others_where_there_is_nothing_to_compare(browser: Visit, store: Store) -> None:
    for kind, answer in (("demonstration", {"text": "Hello."}), ("comparison", {"winner": "cannot_judge"})):
        made = campaign(store, name=kind, kind=kind, num=1, num_samples=0 if kind == "demonstration" else 2, overlap=2)
        judge(browser, store, made.id, {"ann": answer, "bo": answer})
    page = browser("ann").get("/me").text
    assert "100%" not in page and "not measured where people write" in page


def test_sides_are_told_of_where_there_are_sides(browser: Visit, store: Store) -> None:
    for kind, num_samples, answer in (("comparison", 2, {"winner": "tie"}), ("thumbs", 1, {"up": True})):
        made = campaign(store, name=kind, kind=kind, num=2, num_samples=num_samples)
        judge(browser, store, made.id, {"ann": answer})
        assert ("1 : 1" in browser("lead").get(f"/campaigns/{made.id}").text) == (num_samples > 1)
        assert "0 : 0" not in browser("lead").get(f"/campaigns/{made.id}/progress").text


def test_nobody_settles_what_they_have_judged(browser: Visit, store: Store) -> None:
    store.accounts.set_roles("reviewer", ["reviewer", "annotator"], None, time.time())
    made = campaign(store, num=1, overlap=2)
    judge(browser, store, made.id, {"reviewer": {"winner": "tie"}, "bo": {"winner": "both_bad"}})
    [item] = [item.id for item in store.campaigns.items(made.id)]
    assert browser("reviewer").get(f"/review/{item}").status_code == 403
    settle = {"decision": "judged", "answer": '{"winner": "tie"}'}
    assert browser("reviewer").post(f"/review/{item}", settle).status_code == 403
    assert store.review.resolutions(made.id) == []


def test_a_flag_is_upheld_or_dismissed(browser: Visit, store: Store) -> None:
    made = campaign(store, num=1)
    [item] = [item.id for item in store.campaigns.items(made.id)]
    flag = store.review.flag(item, "annotator", "harmful", time.time(), "look")
    page = browser("reviewer").get(f"/review/{item}").text
    assert "harmful or illegal: look" in page
    assert browser("reviewer").post(f"/review/{item}", {"decision": "dismissed", "flag": flag}).status_code == 303
    assert store.review.flags(made.id) == [] and store.review.resolutions(made.id)[0].decision == "dismissed"


def test_one_word_settles_all_flags_that_the_page_shows(browser: Visit, store: Store) -> None:
    made = campaign(store, num=1, overlap=2)
    [item] = [item.id for item in store.campaigns.items(made.id)]
    flags = [store.review.flag(item, person, "broken", time.time()) for person in ("annotator", "lead")]
    assert all(f'value="{flag}"' in browser("reviewer").get(f"/review/{item}").text for flag in flags)
    browser("reviewer").post(f"/review/{item}", {"decision": "dismissed", "flag": flags})
    assert store.review.flags(made.id) == []


def test_one_takes_along_what_one_gave_and_no_more(browser: Visit, store: Store) -> None:
    made = campaign(store, num=2, overlap=2)
    judge(browser, store, made.id, {"ann": {"winner": "tie"}, "bo": {"winner": "both_bad"}})
    rows = [json.loads(line) for line in browser("ann").get("/me/download").text.splitlines()]
    assert len(rows) == 2 and {row["person"] for row in rows} == {"ann"} and rows[0]["in_words"] == "tie"


def test_an_invitation_makes_one_account_with_the_roles_it_names(browser: Visit, store: Store) -> None:
    lead = browser("lead")
    assert lead.post("/people/invite", {"roles": ["admin"]}).status_code == 403            # a lead makes no admins
    assert lead.post("/people/invite", {}).status_code == 422
    invited = {"name": "Eve <b>", "roles": ["annotator"], "tags": "law, medicine", "languages": "en"}
    page = lead.post("/people/invite", invited).text
    path = re.search(r'id="link">http://[^/]+(/invitation/[^<]+)<', page)[1]  # type: ignore[index]
    new = browser()
    assert "Eve &lt;b&gt;" in new.get(path).text
    come = {"person": "eve", "name": "Eve", "password": "a long password", "consent": "yes"}
    for wrong in ({"person": "e v e"}, {"person": "lead"}, {"password": "short"}, {"consent": ""}, {"name": " "},
                  {"password": "EVE EVE EVE", "name": "Eve Eve Eve"}):
        assert new.post(path, {**come, **wrong}).status_code == 422, wrong
    assert new.post(path, come).status_code == 303
    account = store.accounts.get("eve")
    assert (account.roles, account.tags, account.languages) == (("annotator",), ("law", "medicine"), ("en",))
    assert [each["version"] for each in store.consents("eve")] == ["studio-1"]
    assert browser().get(path).status_code == 410 and "a long password" not in str(list(store.audit.lines()))


def test_an_admin_takes_roles_and_makes_password_links(browser: Visit, store: Store) -> None:
    admin = browser("admin")
    admin.post("/people/annotator/roles", {"roles": ["reviewer"]})
    assert store.accounts.roles("annotator") == {"reviewer"}
    assert "only admin" in admin.post("/people/admin/roles", {"roles": ["lead"]}).text
    page = admin.post("/people/annotator/password").text
    path = re.search(r'id="link">http://[^/]+(/password/[^<]+)<', page)[1]  # type: ignore[index]
    somebody = browser()
    somebody.get(path)
    assert somebody.post(path, {"password": "short"}).status_code == 422
    assert somebody.post(path, {"password": "another long one"}).status_code == 303
    assert browser().get(path).status_code == 410


def test_the_audit_page_tells_when_the_chain_is_whole(browser: Visit, store: Store) -> None:
    made = campaign(store, name="Helpful or not")
    store.audit.add(time.time(), "admin", "something.done", ["x"])
    page = browser("admin").get("/audit").text
    assert "made a campaign" in page and "Helpful or not" in page and made.id not in page
    assert "something.done" in page and "The chain is whole" in page and store.audit.head() in page
    assert "新建活动" in browser("admin", language="zh-CN").get("/audit").text


def test_the_audit_page_has_words_for_whatever_is_written_down() -> None:
    written = set()
    for path in (Path(tutelage.__file__).parent).rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "write_line(connection, now" in source or "audit.add(" in source:
            found = r'(?:write_line|audit\.add)\([^"]*?f?"([a-z ]+\.[a-z.]*(?:\{[a-z]+\}[a-z.{}]*)?)"'
            written |= set(re.findall(found, source))
    filled = {"link.{purpose}": ("setup", "invitation", "password"), "link.used.{purpose}": ("setup", "invitation", "password"),
              "campaign.{state}": STATES, "item.{decision}": ("judged", "upheld", "dismissed"),
              "role.grant.{role}": ROLES,
              "role.{word}.{role}": [f"{word}.{role}" for word in ("grant", "revoke") for role in ROLES]}
    wanted = {action[: action.index("{")] + each for action in written if "{" in action for each in filled[action]}
    wanted |= {action for action in written if "{" not in action}
    assert len(written) > 12 and wanted == set(ACTIONS)


def test_the_command_opens_nothing_to_others_without_tls_or_a_proxy(project: Project) -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(UsageError, match="--tls-cert"):
            studio(["--host", host, "--port", "0"], Options(project=project.root))


def test_each_role_finds_its_first_page(browser: Visit, store: Store) -> None:
    assert browser("annotator").get("/").status_code == 200
    for role, path in (("lead", "/campaigns"), ("reviewer", "/review"), ("admin", "/people")):
        assert browser(role).get("/").headers["location"] == path
