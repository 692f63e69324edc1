"""From characters to tokens: which tokens of a response a passage has, whatever the tokenizer and the template do to text."""

from __future__ import annotations

import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tutelage.data.chat import ChatTemplate
from tutelage.errors import TemplateError
from tutelage.messages import Message, Messages
from tutelage.models.tiny import SPECIAL, TEMPLATE, tiny_tokenizer
from tutelage.records import Critique, Marked
from tutelage.training.responses import ASKED, marked_tokens, render_critique, render_to_end_of_turn

QUESTION = (Message.of("user", "Why?"),)
WORDS = "The Nile flows north. It is the longest river 尼罗河是最长的河 of all, they say 🙂🙂; good words and good rivers."


def said(text: str) -> Messages:
    return (Message.of("assistant", text),)


def marked(text: str, *passages: tuple[int, int]) -> Marked:
    return Marked(id="m", prompt=QUESTION, response=said(text),
                  marks=tuple({"start": start, "end": end, "mark": "good"} for start, end in passages))


def merging(trim: bool, template: str = TEMPLATE) -> ChatTemplate:
    """A byte-level tokenizer that has learned merges, as GPT-2's and Llama 3's; some leave a word's blank out of its offsets."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([WORDS] * 4, trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[1], pad_token=SPECIAL[1],
                                   clean_up_tokenization_spaces=False)
    fast.chat_template = template
    return ChatTemplate.of(fast)


def test_a_passage_has_the_tokens_of_its_bytes_one_token_a_byte() -> None:
    """é is two bytes, 天 three; the emoji four."""
    template = ChatTemplate.of(tiny_tokenizer())
    term = marked("aé天🙂b", (0, 1), (1, 2), (2, 4), (4, 5), (1, 5))
    assert marked_tokens(term, template) == ((0,), (1, 2), (3, 4, 5, 6, 7, 8, 9), (10,), tuple(range(1, 11)))


@pytest.mark.parametrize("trim", [False, True])
def test_the_tokens_of_a_passage_are_those_that_hold_its_text(trim: bool) -> None:
    """By another way: the bytes before and after each token, by decoding; any overlap counts."""
    template, draw = merging(trim), random.Random(0)
    ids = render_to_end_of_turn(template, QUESTION, said(WORDS)).ids[len(template.render_prompt(QUESTION)):]
    pieces = [len("".join(template.tokenizer.convert_ids_to_tokens([token]))) for token in ids[:-1]]      # bytes: a letter each
    raw, ends = WORDS.encode(), [sum(pieces[:at + 1]) for at in range(len(pieces))]
    assert ends[-1] == len(raw) and len(pieces) < len(raw) - 20
    for _ in range(200):
        start = draw.randrange(len(WORDS))
        end = draw.randrange(start, len(WORDS)) + 1
        text = WORDS[start:end]
        if trim:      # a blank is in no token's offsets
            start, end = start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
        if start >= end:
            continue
        first, last = len(WORDS[:start].encode()), len(WORDS[:end].encode())
        wanted = tuple(at for at, stop in enumerate(ends) if max(first, stop - pieces[at]) < min(last, stop)
                       and not (trim and raw[max(first, stop - pieces[at]):min(last, stop)].isspace()))
        assert marked_tokens(marked(WORDS, (start, end)), template) == (wanted,), text


def test_a_template_that_trims_or_thinks_first_moves_no_passage() -> None:
    body = TEMPLATE.replace("message['content']", "(message['content'] | trim)")
    opening = "{{ '<|im_start|>' + message['role'] + '\n' +"
    think = body.replace(opening, f"{opening} ('<think></think>' if message['role'] == 'assistant' else '') +")
    for source, before in ((body, 0), (think, len("<think></think>"))):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = source
        template = ChatTemplate.of(tokenizer)
        assert marked_tokens(marked("  ab c ", (2, 3), (0, 2), (5, 7)), template) == ((before,), (), (before + 3,))


def test_typed_control_tokens_are_text_and_move_no_passage() -> None:
    for template in (ChatTemplate.of(tiny_tokenizer()), merging(trim=False)):
        text = "a <|im_end|> 天 b"
        rendered = render_to_end_of_turn(template, QUESTION, said(text))
        ids = rendered.ids[len(template.render_prompt(QUESTION)):]
        assert ids.count(template.end_of_turn_id) == 1
        for at, wanted in ((0, "a"), (13, "天"), (15, "b")):
            tokens, = marked_tokens(marked(text, (at, at + 1)), template)
            assert wanted in template.tokenizer.decode([ids[token] for token in tokens]) and len(tokens) <= 3


def test_a_token_the_model_says_itself_moves_no_passage_after_a_typed_one() -> None:
    """Where a control token was typed, text is encoded in stretches around those that stand."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    template, text = ChatTemplate.of(tokenizer), "a <|im_end|> <think>天 b"
    ids = render_to_end_of_turn(template, QUESTION, said(text)).ids[len(template.render_prompt(QUESTION)):]
    for passage, wanted in (((13, 20), "<think>"), ((20, 21), "天"), ((22, 23), "b")):
        tokens, = marked_tokens(marked(text, passage), template)
        assert template.tokenizer.decode([ids[token] for token in tokens]) == wanted


def test_offsets_are_of_the_ids_that_are_trained_on() -> None:
    template = merging(trim=False)
    ids = render_to_end_of_turn(template, QUESTION, said(WORDS)).ids[len(template.render_prompt(QUESTION)):]
    ranges = template.locate_response(QUESTION, said(WORDS))
    assert len(ranges) == len(ids) and ranges[-1] == (0, 0)      # the end of turn is no character


def test_a_template_that_rewrites_text_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("message['content']", "(message['content'] | replace('x', 'y'))")
    with pytest.raises(TemplateError, match="rewrites the text of a response"):
        marked_tokens(marked("axb", (0, 1)), ChatTemplate.of(tokenizer))


def test_only_the_words_of_a_critique_are_labels() -> None:
    template = ChatTemplate.of(tiny_tokenizer())
    rendered = render_critique(Critique(id="c", prompt=QUESTION, response=said("No."), text="Say why."), template)
    labels = [token for token, label in zip(rendered.ids, rendered.response_mask, strict=True) if label]
    assert template.tokenizer.decode(labels) == "Say why.<|im_end|>" and ASKED in rendered.text
    assert rendered.ids[:len(template.render_prompt(QUESTION))] == template.render_prompt(QUESTION)
