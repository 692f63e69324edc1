"""An OpenAI-compatible service as a writer of texts (`remote.Remote` has what any service needs).

The key comes from the environment (`TUTELAGE_API_KEY`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from tutelage.errors import ModelError
from tutelage.messages import Messages
from tutelage.records import Sampling
from tutelage.remote import OutOfReach, Remote, reason
from tutelage.seeds import stream_seed
from tutelage.synthesis.writers import Written

KEY_VARIABLE = "TUTELAGE_API_KEY"
AT_ONCE = 4                      # requests in flight
LARGEST_ANSWER = 4_000_000       # bytes


class Endpoint:
    """Writes through `POST {url}/chat/completions`."""

    def __init__(self, url: str, model: str, *, timeout_s: float = 60.0, retries: int = 4,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self.model = model
        self._remote = Remote(url, "endpoint", KEY_VARIABLE, timeout_s=timeout_s, retries=retries, sleep=sleep)

    @property
    def name(self) -> str:
        return f"{self.model or 'model'} at {self._remote.place}"

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
        self._remote.close()

    def _ask(self, messages: Messages, sampling: Sampling, number: int) -> Written:
        body = {"messages": [{"role": message.role, "content": message.text} for message in messages],
                "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_new_tokens,
                "seed": stream_seed(sampling.seed, "endpoint", number) % 2**31, **({"model": self.model} if self.model else {})}
        try:
            return self._read(self._remote.post(body, "/chat/completions"))
        except OutOfReach as trouble:
            raise ModelError(f"{self.name} {trouble}. Is it running, and is the address right? What was written so far is kept; "
                             "the same command goes on.") from None

    def _read(self, response: httpx.Response) -> Written:
        if response.status_code != 200:
            raise ModelError(f"{self.name} refused with status {response.status_code}: {reason(response)}. Check the address, "
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
