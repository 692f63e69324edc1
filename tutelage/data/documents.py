"""Raw text to rows of tokens: documents cut into windows, nothing lost between them.

    document   <bos> t1 t2 t3 t4 t5 <eos>          where the tokenizer has them
    windows    <bos> t1 t2 t3 | t3 t4 t5 <eos>     of at most four tokens

A window begins with the last token of the one before, which is context there and a label here: so each token but the first
of a document is a label exactly once. A document never shares a window with another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from tutelage.data.chat import Rendered
from tutelage.data.encoding import Encoder
from tutelage.data.template import CLOSE, MARKS, OPEN, adds_bos, control_token
from tutelage.errors import ConfigError
from tutelage.records import Document


@dataclass(frozen=True, slots=True)
class Windows:
    """The rows of some documents by name, and what was cut into them."""

    rows: dict[str, Rendered]
    documents: list[str]      # ids of those that gave a row
    empty: int                # documents without a token to predict
    num_bytes: int            # of UTF-8 that the labels spell

    @property
    def num_labels(self) -> int:
        return sum(row.num_labels for row in self.rows.values())


class DocumentEncoder:
    """A document's ids: with the tokenizer's BOS where it puts one before a text, and its EOS, where it has one, behind."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._encoder, self._control = Encoder(tokenizer), control_token(tokenizer)
        self.before = [tokenizer.bos_token_id] if adds_bos(tokenizer) else []
        self.after = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def encode(self, text: str) -> tuple[list[int], int]:
        """Ids, and bytes of the text that no id before them predicts: those of its first token where there is no BOS.

        Control tokens that stand in the text are text, as everywhere.
        """
        plain = MARKS.sub("", text)
        ids, starts = self._encoder.encode(self._control.sub(f"{OPEN}\\g<0>{CLOSE}", plain), first=True)
        if not ids:
            return [], 0
        second = starts[1] if len(starts) > 1 else len(plain)
        return [*self.before, *ids, *self.after], 0 if self.before else len(plain[:second].encode("utf-8", "surrogatepass"))


def windows(documents: Iterable[Document], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Windows:
    """All documents as rows of at most `max_length` tokens.

    Raises:
        ConfigError: if `max_length` leaves no room for a token and the one before it.
    """
    if max_length < 2:
        raise ConfigError(f"max_length {max_length}: a window needs a token and the one before it, 2 or more.")
    encoder = DocumentEncoder(tokenizer)
    rows: dict[str, Rendered] = {}
    used: list[str] = []
    empty = num_bytes = 0
    for document in documents:
        ids, unpredicted = encoder.encode(document.text)
        if len(ids) < 2:
            empty += 1
            continue
        num_bytes += len(document.text.encode("utf-8", "surrogatepass")) - unpredicted
        name = document.id if f"{document.id}@0" not in rows else f"{document.id}#{len(used)}"
        used.append(document.id)
        rows.update((f"{name}@{start}", _window(ids[start:start + max_length]))
                    for start in range(0, len(ids) - 1, max_length - 1))
    return Windows(rows, used, empty, num_bytes)


def _window(ids: Sequence[int]) -> Rendered:
    return Rendered(tuple(ids), (), (False, *[True] * (len(ids) - 1)), "")
