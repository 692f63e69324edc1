"""Settings of supervised stages; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter, Precision, Scratch
from tutelage.records import AnnotatorKind
from tutelage.training.config import Optimizer, check_looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Chat tags the project declares; all empty takes the tokenizer's own template."""

    user_open: str = ""            # for instance <指令>
    user_close: str = ""           # for instance </指令>
    assistant_open: str = ""       # for instance <输出>
    assistant_close: str = ""      # for instance </输出>: the end of turn, a token of its own
    system_open: str = ""          # before a system message
    system_close: str = ""         # after it

    @property
    def declared(self) -> bool:
        return bool(self.assistant_close)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Changes to rows before they are learned from; all off by default. See docs/tuning.md for one of your own."""

    templates: tuple[str, ...] = ()    # sentences around an instruction, {prompt} in each; a row takes one of them or none
    token_dropout: float = 0.0         # share of a row's tokens that are no labels replaced by random ones, anew each step

    def __post_init__(self) -> None:
        if not 0 <= self.token_dropout < 1:
            raise ConfigError(f"augmentation: token_dropout {self.token_dropout} must be in [0, 1).")
        if wrong := [template for template in self.templates if template.count("{prompt}") != 1]:
            raise ConfigError(f"augmentation: the template {wrong[0]!r} needs {{prompt}} once.")


def check_noise(stage: str, neftune_alpha: float) -> None:
    if neftune_alpha < 0:
        raise ConfigError(f"{stage}: neftune_alpha {neftune_alpha} must be >= 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SFT:
    """Teach a model with instructions: the likelihood of the wanted responses (InstructGPT, arXiv:2203.02155, step 1)."""

    model: str = "smollm2-135m-q4"     # built-in name, directory, .gguf file, hf:org/name or artifact
    data: str = ""                     # data set of instructions: artifact, builtin:NAME or file
    name: str = "sft"                  # name of the model artifact that is made
    epochs: int = 3                    # passes over the data
    batch_tokens: int = 2048           # tokens of prompt and response in one step
    micro_tokens: int = 2048           # of them, at once in memory
    max_length: int = 1024             # rows longer than this many tokens are dropped or cut, and counted
    too_long: Literal["drop", "cut"] = "drop"    # cut takes the end of the response, and its end-of-turn label
    trained: Literal["all", "last"] = "all"      # which assistant turns of a conversation are labels
    balanced: bool = False             # draw rows by the weights of `data clean --balance`, instead of each once an epoch
    annotators: tuple[AnnotatorKind, ...] = ()   # whose responses are trained on; several only where asked for
    heldout_fraction: float = 0.0      # share of the prompts, by clusters of near duplicates, kept out and looked at; 0: none
    evaluate_every: int = 0            # steps between looks at what is kept out; 0: at the end of each epoch
    patience: int = 0                  # looks in a row without a better one that end training, with the best weights; 0: never
    template: Template = field(default_factory=Template)
    neftune_alpha: float = 0.0         # noise on embeddings while learning (arXiv:2310.05914: 5 to 15); 0: none
    augmentation: Augmentation = field(default_factory=Augmentation)
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=2e-5))
    checkpointing: bool = False        # each block is computed again in the backward: less memory, about a third more time
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of the order of rows

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens, self.max_length) < 1:
            raise ConfigError("sft: epochs, batch_tokens, micro_tokens and max_length must be at least 1.")
        check_noise("sft", self.neftune_alpha)
        check_looks("sft", self.heldout_fraction, self.evaluate_every, self.patience)
        if self.max_length > self.batch_tokens:
            raise ConfigError(f"sft: a row of max_length {self.max_length} does not fit into batch_tokens "
                              f"{self.batch_tokens}. Raise batch_tokens or lower max_length.")


SCRATCH = "scratch:"
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")      # that a model can begin with nothing in


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrain:
    """Teach a model raw text: the likelihood of every token, given those before it in its document."""

    model: str = "smollm2-135m-q4"     # as for sft; or scratch:llama, :mistral, :qwen2, :qwen3: random weights, a new tokenizer
    data: str = ""                     # data set of documents: artifact or file
    name: str = "pretrained"           # name of the model artifact that is made
    scratch: Scratch = field(default_factory=Scratch)
    epochs: int = 1                    # passes over the data
    batch_tokens: int = 4096           # tokens in one step
    micro_tokens: int = 2048           # of them, at once in memory
    max_length: int = 1024             # documents are cut into windows of at most so many tokens; nothing is lost between them
    heldout_fraction: float = 0.05     # share of the documents, by clusters of near duplicates, kept out and looked at; 0: none
    evaluate_every: int = 0            # steps between looks at what is kept out; 0: at the end of each epoch
    patience: int = 0                  # looks in a row without a better one that end training, with the best weights; 0: never
    neftune_alpha: float = 0.0         # noise on embeddings while learning (arXiv:2310.05914: 5 to 15); 0: none
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=1e-4, schedule="cosine"))    # from scratch rather 1e-3
    checkpointing: bool = False        # each block is computed again in the backward: less memory, about a third more time
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of the order of windows, of what is kept out, and of random weights

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens) < 1 or self.max_length < 2:
            raise ConfigError("pretrain: epochs, batch_tokens and micro_tokens must be at least 1, max_length 2.")
        if self.max_length > self.batch_tokens:
            raise ConfigError(f"pretrain: a window of max_length {self.max_length} does not fit into batch_tokens "
                              f"{self.batch_tokens}. Raise batch_tokens or lower max_length.")
        check_noise("pretrain", self.neftune_alpha)
        check_looks("pretrain", self.heldout_fraction, self.evaluate_every, self.patience)
        if self.model.startswith(SCRATCH) and self.model.removeprefix(SCRATCH) not in ARCHITECTURES:
            raise ConfigError(f"pretrain: model {self.model!r}; wanted one of "
                              f"{', '.join(SCRATCH + each for each in ARCHITECTURES)}.")
        if self.model.startswith(SCRATCH) and self.adapter.rank:
            raise ConfigError("pretrain: an adapter beside random weights would leave these as they are. Set adapter.rank to 0.")


Loss = Literal["dpo", "ipo", "hinge", "robust", "simpo", "orpo", "kto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Teach a policy from judgments directly, without a reward model (DPO, arXiv:2305.18290, and its family)."""

    model: str = "sft"                 # policy to start from, which is also the reference
    data: str = "feedback"             # feedback, for the project's own judgments, or a data set of preferences (kto: or thumbs)
    name: str = "dpo"                  # name of the model artifact that is made
    loss: Loss = "dpo"                 # dpo, ipo, hinge, robust; without a reference simpo, orpo; of single responses kto
    beta: float = 0.1                  # how dear distance from the reference is (simpo: scale; orpo: weight of the odds)
    target: float = 0.0                # gap asked for beyond 0; simpo's gamma
    smoothing: float = 0.0             # share of judgments taken to be wrong (dpo: conservative; robust: unbiased)
    sft_coef: float | None = None      # weight of the likelihood of chosen responses; none is 1 for orpo, else 0
    up_weight: float = 1.0             # kto: of liked responses
    down_weight: float = 1.0           # kto: of disliked ones
    epochs: int = 1                    # passes over the judgments
    batch_tokens: int = 4096           # tokens of prompts and responses in one step, a shared prompt counted once
    micro_tokens: int = 2048           # of them, at once in memory
    max_length: int = 1024             # pairs with a longer side are dropped (never cut), and counted
    heldout_fraction: float = 0.0      # share of the prompts, by clusters of near duplicates, kept out and looked at; 0: none
    evaluate_every: int = 0            # steps between looks at what is kept out; 0: at the end of each epoch
    patience: int = 0                  # looks in a row without a better one that end training, with the best weights; 0: never
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=1e-6))
    checkpointing: bool = False        # each block is computed again in the backward: less memory, about a third more time
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of the order of judgments

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens, self.max_length) < 1:
            raise ConfigError("dpo: epochs, batch_tokens, micro_tokens and max_length must be at least 1.")
        if self.beta <= 0 or not 0 <= self.smoothing < 0.5 or min(self.up_weight, self.down_weight, self.sft_weight) < 0:
            raise ConfigError(f"dpo: beta {self.beta} must be > 0, smoothing {self.smoothing} in [0, 0.5), and sft_coef, "
                              "up_weight and down_weight >= 0.")
        check_looks("dpo", self.heldout_fraction, self.evaluate_every, self.patience)
        if self.loss == "robust" and self.smoothing == 0:
            raise ConfigError("dpo: loss robust needs smoothing, the share of judgments taken to be wrong; it is 0.")

    @property
    def sft_weight(self) -> float:
        return self.sft_coef if self.sft_coef is not None else 1.0 if self.loss == "orpo" else 0.0

    @property
    def has_reference(self) -> bool:
        return self.loss not in ("simpo", "orpo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Classify:
    """Teach a model to tell classes of texts apart: a head over the classes on an encoder (BERT, arXiv:1810.04805, section 4)
    or a decoder (GPT, section 3.2), trained with it."""

    model: str = "smollm2-135m-q4"     # built-in name, directory, .gguf file, hf:org/name or artifact; encoder or decoder
    data: str = ""                     # data set of labelled texts: artifact or file
    name: str = "classifier"           # name of the classifier artifact that is made
    labels: tuple[str, ...] = ()       # names of the classes, in order; empty takes those of the data, sorted
    task: Literal["auto", "single", "multi"] = "auto"    # multi: a text is in none, one or several classes; auto: where one is
    class_weights: Literal["none", "balanced"] = "none"  # balanced: rare classes count as much as frequent ones
    epochs: int = 3                    # passes over the data
    batch_tokens: int = 2048           # tokens of the texts of one step
    micro_tokens: int = 2048           # of them, at once in memory
    max_length: int = 512              # texts longer than this, or than the model's positions, are dropped and counted
    heldout_fraction: float = 0.1      # share of texts kept out, for the figures that are reported
    annotators: tuple[AnnotatorKind, ...] = ()   # whose labels are trained on; several only where asked for
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=5e-5))
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of the order of rows, which are kept out, and a new head

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens, self.max_length) < 1:
            raise ConfigError("classify: epochs, batch_tokens, micro_tokens and max_length must be at least 1.")
        if self.max_length > self.batch_tokens:
            raise ConfigError(f"classify: a text of max_length {self.max_length} does not fit into batch_tokens "
                              f"{self.batch_tokens}. Raise batch_tokens or lower max_length.")
        if not 0 <= self.heldout_fraction < 1:
            raise ConfigError(f"classify: heldout_fraction {self.heldout_fraction} must be in [0, 1).")
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"classify: labels names a class twice: {', '.join(self.labels)}.")
