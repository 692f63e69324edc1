"""What a browser's outbox sends is kept exactly once, in order, and what cannot be kept is said so."""

from __future__ import annotations

from typing import Any

import pytest
from studio_work import campaign, entry

from tutelage.errors import StoreUnavailable
from tutelage.store import Store


def tasks_of(visitor: Any, id: str, want: int = 3, held: str = "") -> list[dict[str, Any]]:
    return visitor.get(f"/api/campaigns/{id}/tasks?want={want}&held={held}").json()["tasks"]


def send(visitor: Any, *entries: dict[str, Any], person: str = "annotator") -> list[dict[str, Any]]:
    answer = visitor.send("/api/outbox", {"person": person, "entries": list(entries)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_an_answer_is_kept_once_however_often_it_is_sent(browser: Any, store: Store) -> None:
    made, visitor = campaign(store), browser("annotator")
    task = tasks_of(visitor, made.id)[0]["id"]
    statuses = [send(visitor, entry(task, "k1"))[0]["status"] for _ in range(3)]
    assert statuses == ["kept", "known", "known"]
    assert store.counts(current=False) == {"comparison": {"human": 1}}


def test_a_page_never_learns_who_wrote_what(browser: Any, store: Store) -> None:
    made, visitor = campaign(store), browser("annotator")
    answer = visitor.get(f"/api/campaigns/{made.id}/tasks?want=3")
    assert set(answer.json()["tasks"][0]) == {"id", "prompt", "responses"}
    for secret in ("model/", "@1", "policy", "gold", "purpose", "order", *(sample.id for sample in store.samples())):
        assert secret not in answer.text
    assert "model/" not in visitor.get(f"/annotate/{made.id}").text


def test_tasks_that_the_page_holds_are_not_sent_again_and_no_more_are_taken_than_asked(browser: Any, store: Store) -> None:
    made, visitor = campaign(store, num=8), browser("annotator")
    first = [task["id"] for task in tasks_of(visitor, made.id, 3)]
    second = [task["id"] for task in tasks_of(visitor, made.id, 2, ",".join(first))]
    assert len(first) == 3 and len(second) == 2 and not set(first) & set(second)
    assert store.progress.of_person(made.id, "annotator").num_open == 5
    assert sorted(task["id"] for task in tasks_of(visitor, made.id, 10)[:5]) == sorted(first + second)      # a page loaded afresh


def test_undo_takes_an_answer_back_and_the_next_one_stands(browser: Any, store: Store) -> None:
    made, visitor = campaign(store), browser("annotator")
    task = tasks_of(visitor, made.id)[0]["id"]
    undo = {"op": "undo", "task": task, "key": "u" * 16, "undoes": "k1".rjust(16, "0")}
    results = send(visitor, entry(task, "k1"), undo, undo, entry(task, "k2", {"winner": "tie"}))
    assert [result["status"] for result in results] == ["kept"] * 4
    [(_, judgments)] = store.review.item_judgments(made.id)
    assert [dict(judgment.answer) for judgment in judgments] == [{"winner": "tie"}]


@pytest.mark.parametrize(("answer", "words"), [
    ({"winner": "c"}, "wanted one of a, b"), ({"winner": "a"}, "strength"), ({}, "winner"),
    ({"winner": "a", "strength": 2, "x": 1}, "'x'")])
def test_an_answer_that_is_none_is_refused_in_words_and_the_rest_is_kept(browser: Any, store: Store,
                                                                         answer: dict[str, Any], words: str) -> None:
    made, visitor = campaign(store), browser("annotator")
    one, two = (task["id"] for task in tasks_of(visitor, made.id, 2))
    bad = {**entry(one, "k1"), "answer": answer}
    results = send(visitor, bad, entry(two, "k2"))
    assert [result["status"] for result in results] == ["refused", "kept"] and words in results[0]["message"]


def test_anothers_task_cannot_be_answered_and_anothers_outbox_is_not_taken(browser: Any, store: Store) -> None:
    store.add_person("bob", "human", "Bob")
    store.accounts.set_roles("bob", ["annotator"], None, 1.0)
    made = campaign(store)
    task = tasks_of(browser("annotator"), made.id)[0]["id"]
    bob = browser("bob")
    assert send(bob, entry(task, "k1"), person="bob")[0]["status"] == "refused"
    assert bob.send("/api/outbox", {"person": "annotator", "entries": [entry(task, "k1")]}).status_code == 403
    assert store.counts(current=False) == {}


def test_trouble_of_our_own_refuses_nothing(browser: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked database must not read like "refused", which would take the entry out of the browser's outbox."""
    made, visitor = campaign(store), browser("annotator")
    task = tasks_of(visitor, made.id)[0]["id"]

    def locked(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store is locked.")
    monkeypatch.setattr(store.tasks, "submit", locked)
    answer = visitor.send("/api/outbox", {"person": "annotator", "entries": [entry(task, "k1")]})
    assert answer.status_code == 503 and "results" not in answer.json()


@pytest.mark.parametrize("batch", [
    {}, {"person": "annotator", "entries": []}, {"person": "annotator", "entries": [{"op": "drop"}]}, [],
    {"person": "annotator", "entries": [{"op": "answer", "key": "short", "task": "t"}]},
    {"person": "annotator", "entries": [{"op": "answer", "key": "k" * 16, "task": "t", "answer": [1]}]}])
def test_a_batch_that_cannot_be_read_is_an_error_in_words(browser: Any, batch: object) -> None:
    answer = browser("annotator").send("/api/outbox", batch)
    assert answer.status_code == 422 and answer.json()["error"]


def test_a_flag_goes_to_a_reviewer_and_the_task_to_somebody_else(browser: Any, store: Store) -> None:
    made, visitor = campaign(store), browser("annotator")
    task = tasks_of(visitor, made.id)[0]["id"]
    flag = {"op": "flag", "task": task, "key": "f" * 16, "reason": "private", "note": "a phone number"}
    assert [send(visitor, flag)[0]["status"] for _ in range(2)] == ["kept", "kept"]
    [raised] = store.review.flags(made.id)
    assert (raised.reason, raised.note) == ("private", "a phone number")
    assert task not in [each["id"] for each in tasks_of(visitor, made.id, 4)]
    assert send(visitor, {**flag, "key": "g" * 16, "reason": "nonsense"})[0]["status"] == "refused"


def test_why_there_is_nothing_more_is_said(browser: Any, store: Store) -> None:
    made, visitor = campaign(store, quota=1), browser("annotator")
    task = tasks_of(visitor, made.id)[0]["id"]
    send(visitor, entry(task, "k1"))
    answer = visitor.get(f"/api/campaigns/{made.id}/tasks").json()
    assert (answer["tasks"], answer["done"], answer["reason"]) == ([], True, "quota")
    assert answer["progress"] == {"answered": 1, "wanted": 1}
    store.campaigns.set_state(made.id, "paused", None, 2.0)
    assert visitor.get(f"/api/campaigns/{made.id}/tasks").json()["reason"] == "paused"


def test_times_are_kept_within_reason(browser: Any, store: Store) -> None:
    from tutelage.studio.wire import kept_timings

    said = {"visible_ms": 1200.7, "undone": 1, "input": "key", "cookies": "no"}
    assert kept_timings(said) == {"visible_ms": 1200, "undone": 1, "input": "key"}
    assert kept_timings({"visible_ms": -1, "undone": "x", "input": "<script>"}) == {}


def test_keys_are_kept_with_the_account_and_only_for_actions_there_are(browser: Any, store: Store) -> None:
    visitor = browser("annotator")
    assert visitor.send("/api/keys", {"kind": "comparison", "keys": {"tie": "x", "undo": "u"}}).status_code == 200
    assert store.accounts.settings("annotator")["keys"] == {"comparison": {"tie": "x", "undo": "u"}}
    assert visitor.send("/api/keys", {"kind": "comparison", "keys": {"nonsense": "x"}}).status_code == 400
    assert visitor.send("/api/keys", {"kind": "comparison", "keys": {"tie": "x", "undo": "x"}}).status_code == 400
    made = campaign(store)
    assert "&#34;tie&#34;:&#34;x&#34;" in visitor.get(f"/annotate/{made.id}").text
