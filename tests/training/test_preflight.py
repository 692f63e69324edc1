"""Each check fires on what it guards against, and lets pass what is well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.template import TaggedTemplate
from tutelage.data.truncation import fitted
from tutelage.errors import PreflightError
from tutelage.messages import Message
from tutelage.models.adapters import add_adapter
from tutelage.models.config import Adapter
from tutelage.models.load import HEADS, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_tokenizer
from tutelage.records import Sampling
from tutelage.training import preflight

TALK = (Message.of("user", "hi"), Message.of("assistant", "hello"))


@pytest.fixture(scope="module")
def template() -> ChatTemplate:
    return ChatTemplate.of(tiny_tokenizer())


@pytest.fixture
def batch(template: ChatTemplate) -> TokenBatch:
    row = template.render(TALK)
    return TokenBatch.pack([row.ids, row.ids[:-2]], [row.response_mask, row.response_mask[:-2]])


def row(ids: Sequence[int]) -> Rendered:
    return Rendered(ids=tuple(ids), spans=(), response_mask=(True,) * len(ids), text="")


def test_a_row_without_a_label_is_named(template: ChatTemplate) -> None:
    """trl#6668, trl#6025: truncation took every label."""
    good = template.render(TALK)
    preflight.labels({"a": good, "b": good})
    unlabelled = Rendered(good.ids, (), (False,) * len(good.ids), good.text)
    with pytest.raises(PreflightError, match=r"1 of 2 rows have no token to train on \(first: b\)"):
        preflight.labels({"a": good, "b": unlabelled})


def test_no_row_at_all_is_named_too() -> None:
    with pytest.raises(PreflightError, match="none is left"):
        preflight.labels({})


def test_a_response_whose_end_is_no_label_is_named(template: ChatTemplate) -> None:
    """trl#6357, trl#3091: end of turn masked where pad equals eos, as in this tokenizer."""
    good = template.render(TALK)
    assert template.tokenizer.pad_token_id == template.tokenizer.eos_token_id == template.end_of_turn_id
    preflight.end_of_turn({"a": good}, template)
    cut = fitted(good, len(good.ids) - 2, "cut")
    with pytest.raises(PreflightError, match=r"no label in 1 responses \(first: row b\)"):
        preflight.end_of_turn({"a": good, "b": cut}, template)
    preflight.end_of_turn({"a": good, "b": cut}, template, cut=1)      # cut on purpose, and counted


def test_two_bos_tokens_are_found() -> None:
    """trl#1591, axolotl#1616, RLHFlow#16: about 1 % of a reward model's accuracy."""
    preflight.one_bos({"a": row([7, 1, 2]), "b": row([7, 3])}, bos_id=7)
    preflight.one_bos({"a": row([1, 2]), "b": row([3, 7])}, bos_id=7)
    preflight.one_bos({"a": row([7, 7])}, bos_id=None)
    with pytest.raises(PreflightError, match="1 rows begin with two BOS tokens, and all alike"):
        preflight.one_bos({"a": row([7, 7, 2]), "b": row([7, 3])}, bos_id=7)


def test_rows_with_and_without_bos_are_found() -> None:
    with pytest.raises(PreflightError, match="some rows begin with one, some do not"):
        preflight.one_bos({"a": row([7, 2]), "b": row([3, 2])}, bos_id=7)


def test_an_adapter_that_touched_the_base_is_found(tiny_policy: Callable[..., Policy], batch: TokenBatch) -> None:
    """trl#1311, trl#701: the reference was not the base model."""
    base = tiny_policy().evaluate_logprobs(batch)
    policy = tiny_policy()
    add_adapter(policy, Adapter(rank=2))
    for name, value in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(value)
    assert not torch.equal(policy.evaluate_logprobs(batch), base)
    preflight.adapter_off(policy, base, batch)
    with torch.no_grad():
        next(value for name, value in policy.named_parameters() if "base_layer" in name).mul_(1.01)
    with pytest.raises(PreflightError, match="adapter off"):
        preflight.adapter_off(policy, base, batch)


def test_a_value_that_depends_on_its_neighbours_is_found() -> None:
    alone = torch.tensor([1.0, 2.0, 3.0])
    preflight.padding(alone, alone + torch.tensor([0.0, 1e-5, 0.0]), "the reward", 1e-4)
    with pytest.raises(PreflightError, match=r"the reward of a row changes by 0\.25 .*tolerance 0\.0001"):
        preflight.padding(alone, alone + torch.tensor([0.0, -0.25, 0.1]), "the reward", 1e-4)


def test_a_first_ratio_that_is_not_one_is_found() -> None:
    """D8; trlx#107, trl#744: one bit is enough."""
    old = torch.tensor([-0.5, -1.5, -2.5])
    preflight.first_ratio(old.clone(), old)
    with pytest.raises(PreflightError, match="1 of 3 first-use ratios are not 1"):
        preflight.first_ratio(torch.nextafter(old, torch.tensor([-0.5, -1.5, 0.0])), old)


def test_a_reward_that_is_no_number_is_named() -> None:
    """verifiers turned an exception into 0.0, and the bug trained the model."""
    preflight.finite_scores([1.0, -2.0], ["s1", "s2"])
    for bad in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(PreflightError, match=r"1 of 2 rewards are not finite \(first: sample s2\)"):
            preflight.finite_scores([1.0, bad], ["s1", "s2"])
    with pytest.raises(PreflightError, match="3 scores for 2 samples"):
        preflight.finite_scores([1.0, 2.0, 3.0], ["s1", "s2"])


def test_an_engine_that_disagrees_with_the_trainer_is_found() -> None:
    """open-instruct#1473, trl#3867: the mismatch grew at a learning rate of 0."""
    trainer = torch.linspace(-5, -1, 200)
    assert preflight.engine_parity(trainer + 1e-5, trainer, "fp32") == pytest.approx(1e-5, rel=0.05)
    off = trainer.clone()
    off[0] += 3.0                                     # one token in 200 is under the 99th percentile
    preflight.engine_parity(off, trainer, "fp32")
    off[:4] += 0.01
    with pytest.raises(PreflightError, match="engine parity"):
        preflight.engine_parity(off, trainer, "fp32")
    preflight.engine_parity(off, trainer, "bf16")     # rounding of bf16 may be that large


def saved(policy: Policy, directory: Path) -> Path:
    for name, value in policy.named_parameters():
        if name.startswith(("value_head.", "score_head.")):
            torch.nn.init.constant_(value, 0.1)
    save_policy(policy, tiny_tokenizer(), directory)
    return directory


def test_a_model_that_does_not_reload_as_trained_is_found(tiny_policy: Callable[..., Policy], batch: TokenBatch,
                                                          tmp_path: Path) -> None:
    policy = tiny_policy()
    directory = saved(policy, tmp_path)
    preflight.reload(policy, directory, batch, "fp32")
    with torch.no_grad():
        policy.model.model.norm.weight[0] += 1e-4
    with pytest.raises(PreflightError, match="reload: logprobs of the saved model differ"):
        preflight.reload(policy, directory, batch, "fp32")


def test_a_policy_that_does_not_begin_at_its_reference_is_found() -> None:
    """trl#1311, trl#1236: a reference of another forward; the difference is trained away as if people had asked for it."""
    preflight.at_reference(0.0)
    with pytest.raises(PreflightError, match=r"reference: the policy begins 0\.002 nats from its reference"):
        preflight.at_reference(0.002)


@pytest.mark.parametrize(("head", "name"), [("score_head", "scores"), ("value_head", "values")])
def test_a_lost_head_is_found(tiny_policy: Callable[..., Policy], batch: TokenBatch, tmp_path: Path, head: str,
                              name: str) -> None:
    """OpenRLHF#1342, OpenRLHF#873, trl#1379: the head was not saved, or not loaded."""
    policy = tiny_policy(**{head: True})
    directory = saved(policy, tmp_path)
    preflight.reload(policy, directory, batch, "fp32", **{head: True})
    (directory / HEADS).unlink()
    with pytest.raises(PreflightError, match=f"reload: {name} of the saved model differ"):
        preflight.reload(policy, directory, batch, "fp32", **{head: True})


def test_a_template_that_would_be_served_otherwise_is_found(template: ChatTemplate, tiny_policy: Callable[..., Policy],
                                                            tmp_path: Path) -> None:
    """LLaMA-Factory#2509: 26 % and 57 % accuracy by template; #5232: 82 % and 0 %."""
    saved(tiny_policy(), tmp_path)
    template.save(tmp_path)
    preflight.train_is_serve(template, tmp_path, TALK)
    other = ChatTemplate.declared(tiny_tokenizer(), TaggedTemplate(
        user_open="Q:", user_close="\n", assistant_open="A:", assistant_close="<|im_end|>"))
    other.save(tmp_path)
    with pytest.raises(PreflightError, match="train = serve"):
        preflight.train_is_serve(template, tmp_path, TALK)


@pytest.mark.parametrize("changed", [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1}, {"min_new_tokens": 2},
                                     {"repetition_penalty": 1.2}, {"logit_bias": ((3, 1.0),)}])
def test_samples_of_another_distribution_than_the_loss_has_are_found(changed: dict[str, Any]) -> None:
    """trl#4159, prime-rl#2601."""
    preflight.replayed([Sampling(), Sampling(seed=3, max_new_tokens=5, stop_strings=("x",))], 1.0)
    with pytest.raises(PreflightError, match=f"replay: samples were drawn .*{next(iter(changed))}"):
        preflight.replayed([Sampling(), Sampling(**changed)], 1.0)


def test_every_check_has_a_test_here() -> None:
    checks = {name for name, value in vars(preflight).items()
              if callable(value) and getattr(value, "__module__", "") == preflight.__name__ and not name.startswith("_")}
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [check for check in sorted(checks) if f"preflight.{check}(" not in tested] == []
