"""Near duplicates: MinHash signatures (rensa), locality-sensitive hashing in bands, and the exact similarity in doubt.

A shingle is eight bytes of the normalised text in UTF-8, taken at every byte: a word and a half of English, nearly
three Han characters. One changed word in forty, or one Han character in forty, leaves the similarity above 0.8. The
similarity of two texts is Jaccard's: shingles in both over shingles in either.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

THRESHOLD = 0.8
SHINGLE = 8                          # bytes: one 64-bit word, so that a shingle is read in one load
BANDS, ROWS = 21, 6                  # a pair of similarity 0.8 shares a band with probability 1 - (1 - 0.8^6)^21 = 0.998
NUM_HASHES = BANDS * ROWS
SEED = 20220304                      # of the signatures: the same on any machine, whatever the project's seed
DOUBT = 0.12                         # 3.4 standard deviations of a signature's estimate at 0.8
CHUNK = 1 << 22                      # shingles that are hashed at a time, 32 MB
ALL_PAIRS = 8                        # in a band's bucket up to this size all pairs are looked at, in a larger one neighbours

_BLANK = regex.compile(r"[^\w+\-*/=<>^%$#&|~@]+|_+")


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two texts, by their places, first < second, and their similarity."""

    first: int
    second: int
    similarity: float


def normalise(text: str) -> str:
    """What near duplicates are compared by: width, case, blanks and punctuation aside; signs of arithmetic stay."""
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _BLANK.sub(" ", text.casefold()).strip()


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> list[Pair]:
    """Pairs of texts that are at least `threshold` alike, in order: enough of them to join each group of such texts.

    Texts that are equal when normalised have similarity 1. Of the pairs at the threshold one in 500 is missed, above it
    fewer; none is wrong but by the doubt of a signature 3.4 standard deviations off. A text without letters or signs is
    like no other.
    """
    places: dict[str, int] = {}
    pairs, distinct = [], []
    for at, text in enumerate(map(normalise, texts)):
        if not text:
            continue
        if (first := places.setdefault(text, at)) != at:
            pairs.append(Pair(first, at, 1.0))
        else:
            distinct.append(at)
    pairs += [Pair(distinct[a], distinct[b], alike)
              for a, b, alike in _similar([_content(text) for text in places], threshold)]
    return sorted(pairs)


def clusters(num_texts: int, pairs: Sequence[Pair]) -> list[int]:
    """For every text the first text of its cluster: texts are together that a chain of pairs joins."""
    parents = list(range(num_texts))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    for pair in pairs:
        low, high = sorted((root(pair.first), root(pair.second)))
        parents[high] = low
    return [root(at) for at in range(num_texts)]


def _similar(contents: Sequence[bytes], threshold: float) -> list[tuple[int, int, float]]:
    if len(contents) < 2:
        return []
    signatures = _signatures(contents)                                        # (texts, NUM_HASHES)
    candidates = _candidates(signatures)                                      # (pairs, 2)
    estimates = np.concatenate([(signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1)
                                for part in np.array_split(candidates, 1 + len(candidates) // 50_000)])
    found = []
    for (a, b), estimate in zip(candidates.tolist(), estimates.tolist(), strict=True):
        if estimate < threshold - DOUBT:
            continue
        alike = estimate if estimate > threshold + DOUBT else _jaccard(contents[a], contents[b])
        if alike >= threshold:
            found.append((a, b, alike))
    return found


def similarity(first: str, second: str) -> float:
    """Jaccard similarity of two texts' shingles, exactly: 1 where they are equal when normalised."""
    return _jaccard(_content(normalise(first)), _content(normalise(second)))


def _content(normalised: str) -> bytes:
    """A text's bytes, at least one shingle of them."""
    return normalised.encode("utf-8", "surrogatepass").ljust(SHINGLE, b"\0")


def _jaccard(first: bytes, second: bytes) -> float:
    a, b = set(_shingles(first).tolist()), set(_shingles(second).tolist())
    return len(a & b) / len(a | b)


def _shingles(content: bytes) -> NDArray[np.uint64]:
    """Every eight bytes as one number; nothing is copied."""
    return np.ndarray((len(content) - SHINGLE + 1,), dtype="<u8", buffer=content, strides=(1,))


def _signatures(contents: Sequence[bytes]) -> NDArray[np.uint32]:
    from rensa import RMinHash  # here, so that commands that compare nothing load no more

    parts = []
    for chunk in _chunks(contents):
        offsets = np.zeros(len(chunk) + 1, dtype=np.uint64)
        offsets[1:] = np.cumsum([len(content) - SHINGLE + 1 for content in chunk])
        tokens = _mixed(np.concatenate([_shingles(content) for content in chunk]))
        matrix: Any = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets, num_perm=NUM_HASHES, seed=SEED)
        parts.append(np.asarray(matrix.to_rows(), dtype=np.uint32))
    return np.concatenate(parts)


def _chunks(contents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    begin = size = 0
    for at, content in enumerate(contents):
        if size and size + len(content) > CHUNK:
            yield contents[begin:at]
            begin, size = at, 0
        size += len(content)
    yield contents[begin:]


def _mixed(tokens: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Text bytes are far from uniform; a multiplication and a shift spread them over all 64 bits."""
    tokens = tokens * np.uint64(0x9E3779B97F4A7C15)
    return (tokens ^ (tokens >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)


def _candidates(signatures: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Pairs that share all rows of a band, each once, (pairs, 2)."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for band in range(BANDS):
        rows = signatures[:, band * ROWS:(band + 1) * ROWS].astype(np.uint64)
        keys = np.zeros(len(rows), dtype=np.uint64)
        for row in range(ROWS):
            keys = _mixed(keys ^ rows[:, row])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        sizes = np.diff(np.append(starts, len(keys)))
        firsts = np.repeat(starts, sizes)                   # of each text: where its bucket begins
        for step in range(1, ALL_PAIRS):                    # each text and the one `step` after it in its bucket
            together = np.flatnonzero(firsts[step:] == firsts[:-step])
            if not len(together):
                break
            found.append(np.stack((order[together], order[together + step]), axis=1))
        large = np.flatnonzero(np.arange(len(keys)) - firsts >= ALL_PAIRS)
        found.append(np.stack((order[firsts[large]], order[large]), axis=1))      # in large ones: each and the first
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs, axis=0)
