"""`tutelage data`: what a person is told, and what a machine is."""

from __future__ import annotations

import json

import pytest

from tutelage.data.commands import data
from tutelage.data.sources import read_file
from tutelage.errors import ConfigError, DataError, ModelError, UsageError
from tutelage.models.tiny import tiny_tokenizer
from tutelage.options import Options
from tutelage.project import Project

ROWS = [{"prompt": f"Question {i}?", "response": f"Answer {i}."} for i in range(30)]
BAD = [{"prompt": "x", "response": ""}] * 6 + [{"prompt": "", "response": "x"}]


@pytest.fixture
def options(tmp_path):
    Project.init(tmp_path / "project")
    return Options(project=tmp_path / "project", seed=4)


def test_import_reports_read_kept_and_refused_with_the_first_reasons(write, options, capsys):
    path = write([*ROWS, *BAD])
    result = data(["import", str(path), "--split-ratio", "0.2"], options)
    said = capsys.readouterr().out
    assert "rows.jsonl  prompt-response    37    30        7" in said
    assert "refused rows.jsonl row 31: empty response: response holds no text" in said
    assert "7 in all; most often: empty response: response holds no text (6); empty prompt (1)" in said
    assert "refusals.jsonl" in said and "dataset/rows@1" in said
    assert result["artifact"] == "dataset/rows@1" and (result["read"], result["kept"], result["refused"]) == (37, 30, 7)
    assert result["train"] + result["heldout"] == 30 and result["heldout"] > 0
    assert result["files"] == [
        {"file": "rows.jsonl", "format": "prompt-response", "read": 37, "kept": 30, "refused": 7}]
    assert data(["import", str(path), "--split-ratio", "0.2"], options)["artifact"] == "dataset/rows@1"
    assert Project.open(options.project).artifact("rows").manifest.seeds == {"split": 4}
    json.dumps(result)


def test_import_says_who_judged(write, options, capsys):
    path = write([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    data(["import", str(path), "--name", "pairs", "--annotator", "model"], options)
    assert "Annotators: model" in capsys.readouterr().out


def test_list_names_the_projects_data_sets_and_the_built_in_ones(write, options, capsys):
    data(["import", str(write(ROWS)), "--name", "mine"], options)
    result = data(["list"], options)
    said = capsys.readouterr().out
    assert "dataset/mine@1" in said and "builtin:instructions.zh" in said
    assert [each["artifact"] for each in result["datasets"]] == ["dataset/mine@1"]
    assert "builtin:instructions.zh" in result["builtin"]


def test_show_prints_rows_of_a_data_set_and_of_a_file(write, options, capsys):
    path = write([{"prompt": "a", "chosen": "good", "rejected": "bad\x1b[2J"}])
    data(["import", str(path), "--name", "pairs"], options)
    for name in ("pairs", str(path)):
        result = data(["show", name], options)
        said = capsys.readouterr().out
        assert "[user] a\n[chosen] good\n[rejected] bad�[2J\n" in said, "a row must not steer the terminal"
        assert result["kind"] == "preference" and len(result["rows"]) == 1


def test_show_tokens_marks_what_is_trained_on(write, options, capsys, tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    result = data(["show", str(write(ROWS)), "--tokens", "--model", str(tmp_path / "model"), "--rows", "2"], options)
    said = capsys.readouterr().out
    assert "Tokenizer and template: " in said and "‹…› trained on" in said
    assert "[user] <|im_start|>user⏎Question 0?<|im_end|>⏎" in said
    assert "[template] <|im_start|>assistant⏎" in said and "[assistant] ‹Answer 0.<|im_end|>›" in said
    row = result["rows"][0]
    assert len(result["rows"]) == 2 and sum(row["response_mask"]) == len("Answer 0.") + 1
    assert f"{len(row['ids'])} tokens, 10 of them trained on" in said
    assert " ".join(map(str, row["ids"][-10:])) in said
    json.dumps(result)


def test_show_tokens_of_a_prompt_ends_where_a_response_would_begin(write, options, capsys, tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    data(["show", str(write([{"prompt": "天?"}])), "--tokens", "--model", str(tmp_path / "model")], options)
    said = capsys.readouterr().out
    assert "0 of them trained on" in said and "[user] <|im_start|>user⏎天?<|im_end|>⏎" in said
    assert said.split("\n")[-3] == "[template] <|im_start|>assistant⏎"


def test_show_tokens_paints_roles_on_a_terminal(write, options, capsys, tmp_path, monkeypatch):
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    arguments = ["show", str(write(ROWS)), "--tokens", "--model", str(tmp_path / "model"), "--rows", "1"]
    data(arguments, options)
    said = capsys.readouterr().out
    assert "\033[32m\033[4mAnswer 0.<|im_end|>\033[0m" in said and "‹" not in said
    monkeypatch.setenv("NO_COLOR", "1")
    data(arguments, options)
    assert "\033[" not in capsys.readouterr().out


def test_a_model_in_the_cache_is_named_shortly_and_a_missing_one_is_an_error(write, options, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    path = str(write(ROWS))
    with pytest.raises(ModelError, match=r"no tokenizer at 'smollm2-135m-q4'.*tutelage models pull"):
        data(["show", path, "--tokens"], options)
    tiny_tokenizer().save_pretrained(tmp_path / "cache" / "models" / "tiny")
    assert data(["show", path, "--tokens", "--model", "tiny"], options)["rows"][0]["ids"]


@pytest.mark.parametrize("arguments, wanted", [
    ([], "required"), (["sow"], "invalid choice"), (["import"], "required: FILE"), (["show"], "required: NAME"),
    (["import", "x", "--format", "csv"], "invalid choice: 'csv'"), (["show", "x", "--rows", "0"], "--rows got 0"),
    (["list", "--colour"], "unrecognized")])
def test_wrong_words_are_usage_errors(options, arguments, wanted):
    with pytest.raises(UsageError, match=wanted):
        data(arguments, options)


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.csv", "out.tsv", "out.json.gz", "out.jsonl.zst"])
def test_export_writes_what_was_imported(write, options, tmp_path, name):
    rows = [{"prompt": f"问 {number}?\n", "response": 'Say "it", 😀'} for number in range(20)]
    data(["import", str(write(rows)), "--name", "mine", "--split-ratio", "0.3"], options)
    result = data(["export", "mine", "--to", str(tmp_path / name)], options)
    assert (result["format"], result["rows"]) == ("prompt-response", 20)
    again = [record.messages for record in read_file(tmp_path / name).records]
    assert [[message.text for message in messages] for messages in again] == [[row["prompt"], row["response"]] for row in rows]
    part = data(["export", "mine", "--to", str(tmp_path / "part.jsonl"), "--format", "alpaca", "--split", "heldout"], options)
    assert 0 < part["rows"] < 20 and json.loads((tmp_path / "part.jsonl").read_text().splitlines()[0])["output"] == 'Say "it", 😀'
    with pytest.raises(UsageError, match="holds instructions, which kto cannot say; wanted one of: alpaca"):
        data(["export", "mine", "--to", str(tmp_path / name), "--format", "kto"], options)
    with pytest.raises(UsageError, match="wanted a name that ends in"):
        data(["export", "mine", "--to", str(tmp_path / "out.xlsx")], options)
    with pytest.raises(DataError, match="cannot be written"):
        data(["export", "mine", "--to", str(tmp_path / "nowhere" / name)], options)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_columns_and_strictness_come_from_toml_and_options(write, options, tmp_path):
    path = write([{"question": "a", "reply": "b"}, {"question": "", "reply": "b"}], "faq.jsonl")
    (tmp_path / "import.toml").write_text('[import.columns]\nprompt = "question"\nresponse = "nothing"\n')
    arguments = ["import", str(path), str(tmp_path / "import.toml"), "--map", "response=reply"]
    assert {key: data(arguments, options)[key] for key in ("read", "kept", "refused")} == {"read": 2, "kept": 1, "refused": 1}
    (options.project / "tutelage.toml").write_text("[import]\nstrict = true\n")
    with pytest.raises(DataError, match=r"faq\.jsonl, row 2: empty prompt"):
        data([*arguments, "--name", "other"], options)
    (options.project / "tutelage.toml").write_text("[import]\nstricht = true\n")
    with pytest.raises(ConfigError, match="strict"):
        data(arguments, options)
