"""What is kept of what a model wrote: tasks that are new and can be done with text alone, and responses that answer.

The rules are those of the Self-Instruct paper (section 2.2 and its code): ROUGE-L below 0.7 with every other task, no
words that ask for more than text, lengths within bounds; rules for cut, repeating and refusing responses join them, and
each has its Chinese words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import regex

from tutelage.text_metrics import longest_common, repetition_fraction, units

TASK_UNITS = (3, 150)            # words or characters, at least and at most (the paper's)
RESPONSE_UNITS = (1, 600)
MOST_REPETITION = 0.2            # share of a response's 4-grams that it has said before
ECHO = 0.9                       # ROUGE-L of a response with its task from which on it only says it again

_BEYOND_TEXT = regex.compile(
    r"\b(?:images?|pictures?|photos?|graphs?|plots?|draw|drawing|charts?|diagrams?|flowcharts?|maps?|videos?|audio|music|"
    r"files?|attachments?|links?|websites?|go to|click|upload|download)\b"
    r"|图片|图像|照片|画一|绘制|图表|流程图|地图|视频|音频|文件|附件|链接|网址|网站|点击|上传|下载|如图|上图|下图",
    regex.IGNORECASE)
_NO_ANSWER = regex.compile(
    r"^\W*(?:i['’]?m sorry|i am sorry|sorry,|i apologi[sz]e|i can['’]?t|i cannot|i(?:['’]?m| am) (?:not able|unable)"
    r"|as an? (?:ai|artificial|language)|i don['’]?t (?:know|have)"
    r"|抱歉|对不起|很遗憾|我(?:无法|不能|不会|不知道)|作为(?:一个|一名)?(?:人工智能|语言模型|AI))", regex.IGNORECASE)
_TASK_START = regex.compile(r"^[\p{L}\p{N}\"'“‘《（(【\[]")


class Novelty:
    """The tasks known so far; tells how near a new one comes to any of them."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self._known: list[tuple[list[str], Counter[str]]] = []
        for task in tasks:
            self.add(task)

    def add(self, task: str) -> None:
        found = units(task)
        self._known.append((found, Counter(found)))

    def is_new(self, task: str, similarity: float) -> bool:
        """Whether ROUGE-L with every known task is below `similarity`."""
        found = units(task)
        counts = Counter(found)
        for other, other_counts in self._known:
            shared = sum((counts & other_counts).values())      # no common subsequence is longer
            if shared and 2 * shared >= similarity * (len(found) + len(other)) and rouge_l(found, other) >= similarity:
                return False
        return bool(found)


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """F of the longest common subsequence, 0 to 1 (Lin 2004): 2 LCS / (len a + len b)."""
    return 2 * longest_common(a, b) / (len(a) + len(b)) if a and b else 0.0


def trouble_with_task(task: str) -> str:
    """Why a task is not used; "" where it is fine, its novelty aside."""
    count = len(units(task))
    if count < TASK_UNITS[0]:
        return "short task"
    if count > TASK_UNITS[1]:
        return "long task"
    if not _TASK_START.match(task):
        return "task begins with a sign"
    if _BEYOND_TEXT.search(task):
        return "task needs more than text"
    if repetition_fraction(task) > MOST_REPETITION:
        return "task repeats itself"
    return ""


def trouble_with_response(task: str, response: str, ended: bool) -> str:
    """Why a response is not used; "" where it is fine."""
    found = units(response)
    if not ended:
        return "cut response"
    if len(found) < RESPONSE_UNITS[0]:
        return "empty response"
    if len(found) > RESPONSE_UNITS[1]:
        return "long response"
    if _NO_ANSWER.match(response):
        return "no answer"
    if repetition_fraction(response) > MOST_REPETITION:
        return "response repeats itself"
    if rouge_l(units(task), found) >= ECHO:
        return "response says the task again"
    return ""
