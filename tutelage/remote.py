"""A service elsewhere, over HTTP: bounded waiting, bounded trying again, and a key that is never shown.

The key comes from an environment variable and goes into one header. Nothing is sent anywhere but to the address that was
asked for: redirects are not followed, and a key is not sent in the clear over a network.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from tutelage.errors import ConfigError
from tutelage.runs.signals import stop_if_asked

LONGEST_WAIT_S = 30.0
LONGEST_CONNECT_S = 10.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


class OutOfReach(Exception):
    """What was wrong at the last try, as the end of a sentence about the service."""


class Remote:
    """One address, with what its requests share."""

    def __init__(self, url: str, what: str, key_variable: str, *, timeout_s: float, retries: int,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        """
        Args:
            what: how messages call the service: "endpoint", "reward".
            timeout_s: that a request may take; 0 waits forever.
        Raises:
            ConfigError: if `url` is no address, holds a secret, or the key would go over a network in the clear.
        """
        self.url, self.retries, self.timeout_s, self._sleep = url.rstrip("/"), retries, timeout_s, sleep
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{what} {shown(url)!r} is no address; wanted for instance http://127.0.0.1:8000/v1.")
        if parts.username or parts.password or parts.query:
            raise ConfigError(f"{what} {shown(url)} holds credentials or a query. Put a key into {key_variable} instead.")
        local = parts.hostname in _LOOPBACK
        key = os.environ.get(key_variable, "")
        if key and parts.scheme == "http" and not local:
            raise ConfigError(f"{what} {url} is not encrypted, and {key_variable} would go over the network in the clear. Use "
                              "https, or unset the key.")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, trust_env=not local, follow_redirects=False)

    @property
    def place(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    def close(self) -> None:
        self._client.close()

    def post(self, body: Any, path: str = "", timeout_s: float | None = None, retries: int | None = None) -> httpx.Response:
        """What the service says to `body` (JSON); asked again, after longer and longer waits, while it is busy or out of reach.

        Raises:
            OutOfReach: after the last try.
            Untouched: where a signal asked to stop.
        """
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        limit = httpx.Timeout(timeout_s or None, connect=min(timeout_s or LONGEST_CONNECT_S, LONGEST_CONNECT_S))
        retries = self.retries if retries is None else retries
        trouble, after = "", None
        for attempt in range(retries + 1):
            stop_if_asked()
            if attempt:
                self._sleep(_wait_s(attempt, after))
            after = None
            try:
                response = self._client.post(f"{self.url}{path}", json=body, timeout=limit)
            except httpx.TransportError as error:
                trouble = f"out of reach ({type(error).__name__})"
                continue
            if response.status_code in _BUSY:
                trouble, after = f"busy (status {response.status_code})", response.headers.get("retry-after")
                continue
            return response
        raise OutOfReach(f"was {trouble} {retries + 1} times")


def shown(url: str) -> str:
    """The address without what may be secret in it."""
    return url.rpartition("@")[2].partition("?")[0]


def reason(response: httpx.Response) -> str:
    """What the service says is wrong, shortly."""
    try:
        error: Any = response.json()["error"]
        return str(error.get("message", error) if isinstance(error, dict) else error)[:200]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase or "no reason given"


def _wait_s(attempt: int, after: str | None) -> float:
    """What the service asked for, else a second, doubled at each try and spread, so that not all come back at once."""
    if after is not None and after.strip().isdigit():
        return min(float(after), LONGEST_WAIT_S)
    return min(2.0 ** (attempt - 1), LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
