"""A policy's weights in transformers' own model, one sequence at a time: what the slow formulas are written over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Sample


class Plain(nn.Module):
    """A policy's weights in transformers' own model, fp32, unpacked, nothing shared."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.model = tiny_model()
        self.model.get_input_embeddings().padding_idx = None      # as in Policy: the pad is an end of turn too
        self.model.load_state_dict(policy.model.state_dict())
        self.value_head = nn.Linear(32, 1)
        if policy.value_head is not None:
            self.value_head.load_state_dict(policy.value_head.linear.state_dict())

    def read(self, sample: Sample) -> tuple[Tensor, Tensor]:
        """log pi(a_t | s_t) and V(s_t) of each response token, (T,) each."""
        start, ids = len(sample.prompt_ids), torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
        out = self.model(input_ids=ids, output_hidden_states=True)
        logprobs = out.logits[0].log_softmax(-1)
        states = range(start - 1, ids.shape[1] - 1)
        return (torch.stack([logprobs[at, ids[0, at + 1]] for at in states]),
                torch.stack([self.value_head(out.hidden_states[-1][0, at])[0] for at in states]))

    def gradients(self) -> dict[str, Tensor]:
        named = {("value_head.linear." + name.split(".")[1] if name.startswith("value_head") else "model." + name[6:]): value
                 for name, value in self.named_parameters()}
        return {name: value.grad for name, value in named.items() if value.grad is not None}


def assert_same(got: dict[str, Tensor], wanted: dict[str, Tensor], at_least: float = 1e-3) -> None:
    assert set(got) == set(wanted)
    scale = max(float(value.abs().max()) for value in wanted.values())
    assert scale > at_least
    for name, value in wanted.items():
        assert torch.allclose(got[name], value, rtol=0, atol=1e-4 * scale), (name, float((got[name] - value).abs().max()), scale)
