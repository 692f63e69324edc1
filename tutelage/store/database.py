"""A database of ours, whichever engine holds it: reading from one state, writing all or nothing, errors in words.

    reading()    one state of the whole database, however long it takes, in nobody's way
    writing()    alone: what is checked here is still true when it is kept
    sharing()    beside others, where every row that matters is locked first (tasks, sessions); on SQLite as `writing`

`sqlite.py` and `postgresql.py` hold what each engine needs for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tutelage.errors import StoreError, StoreUnavailable
from tutelage.store.turns import Turns

BUSY_TIMEOUT_S = 15.0      # 5 s proved too short with twenty writers


class Flavour(Protocol):
    """What differs between the engines (`sqlite`, `postgresql`)."""

    NAME: str

    def prepare(self, database: Database) -> None: ...
    def alone(self, connection: Connection) -> None: ...
    def in_words(self, error: BaseException | None, where: str) -> StoreError | None: ...
    def revision(self, engine: Engine, where: str) -> str | None: ...


class Database:
    """Two engines on one pool. Safe to share between threads; each process opens its own."""

    def __init__(self, where: str, flavour: Flavour, reader: Engine, writer: Engine, busy_timeout_s: float) -> None:
        self.where = where                     # as people are told it: without a password
        self.flavour = flavour
        self.reader = reader
        self.writer = writer
        self.busy_timeout_s = busy_timeout_s
        # SQLite's own queue of writers is a game of sleeping and trying again; among threads, turns are fair and faster.
        self._turns = Turns() if flavour.NAME == "sqlite" else None

    def close(self) -> None:
        self.reader.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.refusals(), self.reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self._my_turn(), self.refusals(), self.writer.begin() as connection:
            self.flavour.alone(connection)
            yield connection

    @contextmanager
    def sharing(self) -> Iterator[Connection]:
        with self._my_turn(), self.refusals(), self.writer.begin() as connection:
            yield connection

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                if self._turns is not None:
                    held.enter_context(self._turns.mine(self.busy_timeout_s))
            except TimeoutError:
                raise StoreUnavailable(f"{self.where} is locked: another thread has been writing to it for too long. Try again "
                                       "when it is done; nothing of this was kept.") from None
            yield

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Turn what the engine refuses into a `StoreError` that says what to do; anything else passes through."""
        try:
            yield
        except UnicodeEncodeError as error:
            raise StoreError(f"a text for {self.where} is not valid Unicode: {error.reason} at {error.start}. Nothing "
                             "was kept; mend the text and send it again.") from None
        except PoolTimeout:
            raise StoreUnavailable(f"{self.where} is busy: too many are at it at once. Try again; nothing of this was "
                                   "kept.") from None
        except Exception as error:
            said = error.orig if isinstance(error, DBAPIError) else error
            words = self.flavour.in_words(said, self.where)
            if words is None:
                raise
            raise words from None
