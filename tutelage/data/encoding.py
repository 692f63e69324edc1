"""Rendered text to ids and back by the tokenizer's rules; what a person typed never becomes a control token."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from tutelage.data.template import MARKS, OPEN, control_token

Range = tuple[int, int]      # start, end


class Encoder:
    """Encodes stretches of one text on their own, each as it would be encoded in the middle of a text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._control = control_token(tokenizer)
        self._break = self._natural("\n")
        self._adds_space = self._natural("\na")[len(self._break):] != self._natural("a")

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids from the middle of a text; nothing is skipped or tidied."""
        lead = self._break if self._adds_space else []      # else the decoder takes off a first blank
        text = str(self.tokenizer.decode([*lead, *ids], skip_special_tokens=False, clean_up_tokenization_spaces=False))
        return text.removeprefix("\n") if lead else text

    def encode(self, text: str, *, first: bool) -> tuple[list[int], list[int]]:
        """Ids of a stretch of rendered text and the character each starts at; typed control tokens come out as text."""
        ids: list[int] = []
        starts: list[int] = []
        for offset, stretch in self._stretches(text):
            tokens, ranges = self._in_context(stretch, first=first and offset == 0)
            ids += tokens
            starts += [offset + start for start, _ in ranges]
        return ids, starts

    def locate(self, text: str) -> list[Range]:
        """Of each token that `encode` makes of a stretch in the middle of a text, its characters (start, end) in the text without
        marks. The tokens of one character all have it."""
        ranges: list[Range] = []
        for offset, stretch in self._stretches(text):
            before = offset - len(MARKS.findall(text[:offset]))
            ranges += [(before + start, before + end) for start, end in self._in_context(stretch, first=False)[1]]
        return ranges

    def _stretches(self, text: str) -> list[tuple[int, str]]:
        """The whole text, or, where somebody typed a control token: the template's own ones and what is between."""
        if MARKS.search(text) is None:
            return [(0, text)]
        stretches, at = [], 0
        for found in self._control.finditer(text):
            if found.start() > 0 and text[found.start() - 1] == OPEN:
                continue
            stretches += [(at, text[at:found.start()]), (found.start(), found.group())]
            at = found.end()
        return [(offset, stretch) for offset, stretch in [*stretches, (at, text[at:])] if stretch]

    def _in_context(self, stretch: str, *, first: bool) -> tuple[list[int], list[Range]]:
        """Encode as from the middle of a text: SentencePiece-like tokenizers put a blank before a text's beginning, so
        there a character that does not merge with the stretch is put before it and taken off again.
        """
        encode = self._natural_ranges if MARKS.search(stretch) is None else self._typed_ranges
        for lead in "" if first or not self._adds_space else "\n.a0":
            before = self._natural(lead)
            ids, ranges = encode(lead + stretch)
            if ids[:len(before)] == before:
                return ids[len(before):], [(start - 1, end - 1) for start, end in ranges[len(before):]]
        return encode(stretch)

    def _natural(self, text: str) -> list[int]:
        return self._natural_ranges(text)[0]

    def _natural_ranges(self, text: str) -> tuple[list[int], list[Range]]:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), list(encoded["offset_mapping"])

    def _typed_ranges(self, text: str) -> tuple[list[int], list[Range]]:
        """The tokenizer's pipeline without its added tokens (`split_special_tokens` would still match those that are
        not special).
        """
        backend = self.tokenizer.backend_tokenizer
        text = MARKS.sub("", text)
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        words = [(text, (0, len(text)))]
        if backend.pre_tokenizer is not None:
            words = backend.pre_tokenizer.pre_tokenize_str(text)
        tokens = [(token.id, _characters(word, text[start:end], start, token.offsets))
                  for word, (start, end) in words for token in backend.model.tokenize(word)]
        return [token for token, _ in tokens], [each for _, each in tokens]


def _characters(word: str, said: str, start: int, token: Range) -> Range:
    """The characters, counted from `start`, of a token that has these UTF-8 bytes of `word`, as which the tokenizer writes what
    was `said`: a letter a character, or a letter a byte. In any other writing a token has the whole word."""
    first, last = (len(word.encode()[:at].decode(errors="ignore")) for at in token)
    if len(word) == len(said):
        return start + first, start + last
    if len(word) == len(said.encode()):
        return (start + len(said.encode()[:first].decode(errors="ignore")),
                start + len(said.encode()[:max(first, last - 1)].decode(errors="ignore")) + (last > first))
    return start, start + len(said)
