"""A classifier: a policy's trunk with a head over classes in place of the vocabulary.

B texts · K classes · N tokens laid end to end · D hidden size

Encoders (BERT and its family) read both ways and answer at the first token, decoders at the last. The model is one of
transformers' `...ForSequenceClassification`, head included, so that what is saved loads there as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from tutelage.batch import TokenBatch
from tutelage.errors import ModelError
from tutelage.models.adapters import add_adapter
from tutelage.models.attention import AttentionPlan, TwoSided
from tutelage.models.config import Adapter
from tutelage.models.foreign import no_warnings, reading
from tutelage.models.load import ADAPTER, load_policy
from tutelage.models.policy import TESTED, Policy, PolicyOutput
from tutelage.models.precision import dtype_of

ENCODERS = frozenset(("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"))
COUNT_FROM_PAD = frozenset(("camembert", "roberta", "xlm-roberta"))      # their first position is pad_token_id + 1
HEAD = r"(.*\.)?(score|classifier|pre_classifier|pooler)(\..*)?"            # modules behind the trunk, of any architecture
HEAD_PARTS = frozenset(("score", "classifier", "pre_classifier", "pooler"))


class Classifier(Policy):
    """A policy whose answer to a text is not the next token but K logits: layers, adapters and precision are a policy's."""

    def __init__(self, model: PreTrainedModel) -> None:
        if not is_supported(model.config):
            raise ModelError(_refusal(model.config))
        super().__init__(model)
        self.is_encoder = model.config.model_type in ENCODERS

    def forward(self, batch: TokenBatch, **asked: Any) -> PolicyOutput:
        """One forward over all texts of `batch`: `scores` are (B, K) fp32 logits. What else may be asked of a policy, in
        `asked`, a classifier has not.
        """
        hidden = self._trunk(batch)                                                    # (N, D)
        at = batch.cu_seqlens[:-1].long() if self.is_encoder else batch.last
        return PolicyOutput(scores=self._class_logits(hidden[at]).float())

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the logits."""
        return tuple(self.config.id2label[index] for index in range(self.config.num_labels))

    @property
    def multi_label(self) -> bool:
        """Whether a text may be in none or several classes, so that each logit answers yes or no for itself."""
        return self.config.problem_type == "multi_label_classification"

    @property
    def shares_prompts(self) -> bool:
        return not self.is_encoder

    @property
    def max_tokens(self) -> int:
        """The longest text that the model has positions for."""
        return int(self.config.get_text_config().max_position_embeddings) - self._first_position

    def head_parameters(self) -> list[nn.Parameter]:
        """Of everything behind the trunk."""
        return [value for name, value in self.named_parameters() if not HEAD_PARTS.isdisjoint(name.split("."))]

    def merge_adapter(self) -> None:
        """Add the adapter to the weights it adapts, so that what is left is one plain model."""
        if self.has_adapter:
            self.model = self.model.merge_and_unload()

    def _trunk(self, batch: TokenBatch, plan: AttentionPlan | None = None) -> Tensor:
        if not self.is_encoder:
            return super()._trunk(batch, plan)
        assert bool((batch.prefix < 0).all()), "what an encoder reads in a prefix depends on what follows it"
        return self._run_trunk(batch.ids, batch.positions + self._first_position, TwoSided(batch.cu_seqlens))

    @property
    def _first_position(self) -> int:
        config = self.config
        return config.pad_token_id + 1 if config.model_type in COUNT_FROM_PAD else 0

    def _class_logits(self, hidden: Tensor) -> Tensor:
        """(B, K) logits of the states (B, D) that stand for the texts, by the model's own head."""
        model: Any = self.model.get_base_model() if self.has_adapter else self.model
        kind = self.config.model_type
        if kind not in ENCODERS:
            return model.score(hidden)
        if kind == "bert":
            return model.classifier(model.bert.pooler(hidden[:, None]))
        if kind == "distilbert":
            return model.classifier(torch.relu(model.pre_classifier(hidden)))
        return model.classifier(hidden[:, None])      # these take a sequence and read its first state


def is_supported(config: Any) -> bool:
    """Whether its architecture goes through the ragged path with a head of transformers' own: tests hold each of them to it."""
    kind = config.model_type
    if kind in ENCODERS:
        return not getattr(config, "is_decoder", False)
    return kind in TESTED and type(config) in AutoModelForSequenceClassification._model_mapping


def _refusal(config: Any) -> str:
    return (f"the architecture {config.model_type} cannot be made a classifier here. Take an encoder "
            f"({', '.join(sorted(ENCODERS))}) or a decoder such as Llama, Qwen, Gemma, Mistral, Phi, GPT-2 or GPT-NeoX.")


def load_classifier(path: Path, precision: str, classes: Sequence[str] = (), multi_label: bool = False,
                    adapter: Adapter | None = None, seed: int = 0) -> Classifier:
    """The classifier made of the model in `path`, its weights in the arithmetic of `precision`.

    Args:
        precision: empty takes that of the saved weights.
        classes: what it is to tell apart; empty takes what it tells apart already. Where these are other classes than it
            has, the head is a new one, whose last layer starts at zero: all classes are equally likely then.
        adapter: adds a fresh LoRA to the trunk; the head is trained beside it.
        seed: of what a new head draws.
    Raises:
        ModelError: if something in `path` cannot be read, weights of the trunk are missing, or the architecture cannot be used.
    """
    with reading(f"{path} is not a model that can be read"):
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} is not a model: it has no config.json.")
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    is_classifier = any("ForSequenceClassification" in name for name in config.architectures or ())
    own = tuple(config.id2label[index] for index in sorted(config.id2label))
    keeps_head = is_classifier and (not classes or own == tuple(classes))
    if not classes and not is_classifier:
        raise ModelError(f"{path} is no classifier but a {config.model_type} model. Train one: tutelage classify.")
    if not is_supported(config):
        raise ModelError(_refusal(config))
    precision = precision or ("bf16" if config.dtype == torch.bfloat16 else "fp32")
    if classes:
        config.num_labels = len(classes)
        config.id2label, config.label2id = dict(enumerate(classes)), {name: index for index, name in enumerate(classes)}
        config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    classifier = Classifier(_read(path, config, precision, seed))
    if not keeps_head:
        _zero_last_layer(classifier)
    if (path / ADAPTER).is_dir():      # of a language model: an artifact of ours holds its base beside it
        merged = load_policy(path, precision).model.merge_and_unload()
        setattr(classifier.model, classifier.model.base_model_prefix, merged.base_model)
    if adapter is not None:
        add_adapter(classifier, adapter, seed, exclude=HEAD)
        for value in classifier.head_parameters():
            value.requires_grad_(True)
    return classifier


def _read(path: Path, config: Any, precision: str, seed: int) -> PreTrainedModel:
    with reading(f"{path} is not a model that can be read"), torch.random.fork_rng(), no_warnings():
        torch.manual_seed(seed)
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            path, config=config, dtype=dtype_of(precision), local_files_only=True, trust_remote_code=False,
            ignore_mismatched_sizes=True, output_loading_info=True)
    model, report = loaded
    lacking = [name for name in sorted(report["missing_keys"]) if HEAD_PARTS.isdisjoint(name.split("."))]
    if lacking:
        raise ModelError(f"{path} lacks {len(lacking)} of the weights of a {config.model_type} model (first: {lacking[0]}). "
                         "Fetch or export it again.")
    return model


@torch.no_grad()
def _zero_last_layer(classifier: Classifier) -> None:
    model: Any = classifier.model
    head = model.classifier if hasattr(model, "classifier") else model.score
    last = head if isinstance(head, nn.Linear) else head.out_proj
    for value in last.parameters():
        value.zero_()


def save_classifier(classifier: Classifier, tokenizer: Any, directory: Path) -> None:
    """Write model and tokenizer so that `load_classifier`, and transformers, give identical outputs."""
    assert not classifier.has_adapter, "an adapter is merged before it is saved"
    if classifier.config.pad_token_id is None:      # else transformers takes one text at a time
        classifier.config.pad_token_id = tokenizer.pad_token_id
    classifier.model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
