"""A sequence classifier as a reward: how much of a class it sees in a response's text.

    hf:org/name[POSITIVE]      DIR[POSITIVE]      an artifact of `tutelage classify`, NAME[POSITIVE]

It has a tokenizer of its own, so it reads text: an encoder may judge what a decoder says. Architectures of the ragged path are
read without padding; other encoders padded, with an attention mask. B samples · K classes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from tutelage.batch import TokenBatch
from tutelage.data.loader import cut_by_tokens
from tutelage.errors import ConfigError, ModelError
from tutelage.models.classifier import COUNT_FROM_PAD, Classifier, is_supported, load_classifier
from tutelage.models.foreign import no_warnings, reading
from tutelage.models.load import load_tokenizer
from tutelage.records import Sample, Scores
from tutelage.rewards.outcomes import SKIP_REMEDY, Failed, settle
from tutelage.rewards.words import Called
from tutelage.scoring import OnError

MICRO_TOKENS = 2048
SCALES = ("logit", "probability")
READS = ("response", "dialogue", "pair", "chat")
Logits = Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]]], Tensor]      # of ids and of segment ids


class ClassifierReward:
    """The `Score` of one class of a classifier.

    `reads` says what of a sample it is given: its `response`; the `dialogue`, which is the prompt's last turn, a line break and
    the response; both as a `pair` of texts; or the whole `chat`, by the classifier's own chat template.
    """

    def __init__(self, logits: Logits, tokenizer: Any, label: int, classes: int, *, multi_label: bool = False,
                 longest: int | None = None, scale: str = "logit", reads: str = "response", name: str = "the classifier",
                 on_error: OnError = "stop") -> None:
        self.logits, self.tokenizer, self.label, self.classes, self.longest = logits, tokenizer, label, classes, longest
        self.multi_label, self.scale, self.reads, self.name, self.on_error = multi_label, scale, reads, name, on_error

    @torch.no_grad()
    def score(self, samples: Sequence[Sample]) -> Scores:
        """
        Raises:
            RewardError: if a text has no token, or more than the model has positions for (nothing is cut), or a score is not
                finite, and such samples are not to be skipped.
        """
        encoded = [self._encode(sample) for sample in samples]
        sound = [i for i, (ids, _) in enumerate(encoded) if self._fits(len(ids))]
        outcomes: list[float | Failed] = [Failed(f"got a text of {len(ids)} tokens and reads 1 to {self.longest}", SKIP_REMEDY)
                                          for ids, _ in encoded]
        for run in cut_by_tokens(sound, [len(ids) for ids, _ in encoded], MICRO_TOKENS):
            logits = self.logits([encoded[i][0] for i in run], [encoded[i][1] for i in run])
            for i, value in zip(run, self._value(logits).tolist(), strict=True):
                outcomes[i] = value if math.isfinite(value) else Failed("gave no finite score", SKIP_REMEDY)
        return settle(self.name, outcomes, samples, self.on_error)

    def _fits(self, tokens: int) -> bool:
        return tokens > 0 and (self.longest is None or tokens <= self.longest)

    def _value(self, logits: Tensor) -> Tensor:
        """(B,) of logits (B, K)."""
        logits = logits.float()
        if self.scale == "logit":
            return logits[:, self.label]
        of_itself = self.multi_label or self.classes == 1
        return (logits.sigmoid() if of_itself else logits.softmax(1))[:, self.label]

    def _encode(self, sample: Sample) -> tuple[list[int], list[int]]:
        """Ids and segment ids, with the special tokens that the tokenizer puts around a text."""
        asked = sample.prompt.messages[-1].text if sample.prompt.messages else ""
        if self.reads == "chat":
            turns = [{"role": each.role, "content": each.text} for each in (*sample.prompt.messages, *sample.response)]
            encoded = self.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)
        elif self.reads == "pair":
            encoded = self.tokenizer(asked, sample.text, truncation=False, verbose=False, return_token_type_ids=True)
        else:
            text = sample.text if self.reads == "response" else f"{asked}\n{sample.text}"
            encoded = self.tokenizer(text, truncation=False, verbose=False)
        ids = list(encoded["input_ids"])
        return ids, list(encoded.get("token_type_ids") or [0] * len(ids))


def load_classifier_reward(directory: Path, called: Called, on_error: OnError = "stop") -> ClassifierReward:
    """The classifier in `directory` as `called` asks for it: `[label](as=probability, reads=pair)`.

    Raises:
        ModelError: if there is none, or it cannot be read. ConfigError: if it has no such label, or takes no such argument.
    """
    called.only("as", "reads")
    scale, reads = _choice(called, "as", SCALES), _choice(called, "reads", READS)
    with reading(f"{directory} is not a model that can be read"):
        if not (directory / "config.json").is_file():
            raise ModelError(f"{directory} is not a model: it has no config.json.")
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not any("ForSequenceClassification" in name for name in config.architectures or ()):
        raise ModelError(f"{called.name} is no sequence classifier but a {config.model_type} model. Reward models of ours are "
                         "artifacts; to train a classifier: tutelage classify.")
    tokenizer, label = load_tokenizer(directory), _label(called, config)
    if reads == "chat" and not getattr(tokenizer, "chat_template", None):
        raise ConfigError(f"{called.name}: its tokenizer has no chat template; wanted reads=response, dialogue or pair.")
    logits, longest = _ragged(directory) if is_supported(config) and reads != "pair" else _padded(directory, config, tokenizer)
    multi = config.problem_type == "multi_label_classification"
    return ClassifierReward(logits, tokenizer, label, config.num_labels, multi_label=multi, longest=longest, scale=scale,
                            reads=reads, name=called.name, on_error=on_error)


def _choice(called: Called, key: str, among: Sequence[str]) -> str:
    value = called.named.get(key, among[0])
    if value not in among:
        raise ConfigError(f"{called.name}: {key}={value!r}; wanted one of {', '.join(among)}.")
    return value


def _label(called: Called, config: Any) -> int:
    """The class by its name, or by its number; a model of one class needs none."""
    names = [str(config.id2label[index]) for index in range(config.num_labels)]
    if called.label is None and len(names) == 1:
        return 0
    if called.label in names:
        return names.index(called.label)
    if called.label is not None and called.label.isdecimal() and int(called.label) < len(names):
        return int(called.label)
    raise ConfigError(f"{called.name} tells apart {', '.join(names)}; got {called.label or 'no label'}. Say which: "
                      f"{called.name}[{names[-1]}].")


def _ragged(directory: Path) -> tuple[Logits, int | None]:
    classifier: Classifier = load_classifier(directory, "")

    def logits(rows: Sequence[Sequence[int]], segments: Sequence[Sequence[int]]) -> Tensor:
        scores = classifier(TokenBatch.pack(rows, [[False] * len(ids) for ids in rows])).scores
        assert scores is not None
        return scores
    return logits, classifier.max_tokens


def _padded(directory: Path, config: Any, tokenizer: Any) -> tuple[Logits, int | None]:
    """transformers' own forward: encoders padded on the right, decoders a row at a time, for these look for a row's last token by
    the pad token, which may well be the one a row ends with.
    """
    with reading(f"{directory} is not a classifier that can be read"), no_warnings():
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False, output_loading_info=True)
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"{directory} lacks {len(missing)} of its weights (first: {missing[0]}). Fetch or export it again.")
    model.eval().requires_grad_(False)
    pad = tokenizer.pad_token_id or 0
    alone = hasattr(model, "score")      # what transformers calls the head of a decoder
    if alone:
        model.config.get_text_config().pad_token_id = None

    def forward(rows: Sequence[Sequence[int]], segments: Sequence[Sequence[int]]) -> Tensor:
        ids, kinds = _pad(rows, pad), _pad(segments, 0)                                             # (B, S)
        more = {"token_type_ids": kinds} if getattr(config, "type_vocab_size", 0) > 1 else {}
        return model(input_ids=ids, attention_mask=_pad([[1] * len(row) for row in rows], 0), **more).logits

    def logits(rows: Sequence[Sequence[int]], segments: Sequence[Sequence[int]]) -> Tensor:
        if not alone:
            return forward(rows, segments)
        return torch.cat([forward([row], [kinds]) for row, kinds in zip(rows, segments, strict=True)])
    return logits, _longest(config, tokenizer)


def _pad(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def _longest(config: Any, tokenizer: Any) -> int | None:
    """The most tokens it has positions for, as far as it says so."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    offset = config.pad_token_id + 1 if config.model_type in COUNT_FROM_PAD else 0
    said = [limit for limit in (positions and positions - offset, tokenizer.model_max_length) if limit and limit < 1 << 30]
    return min(said, default=None)
