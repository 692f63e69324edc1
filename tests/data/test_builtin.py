"""The contract of the built-in data: enough of it, no two alike, nothing held out that is trained on, plain prose."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from tutelage.data.datasets import builtin_names, builtin_path, load_dataset

INSTRUCTIONS = {"instructions.en": 240, "instructions.zh": 60}       # name -> fewest rows
PROMPTS = {"prompts.rl.en": 200, "prompts.heldout.en": 100, "prompts.heldout.zh": 20}
TOO_ALIKE = 0.8
WORKED_ON = {"rewrite", "summarise"}      # kinds whose prompt holds the text, whose facts must survive


@cache
def rows(name: str) -> tuple[dict, ...]:
    return tuple(json.loads(line) for line in builtin_path(name).read_text(encoding="utf-8").splitlines())


def alike(texts: Sequence[str]) -> Iterator[tuple[float, int, int]]:
    """Pairs whose difflib ratio is over `TOO_ALIKE`, found with two upper bounds of it that are cheaper to compute: the
    characters two texts share in any order, then their longest common subsequence.
    """
    texts = [" ".join(text.casefold().split()) for text in texts]
    letters = {char: at for at, char in enumerate(sorted(set("".join(texts))))}
    counts = np.zeros((len(texts), len(letters)), dtype=np.int16)
    for at, text in enumerate(texts):
        for char in text:
            counts[at, letters[char]] += 1
    sizes = counts.sum(1)
    for left in range(len(texts)):
        shared = np.minimum(counts[left], counts[left + 1:]).sum(1)
        for right in (left + 1 + np.nonzero(2 * shared > TOO_ALIKE * (sizes[left] + sizes[left + 1:]))[0]).tolist():
            one, other = texts[left], texts[right]
            if 2 * common_length(one, other) > TOO_ALIKE * (len(one) + len(other)):
                ratio = SequenceMatcher(None, one, other, autojunk=False).ratio()
                if ratio > TOO_ALIKE:
                    yield ratio, left, right


def common_length(one: str, other: str) -> int:
    """Length of the longest common subsequence, one big-integer row a character (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << at
    full = (1 << len(one)) - 1
    row = full
    for char in other:
        found = row & places.get(char, 0)
        row = (row + found | row - found) & full
    return (full ^ row).bit_count()


def test_the_bounds_of_likeness_are_bounds():
    texts = ["the cat sat on the mat", "the cat sat on a mat!", "tam eht no tas tac eht", "another", "the cat sat"]
    wanted = {(a, b) for a, b in combinations(range(5), 2)
              if SequenceMatcher(None, texts[a], texts[b], autojunk=False).ratio() > TOO_ALIKE}
    assert {(a, b) for _, a, b in alike(texts)} == wanted == {(0, 1)}
    assert common_length("abcbdab", "bdcaba") == 4


def test_the_files_are_there_and_no_others():
    assert set(builtin_names()) == {*INSTRUCTIONS, *PROMPTS}


@pytest.mark.parametrize("name, fewest", [*INSTRUCTIONS.items(), *PROMPTS.items()])
def test_every_row_is_a_record_and_there_are_enough(name, fewest):
    dataset = load_dataset(builtin_path(name))
    assert dataset.kind == ("instruction" if name in INSTRUCTIONS else "prompt")
    assert len(dataset.records) == len(rows(name)) >= fewest
    keys = {"id", "prompt", "kind"} | ({"response"} if name in INSTRUCTIONS else {"key_facts"})
    assert all(set(row) <= keys and keys - {"key_facts"} <= set(row) for row in rows(name))
    assert [record.id for record in dataset.records] == [row["id"] for row in rows(name)]


def test_there_are_enough_rows_in_each_language():
    sizes = {name: len(rows(name)) for name in builtin_names()}
    assert sizes["instructions.zh"] + sizes["prompts.heldout.zh"] >= 60


def test_ids_are_unique_over_all_files():
    counts = Counter(row["id"] for name in builtin_names() for row in rows(name))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_two_prompts_are_alike_held_out_ones_least_of_all(language):
    every = [(row["id"], row["prompt"]) for name in builtin_names() if name.endswith(language) for row in rows(name)]
    pairs = [(round(ratio, 2), every[a], every[b]) for ratio, a, b in alike([prompt for _, prompt in every])]
    assert pairs == []


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_no_two_responses_are_alike(name):
    every = [(row["id"], row["response"]) for row in rows(name)]
    assert [(round(ratio, 2), every[a], every[b]) for ratio, a, b in alike([text for _, text in every])] == []


def frame(text: str) -> str:
    """How a text begins: three words, or four characters where words are not set apart."""
    letters = re.sub(r"[^\w\s']", "", text.casefold())
    return letters[:4] if re.match(r"[\u4e00-\u9fff]", letters) else " ".join(letters.split()[:3])


@pytest.mark.parametrize("name, field", [*((name, "prompt") for name in [*INSTRUCTIONS, *PROMPTS]),
                                         *((name, "response") for name in INSTRUCTIONS)])
def test_no_sentence_frame_stands_more_than_five_times_in_a_file(name, field):
    counts = Counter(frame(row[field]) for row in rows(name))
    assert {begin: count for begin, count in counts.items() if count > 5} == {}


MARKDOWN = re.compile(r"\*\*|__|`|^\s*(#+|[-*+•]|\d+[.)])\s|\]\(|^\s*\|", re.MULTILINE)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_responses_end_as_sentences_and_hold_no_markdown(name):
    unfinished = [row["id"] for row in rows(name) if not re.search(r"[.!?。！？][\"'”’」)）]?$", row["response"])]
    assert unfinished == []
    assert [row["id"] for row in rows(name) if MARKDOWN.search(row["response"])] == []
    assert [row["id"] for row in rows(name) if row["response"] != row["response"].strip()] == []


def says(text: str, form: str) -> bool:
    """Whether a text holds a form of a fact: whole words, a final * standing for any ending; in Chinese anywhere."""
    if re.search(r"[\u4e00-\u9fff]", form):
        return form.rstrip("*") in text
    pattern = re.escape(form.casefold()).replace(r"\*", r"\w*")
    return re.search(rf"(?<!\w){pattern}(?!\w)", text.casefold()) is not None


@pytest.mark.parametrize("name", PROMPTS)
def test_key_facts_are_stated_and_the_prompt_does_not_give_them_away(name):
    """A fact that stands in the prompt is earned by repeating it."""
    assert [row["id"] for row in rows(name) if not row.get("key_facts")] == []
    given = [(row["id"], form) for row in rows(name) if row["kind"] not in WORKED_ON
             for forms in row["key_facts"] for form in forms if says(row["prompt"], form)]
    assert given == []
