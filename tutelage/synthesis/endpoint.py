"""An OpenAI-compatible service as a writer of texts: bounded waiting, bounded trying again, and a key that is never shown.

The key comes from the environment (`TUTELAGE_API_KEY`) and goes into one header. Nothing is sent anywhere but to the
address that was asked for: redirects are not followed, and a key is not sent in the clear over a network.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx

from tutelage.errors import ConfigError, ModelError
from tutelage.messages import Messages
from tutelage.records import Sampling
from tutelage.runs.signals import stop_if_asked
from tutelage.seeds import stream_seed
from tutelage.synthesis.writers import Written

KEY_VARIABLE = "TUTELAGE_API_KEY"
LONGEST_WAIT_S = 30.0
AT_ONCE = 4                      # requests in flight
LARGEST_ANSWER = 4_000_000       # bytes
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


class Endpoint:
    """Writes through `POST {url}/chat/completions`."""

    def __init__(self, url: str, model: str, *, timeout_s: float = 60.0, retries: int = 4,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self.url, self.model, self.retries, self._sleep = url.rstrip("/"), model, retries, sleep
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"endpoint {_shown(url)!r} is no address; wanted for instance http://127.0.0.1:8000/v1.")
        if parts.username or parts.password or parts.query:
            raise ConfigError(f"endpoint {_shown(url)} holds credentials or a query. Put a key into {KEY_VARIABLE} instead.")
        local = parts.hostname in _LOOPBACK
        key = os.environ.get(KEY_VARIABLE, "")
        if key and parts.scheme == "http" and not local:
            raise ConfigError(f"endpoint {url} is not encrypted, and {KEY_VARIABLE} would go over the network in the clear. Use "
                              "https, or unset the key.")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=timeout_s, headers=headers, trust_env=not local, follow_redirects=False)

    @property
    def name(self) -> str:
        return f"{self.model or 'model'} at {urlsplit(self.url).netloc}"

    def write(self, conversations: Sequence[Messages], sampling: Sampling) -> list[Written]:
        """One answer a conversation, in order.

        Raises:
            ModelError: if the service refuses, answers nonsense, or stays out of reach after the last try.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = [pool.submit(self._ask, each, sampling, i) for i, each in enumerate(conversations)]
            try:
                return [answer.result() for answer in answers]      # Untouched too, where a signal asked to stop
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        self._client.close()

    def _ask(self, messages: Messages, sampling: Sampling, number: int) -> Written:
        body = {"messages": [{"role": message.role, "content": message.text} for message in messages],
                "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_new_tokens,
                "seed": stream_seed(sampling.seed, "endpoint", number) % 2**31, **({"model": self.model} if self.model else {})}
        trouble, after = "", None
        for attempt in range(self.retries + 1):
            stop_if_asked()
            if attempt:
                self._sleep(self._wait_s(attempt, after))
            after = None
            try:
                response = self._client.post(f"{self.url}/chat/completions", json=body)
            except httpx.TransportError as error:
                trouble = f"out of reach ({type(error).__name__})"
                continue
            if response.status_code in _BUSY:
                trouble, after = f"busy (status {response.status_code})", response.headers.get("retry-after")
                continue
            return self._read(response)
        raise ModelError(f"{self.name} was {trouble} {self.retries + 1} times. Is it running, and is the address right? What was "
                         "written so far is kept; the same command goes on.")

    def _read(self, response: httpx.Response) -> Written:
        if response.status_code != 200:
            raise ModelError(f"{self.name} refused with status {response.status_code}: {_message(response)}. Check the address, "
                             f"endpoint_model and the key in {KEY_VARIABLE}.")
        try:
            if len(response.content) > LARGEST_ANSWER:
                raise ValueError(f"{len(response.content)} bytes")
            choice = response.json()["choices"][0]
            text = choice["message"]["content"]
            if not isinstance(text, str):
                raise TypeError("the content is no text")
            return Written(text, choice.get("finish_reason") != "length")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ModelError(f"{self.name} gave no chat completion ({type(error).__name__}: {str(error)[:80]}). Is it an "
                             "OpenAI-compatible service?") from None

    @staticmethod
    def _wait_s(attempt: int, after: str | None) -> float:
        """What the service asked for, else a second, doubled at each try and spread, so that not all come back at once."""
        if after is not None and after.strip().isdigit():
            return min(float(after), LONGEST_WAIT_S)
        return min(2.0 ** (attempt - 1), LONGEST_WAIT_S) * random.uniform(0.5, 1.0)


def _shown(url: str) -> str:
    """The address without what may be secret in it."""
    return url.rpartition("@")[2].partition("?")[0]


def _message(response: httpx.Response) -> str:
    """What the service says is wrong, shortly."""
    try:
        error: Any = response.json()["error"]
        return str(error.get("message", error) if isinstance(error, dict) else error)[:200]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase or "no reason given"
