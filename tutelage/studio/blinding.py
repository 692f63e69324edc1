"""What annotators must not see is taken out before it is sent: which model wrote a text, also where the text says so.

A name is covered only in a sentence that speaks of the one who writes ("I am …", "developed by …", "我是……"), so that a
response about a company keeps its facts. What covers it is as long as what it covers: marked passages keep their offsets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tutelage.reporting.showable import showable

COVER = "█"
_NAMES = (
    "ChatGPT", r"GPT-?\d(?:\.\d)?(?:[- ]?(?:turbo|mini|nano|o))?", r"GPT-?4o", "OpenAI", "Claude", "Anthropic", "Gemini",
    "Gemma", "Bard", "Google DeepMind", "Google", "DeepMind", "Llama", "LLaMA", "Meta AI", "Mistral(?: AI)?", "Mixtral",
    "Qwen", "Tongyi", "Alibaba(?: Cloud)?", "DeepSeek", "ChatGLM", "GLM", "Zhipu(?: AI)?", "Baichuan", "ERNIE(?: Bot)?",
    "Baidu", "Kimi", "Moonshot(?: AI)?", "Doubao", "ByteDance", "InternLM", "MiniMax", "SmolLM", "Hugging ?Face", "Phi",
    "Microsoft", "Copilot", "Vicuna", "Alpaca", "Falcon", "OLMo", "Granite", "IBM", "Cohere", "Command R", "Grok", "xAI",
    "Yi", "Hunyuan", "Tencent",
    "通义千问", "通义", "千问", "阿里巴巴", "阿里云", "达摩院", "深度求索", "智谱", "清言", "百川",
    "文心一言", "文心", "百度", "月之暗面", "豆包", "字节跳动", "书生", "浦语", "上海人工智能实验室", "零一万物", "混元", "腾讯",
    "讯飞星火", "星火", "谷歌", "微软", "商汤",
)
_SELF = re.compile(
    r"\b(?:I am|I'm|I’m|my name is|call me|as an? (?:AI|large|language|artificial)|as \w+, an? (?:AI|language)|"
    r"(?:was|been|am|are|is) (?:created|developed|trained|made|built|designed) by|"
    r"(?:created|developed|trained|made|built|designed) by|made me|created me|trained me|I was|my (?:creators?|developers?))\b"
    r"|我是|我叫|我的名字|我由|作为(?:一个|一款|一名)?.{0,12}(?:模型|助手|人工智能)|由.{0,20}(?:开发|训练|研发|创造|打造|推出)|"
    r"(?:开发|训练|研发|创造|打造)的.{0,12}(?:模型|助手)",
    re.IGNORECASE)
_SENTENCE = re.compile(r"(?:[^.!?。！？\n]|[.!?](?!\s|$))*(?:[.!?。！？\n]+|$)")      # a dot inside a number ends none


def names_of(policies: Iterable[str]) -> tuple[str, ...]:
    """What a response might call the models of these references: names that are no everyday words (they hold a digit)."""
    found = {part for policy in policies for part in re.split(r"[/@:#\s]+", policy) if len(part) > 3 and re.search(r"\d", part)
             and re.search(r"[A-Za-z]", part)}
    return tuple(sorted(found))


def blind(text: str, own_names: Sequence[str] = ()) -> str:
    """`text` with the names of models covered where it speaks of itself; as long as it was."""
    pattern = _pattern(tuple(own_names))

    def sentence(match: re.Match[str]) -> str:
        words = match.group()
        return pattern.sub(lambda name: COVER * len(name.group()), words) if _SELF.search(words) else words

    return _SENTENCE.sub(sentence, showable(text))


def _pattern(own_names: tuple[str, ...]) -> re.Pattern[str]:
    # Letters of the Latin alphabet must end where the name does; Chinese has no such ends.
    names = [*_NAMES, *(re.escape(name) for name in own_names)]
    return re.compile(r"(?<![A-Za-z])(?:" + "|".join(sorted(names, key=len, reverse=True)) + r")(?![A-Za-z])"
                      r"(?:[- ]?\d[\w.-]*\w|-[A-Za-z][\w.-]*\w)?", re.IGNORECASE)
