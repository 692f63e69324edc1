"""The one place where text becomes ids (D6): conversations in; ids, spans and a response mask out.

Train = sample, by construction. A prompt is cut where its generation prompt ends and encoded as one stretch of text,
then each response is encoded on its own: so the ids before a trained response are exactly those `render_prompt` gives
at sampling. On ordinary text this equals the tokenizer's own `apply_chat_template`; they differ where a response starts
with a line break, which the tokenizer would merge with the template's: no sampled response can begin inside a token of
its prompt.

The mask is made from those boundaries, never by comparing ids: the end-of-turn token is a label even where it is the
pad token (trl#6357, trl#3091), and template text is none (trl#4147). Control tokens that a person typed stay text. No
special token is ever added to rendered text, so none stands twice (trl#1591).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from transformers import PreTrainedTokenizerBase

from tutelage.data.encoding import Encoder
from tutelage.data.template import MARKS, Piece, Renderer, SpanRole, TaggedTemplate, Tools
from tutelage.errors import TemplateError
from tutelage.lineage import content_hash
from tutelage.messages import Message, Messages

TEMPLATE_FILE = "chat_template.jinja"      # the name transformers gives it, so that other tools find it
FACTS_FILE = "chat.json"


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` up to `end` of a rendering and whose they are; `trained` spans are exactly the labels.

    A message of the user or the system has one span with its tags; a response is a span from its first token to its
    end-of-turn token. `template` is what the template says on its own: the generation prompt.
    """

    role: SpanRole
    start: int
    end: int
    trained: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the model sees it: `ids`, and which of them are labels."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    response_mask: tuple[bool, ...]
    text: str

    @property
    def num_labels(self) -> int:
        return sum(self.response_mask)


class ChatTemplate:
    """A tokenizer and the template its conversations are rendered with."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        """Use `of`, `declared` or `load`.

        Raises:
            TemplateError: if the template gives no end to a response or no place where one starts, or the tokenizer is
                a slow one, which cannot say what it made of which text.
        """
        if not tokenizer.is_fast:
            raise TemplateError(f"{type(tokenizer).__name__} is a slow tokenizer; wanted a fast one (tokenizer.json).")
        self.tokenizer = tokenizer
        self._renderer = Renderer(tokenizer, source)
        self._encoder = Encoder(tokenizer)
        self.end_of_turn = self._renderer.end_of_turn
        self.end_of_turn_id: int = tokenizer.added_tokens_encoder[self.end_of_turn]
        eos = tokenizer.eos_token_id
        # Sampling stops at any of these: the end of turn, and the tokenizer's eos where that is another token.
        self.stop_ids = tuple(sorted({self.end_of_turn_id} if eos is None else {self.end_of_turn_id, eos}))

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        """With the tokenizer's own template."""
        source = tokenizer.chat_template
        if isinstance(source, dict):
            source = source.get("default")
        if not source:
            raise TemplateError("the tokenizer has no chat template (a base model has none). Declare the tags of one.")
        return cls(tokenizer, source)

    @classmethod
    def declared(cls, tokenizer: PreTrainedTokenizerBase, tags: TaggedTemplate) -> Self:
        """With tags the project declares."""
        return cls(tokenizer, tags.source(tokenizer))

    def save(self, directory: Path) -> None:
        """Put the template beside the weights, after the tokenizer was saved there: it is what will be served."""
        (directory / TEMPLATE_FILE).write_text(self.source, encoding="utf-8")
        facts = {"sha256": self.sha256, "end_of_turn": self.end_of_turn, "stop_ids": list(self.stop_ids)}
        (directory / FACTS_FILE).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, tokenizer: PreTrainedTokenizerBase) -> Self:
        """The template that stands in `directory`, else the tokenizer's own.

        Raises:
            TemplateError: if it is not the one the model was trained with, or the tokenizer is not.
        """
        try:
            template = cls(tokenizer, (directory / TEMPLATE_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls.of(tokenizer)
        if (directory / FACTS_FILE).exists():
            try:
                facts = dict(json.loads((directory / FACTS_FILE).read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise TemplateError(f"{directory / FACTS_FILE} cannot be read: {error}. Restore it.") from None
            if (facts.get("sha256"), facts.get("stop_ids")) != (template.sha256, list(template.stop_ids)):
                raise TemplateError(
                    f"{directory / TEMPLATE_FILE} or the tokenizer beside it is not what this model was trained with: "
                    f"{FACTS_FILE} says template {str(facts.get('sha256'))[:12]} and stop ids {facts.get('stop_ids')}, "
                    f"got {template.sha256[:12]} and {list(template.stop_ids)}. Restore them.")
        return template

    @property
    def closing(self) -> str:
        """Plain text that the template writes between a response and the token that ends it; mostly none."""
        return self._renderer.closing

    @property
    def source(self) -> str:
        """The jinja source."""
        return self._renderer.source

    @property
    def sha256(self) -> str:
        """Names the template in manifests: its source and the tokens it writes."""
        return content_hash({"source": self.source, "bos": self.tokenizer.bos_token, "eos": self.tokenizer.eos_token})

    def render(self, messages: Sequence[Message], trained: Literal["all", "last"] = "all", tools: Tools = ()) -> Rendered:
        """The conversation with its responses as labels: all of them, or the last only. What a response calls is part of it;
        `tools` are the schemas that the template shows the model.

        Raises:
            TemplateError: if the template cannot render it, or renders a turn otherwise once another follows.
        """
        turns = [turn for turn, message in enumerate(messages) if message.role == "assistant"]
        return self._rendered(messages, {*turns} if trained == "all" else {*turns[-1:]}, opened=False, tools=tools)

    def render_response(self, prompt: Messages, response: Messages) -> Rendered:
        """Labels in `response` only; for preferences, whose prompt may hold the assistant's earlier turns.

        Its ids begin with `render_prompt(prompt)`, so two responses to one prompt share exactly that prefix.
        """
        whole = (*prompt, *response)
        return self._rendered(whole, {turn for turn in range(len(prompt), len(whole))}, opened=False)

    def render_prompt(self, messages: Sequence[Message], tools: Tools = ()) -> tuple[int, ...]:
        """Ids to sample a response after, generation prompt included."""
        return self.render_opened(messages, tools).ids

    def render_opened(self, messages: Sequence[Message], tools: Tools = ()) -> Rendered:
        """The same with its spans; nothing is a label.

        Raises:
            TemplateError: if the template cannot render it, or it does not end with a message to respond to.
        """
        if not messages or messages[-1].role == "assistant":
            raise TemplateError("a prompt must end with a message the assistant can respond to"
                                f"{', not with its own' if messages else ''}.")
        return self._rendered(messages, set(), opened=True, tools=tools)

    def locate_response(self, prompt: Messages, response: Messages) -> list[tuple[int, int]]:
        """Of each token of a response, up to its end of turn as `render_response` encodes it, the characters (start, end) of the
        message's text that it stands for; (0, 0) where it is none of them, as the end of turn.

        Raises:
            TemplateError: if the response is more than one message, or the template rewrites its text.
        """
        if len(response) != 1:
            raise TemplateError(f"characters are counted in one message; the response has {len(response)}.")
        pieces = self._renderer.pieces((*prompt, *response), {len(prompt)}, opened=False)
        written = next(each.text for each in pieces if each.turn == len(prompt))
        text, plain = MARKS.sub("", response[0].text), MARKS.sub("", written)
        kept = text if text in plain else text.strip()      # many templates trim what is said
        if kept not in plain:
            raise TemplateError("the chat template rewrites the text of a response, so that its characters cannot be found: "
                                f"{text[:60]!r}.")
        begin = plain.index(kept)
        moved, end = text.index(kept) - begin, begin + len(kept)
        return [(max(first, begin) + moved, min(last, end) + moved) if first < end and last > begin else (0, 0)
                for first, last in self._encoder.locate(written)]

    def decode_response(self, ids: Sequence[int]) -> str:
        """The response's text, up to the first stop token and without what the template closes a response with."""
        stop = next((at for at, token in enumerate(ids) if token in self.stop_ids), len(ids))
        text = self._encoder.decode(ids[:stop])
        return text.removesuffix(self._renderer.closing) if stop < len(ids) else text

    def _rendered(self, messages: Sequence[Message], trained: set[int], *, opened: bool, tools: Tools = ()) -> Rendered:
        ids: list[int] = []
        spans: list[Span] = []
        text = ""
        for piece in self._renderer.pieces(messages, trained, opened=opened, tools=tools):
            tokens, starts = self._encoder.encode(piece.text, first=not ids)
            for role, begin, end in _token_ranges(piece, starts):
                spans.append(Span(role, len(ids) + begin, len(ids) + end, piece.turn in trained))
            ids += tokens
            text += MARKS.sub("", piece.text)
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == [bos, bos]:
            raise TemplateError(f"the chat template begins with two BOS tokens ({self.tokenizer.bos_token!r}); "
                                "wanted one at most. Take one out of it.")
        mask = [False] * len(ids)
        for span in spans:
            if span.trained:
                mask[span.start:span.end] = [True] * (span.end - span.start)
        return Rendered(tuple(ids), tuple(spans), tuple(mask), text)


def _token_ranges(piece: Piece, starts: Sequence[int]) -> list[tuple[SpanRole, int, int]]:
    ranges, begin = [], 0
    for role, stop in piece.parts:
        last = stop >= len(piece.text)
        end = len(starts) if last else next((at for at, start in enumerate(starts) if start >= stop), len(starts))
        if end > begin:
            ranges.append((role, begin, end))
        begin = max(begin, end)
    return ranges
