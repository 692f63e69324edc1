"""NEFTune, token dropout and templates: off by default, drawn from streams of their own, never on held-out rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import InterruptedOnce

from tutelage.data.chat import ChatTemplate
from tutelage.data.loader import collate
from tutelage.errors import ConfigError
from tutelage.messages import Message
from tutelage.models.noise import embedding_noise
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.runs.metrics import read_metrics
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.tuning.augmentation import Paraphrase, TokenDropout, Varied
from tutelage.tuning.config import SFT, Augmentation, Pretrain
from tutelage.tuning.pretrain import pretrain
from tutelage.tuning.sft import Conversations, sft

ROWS = [("what is a lamp?", "light"), ("name a river", "Rhine"), ("c?", "three words here"), ("dddd?", "four")]
Ask = Callable[..., SFT]


@pytest.fixture
def ask(tiny_directory: Path, instructions: Callable[..., str]) -> Ask:
    def build(rows: Any = ROWS, **changes: Any) -> SFT:
        return SFT(**{"model": str(tiny_directory), "data": instructions(rows), "precision": "fp32", "epochs": 2,
                      "batch_tokens": 150, "max_length": 150, "optimizer": Optimizer(lr=1e-2), **changes})
    return build


def rendered(template: ChatTemplate) -> dict[str, Any]:
    return {prompt: template.render((Message.of("user", prompt), Message.of("assistant", response))) for prompt, response in ROWS}


def noise_of(policy: Policy, batch: Any, alpha: float, seeds: list[int]) -> torch.Tensor:
    """(N, D) what is added to the embeddings, seen at the embedding itself."""
    seen: list[torch.Tensor] = []
    with embedding_noise(policy, batch, alpha, seeds):
        hook = policy.model.get_input_embeddings().register_forward_hook(lambda module, inputs, out: seen.append(out.detach()))
        policy.evaluate_logprobs(batch)
        hook.remove()
    return seen[0].squeeze(0) - policy.model.get_input_embeddings()(batch.ids).detach()


def test_noise_has_the_papers_size_by_the_length_of_each_segment(template: ChatTemplate) -> None:
    """alpha / sqrt(L D) times uniform of [-1, 1]: its largest value nears that, its mean square is a third of its square."""
    policy = Policy(tiny_model())
    batch = collate([template.render((Message.of("user", "a" * n), Message.of("assistant", "b"))) for n in (200, 12)], False)
    noise = noise_of(policy, batch, 5.0, [1, 2])
    for piece, length in zip(noise.split(batch.cu_seqlens.diff().tolist()), batch.cu_seqlens.diff().tolist(), strict=True):
        bound = 5.0 / (length * 32) ** 0.5
        assert 0.98 * bound < float(piece.abs().max()) <= bound * (1 + 1e-4)
        assert float(piece.pow(2).mean()) == pytest.approx(bound ** 2 / 3, rel=0.1)
        assert abs(float(piece.mean())) < 0.1 * bound
    assert not torch.allclose(noise[:12], noise[-12:])


def test_noise_of_a_row_depends_on_its_seed_alone_and_is_gone_afterwards(template: ChatTemplate) -> None:
    policy, rows = Policy(tiny_model()), list(rendered(template).values())
    before = policy.evaluate_logprobs(collate(rows, share=False))
    together = noise_of(policy, collate(rows, share=False), 5.0, [4, 5, 6, 7])
    state = torch.get_rng_state()
    alone = noise_of(policy, collate(rows[2:3], share=False), 5.0, [6])
    start = sum(len(row.ids) for row in rows[:2])
    assert torch.allclose(together[start:start + len(rows[2].ids)], alone, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(policy.evaluate_logprobs(collate(rows, share=False)), before)


def test_noise_on_a_model_that_pads_is_refused(template: ChatTemplate) -> None:
    policy = Policy(tiny_model())
    policy._choose(ragged=False)
    batch = collate(list(rendered(template).values()))
    with pytest.raises(ConfigError, match="neftune_alpha"), embedding_noise(policy, batch, 5.0, [0, 1, 2, 3]):
        pass


def test_token_dropout_leaves_labels_length_and_control_tokens(template: ChatTemplate) -> None:
    tokenizer = tiny_tokenizer()
    dropout = Varied.of(SFT(augmentation=Augmentation(token_dropout=0.5)), tokenizer).changes[0]
    row = template.render((Message.of("user", "a" * 400), Message.of("assistant", "b" * 50)))
    changed = dropout.tokens(row, random.Random(0))
    assert changed.response_mask == row.response_mask and len(changed.ids) == len(row.ids)
    differ = [at for at, (one, other) in enumerate(zip(row.ids, changed.ids, strict=True)) if one != other]
    assert not any(row.response_mask[at] for at in differ)
    assert 160 < len(differ) < 240
    special = set(tokenizer.added_tokens_decoder)
    assert [at for at, token in enumerate(row.ids) if token in special] == [at for at, token in enumerate(changed.ids)
                                                                            if token in special]
    assert dropout.tokens(row, random.Random(0)) == changed != dropout.tokens(row, random.Random(1))
    assert TokenDropout(0.0, range(256)).tokens(row, random.Random(0)) == row


def test_a_template_goes_around_the_first_thing_the_user_says() -> None:
    messages = (Message.of("system", "be kind"), Message.of("user", "what?"), Message.of("assistant", "that"),
                Message.of("user", "and?"), Message.of("assistant", "this"))
    drawn = {tuple(message.text for message in Paraphrase(("Please: {prompt}", "{prompt} Thanks.")).messages(
        messages, random.Random(seed))) for seed in range(40)}
    assert {each[1] for each in drawn} == {"what?", "Please: what?", "what? Thanks."}
    assert {(each[0], *each[2:]) for each in drawn} == {("be kind", "that", "and?", "this")}
    with pytest.raises(ConfigError, match=r"needs \{prompt\} once"):
        Augmentation(templates=("no place",))


WAYS = {"neftune": {"neftune_alpha": 5.0}, "dropout": {"augmentation": Augmentation(token_dropout=0.2)},
        "templates": {"augmentation": Augmentation(templates=("Q: {prompt}", "{prompt} A:", "Say: {prompt}"))}}


@pytest.mark.parametrize("way", WAYS)
def test_each_changes_the_training_and_is_the_same_again(project: Project, tmp_path: Path, ask: Ask, way: str) -> None:
    def model(project: Project, **changes: Any) -> str:
        return sft(project, ask(**changes)).manifest.files["model.safetensors"]

    first = model(project, **WAYS[way])
    torch.rand(5)
    assert first == model(Project.init(tmp_path / "again"), **WAYS[way])
    assert first != model(Project.init(tmp_path / "plain"))
    assert first != model(Project.init(tmp_path / "seed"), **WAYS[way], seed=1)


@pytest.mark.parametrize("way", ["neftune", "dropout"])
def test_a_step_does_not_depend_on_how_it_was_split(project: Project, tmp_path: Path, ask: Ask, way: str) -> None:
    whole = sft(project, ask(**WAYS[way], epochs=1)).manifest.facts
    split = sft(Project.init(tmp_path / "split"), ask(**WAYS[way], epochs=1, micro_tokens=1)).manifest.facts
    assert whole["first_loss"] == pytest.approx(split["first_loss"], rel=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_held_out_rows_are_looked_at_as_they_are(project: Project, tmp_path: Path, ask: Ask, way: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that learns nothing: what is kept out must cost the same with and without."""
    monkeypatch.setattr(fitting, "update", lambda masters, batches, task: {"loss": 1.0})
    found = []
    for name, changes in (("with", WAYS[way]), ("without", {})):
        where = Project.init(tmp_path / name)
        found.append(sft(where, ask(**changes, heldout_fraction=0.4, epochs=1)).manifest.facts["heldout_loss"])
    assert found[0] == found[1]


def test_rows_that_begin_alike_are_not_shared_where_their_noise_differs(template: ChatTemplate) -> None:
    rows = {prompt: template.render((Message.of("user", prompt), Message.of("assistant", "x"))) for prompt in ("lamps?", "lamp")}
    assert int((Conversations(rows, True).collate([0, 1]).tokens.prefix >= 0).sum()) == 2
    noisy = Conversations(rows, True, Varied(noise=5.0))
    assert int((noisy.collate([0, 1]).tokens.prefix >= 0).sum()) == 0


def test_each_step_draws_anew(template: ChatTemplate) -> None:
    policy, rows = Policy(tiny_model()), rendered(template)
    for varied in (Varied(noise=5.0), Varied(changes=(TokenDropout(0.5, range(256)),))):
        task, found = Conversations(rows, True, varied), []
        for step in (0, 1, 0):
            task.begin(step)
            found.append(float(task.terms(policy, task.collate([0, 1, 2, 3]))[0].loss.sum.detach()))
        assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("way", ["neftune", "dropout"])
def test_an_interrupted_run_draws_the_same_again(project: Project, tmp_path: Path, ask: Ask, way: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    config = ask(**WAYS[way], epochs=4)
    undisturbed = sft(Project.init(tmp_path / "other"), config)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(fitting, "update", InterruptedOnce(fitting.update, after=3))
    with pytest.raises(InterruptedError):
        sft(project, config)
    assert sft(project, config).manifest.files == undisturbed.manifest.files


def test_pretraining_takes_noise_too(project: Project, tmp_path: Path, tiny_directory: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"text": "one text"}\n{"text": "another, longer text"}\n', encoding="utf-8")
    config = Pretrain(model=str(tiny_directory), data=str(path), precision="fp32", heldout_fraction=0.0, neftune_alpha=5.0)
    noisy, plain = pretrain(project, config), pretrain(project, replace(config, neftune_alpha=0.0))
    runs = [read_metrics(path / "metrics.jsonl")[0]["loss"] for path in project.runs.iterdir()]
    assert len(set(runs)) == 2 and noisy.manifest.files != plain.manifest.files
