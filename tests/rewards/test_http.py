"""An endpoint as a reward: what is sent, what is taken for an answer, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from service import Answer, Service

from tutelage.errors import ConfigError, RewardError
from tutelage.records import Sample
from tutelage.rewards.http import EndpointReward
from tutelage.scoring import Scoring

Say = Callable[..., Sample]


class Scorer(Service):
    """Gives each response's length. `plan` holds what is answered to the next requests instead."""

    def __init__(self) -> None:
        super().__init__("/score")
        self.plan: list[Answer] = []
        self.poison = ""      # the id of a sample that breaks whatever request it is in

    def respond(self, body: dict[str, Any]) -> Answer:
        return self.plan.pop(0) if self.plan else self.answer(body)

    def answer(self, body: dict[str, Any]) -> Answer:
        if self.poison in [each["id"] for each in body["samples"]]:
            return 500, {}, b""
        return 200, {}, json.dumps({"scores": [len(each["response"]) for each in body["samples"]]}).encode()


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scorer]:
    monkeypatch.delenv("TUTELAGE_REWARD_KEY", raising=False)
    scorer = Scorer()
    yield scorer
    scorer.close()


@pytest.fixture
def many(sample: Say) -> list[Sample]:
    return [sample("p", "x" * i, f"s{i}") for i in range(1, 11)]


def reward(scorer: Scorer, waits: list[float] | None = None, **settings: Any) -> EndpointReward:
    return EndpointReward(scorer.url, Scoring(**{"retries": 2, "batch": 4, **settings}),
                          sleep=(waits if waits is not None else []).append)


def test_each_sample_is_sent_as_text_and_its_number_comes_back_in_order(scorer: Scorer, many: list[Sample]) -> None:
    assert reward(scorer).score(many).total == tuple(map(float, range(1, 11)))
    assert sorted(len(body["samples"]) for body in scorer.seen) == [2, 4, 4]
    sent = next(each for body in scorer.seen for each in body["samples"] if each["id"] == "s3")
    assert sent == {"id": "s3", "prompt": [{"role": "user", "content": "p"}], "response": "xxx", "ended": True, "wanted": ""}
    assert "authorization" not in scorer.headers[0]


def test_requests_in_flight_are_bounded(scorer: Scorer, many: list[Sample]) -> None:
    reward(scorer, at_once=2, batch=1).score(many)
    assert scorer.most <= 2 and len(scorer.seen) == 10


def test_a_busy_service_is_asked_again_after_longer_and_longer_waits(scorer: Scorer, many: list[Sample]) -> None:
    waits: list[float] = []
    scorer.plan = [(503, {}, b""), (429, {"retry-after": "7"}, b"")]
    assert reward(scorer, waits, batch=10).score(many).total[-1] == 10.0
    assert 0.5 <= waits[0] <= 1.0 and waits[1] == 7.0


@pytest.mark.parametrize(("answer", "said"), [
    ((200, {}, b'{"scores": [1, null, 3, 4]}'), r"returned nothing for 1 of 4 samples \(first: s2\)"),
    ((200, {}, b'{"scores": [1, 2, NaN, 4]}'), r"returned nan for 1 of 4 samples \(first: s3\)"),
    ((200, {}, b'{"scores": [1, 2, "3", 4]}'), r"returned '3', which is no number for 1 of 4 samples \(first: s3\)"),
    ((200, {}, b'{"scores": [1, 2, true, 4]}'), "which is no number"),
    ((200, {}, b"<html>"), r'gave no \{"scores"'), ((200, {}, b'{"scores": [1, 2]}'), "2 scores for 1 samples"),
    ((200, {}, b"[1, 2, 3, 4]"), "gave no"), ((401, {}, b'{"error": "no key"}'), r"refused with status 401 \(no key\)"),
    ((302, {"location": "http://127.0.0.1:1/"}, b""), "refused with status 302"),
])
def test_what_is_no_answer_names_a_sample_and_is_no_number(scorer: Scorer, many: list[Sample], answer: Any, said: str) -> None:
    scorer.plan = [answer] * 9
    with pytest.raises(RewardError, match=said):
        reward(scorer).score(many[:4])


def test_one_sample_that_breaks_the_service_does_not_spoil_its_batch(scorer: Scorer, many: list[Sample]) -> None:
    scorer.poison = "s6"
    scores = reward(scorer, on_error="skip").score(many)
    assert set(scores.skipped) == {5} and scores.total[6] == 7.0
    with pytest.raises(RewardError, match=r"was busy \(status 500\) 1 times for 1 of 10 samples \(first: s6\)"):
        reward(scorer, at_once=1).score(many)


def test_a_service_that_is_not_there_or_never_answers_is_given_up(scorer: Scorer, many: list[Sample]) -> None:
    scorer.answer = lambda body: __import__("time").sleep(1.0) or (200, {}, b"{}")      # type: ignore[method-assign]
    with pytest.raises(RewardError, match=r"was out of reach \((Read|Connect)Timeout\) 2 times for .* samples \(first: s1\)"):
        reward(scorer, timeout_s=0.05, retries=1).score(many[:2])
    scorer.server.shutdown()
    scorer.server.server_close()
    with pytest.raises(RewardError, match=r"out of reach \(ConnectError\) 3 times"):
        reward(scorer).score(many)


def test_the_key_goes_into_one_header_and_nowhere_else(scorer: Scorer, many: list[Sample],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_REWARD_KEY", "sk-very-secret")
    made = reward(scorer)
    made.score(many[:1])
    assert scorer.headers[0]["authorization"] == "Bearer sk-very-secret" and "secret" not in repr(vars(made))
    with pytest.raises(ConfigError, match="not encrypted") as refused:
        EndpointReward("http://rewards.example/score", Scoring())
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError, match="credentials or a query"):
        EndpointReward("https://me:pass@rewards.example/score", Scoring())
