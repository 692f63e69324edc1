"""Annotators see neither which model wrote a text nor anything that says so."""

from __future__ import annotations

import pytest

from tutelage.studio.blinding import COVER, blind, names_of


@pytest.mark.parametrize(("text", "shown"), [
    ("I am ChatGPT, made by OpenAI.", "I am ███████, made by ██████."),
    ("As an AI language model trained by Google, I cannot.", "As an AI language model trained by ██████, I cannot."),
    ("I'm Qwen2.5-7B. Nice to meet you.", "I'm ██████████. Nice to meet you."),
    ("My name is Llama-3.1-8B-Instruct!", "My name is █████████████████████!"),
    ("I was created by Anthropic.", "I was created by █████████."),
    ("我是通义千问，由阿里云开发。", "我是████，由███开发。"),
    ("作为一个由深度求索训练的模型，我不能回答。", "作为一个由████训练的模型，我不能回答。"),
    ("我叫Kimi。", "我叫████。"),
])
def test_a_text_that_names_its_writer_is_covered(text: str, shown: str) -> None:
    assert blind(text) == shown and len(blind(text)) == len(text)


@pytest.mark.parametrize("text", [
    "OpenAI was founded in 2015 and Google in 1998.",        # facts about companies are what is judged
    "The alpaca is a camelid; the falcon is a bird.",
    "I am happy to help. OpenAI is a company.",              # the name stands in another sentence
    "阿里巴巴的总部在杭州。", "百度是一家公司。",
    "Gemini is a sign of the zodiac.",
])
def test_what_is_no_word_about_the_writer_stays(text: str) -> None:
    assert blind(text) == text


def test_the_projects_own_models_are_covered_but_not_everyday_words() -> None:
    names = names_of(["model/sft@1", "model/smollm2-135m@3#abc", "hf:org/My-Model-7b", "model/base@1"])
    assert "smollm2-135m" in names and "My-Model-7b" in names and "sft" not in names and "base" not in names
    assert blind("I am SmolLM2-135M, a base model.", names) == f"I am {COVER * 12}, a base model."


def test_control_characters_are_seen_and_lengths_hold() -> None:
    text = "I am\u202e GPT-4\x00 🙂"
    assert len(blind(text)) == len(text) and "\u202e" not in blind(text) and "\x00" not in blind(text)
