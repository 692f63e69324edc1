"""Manners for the libraries that read models: no progress bars of their own, no tracebacks over a damaged file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from transformers.utils import logging

from tutelage.errors import ModelError, TutelageError

logging.disable_progress_bar()      # "Loading weights", "Writing model shards", and the hub's


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Make whatever a loader raises over a file it cannot read a `ModelError` that begins with `what`.

    Loaders raise nearly everything over damaged files, and tokenizers a bare `Exception`, so that all are caught here.
    """
    try:
        yield
    except (TutelageError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(f"{what}: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """What a library says at most in one line: its first that is not empty, else the error's name."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """For a loader that warns of what is meant so: a head that is new."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """For a loader whose bar cannot be turned off: its stderr goes nowhere."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
