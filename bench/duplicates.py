"""Near duplicates in 50,000 rows: ours beside the script that datasketch's documentation leads to.

    python -m bench.duplicates [--rows 50000] [--repeats 3]

Both are given the same texts, in which copies with a few changed words were planted, and have to name the pairs. The
peer shingles words by three, as is usual, and has the same 128 hashes and the threshold 0.8; it is installed for this
measurement only (pip install datasketch). A planted pair counts as found where both ends are in one group of the answer.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tutelage.data.duplicates import clusters, near_duplicates

WORDS_EN = [
    "time", "people", "water", "house", "school", "family", "market", "river", "mountain", "garden", "window", "paper",
    "music", "story", "letter", "engine", "winter", "summer", "morning", "evening", "doctor", "teacher", "student",
    "worker", "city", "village", "road", "bridge", "train", "ship", "island", "forest", "animal", "bird", "question",
    "answer", "problem", "reason", "method", "result", "number", "table", "figure", "line", "point", "circle", "field",
    "power", "energy", "light", "heat", "sound", "voice", "color", "shape", "size", "weight", "price", "value", "cost",
    "trade", "bank", "money", "law", "court", "police", "army", "church", "king", "queen",
]
WORDS_ZH = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就"
    "分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经")


def texts_with_copies(num_rows: int, seed: int = 7) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts of 30 to 300 words, a third of them Chinese; a tenth are copies with about one word in sixty changed."""
    rng = random.Random(seed)
    num_copies = num_rows // 10
    rows = [_text(rng) for _ in range(num_rows - num_copies)]
    originals = rng.sample(range(len(rows)), num_copies)
    rows += [_changed(rows[at], rng) for at in originals]
    order = list(range(num_rows))
    rng.shuffle(order)
    place = {before: after for after, before in enumerate(order)}
    planted = [(place[at], place[num_rows - num_copies + copy]) for copy, at in enumerate(originals)]
    return [rows[before] for before in order], planted


def _text(rng: random.Random) -> str:
    if rng.random() < 1 / 3:
        return "".join(rng.choices(WORDS_ZH, k=rng.randint(60, 400)))
    # words of five letters at random among known ones, so that two texts share little
    return " ".join(rng.choice(WORDS_EN) if rng.random() < 0.6 else "".join(rng.choices("abcdefghilmnoprstu", k=6))
                    for _ in range(rng.randint(30, 300)))


def _changed(text: str, rng: random.Random) -> str:
    parts = text.split(" ") if " " in text else list(text)
    for _ in range(max(1, len(parts) // 60)):
        parts[rng.randrange(len(parts))] = rng.choice(WORDS_EN) if " " in text else rng.choice(WORDS_ZH)
    return (" " if " " in text else "").join(parts)


def ours(texts: Sequence[str]) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in near_duplicates(texts)]


def datasketch_script(texts: Sequence[str]) -> list[tuple[int, int]]:
    """The obvious script: shingle, sketch, insert, query."""
    from datasketch import MinHash, MinHashLSH

    index, pairs = MinHashLSH(threshold=0.8, num_perm=128), []
    for at, text in enumerate(texts):
        words = text.lower().split() if " " in text else list(text)
        sketch = MinHash(num_perm=128)
        sketch.update_batch([" ".join(words[i:i + 3]).encode() for i in range(max(1, len(words) - 2))])
        pairs += [(int(found), at) for found in index.query(sketch)]
        index.insert(str(at), sketch)
    return pairs


def quality(num_rows: int, planted: Sequence[tuple[int, int]], pairs: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Recall over the planted pairs; precision: the share of named pairs that were planted."""
    from tutelage.data.duplicates import Pair

    groups = clusters(num_rows, [Pair(*sorted(pair), 1.0) for pair in pairs])
    wanted = clusters(num_rows, [Pair(*sorted(pair), 1.0) for pair in planted])
    return {"recall": sum(groups[a] == groups[b] for a, b in planted) / len(planted),
            "precision": sum(wanted[a] == wanted[b] for a, b in pairs) / max(1, len(pairs)), "pairs": len(pairs)}


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench duplicates")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    words = parser.parse_args(arguments)
    texts, planted = texts_with_copies(words.rows)
    sides: dict[str, Callable[[Sequence[str]], list[tuple[int, int]]]] = {"tutelage": ours, "datasketch": datasketch_script}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, dict[str, float]] = {}
    for repeat in range(words.repeats):
        for name in list(sides) if repeat % 2 == 0 else list(reversed(sides)):
            started = time.perf_counter()
            pairs = sides[name](texts)
            seconds[name].append(time.perf_counter() - started)
            found[name] = quality(words.rows, planted, pairs)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {"rows": words.rows, "characters": sum(map(len, texts)), "planted": len(planted), "repeats": words.repeats,
            "seconds": seconds, "median_s": medians, "found": found,
            "ratio": medians["datasketch"] / medians["tutelage"]}


if __name__ == "__main__":
    import sys

    result = run(sys.argv[1:])
    target = Path(__file__).parent / "results" / "duplicates.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
