"""Models that begin with nothing: a tokenizer trained on the corpus, and random weights of a real architecture.

Both load in plain transformers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tutelage.errors import DataError
from tutelage.models.config import Scratch
from tutelage.models.precision import dtype_of

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 2048      # positions at least; rotary ones cost nothing


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE (arXiv:1909.03341): every text can be written in it. The same texts give the same tokenizer.

    It puts `<|startoftext|>` before a text, as Llama's does; `<|endoftext|>` ends one, and is the padding too.

    Raises:
        DataError: if the texts are too few for a vocabulary of that size.
    """
    tokenizer = Tokenizer(models.BPE())
    level: Any = pre_tokenizers.ByteLevel
    tokenizer.pre_tokenizer = level(add_prefix_space=False)
    tokenizer.decoder = cast(Any, decoders.ByteLevel())
    trainer: Any = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[BEGIN, END], show_progress=False,
                                       initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() < vocab_size:
        raise DataError(f"the corpus has pieces for a vocabulary of {tokenizer.get_vocab_size()}, and scratch.vocab_size is "
                        f"{vocab_size}. Lower it, or bring more text.")
    tokenizer.post_processor = cast(Any, processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=END,
                                   clean_up_tokenization_spaces=False)


def fresh_model(architecture: str, sizes: Scratch, tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int,
                precision: str) -> PreTrainedModel:
    """Random weights, a function of the sizes and the seed alone."""
    config = AutoConfig.for_model(
        architecture, vocab_size=len(tokenizer), hidden_size=sizes.hidden_size, num_hidden_layers=sizes.layers,
        intermediate_size=sizes.intermediate_size or 32 * round(sizes.hidden_size / 12), num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads or sizes.heads, head_dim=sizes.hidden_size // sizes.heads,
        max_position_embeddings=max(LENGTH, max_length), tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for weight in model.parameters():      # not `model.to`, which would round the rotary frequencies too: they never are when
        weight.data = weight.data.to(dtype_of(precision))      # a model is loaded
    return model
