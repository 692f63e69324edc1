"""Files nobody meant to write: mutated rows, bytes and archives of every format in every container.

Whatever comes in, the outcome is records and counted refusals or one DataError: no other exception, no hang, no row lost.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from mutation import WRAPS, mutated

from tutelage.data.formats import FORMATS
from tutelage.data.sources import open_file
from tutelage.errors import DataError

HANG_S = 10
ASK, SAY = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because 因为😀."}
HUMAN, GPT = {"from": "human", "value": "为什么？"}, {"from": "gpt", "value": "Because\nof it."}
ROWS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "Add.", "input": "1", "output": "2", "system": "S", "history": [["a", "b"]]},
    "messages": {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
                              {"role": "tool", "content": "3", "tool_call_id": "c"}, SAY], "tools": [{"name": "f"}]},
    "prompt-response": {"prompt": "Why?", "response": "Because.", "id": "x"},
    "prompts": {"prompt": "Why?", "kind": "question", "key_facts": [["a"]]},
    "sharegpt": {"conversations": [HUMAN, {"from": "function_call", "value": '{"name": "f"}'},
                                   {"from": "observation", "value": "1"}, GPT]},
    "seed-tasks": {"id": "t", "instruction": "Add.", "instances": [{"input": "1", "output": "2"}] * 2},
    "text": {"text": "天地玄黄。", "licence": "CC0"},
    "labels": {"text": "Good.", "labels": ["praise", 2]},
    "chosen-rejected": {"prompt": "Why?", "chosen": [SAY], "rejected": "No.", "margin": 0.5, "judgment_ids": ["j"]},
    "sharegpt-pairs": {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "不"}},
    "revisions": {"prompt": "Why?", "response": "No.", "critique": "No reason.", "revision": "Because.", "person": "ann"},
    "marks": {"prompt": "Why?", "response": "因为😀。", "person": "ann",
              "marks": [{"start": 2, "end": 3, "mark": "good", "note": "n"}]},
    "critiques": {"prompt": "Why?", "response": "No.", "critique": "No reason.", "licence": "MIT"},
    "hh": {"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
    "kto": {"messages": [ASK, SAY], "label": False, "weight": 2},
    "ratings": {"prompt": "Why?", "completions": [{"response": "a", "annotations": {"help": {"Rating": "3"}}}] * 2},
    "rankings": {"prompt": "Why?", "responses": ["a", "b", "c"], "ranks": [2, 1, 2]},
}
JUNK = [None, True, 0, -1.5, 1e400, 10 ** 30, float("nan"), "", " ", "\0", "😀", "\u2028", "\ud800", [], {}, [[]], [None],
        "x" * 3000, {"role": "user"}, [{"role": "user", "content": None}], {"from": "gpt", "value": "x"}, "<|im_end|>",
        "\n\nHuman:", '"', ",", "["]


def test_every_format_is_mutated() -> None:
    assert ROWS.keys() == FORMATS.keys()


@pytest.mark.parametrize("seed", range(4))
def test_a_few_hundred_mutated_files_give_records_refusals_or_an_error(tmp_path: Path, seed: int) -> None:
    assert sum(try_one(tmp_path, random.Random(f"{seed} {number}")) for number in range(100)) > 10


@pytest.mark.faults
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_mutated_files_give_records_refusals_or_an_error(tmp_path: Path, part: int) -> None:
    assert sum(try_one(tmp_path, random.Random(f"many {part} {number}")) for number in range(1000)) > 100


def try_one(directory: Path, random_: random.Random) -> bool:
    """Make a file and read it; whether it was read to its end."""
    name, content, rows = made(random_)
    path = directory / name
    path.write_bytes(content)
    format = random_.choice([None, None, None, *FORMATS])
    with no_longer_than(HANG_S, name):
        try:
            outcomes = list(open_file(path, format).outcomes())
        except DataError as error:
            assert str(error).strip() and len(str(error)) < 3000
            return False
    numbers = [number for number, _, _ in outcomes]
    assert numbers == sorted(set(numbers)), "a row came twice, or out of order"
    assert all(bool(records) != bool(reason.strip()) for _, records, reason in outcomes)
    if rows is not None:
        assert len(outcomes) == rows, f"{name}: {len(outcomes)} rows came out of {rows}"
    for _, records, _ in outcomes:
        for record in records:
            assert json.loads(record.canonical()) == json.loads(json.dumps(record.to_json(), allow_nan=False))
            assert type(record).from_json(json.loads(record.canonical())) == record
            record.canonical().encode()
    return True


@contextmanager
def no_longer_than(seconds: int, what: str) -> Iterator[None]:
    def late(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{what} took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds * 3)      # the machine may be busy; the time itself is judged by processor time
    signal.setitimer(signal.ITIMER_PROF, seconds)
    profiled = signal.signal(signal.SIGPROF, late)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGPROF, profiled)


# ---- making files ----------------------------------------------------------------------------------------------------

def made(random_: random.Random) -> tuple[str, bytes, int | None]:
    """A file's name, its content, and how many rows an independent reader sees in it (None: nobody can say)."""
    rows = [mixed(random_) for _ in range(random_.randrange(0, 12))]
    writers: list[Callable[[list[Any], random.Random], bytes]] = [lines, lines, lines, array, array, table, parquet, arrow]
    writer = random_.choice(writers)
    content = writer(rows, random_)
    if random_.random() < 0.5:
        content = damaged(content, random_)
    count = counted(content) if writer in (lines, array) else None
    suffix = {lines: ".jsonl", array: ".json", table: ".csv", parquet: ".parquet", arrow: ".arrow"}[writer]
    if random_.random() < 0.2:
        suffix = random_.choice([".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ""])
        count = None
    if random_.random() < 0.2:
        content = random_.choice([gzip.compress, zstandard.ZstdCompressor().compress])(content)
        if random_.random() < 0.4:
            content, count = damaged(content, random_), None
    return f"rows{suffix}", content, count


def mixed(random_: random.Random) -> Any:
    row = ROWS[random_.choice(list(ROWS))] if random_.random() < 0.3 else ROWS["chosen-rejected"]
    return row if random_.random() < 0.4 else mutated(row, random_, JUNK, WRAPS)


def text_of(row: Any, random_: random.Random) -> str:
    try:
        text = json.dumps(row, ensure_ascii=random_.random() < 0.5)
    except RecursionError:
        depth = 1200
        text = '{"prompt": ' + "[" * depth + "]" * depth + "}"
    if random_.random() < 0.05:
        text = text[:-1] + ', "prompt": "twice", "prompt": "twice"}'
    return text


def lines(rows: list[Any], random_: random.Random) -> bytes:
    end = random_.choice(["\n", "\r\n"])
    head = random_.choice(["", "", "\ufeff", "\n\n"])
    return (head + end.join(text_of(row, random_) for row in rows)).encode("utf-8", "surrogatepass")


def array(rows: list[Any], random_: random.Random) -> bytes:
    return ("[" + ", \n".join(text_of(row, random_) for row in rows) + "]").encode("utf-8", "surrogatepass")


def table(rows: list[Any], random_: random.Random) -> bytes:
    text = io.StringIO(newline="")
    rows = [row if isinstance(row, dict) else {} for row in rows]
    writer = csv.writer(text, delimiter=random_.choice([",", "\t", ";"]))
    header = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row)) or ["prompt"]
    writer.writerow(header)
    for row in rows:
        writer.writerow([row[key] if isinstance(row.get(key), str) else text_of(row.get(key), random_) for key in header])
    return text.getvalue().encode("utf-8", "surrogatepass")


def columns(rows: list[Any]) -> pyarrow.Table:
    try:
        return pyarrow.Table.from_pylist([json.loads(json.dumps(row)) for row in rows] or [{"prompt": "a"}])
    except (pyarrow.ArrowException, UnicodeEncodeError, RecursionError, OverflowError):
        return pyarrow.Table.from_pylist([{"prompt": "Why?", "chosen": "a", "rejected": "b"}] * 3)


def parquet(rows: list[Any], random_: random.Random) -> bytes:
    out = io.BytesIO()
    try:
        pyarrow.parquet.write_table(columns(rows), out)
    except pyarrow.ArrowException:      # a struct without fields cannot be written
        pyarrow.parquet.write_table(columns([{"prompt": "a"}]), out := io.BytesIO())
    return out.getvalue()


def arrow(rows: list[Any], random_: random.Random) -> bytes:
    out, found = io.BytesIO(), columns(rows)
    opened = pyarrow.ipc.new_stream if random_.random() < 0.5 else pyarrow.ipc.new_file
    with opened(out, found.schema) as writer:
        writer.write_table(found)
    return out.getvalue()


def damaged(content: bytes, random_: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or put in; or the end cut off."""
    raw = bytearray(content)
    for _ in range(random_.choice([1, 1, 3, 20])):
        if not raw:
            break
        at, choice = random_.randrange(len(raw)), random_.randrange(6)
        if choice == 0:
            raw[at] = random_.randrange(256)
        elif choice == 1:
            del raw[at:at + random_.randrange(1, 20)]
        elif choice == 2:
            raw[at:at] = raw[at:at + random_.randrange(1, 200)]
        elif choice == 3:
            raw[at:at] = random_.choice([b"\0", b"\xff", b'"', b"\n", b"\\", b"{", b"]", b",", b"\xed\xa0\x80", b"\r", b'""'])
        elif choice == 4:
            raw[at] ^= 1 << random_.randrange(8)
        elif random_.random() < 0.3:
            del raw[at:]
    return bytes(raw)


def counted(content: bytes) -> int | None:
    """Rows by another reader: elements of an array, else lines that are not blank."""
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        try:
            return len(json.loads(content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")))
        except (ValueError, RecursionError, TypeError):
            return None
    if not start.startswith(b"{"):
        return None
    return sum(bool(line.strip(b" \t\r\xef\xbb\xbf")) for line in content.split(b"\n"))
