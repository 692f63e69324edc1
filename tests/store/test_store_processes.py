"""Several processes at one file, and processes that die in the middle."""

import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from store_records import a_judgment, hang_in_the_middle, write_some

from tutelage.store import Store

SPAWN = multiprocessing.get_context("spawn")


def test_two_processes_write_two_hundred_judgments_each_and_all_are_there_once(place: Path | str) -> None:
    writers = [SPAWN.Process(target=write_some, args=(place, who, 200)) for who in ("ada", "eve")]
    for writer in writers:                    # both find no file: one makes it, the other waits
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    with Store.open(place) as store:
        assert [judgment.id for judgment in store.judgments()] == [
            f"{who}-{i:03d}" for who in ("ada", "eve") for i in range(200)]
        assert store.counts() == {"comparison": {"human": 400}}


@pytest.mark.faults
def test_a_process_killed_in_the_middle_of_a_batch_leaves_none_of_it(store: Store, place: Path | str) -> None:
    store.add_judgments([a_judgment("before")])
    ours, theirs = SPAWN.Pipe()
    victim = SPAWN.Process(target=hang_in_the_middle, args=(place, theirs))
    victim.start()
    assert ours.poll(120) and ours.recv() > 2       # hundreds of rows are inserted, none committed
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(10)
    assert [judgment.id for judgment in store.judgments()] == ["before"]
    assert store.num_samples() == 2
    assert store.add_judgments([a_judgment("after", answer={"winner": "tie"})]) == 1      # and its lock is gone
    if isinstance(place, str):
        return
    with sqlite3.connect(place) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
