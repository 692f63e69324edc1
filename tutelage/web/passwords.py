"""Passwords: argon2id, a few at a time, and the same work whether or not the person exists."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tutelage.errors import UsageError

MIN_LENGTH = 10
MAX_LENGTH = 200          # characters; argon2 has no need of a limit, our memory has
_AT_ONCE = threading.BoundedSemaphore(2)      # a hash takes 64 MiB and a core for a fifth of a second
_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """The argon2id hash to keep.

    Raises:
        UsageError: if the password is too short or too long.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(f"a password has from {MIN_LENGTH} to {MAX_LENGTH} characters; got {len(password)}.")
    with _AT_ONCE:
        return _hasher.hash(password)


def check_password(password: str, kept: str | None) -> bool:
    """Whether `password` is the one that `kept` is the hash of. With None the answer is no, after the same work."""
    if len(password) > MAX_LENGTH:
        return False
    with _AT_ONCE:
        try:
            return _hasher.verify(kept or _nobodys(), password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    """The hash of a password nobody has: who signs in under an unknown name waits as long as anybody."""
    return _hasher.hash("\0nobody")
