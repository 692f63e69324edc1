"""Rendered text to ids and back by the tokenizer's rules; what a person typed never becomes a control token."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from tutelage.data.template import MARKS, OPEN, control_token


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
            tokens, begins = self._in_context(stretch, first=first and offset == 0)
            ids += tokens
            starts += [offset + begin for begin in begins]
        return ids, starts

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

    def _in_context(self, stretch: str, *, first: bool) -> tuple[list[int], list[int]]:
        """Encode as from the middle of a text: SentencePiece-like tokenizers put a blank before a text's beginning, so
        there a character that does not merge with the stretch is put before it and taken off again.
        """
        encode = self._natural_starts if MARKS.search(stretch) is None else self._typed_starts
        for lead in "" if first or not self._adds_space else "\n.a0":
            before = self._natural(lead)
            ids, starts = encode(lead + stretch)
            if ids[:len(before)] == before:
                return ids[len(before):], [start - 1 for start in starts[len(before):]]
        return encode(stretch)

    def _natural(self, text: str) -> list[int]:
        return self._natural_starts(text)[0]

    def _natural_starts(self, text: str) -> tuple[list[int], list[int]]:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), [start for start, _ in encoded["offset_mapping"]]

    def _typed_starts(self, text: str) -> tuple[list[int], list[int]]:
        """The tokenizer's pipeline without its added tokens (`split_special_tokens` would still match those that are
        not special). Where a token starts is known to the word only, which is enough to tell messages apart.
        """
        backend = self.tokenizer.backend_tokenizer
        text = MARKS.sub("", text)
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        words = [(text, (0, len(text)))]
        if backend.pre_tokenizer is not None:
            words = backend.pre_tokenizer.pre_tokenize_str(text)
        tokens = [(token.id, start) for word, (start, _) in words for token in backend.model.tokenize(word)]
        return [token for token, _ in tokens], [start for _, start in tokens]
