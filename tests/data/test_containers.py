"""Containers are known by their content, give the same rows whatever packs them, and never hang, burst or half-read."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import socket
import sys
import zlib

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from tutelage.data import containers, hub, rows
from tutelage.data.commands import data
from tutelage.data.containers import recognise
from tutelage.data.sources import open_file, read_file
from tutelage.data.writer import write_dataset
from tutelage.errors import DataError, DiskError
from tutelage.options import Options

ROWS = [{"prompt": "为什么？😀", "chosen": "因为, \"so\"\nit is", "rejected": "No.", "margin": 0.5},
        {"prompt": "b", "chosen": "c", "rejected": "d"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CSV = 'prompt,chosen,rejected,margin\r\n为什么？😀,"因为, ""so""\nit is",No.,0.5\r\nb,c,d,\r\n'.encode()


def columnar(kind: str, table: pyarrow.Table | None = None) -> bytes:
    out, table = io.BytesIO(), table or pyarrow.Table.from_pylist(ROWS)
    if kind == "parquet":
        pyarrow.parquet.write_table(table, out)
    else:
        with (pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream)(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


CONTENTS = {"lines": LINES, "array": json.dumps(ROWS, indent=1).encode(), "csv": CSV, "bom csv": b"\xef\xbb\xbf" + CSV,
            "tsv": CSV.replace(b"prompt,chosen,rejected,margin", b"prompt\tchosen\trejected\tmargin").replace(
                ",\"因".encode(), "\t\"因".encode()).replace(b'",No.,', b'"\tNo.\t').replace(b"b,c,d,", b"b\tc\td\t"),
            "parquet": columnar("parquet"), "arrow file": columnar("file"), "arrow stream": columnar("stream")}


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet", "rows", "rows.json.gz"])
@pytest.mark.parametrize("container", CONTENTS)
def test_content_decides_and_every_container_gives_the_same_records(write, container, name):
    got = read_file(write(CONTENTS[container], name))
    assert got.records == read_file(write(LINES, "lines.jsonl")).records and got.refusals == []


def zstd(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lambda raw: gzip.compress(raw[:9]) + gzip.compress(raw[9:]),
                                  lambda raw: zstd(raw[:9]) + zstd(raw[9:])], ids=["gzip", "zstd", "members", "frames"])
@pytest.mark.parametrize("container", ["lines", "array", "csv"])
def test_packed_files_give_the_same_records_and_cut_off_ones_are_refused(write, container, pack):
    packed = pack(CONTENTS[container])
    assert read_file(write(packed, "rows.dat")).records == read_file(write(LINES, "lines.jsonl")).records
    for cut in (len(packed) - 3, len(packed) // 2):
        with pytest.raises(DataError, match=r"damaged or cut off|is empty"):
            read_file(write(packed[:cut], "rows.dat"))


def test_a_packed_file_that_grows_without_end_is_refused_early(write, tmp_path):
    row = json.dumps({"prompt": "a" * 1000, "response": "b"}).encode() + b"\n"
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(stream.compress(row * 1000) for _ in range(100)) + stream.flush()
    squeezed = zstandard.ZstdCompressor(level=19).compress(b'{"prompt": "' + b"a" * (100 << 20))
    for raw, name in ((bomb, "rows.gz"), (squeezed, "rows.zst")):
        with pytest.raises(DataError, match="more than 200 times its size"):
            read_file(write(raw, name))
    with pytest.raises(DataError, match=r"not text|more than 200 times"):
        read_file(write(gzip.compress(b"\0" * (40 << 20)), "zeros.gz"))


def test_what_is_no_file_is_refused_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, wanted in (("pipe", "is a pipe"), ("socket", "is a socket"), (".", "is a directory"),
                             ("none", "does not exist"), ("x" * 300, "cannot be read: File name too long"),
                             ("a\0b", "holds a NUL")):
            with pytest.raises(DataError, match=wanted):
                open_file(tmp_path / name)
    with pytest.raises(DataError, match="is a device"):
        open_file("/dev/zero")


@pytest.mark.parametrize("content, wanted", [
    (b"PK\x03\x04\0\0", "a ZIP archive"), (b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0", "xz"), ("[]".encode("utf-16-le"), "UTF-16"),
    (b"", "is empty"), (gzip.compress(b""), "is empty"), (b"\0\1\2\3" * 50, "not text"),
    (b"PAR1 and nothing", "parquet and damaged"),
    (b"\xff\xff\xff\xff\x10\0\0\0garbage garbage", "arrow stream and damaged"), (b"ARROW1\0\0rest", "arrow file and damaged"),
    (gzip.compress(columnar("parquet")), "parquet packed with gzip"), (b"\x1f\x8bno gzip at all", "damaged"),
    (b"\x28\xb5\x2f\xfdno zstd at all", "damaged"), (b"prompt,prompt,response\na,b,c\n", "the column 'prompt' twice"),
    (b"prompt,,response\na,b,c\n", "a column without a name")])
def test_a_file_that_is_nothing_read_here_says_what_it_is(write, content, wanted):
    with pytest.raises(DataError, match=wanted):
        read_file(write(content, "rows.csv"))


def reasons(path) -> dict[int, str]:
    return {refusal.row: refusal.reason for refusal in read_file(path).refusals}


def test_rows_of_a_broken_table_are_refused_and_counted(write):
    path = write(b'prompt,response\r\na,b\r\nonly one\r\na,b,c\r\n"a"x,b\r\n\xff,b\r\n5" disk,b\r\n\r\n'
                 b'"two\nlines",b\n"never closed,b\nlast,b\n', "t.csv")
    assert reasons(path) == {
        3: "has 1 fields; the header has 2", 4: "has 3 fields; the header has 2", 5: "broken quotes: ',' expected after '\"'",
        6: "broken UTF-8: it holds the byte 0xff", 11: "opens a quote that is never closed"}
    got = read_file(path)
    assert [record.messages[0].text for record in got.records] == ["a", '5" disk', "two\nlines", "last"]
    assert reasons(write(b'prompt,response\n"a,b\nc,d\ne"f,g\nh,"i"\n', "t.csv")) == {2: "broken quotes: ',' expected after '\"'"}


def test_numbers_lists_and_switches_of_a_table_are_what_the_formats_want(write):
    path = write(b'prompt,response,label,weight,judgment_ids\n1,true,TRUE,0.5,"[""j""]"\n', "t.csv")
    (record,) = read_file(path).records
    assert (record.prompt[0].text, record.response[0].text, record.up) == ("1", "true", True)
    assert (record.weight, record.judgment_ids) == (0.5, ("j",))


def test_strange_rows_cost_themselves_only(write):
    good = '{"prompt": "a", "response": "b"}'
    path = write("\n".join([
        good, '{"prompt": "a", "prompt": "b", "response": "c"}', '{"prompt": "a", "response": "b", "x": {"k": 1, "k": 2}}',
        '{"prompt": "a", "response": NaN}', '{"prompt": "a\0", "response": "b"}', '{"prompt": "a\\u0000", "response": "b"}',
        '{"prompt": ' + "[" * 1000 + "]" * 1000 + ', "response": "b"}',
        '{"prompt": "a", "response": "b", "n": ' + "9" * 5000 + "}", good]))
    found = reasons(path)
    assert found[2] == "has the key 'prompt' twice" and found[3] == "has the key 'k' twice"
    assert found[4] == "holds the number nan, which is not JSON" and found[5].startswith("not JSON: Invalid control character")
    assert found[7].startswith(("not JSON: nested too deeply", "prompt 1 is a list"))
    assert found[8].startswith("not JSON: Exceeds the limit")
    assert [*found] == [2, 3, 4, 5, 7, 8], "a NUL that is written as JSON writes it is a character like others"


def test_an_array_loses_the_strange_row_only(write):
    deep = '{"prompt": ' + "[" * 1200 + '"]"' + "]" * 1200 + "}"
    path = write(f'[{{"prompt": "a", "prompt": "b"}}, {deep}, {{"prompt": NaN}}, {{"prompt": "ok"}}]')
    assert reasons(path) == {1: "has the key 'prompt' twice", 2: "not JSON: nested too deeply",
                             3: "holds the number nan, which is not JSON"}


def test_a_row_of_ten_megabytes_is_read_and_one_beyond_the_limit_is_skipped(write, monkeypatch):
    long = {"prompt": "长" * (10 << 18), "response": "b"}
    for array in (False, True):
        assert len(read_file(write([long] * 2, array=array)).records[1].messages[0].text) == 10 << 18
    for module in (rows, containers):
        monkeypatch.setattr(module, "MAX_ROW", 4096)
    path = write([{"prompt": "a", "response": "b"}, {"prompt": "c" * 9000, "response": "b"}, {"prompt": "d", "response": "e"}])
    assert [*reasons(path)] == [2] and read_file(path).rows == [1, 3]


def test_an_array_is_read_across_the_pieces_it_comes_in(write, monkeypatch):
    many = [{"prompt": f"{number} 天", "response": "\\\"é" * (number % 50)+ "x"} for number in range(300)]
    for chunk in (1, 7, 64):
        monkeypatch.setattr(rows, "CHUNK", chunk)
        got = read_file(write(many, array=True))
        assert [record.prompt[0].text for record in got.records] == [row["prompt"] for row in many] and not got.refusals


def test_a_text_is_one_document_and_json_in_it_is_rows(write):
    (record,) = read_file(write("天地玄黄。\r\n宇宙洪荒。", "book.txt")).records
    assert record.text == "天地玄黄。\n宇宙洪荒。" and recognise(write(LINES, "rows.txt")).kind == "json lines"


def test_classes_of_an_arrow_schema_get_their_names(write):
    features = {"info": {"features": {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}}
    table = pyarrow.Table.from_pylist([{"text": "a", "label": 1}, {"text": "b", "label": 0}, {"text": "c", "label": 7}])
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    for kind in ("parquet", "file", "stream"):
        got = read_file(write(columnar(kind, table), "rows.bin"))
        assert [record.labels for record in got.records] == [("yes",), ("no",)]
        assert [refusal.reason for refusal in got.refusals] == ["label is class 7, which has no name"]


def test_a_file_that_grows_while_it_is_read_is_refused(write):
    source = open_file(path := write(LINES))
    outcomes = source.outcomes()
    next(outcomes)
    with open(path, "ab") as file:
        file.write(LINES)
    with pytest.raises(DataError, match="changed while it was read"):
        list(outcomes)


def test_a_disk_that_is_full_leaves_nothing_and_says_so(write, project):
    path = write([{"prompt": f"{number}" * 50, "response": "b"} for number in range(5000)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        for ratio in (0.0, 0.2):
            with pytest.raises(DiskError, match="could not be written: the file is larger than allowed"):
                write_dataset(project, "demo", [open_file(path)], ratio)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert project.artifacts() == [] and [*(project.root / "artifacts").rglob("*.jsonl")] == []
    assert write_dataset(project, "demo", [open_file(path)]).ref == "dataset/demo@1"


def test_an_import_that_breaks_off_leaves_nothing(write, project):
    path = write(json.dumps([{"prompt": "a", "response": "b"}] * 2000)[:-100].encode(), "rows.json")
    with pytest.raises(DataError, match="cannot be read from row"):
        write_dataset(project, "demo", [open_file(path)])
    assert project.artifacts() == [] and [*(project.root / "artifacts").rglob("*.jsonl")] == []


def test_a_directory_stands_for_its_training_files(tmp_path):
    for name in ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/test-00000-of-00001.jsonl",
                 "dataset_info.json", ".cache/train.jsonl", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LINES)
    assert [path.name for path in hub.data_files(tmp_path)] == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    assert [path.name for path in hub.data_files(tmp_path, "test")] == ["test-00000-of-00001.jsonl"]
    with pytest.raises(DataError, match="no split 'dev'; it has test, train"):
        hub.data_files(tmp_path, "dev")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="a directory without data"):
        hub.data_files(tmp_path / "empty")


def test_what_datasets_saved_is_read_and_streamed_alike(tmp_path, project, capsys):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    columns = {"text": [f"t{number}" for number in range(9)], "label": [number % 2 for number in range(9)]}
    whole = datasets.Dataset.from_dict(columns, features=features)
    parts = datasets.DatasetDict({"train": whole.filter(lambda row: row["text"] != "t3"), "test": whole.select([3])})
    parts.save_to_disk(str(tmp_path / "saved"), num_shards={"train": 2, "test": 1})
    result = data(["import", str(tmp_path / "saved"), "--name", "saved"], Options(project=project.root))
    assert (result["read"], result["kept"], result["records"]) == (8, 8, "label")
    (tmp_path / "hub").mkdir()
    whole.to_parquet(str(tmp_path / "hub" / "train.parquet"))
    result = data(["import", f"hf:{tmp_path / 'hub'}", "--name", "streamed"], Options(project=project.root))
    assert result["read"] == 9 and "9 rows read from the hub" in capsys.readouterr().out
    lines = (project.artifact("streamed").path / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["labels"] for line in lines[:2]] == [["no"], ["yes"]]
    with pytest.raises(DataError, match=r"hf:.*, split dev, cannot be read"):
        data(["import", f"hf:{tmp_path / 'hub'}", "--split", "dev"], Options(project=project.root))
    assert [path.name for path in project.root.iterdir() if path.name.startswith(".hub")] == []


def test_arrow_is_imported_by_those_files_only_that_need_it(write):
    import subprocess
    code = ("import sys\nfrom tutelage.data.sources import read_file\n"
            f"read_file({str(write(LINES))!r})\nprint('pyarrow' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
