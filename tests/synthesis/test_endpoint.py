"""The service may be slow, busy, wrong or hostile: bounded tries, one clear error, and a key that nobody sees."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tutelage.errors import ConfigError, ModelError
from tutelage.messages import Message
from tutelage.records import Sampling
from tutelage.runs.signals import Untouched, asked, finishing
from tutelage.synthesis.endpoint import Endpoint

ASK = [(Message.of("user", "Name a river."),)]
SAMPLING = Sampling(temperature=0.5, top_p=0.9, max_new_tokens=32, seed=3)


def endpoint(service, **settings):
    waits: list[float] = []
    made = Endpoint(service.url, "small", retries=3, timeout_s=5.0, sleep=waits.append, **settings)
    return made, waits


def test_what_is_sent_is_what_was_asked_for(service) -> None:
    made, _ = endpoint(service)
    written, = made.write(ASK, SAMPLING)
    assert written.ended and written.text
    sent, = service.seen
    assert sent["messages"] == [{"role": "user", "content": "Name a river."}] and sent["model"] == "small"
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.5, 0.9, 32)
    assert "authorization" not in service.headers[0]


def test_answers_keep_their_order_and_say_whether_they_ended(service) -> None:
    made, _ = endpoint(service)
    service.plan = []
    service.answer = lambda body: json.dumps({"choices": [{"message": {"content": body["messages"][0]["content"]},
                                                           "finish_reason": "length"}]}).encode()
    asked = [(Message.of("user", str(i)),) for i in range(20)]
    assert [each.text for each in made.write(asked, SAMPLING)] == [str(i) for i in range(20)]
    assert not made.write(ASK, SAMPLING)[0].ended


def test_a_busy_service_is_asked_again_after_what_it_says_or_longer_each_time(service) -> None:
    made, waits = endpoint(service)
    service.plan = [(503, {}, b""), (429, {"retry-after": "7"}, b""), (500, {"retry-after": "9999"}, b"")]
    assert made.write(ASK, SAMPLING)[0].text
    assert 0.5 <= waits[0] <= 1.0 and waits[1:] == [7.0, 30.0]      # never longer than the bound


def test_tries_are_bounded_and_the_error_says_what_to_look_at(service) -> None:
    made, waits = endpoint(service)
    service.plan = [(503, {}, b"")] * 9
    with pytest.raises(ModelError, match=r"busy \(status 503\) 4 times. Is it running"):
        made.write(ASK, SAMPLING)
    assert len(service.seen) == 4 and len(waits) == 3
    service.server.shutdown()
    service.server.server_close()
    with pytest.raises(ModelError, match="out of reach"):
        made.write(ASK, SAMPLING)


def test_a_signal_ends_the_waiting_for_a_busy_service(service) -> None:
    made = Endpoint(service.url, "", retries=10**6, sleep=lambda _: None)
    service.plan, service.server.handle_error = [(503, {}, b"")] * 5, lambda *_: None

    def leave(body: dict[str, Any]) -> bytes:
        if asked() is None:
            os.kill(os.getpid(), signal.SIGTERM)
        raise ConnectionError

    service.answer = leave
    with finishing(), pytest.raises(Untouched):
        made.write(ASK * 2, SAMPLING)


def test_a_service_that_never_answers_is_given_up(service) -> None:
    made = Endpoint(service.url, "", retries=1, timeout_s=0.1, sleep=lambda _: None)
    service.answer = lambda body: __import__("time").sleep(0.5) or b"{}"
    with pytest.raises(ModelError, match=r"out of reach \(ReadTimeout\) 2 times"):
        made.write(ASK, SAMPLING)


@pytest.mark.parametrize(("status", "body", "said"), [
    (401, b'{"error": {"message": "no such key"}}', "refused with status 401: no such key"),
    (404, b"<html>", "refused with status 404"),
    (301, b"", "refused with status 301"),                             # a redirect might carry the key elsewhere
    (200, b"not json", "gave no chat completion"),
    (200, b'{"choices": []}', "gave no chat completion"),
    (200, b'{"choices": [{"message": {"content": null}}]}', "the content is no text"),
    (200, b'[1]', "gave no chat completion"),
])
def test_what_is_no_answer_is_one_clear_error(service, status: int, body: bytes, said: str) -> None:
    made, waits = endpoint(service)
    service.plan = [(status, {"location": "http://127.0.0.1:1/"}, body)] * 5
    with pytest.raises(ModelError, match=said):
        made.write(ASK, SAMPLING)
    assert waits == [] and len(service.seen) == 1


def test_the_key_comes_from_the_environment_and_is_never_shown(service, monkeypatch: pytest.MonkeyPatch,
                                                               capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TUTELAGE_API_KEY", "sk-very-secret")
    made, _ = endpoint(service)
    made.write(ASK, SAMPLING)
    assert service.headers[0]["authorization"] == "Bearer sk-very-secret"
    service.plan = [(401, {}, b'{"error": "bad"}')]
    with pytest.raises(ModelError) as refused:
        made.write(ASK, SAMPLING)
    assert "secret" not in str(refused.value) + repr(vars(made)) + made.name + "".join(capfd.readouterr())
    with pytest.raises(ConfigError, match="not encrypted") as refused_clear:
        Endpoint("http://models.example/v1", "")
    assert "secret" not in str(refused_clear.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "127.0.0.1:8000", "http://", "http://me:pass@127.0.0.1/v1",
                                 "https://models.example/v1?key=pass"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Endpoint(url, "")
    assert "pass" not in str(refused.value)
