"""`tutelage models`: what a person is told, and what a machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tutelage.cli import main
from tutelage.errors import ModelError, UsageError
from tutelage.models.adapters import add_adapter
from tutelage.models.commands import inspect, models
from tutelage.models.config import Adapter
from tutelage.models.load import save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.options import Options
from tutelage.project import Project


def test_pull_says_where_the_model_is_and_list_then_shows_it(
        cache: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]) -> None:
    before = {row["name"]: row for row in models(["list"], Options())["models"]}
    assert list(before) == ["smollm2-135m", "smollm2-135m-q4", "tiny"]
    assert all(row["path"] == "" and row["description"] and row["licence"] == "Apache-2.0" for row in before.values())
    assert capsys.readouterr().out.count("not fetched") == 3
    assert models(["pull", "tiny"], Options()) == {"name": "tiny", "path": str(cache / "models" / "tiny")}
    assert capsys.readouterr().out == f"tiny is in {cache / 'models' / 'tiny'}\n"
    (cache / "hub" / "org--a--b").mkdir(parents=True)
    (cache / "hub" / "org--a--b" / "config.json").write_text("{}")
    after = {row["name"]: row["path"] for row in models(["list"], Options())["models"]}
    assert after == {"smollm2-135m": "", "smollm2-135m-q4": "", "tiny": str(cache / "models" / "tiny"),
                     "hf:org/a--b": str(cache / "hub" / "org--a--b")}
    assert no_network == []


def test_inspect_says_what_a_model_is(cache: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]) -> None:
    models(["pull", "tiny"], Options())
    capsys.readouterr()
    facts = models(["inspect", "tiny"], Options())
    said = capsys.readouterr().out
    wanted = {"architecture": "llama", "dtype": "f32", "layers": 2, "heads": 4, "key_value_heads": 2, "hidden_size": 64,
              "context": 512, "vocabulary": 258, "tied_embeddings": True, "chat_template": True, "ragged_attention": "yes"}
    assert {name: facts[name] for name in wanted} == wanted
    # embedding 258 x 64, two layers of q, o 64 x 64, k, v 32 x 64, three products 128 x 64 and two norms, a last norm
    assert facts["parameters"] == 258 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 2 * 64) + 64
    assert facts["files"]["model.safetensors"] == (cache / "models/tiny/model.safetensors").stat().st_size
    assert f"parameters           {facts['parameters']:,}\n" in said and "tied embeddings      yes\n" in said
    assert "model.safetensors" in said
    json.dumps(facts)
    assert no_network == []


def test_inspect_sees_adapters_heads_and_what_is_missing(tmp_path: Path) -> None:
    policy = Policy(tiny_model("bloom").to(torch.bfloat16), value_head=True)
    add_adapter(policy, Adapter(rank=2, targets=("query_key_value",)))
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    save_policy(policy, tokenizer, tmp_path / "model")
    facts = inspect(tmp_path / "model")
    assert (facts["adapter"], facts["heads_saved"], facts["chat_template"]) == (True, True, False)
    assert (facts["ragged_attention"], facts["dtype"]) == ("no: padded", "bf16")
    assert {"adapter/adapter_model.safetensors", "heads.safetensors"} < set(facts["files"])


def test_inspect_takes_an_artifact_and_a_directory(tiny_directory: Path, project: Project) -> None:
    from tutelage.lineage import Manifest

    with project.writing(Manifest(kind="model", name="mine", stage="sft")) as draft:
        save_policy(Policy(tiny_model("gpt2")), tiny_tokenizer(), draft.path)
    assert models(["inspect", "mine"], Options(project=project.root))["architecture"] == "gpt2"
    assert models(["inspect", str(tiny_directory)], Options())["architecture"] == "llama"


def test_an_architecture_that_no_test_knows_is_tried_when_it_is_loaded(tmp_path: Path) -> None:
    tiny_model("seed_oss").save_pretrained(tmp_path)
    assert inspect(tmp_path)["ragged_attention"] == "tried when loaded"


@pytest.mark.parametrize("name", ["smollm2-135m", "hf:org/name"])
def test_inspect_fetches_nothing(name: str, no_network: list[str]) -> None:
    with pytest.raises(ModelError, match=f"tutelage models pull {name}"):
        models(["inspect", name], Options())
    assert no_network == []


def test_a_damaged_model_cannot_be_inspected(tmp_path: Path) -> None:
    save_policy(Policy(tiny_model()), tiny_tokenizer(), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"model.safetensors is damaged"):
        inspect(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not a causal language model that can be read"):
        inspect(tmp_path)


def test_wrong_words_are_refused() -> None:
    for words in ([], ["push"], ["pull"], ["list", "more"]):
        with pytest.raises(UsageError, match="See: tutelage models"):
            models(words, Options())


def test_the_command_line_runs_it(cache: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]) -> None:
    assert main(["models", "pull", "tiny", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"name": "tiny", "path": str(cache / "models" / "tiny")}
    assert main(["models", "pull", "nothing"]) == 1
    assert capsys.readouterr().err.startswith("error: no built-in model 'nothing'. There are: smollm2-135m,")
    assert no_network == []
