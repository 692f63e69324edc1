"""Near duplicates against exact similarity computed the slow way, and clusters by hand."""

from __future__ import annotations

import random

import pytest

from tutelage.data.duplicates import Pair, clusters, near_duplicates, normalise, similarity
from tutelage.data.splits import held_out, leakage

WORDS = ["river", "lamp", "stone", "quiet", "green", "market", "letter", "winter", "bread", "candle", "harbour", "violin",
         "marble", "orchard", "thunder"]
HAN = "春夏秋冬山水田林日月星云风雨雪江河湖海金木火土人口手足东西南北"


def texts(n: int, seed: int = 0) -> list[str]:
    """Texts that share little, every third in Chinese; each fifth is followed by a copy with one part changed."""
    rng = random.Random(seed)
    made: list[str] = []
    while len(made) < n:
        chinese = len(made) % 3 == 0
        parts = [rng.choice(HAN) + rng.choice(HAN) if chinese else rng.choice(WORDS) + str(rng.randrange(99))
                 for _ in range(rng.randint(10, 60))]
        made.append(("" if chinese else " ").join(parts))
        if len(made) % 5 == 0:
            parts[rng.randrange(len(parts))] = "北海" if chinese else "different"
            made.append(("" if chinese else " ").join(parts))
    return made[:n]


def shingles(text: str) -> set[bytes]:
    content = normalise(text).encode()
    return {content[at:at + 8] for at in range(max(1, len(content) - 7))}


def slow(a: set[bytes], b: set[bytes]) -> float:
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_pairs_are_those_of_all_exact_comparisons(threshold: float) -> None:
    made = texts(240)
    sets = [shingles(text) for text in made]
    exact = {(a, b): alike for a in range(240) for b in range(a + 1, 240) if (alike := slow(sets[a], sets[b])) >= threshold}
    found = {(pair.first, pair.second): pair.similarity for pair in near_duplicates(made, threshold)}
    assert len(exact) > 10 and found.keys() <= exact.keys(), "no pair is wrong"
    assert len(found) >= 0.97 * len(exact)
    assert all(abs(found[pair] - exact[pair]) < 0.1 for pair in found)


def test_similarity_by_hand() -> None:
    # "abcdefghij" and "abcdefghix": shingles abcdefgh, bcdefghi | cdefghij or cdefghix: 2 of 4
    assert similarity("abcdefghij", "abcdefghix") == 0.5
    assert similarity("Hello,  WORLD!", "hello world") == 1.0 and similarity("ａｂｃ", "abc") == 1.0
    assert similarity("a", "b") == 0.0 and similarity("12+35=", "12-35=") < 0.8, "signs of arithmetic are kept"


def test_texts_that_say_the_same_are_pairs_of_one_and_empty_ones_of_none() -> None:
    assert near_duplicates(["Why is it so?", "", "why  is it SO", "...", "why is it so!"]) == [Pair(0, 2, 1.0), Pair(0, 4, 1.0)]
    assert near_duplicates([]) == near_duplicates(["x"]) == []


def test_the_order_of_texts_changes_places_only() -> None:
    made = texts(120)
    order = random.Random(3).sample(range(120), 120)
    shuffled = near_duplicates([made[at] for at in order])
    assert {frozenset((order[pair.first], order[pair.second])) for pair in shuffled} == {
        frozenset((pair.first, pair.second)) for pair in near_duplicates(made)}


def test_a_large_group_is_one_cluster() -> None:
    base = " ".join(WORDS * 4)
    made = [f"{base} {WORDS[i % 15]}{i}" for i in range(60)] + texts(30)
    groups = clusters(len(made), near_duplicates(made))
    assert set(groups[:60]) == {0} and len(set(groups)) > 20


def test_clusters_join_chains_under_their_first_text() -> None:
    assert clusters(6, [Pair(1, 4, 0.9), Pair(4, 5, 0.9), Pair(2, 3, 1.0)]) == [0, 1, 2, 2, 1, 1]
    assert clusters(3, []) == [0, 1, 2]


def variants(at: int) -> list[str]:
    topic = " ".join(random.Random(at).choices(WORDS, k=12)) + f" number {at}"
    return [f"Please write about {topic} today", f"please write about {topic} today!", f"Please write about {topic} todays"]


def test_a_cluster_never_stands_on_both_sides() -> None:
    prompts = [each for at in range(150) for each in variants(at)]
    apart = held_out(prompts, 0.2, 7)
    for at in range(150):
        assert len({each in apart for each in variants(at)}) == 1
    assert 0.1 < len(apart) / len(prompts) < 0.3 and held_out(reversed(prompts), 0.2, 7) == apart
    assert held_out(prompts, 0.2, 8) != apart


def test_large_clusters_are_held_out_no_more_often_than_small_ones() -> None:
    # 100 clusters of 20 and 100 of 1 at 0.1: by the smallest of 20 places 88 of 100 would be held out, by one place 10
    large = [[f"{' '.join(random.Random(at).choices(WORDS, k=20))} cluster {at} {'abcdefghijklmnopqrst'[i]}" for i in range(20)]
             for at in range(100)]
    apart = held_out([each for group in large for each in group], 0.1, 0)
    assert sum(group[0] in apart for group in large) < 25


def test_a_growing_file_rarely_moves_a_prompt() -> None:
    old = [each for at in range(200) for each in variants(at)[:2]]
    grown = held_out([*old, *(variants(at)[2] for at in range(200))], 0.2, 0)
    before = held_out(old, 0.2, 0)
    moved = sum((variants(at)[0] in before) != (variants(at)[0] in grown) for at in range(200))
    # a newcomer to two becomes the representative once in three times, and then changes sides with 2 * 0.2 * 0.8
    assert moved / 200 < 0.2
    assert {each for each in held_out([*old, "An unrelated question about whales"], 0.2, 0) if each in old} == before


def test_leakage_names_equal_and_nearly_equal_prompts_and_nothing_else() -> None:
    train = [variants(at)[0] for at in range(40)]
    assert leakage(train, [f"A new question about {word} and its history in the far north" for word in WORDS]) == []
    leaks = leakage(train, [variants(3)[2], "Something new altogether, about whales", variants(5)[1]])
    assert [(leak.train, leak.heldout) for leak in leaks] == [(3, 0), (5, 2)]
    assert leaks[1].similarity == 1.0 > leaks[0].similarity > 0.8


def test_a_leak_through_a_third_prompt_is_one() -> None:
    words = [f"{word}{at}" for at in range(3) for word in WORDS]
    chain = [" ".join(words[begin:begin + 40]) for begin in (0, 3, 5)]
    assert similarity(chain[0], chain[2]) < 0.8 < min(similarity(chain[0], chain[1]), similarity(chain[1], chain[2]))
    assert leakage([chain[0]], [chain[2]]) == []
    assert [(leak.train, leak.heldout) for leak in leakage([chain[0], chain[1]], [chain[2]])] == [(1, 0)]
    assert [leak.heldout for leak in leakage([chain[0]], [chain[1], chain[2]])] == [0, 1]
    assert held_out(chain, 0.5, 0) in (set(), set(chain)), "one cluster cannot be split"
