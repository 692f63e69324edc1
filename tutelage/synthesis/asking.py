"""What the writing model is asked, in the language of the seed tasks, and how its answer is read.

A request shows numbered tasks and asks for the next ones in the same form; what does not keep to the form is refused
with a reason. Each task is then answered in a conversation of its own, as anybody would ask it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.messages import Message, Messages
from tutelage.seeds import stream_seed
from tutelage.text_metrics import han_fraction

_ASK = {
    "en": ("Below are {shown} different tasks that a person gave to an assistant. Write {wanted} more, each of another kind "
           "than those above. Write one task a line, numbered, without its answer.\n\n{tasks}"),
    "zh": ("下面是一个人交给助手的{shown}个不同的任务。请再写{wanted}个新任务，每个都要与上面的类型不同。"
           "每行写一个任务，带编号，不要写答案。\n\n{tasks}"),
}
_NUMBERED = re.compile(r"^\s*(?:(?:task|任务)\s*)?\(?(\d{1,3})\s*[.、:：)）]\s*(.*)$", re.IGNORECASE)
NEW_TASKS = 4      # asked for in one request


@dataclass(frozen=True, slots=True)
class Refused:
    """A piece of what the model wrote, and why it is not used."""

    text: str
    reason: str


def language_of(tasks: Sequence[str]) -> str:
    """zh where most letters are Han characters, else en."""
    return "zh" if han_fraction("\n".join(tasks)) > 0.5 else "en"


def request(seeds: Sequence[str], own: Sequence[str], language: str, *, demonstrations: int, own_demonstrations: int,
            seed: int, number: int) -> Messages:
    """The request with this `number`: which tasks it shows, and in which order, follows from it and `seed`."""
    generator = random.Random(stream_seed(seed, "self-instruct", "request", number))

    def some(of: Sequence[str], most: int) -> list[str]:
        keys = [generator.random() for _ in of]      # only random() is promised never to change
        return [of[i] for i in sorted(range(len(of)), key=keys.__getitem__)[:most]]

    shown = some([*some(seeds, demonstrations), *some(own, own_demonstrations)], demonstrations + own_demonstrations)
    lines = "\n".join(f"{i}. {' '.join(task.split())}" for i, task in enumerate(shown, start=1))
    return (Message.of("user", _ASK[language].format(shown=len(shown), wanted=NEW_TASKS, tasks=lines)),)


def read_tasks(text: str, ended: bool) -> tuple[list[str], list[Refused]]:
    """The tasks of an answer, one a numbered line, and what of it is none. The last line of an answer that was cut is
    refused: nobody knows how it would have gone on.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return [], [Refused(text, "empty answer")]
    tasks: list[str] = []
    refused: list[Refused] = []
    for place, line in enumerate(lines):
        found = _NUMBERED.match(line)
        if found is None:
            refused.append(Refused(line, "no numbered task"))
        elif place == len(lines) - 1 and not ended:
            refused.append(Refused(line, "cut task"))
        elif not found.group(2).strip():
            refused.append(Refused(line, "empty task"))
        else:
            tasks.append(found.group(2).strip().strip("*\"“”").strip())
    return tasks, refused
