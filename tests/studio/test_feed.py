"""The stream of what happens in the runs: one reader, many listeners, nothing lost, nothing kept for ever."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage.project import Project
from tutelage.runs.metrics import JsonLines
from tutelage.studio.dashboard.feed import Feed
from tutelage.studio.dashboard.watch import MOST_BYTES, Event, Watch


def begin(project: Project, name: str = "sft-m-1") -> Path:
    run = project.runs / name
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"circumstances": {}, "key": name, "stage": "sft"}))
    return run


def said(events: list[Event]) -> list[tuple[str, str, list[int]]]:
    return [(each.kind, each.run, [int(line["step"]) for line in each.data.get("lines", ())]) for each in events]


def watch_of(project: Project) -> Watch:
    watch = Watch(project)
    assert watch.look() == []
    return watch


def test_only_what_is_new_is_told_and_only_whole_lines(project: Project) -> None:
    run = begin(project)
    log = JsonLines(run / "metrics.jsonl", 0)
    log.log(0, {"loss": 3.0})
    watch = watch_of(project)
    log.log(1, {"loss": 2.0})
    log.log(2, {"loss": 1.0})
    with open(run / "metrics.jsonl", "ab") as half:
        half.write(b'{"step": 3, "lo')
        half.flush()
        assert said(watch.look()) == [("lines", run.name, [1, 2])]
        half.write(b'ss": 0.5, "bad": NaN}\nno line\n')
    (new,) = watch.look()
    assert new.data["lines"] == [{"step": 3, "loss": 0.5}]
    assert watch.look() == []


def test_a_run_that_goes_on_from_an_earlier_step_is_read_anew(project: Project) -> None:
    run = begin(project)
    log = JsonLines(run / "metrics.jsonl", 0)
    for step in range(5):
        log.log(step, {"loss": 1.0})
    watch = watch_of(project)
    again = JsonLines(run / "metrics.jsonl", 2)             # lines 2 to 4 are taken back
    for step in range(2, 8):                                # and it has more of them by now than before
        again.log(step, {"loss": 7.0})
    assert said(watch.look()) == [("rewritten", run.name, [])]
    again.log(8, {"loss": 6.0})
    assert said(watch.look()) == [("lines", run.name, [8])]


def test_what_is_far_behind_is_not_told_line_by_line(project: Project) -> None:
    run = begin(project)
    (run / "metrics.jsonl").write_text('{"step": 0}\n')
    watch = watch_of(project)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 1, "x": 1}\n' * (MOST_BYTES // 19))
    assert said(watch.look()) == [("rewritten", run.name, [])]
    with open(run / "metrics.jsonl", "a") as file:
        file.write("".join(f'{{"step": {step}}}\n' for step in range(250)))
    assert [len(each.data["lines"]) for each in watch.look()] == [100, 100, 50]


def test_runs_that_begin_and_go_and_samples_are_noticed(project: Project) -> None:
    watch = watch_of(project)
    run = begin(project)
    (run / "metrics.jsonl").write_text('{"step": 0}\n')
    (run / "samples.jsonl").write_text("{}\n")
    assert said(watch.look()) == [("standing", "", []), ("lines", run.name, [0]), ("samples", run.name, [])]
    for path in run.iterdir():
        os.unlink(path)
    run.rmdir()
    assert said(watch.look()) == [("standing", "", [])]


def test_somebody_at_work_is_noticed_but_not_asked_at_every_look(project: Project) -> None:
    now = [0.0]
    watch = Watch(project, clock=lambda: now[0])
    watch.look()
    with project.lock():
        assert watch.look() == []                           # asked a moment ago
        now[0] += 10
        assert said(watch.look()) == [("standing", "", [])]
    now[0] += 10
    assert said(watch.look()) == [("standing", "", [])]


class Source:
    """Events that a test hands to the feed, and how often it was asked."""

    def __init__(self) -> None:
        self.waiting: list[Event] = []
        self.looks = 0
        self.at_once = 0
        self._lock = threading.Lock()

    def __call__(self) -> list[Event]:
        self.looks += 1
        if not self._lock.acquire(blocking=False):
            self.at_once += 1
            return []
        with_what, self.waiting = self.waiting, []
        self._lock.release()
        return with_what


async def stays() -> bool:
    return True


def parsed(frame: str) -> tuple[str, str, Any]:
    """(kind, id, data) of a frame as a browser reads it."""
    fields = dict(line.split(": ", 1) for line in frame.strip().splitlines())
    return fields["event"], fields["id"], json.loads(fields["data"])


async def take(stream: AsyncIterator[str], number: int) -> list[tuple[str, str, Any]]:
    return [parsed(await asyncio.wait_for(anext(stream), 10)) for _ in range(number)]


def feed_of(source: Source, **options: Any) -> Feed:
    return Feed(source, **{"interval_s": 0.01, "heartbeat_s": 60.0, **options})


def listen(feed: Feed, last_id: str = "", wants: Callable[[Event], bool] = lambda event: True) -> Any:
    return feed.listen(wants, last_id, stays)


def test_many_listeners_share_one_reader_and_each_gets_what_it_wants() -> None:
    async def story() -> None:
        source = Source()
        feed = feed_of(source)
        streams = [listen(feed, wants=lambda event, n=n: event.run in ("", f"run{n % 2}")) for n in range(50)]
        for stream in streams:
            assert (await take(stream, 1))[0][2] == {"resumed": False}
        source.waiting = [Event("lines", "run0", {"lines": []}), Event("standing"), Event("lines", "run1", {"lines": []})]
        for n, stream in enumerate(streams):
            kinds = [(kind, data["run"]) for kind, _, data in await take(stream, 2)]
            assert kinds == ([("lines", "run0"), ("standing", "")] if n % 2 == 0 else [("standing", ""), ("lines", "run1")])
        assert source.at_once == 0 and feed.listeners == 50
        for stream in streams:
            await stream.aclose()
        assert feed.listeners == 0
        await asyncio.sleep(0.1)
        before = source.looks
        await asyncio.sleep(0.1)
        assert source.looks == before, "nobody listens, so nobody reads"
    asyncio.run(story())


def test_who_comes_back_gets_what_it_missed_once() -> None:
    async def story() -> None:
        source = Source()
        feed = feed_of(source)
        first = listen(feed)
        await take(first, 1)
        source.waiting = [Event("samples", f"run{n}") for n in range(5)]
        seen = await take(first, 2)
        await first.aclose()                                  # the network is lost
        await asyncio.sleep(0.05)
        source.waiting = [Event("samples", "run5")]           # and nobody reads meanwhile
        again = listen(feed, last_id=seen[-1][1])
        hello, *missed = await take(again, 5)
        assert hello[2] == {"resumed": True} and [data["run"] for _, _, data in missed] == ["run2", "run3", "run4", "run5"]
        await again.aclose()
    asyncio.run(story())


@pytest.mark.parametrize("last_id", ["", "other-0", "-", "x", "{epoch}-", "{epoch}--1", "{epoch}-99", "{epoch}-9999999999999999",
                                     "{epoch}-1 "])
def test_an_id_that_means_nothing_here_begins_anew(last_id: str) -> None:
    async def story() -> None:
        feed = feed_of(Source())
        stream = listen(feed, last_id=last_id.format(epoch=feed.epoch))
        assert (await take(stream, 1))[0][2] == {"resumed": False}
        await stream.aclose()
    asyncio.run(story())


def test_a_slow_listener_holds_nobody_up_and_is_told_to_read_anew() -> None:
    async def story() -> None:
        source = Source()
        feed = feed_of(source, most_bytes=2000)
        slow, quick = listen(feed), listen(feed)
        await take(slow, 1)
        await take(quick, 1)
        for n in range(60):
            source.waiting = [Event("samples", f"run{n}")]
            assert (await take(quick, 1))[0][2]["run"] == f"run{n}"
        assert sum(len(frame) for _, frame in feed._ring.values()) <= 2000
        hello = (await take(slow, 1))[0]
        assert hello[0] == "hello" and hello[2] == {"resumed": False}
        source.waiting = [Event("samples", "after")]
        assert (await take(slow, 1))[0][2]["run"] == "after"
        for stream in (slow, quick):
            await stream.aclose()
    asyncio.run(story())


def test_streams_end_with_the_server_and_with_the_right_to_them() -> None:
    async def story() -> None:
        feed = feed_of(Source())
        streams = [listen(feed) for _ in range(3)]
        for stream in streams:
            await take(stream, 1)
        feed.close()
        for stream in streams:
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(anext(stream), 10)
        assert feed.listeners == 0 and not feed.has_room

        async def goes() -> bool:
            return False
        other = feed_of(Source(), heartbeat_s=0.05)
        stream = other.listen(lambda event: True, "", goes)
        await take(stream, 1)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 10)
    asyncio.run(story())


def test_a_disk_that_fails_for_a_while_ends_no_stream() -> None:
    async def story() -> None:
        looks = iter([[], OSError("gone"), [Event("standing")]])

        def look() -> list[Event]:
            found = next(looks, [])
            if isinstance(found, OSError):
                raise found
            return found
        feed = Feed(look, interval_s=0.01)
        stream = feed.listen(lambda event: True, "", stays)
        assert [kind for kind, _, _ in await take(stream, 2)] == ["hello", "standing"]
        await stream.aclose()
    asyncio.run(story())
