"""Models for tests: real transformers architectures with random weights, and a byte-level tokenizer, in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ("<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, ChatML, and pad == eos == `<|im_end|>`: the case that breaks masks made from ids (D6)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[1], pad_token=SPECIAL[1],
                                   clean_up_tokenization_spaces=False)
    fast.chat_template = TEMPLATE
    return fast


def tiny_model(architecture: str = "llama", *, seed: int = 0, vocab_size: int = 258, hidden_size: int = 32,
               layers: int = 2, noise: float = 0.0, classes: int = 0, **overrides: Any) -> PreTrainedModel:
    """A random model of a real architecture, fp32, in evaluation mode.

    `noise` is added to every weight, those of norms and biases too, so that no part of the model is without effect. With
    `classes`, it has a head over so many of these in place of the vocabulary.
    """
    sizes: dict[str, Any] = dict(
        vocab_size=vocab_size, hidden_size=hidden_size, intermediate_size=2 * hidden_size, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, bos_token_id=None, eos_token_id=257,
        pad_token_id=257, tie_word_embeddings=True)
    if architecture in ("gpt2", "gpt_neox", "bloom"):
        del sizes["num_key_value_heads"]
    if architecture.startswith("gemma"):
        sizes["head_dim"] = hidden_size // 4
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(architecture, **{**sizes, **overrides})
        if classes:
            config.num_labels = classes
        kind = AutoModelForSequenceClassification if classes else AutoModelForCausalLM
        model = kind.from_config(config, dtype=torch.float32)
        for weight in model.parameters() if noise else ():
            weight.data += noise * torch.randn_like(weight)
    return model.eval()
