"""One stream of events for all open pages of all people (server-sent events).

A single task looks at the files while anybody listens. What it finds goes into one ring of bounded size, from which every
listener reads at its own pace: a slow one holds nobody up and costs no memory, and one that falls off the ring's end is
told to read anew. An event's id is `EPOCH-NUMBER`, the epoch being this server's; a browser that comes back names the last
it has seen and gets what it missed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from tutelage.studio.dashboard.watch import Event

_LOG = logging.getLogger("tutelage.studio")


class Feed:
    """`look` finds what is new; it is called in a thread, every `interval_s` seconds, by one caller at a time."""

    def __init__(self, look: Callable[[], list[Event]], *, interval_s: float = 1.0, heartbeat_s: float = 15.0,
                 most_listeners: int = 200, most_bytes: int = 4 << 20) -> None:
        self.interval_s, self.heartbeat_s = interval_s, heartbeat_s
        self.most_listeners, self.most_bytes = most_listeners, most_bytes
        self.epoch = secrets.token_hex(4)
        self.number = 0                  # of the last event
        self.closed = False
        self.listeners = 0
        self._look = look
        self._ring: dict[int, tuple[Event, str]] = {}      # number -> event, and how it is written; the oldest first
        self._bytes = 0
        self._changed = asyncio.Event()      # set, and replaced, at each change
        self._looked = False                 # since the task was started
        self._task: asyncio.Task[None] | None = None

    @property
    def has_room(self) -> bool:
        return not self.closed and self.listeners < self.most_listeners

    def close(self) -> None:
        """End every stream. To be called where the streams run: in the server's loop."""
        self.closed = True
        self._wake()

    async def listen(self, wants: Callable[[Event], bool], last_id: str,
                     may_stay: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """The events that this listener wants, from after `last_id` on, as they are written to the wire.

        The first says whether it goes on from there ("resumed") or has to read everything once, now. Each `heartbeat_s`
        it is asked whether the listener may stay.
        """
        self.listeners += 1
        try:
            await self._begin()
            place = self._place_of(last_id)
            resumed, place = place is not None, self.number if place is None else place
            yield self._hello(place, resumed)
            asked = time.monotonic()
            while not self.closed:
                changed = self._changed
                while place < self.number and not self.closed:
                    if place + 1 < self._oldest:
                        place = self.number
                        yield self._hello(place, False)
                        continue
                    place += 1
                    event, frame = self._ring[place]
                    if wants(event):
                        yield frame
                if time.monotonic() - asked >= self.heartbeat_s:
                    asked = time.monotonic()
                    if not await may_stay() or self._task is None or self._task.done():
                        return
                    yield ":\n\n"
                await _at_most(changed, self.heartbeat_s)
        finally:
            self.listeners -= 1

    async def _begin(self) -> None:
        """After the first look of the task, so that no line falls between what a page reads and what it is sent."""
        if self._task is None or self._task.done():
            self._looked = False
            self._task = asyncio.create_task(self._follow())
        while not self._looked and not self.closed and not self._task.done():
            await _at_most(self._changed, self.heartbeat_s)

    async def _follow(self) -> None:
        while self.listeners and not self.closed:
            try:
                for event in await asyncio.to_thread(self._look):
                    self._add(event)
            except OSError as error:          # a directory that is going away, a disk that is: the next look may succeed
                _LOG.warning("the runs cannot be read: %s", error)
            self._looked = True
            self._wake()
            await asyncio.sleep(self.interval_s)

    def _add(self, event: Event) -> None:
        self.number += 1
        data = json.dumps({"run": event.run, **event.data}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        frame = self._frame(self.number, event.kind, data)
        self._ring[self.number] = event, frame
        self._bytes += len(frame)
        while self._bytes > self.most_bytes:
            self._bytes -= len(self._ring.pop(self._oldest)[1])

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _place_of(self, last_id: str) -> int | None:
        """The number of an event of ours whose successors are all still there."""
        epoch, _, number = last_id.partition("-")
        if epoch != self.epoch or not number.isdecimal() or len(number) > 15:
            return None
        place = int(number)
        return place if self._oldest - 1 <= place <= self.number else None

    @property
    def _oldest(self) -> int:
        return next(iter(self._ring), self.number + 1)

    def _hello(self, place: int, resumed: bool) -> str:
        return self._frame(place, "hello", json.dumps({"resumed": resumed}))

    def _frame(self, number: int, kind: str, data: str) -> str:
        return f"id: {self.epoch}-{number}\nevent: {kind}\ndata: {data}\n\n"


async def _at_most(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
