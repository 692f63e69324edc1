"""A response as a reader sees it: its sentences, their words, which of them say something, which only echo the prompt.

Words are runs of letters, or single Chinese characters, so that one code counts both. A sentence is *real* when it is
finished, begins like one, has three words or more, and holds words that tie others together: a heap of keywords has
none, whatever stop stands behind it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

from tutelage.feedback.lexicon import FUNCTION_WORDS, HAN, ZH_FUNCTION
from tutelage.records import Prompt

MIN_WORDS = 3               # of a sentence
MIN_FUNCTION_SHARE = 0.12   # running English has 0.35 to 0.6, a sentence that lists things 0.13
MAX_CONTENT_RUN = 7         # content words in a row with neither comma nor function word between them
MIN_ZH_FUNCTION_SHARE = 0.04
MAX_ITEMS = 8               # parts between commas; more is an inventory, not a sentence
ECHO_SHARE = 0.7            # of its word triples stand in the prompt: the sentence is the prompt's
NEW_WORDS = 3               # content words a sentence must add to what the prompt said, to be about it

_WORD = re.compile(rf"[{HAN}]|\d+(?:[.,:/]\d+)+|[^\W_{HAN}]+(?:['-][^\W_{HAN}]+)*")
_CLOSERS = "\"'”’」』）)]"
_OPENERS = "\"'“‘「『（(["
_STOP = re.compile(rf"(?:[.!?]+[{re.escape(_CLOSERS)}]*(?=\s)|[。！？!?…]+[{re.escape(_CLOSERS)}]*(?=[{HAN}“「『《])|"
                   rf"[。！？]+[{re.escape(_CLOSERS)}]*|\n+)")
_FINISHED = re.compile(rf"[.!?。！？][{re.escape(_CLOSERS)}]*$")
_TRAILING_OFF = re.compile(r"(?:\.\.|…|[:：,，;；])\W*$")
_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|prof|vs|no|e\.g|i\.e|etc|approx)|\b[a-z]\.[a-z]|\b[A-Z])\.$", re.I)


def plain(text: str) -> str:
    """One form for characters that look alike: full-width letters, curly apostrophes, odd blanks."""
    return unicodedata.normalize("NFC", text).replace("’", "'").replace("\u00a0", " ").strip()


def words_of(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(plain(text))]


def is_han(word: str) -> bool:
    return "\u3400" <= word[0] <= "\u9fff"


def stem(word: str) -> str:
    """Enough of a word to know it again in another form."""
    return word if is_han(word) else re.sub(r"'s$", "", word)[:5]


def split_sentences(text: str) -> list[str]:
    """Split behind stops, not behind abbreviations, nor behind a quotation that the sentence goes on after."""
    pieces: list[str] = []
    begin = 0
    for stop in _STOP.finditer(text):
        piece, rest = text[begin:stop.end()].strip(), text[stop.end():].lstrip()
        goes_on = rest[:1].islower() and (piece[-1:] in _CLOSERS or bool(_ABBREVIATION.search(piece)))
        titled = bool(re.search(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|vs)\.$", piece))
        if piece and not goes_on and not titled:
            pieces.append(piece)
            begin = stop.end()
    return [piece for piece in [*pieces, text[begin:].strip()] if _WORD.search(piece)]


@dataclass(frozen=True)
class Sentence:
    text: str

    @cached_property
    def words(self) -> list[str]:
        return words_of(self.text)

    @cached_property
    def chinese(self) -> bool:
        return 2 * sum(map(is_han, self.words)) >= len(self.words)

    @cached_property
    def finished(self) -> bool:
        return bool(_FINISHED.search(self.text)) and not _TRAILING_OFF.search(self.text)

    @cached_property
    def begins_well(self) -> bool:
        first = self.text.lstrip(_OPENERS)[:1]
        return first.isupper() or first.isdigit() or bool(first and is_han(first)) or self.text[:1] in "“「『《\""

    @cached_property
    def real(self) -> bool:
        if not (self.finished and self.begins_well and len(self.words) >= MIN_WORDS + self.chinese):
            return False
        if len(re.split(r"[,，、;；/|]", self.text)) > MAX_ITEMS:
            return False
        if self.chinese:
            tied = sum(word in ZH_FUNCTION for word in self.words) >= MIN_ZH_FUNCTION_SHARE * len(self.words)
            return (tied or self._verse) and not self._bare_list
        later = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", self.text)
        if sum(word.lower() in FUNCTION_WORDS for word in later) >= 2:       # Title Case Is No Sentence
            return False
        tied = sum(word in FUNCTION_WORDS for word in self.words) >= MIN_FUNCTION_SHARE * len(self.words)
        return tied and self._longest_content_run <= MAX_CONTENT_RUN

    @property
    def _verse(self) -> bool:
        """Chinese lines of one length, four to nine characters: verse does without function words."""
        lengths = [len(words_of(line)) for line in re.split("[，；。！？]", self.text) if line.strip(_CLOSERS)]
        return len(lengths) > 1 and len(set(lengths)) == 1 and 4 <= lengths[0] <= 9

    @property
    def _bare_list(self) -> bool:
        """Chinese words in a row and nothing that says why."""
        items = [len(words_of(item)) for item in re.split("[、，,]", self.text)]
        return len(items) >= 3 and max(items) < 5

    @property
    def _longest_content_run(self) -> int:
        longest = run = 0
        for clause in re.split(r"[,;:]", self.text):
            run = 0
            for word in words_of(clause):
                run = 0 if word in FUNCTION_WORDS else run + 1
                longest = max(longest, run)
        return longest

    @cached_property
    def interjection(self) -> bool:
        """"Happy birthday!" and its like: short, but finished."""
        return self.finished and self.begins_well and len(self.words) < MIN_WORDS + self.chinese

    @cached_property
    def content_words(self) -> list[str]:
        return [word for word in self.words if word not in FUNCTION_WORDS and word not in ZH_FUNCTION]


@dataclass(frozen=True)
class Reading:
    """A response beside the prompt it answers."""

    text: str
    prompt: str
    sentences: tuple[Sentence, ...]

    @cached_property
    def words(self) -> list[str]:
        return [word for sentence in self.sentences for word in sentence.words]

    @cached_property
    def chinese(self) -> bool:
        return 2 * sum(map(is_han, self.words)) > len(self.words)

    @cached_property
    def finished(self) -> bool:
        return bool(self.sentences) and self.sentences[-1].finished

    @cached_property
    def real(self) -> tuple[Sentence, ...]:
        return tuple(sentence for sentence in self.sentences if sentence.real)

    @cached_property
    def telling(self) -> tuple[Sentence, ...]:
        """The real sentences that are not the prompt's own."""
        return tuple(sentence for sentence in self.real if not self._echoes(sentence))

    @cached_property
    def prompt_words(self) -> frozenset[str]:
        return frozenset(words_of(self.prompt))

    @cached_property
    def prompt_stems(self) -> frozenset[str]:
        return frozenset(stem(word) for word in Sentence(self.prompt).content_words)

    @cached_property
    def _prompt_triples(self) -> frozenset[tuple[str, ...]]:
        return frozenset(ngrams(words_of(self.prompt), 3))

    def _echoes(self, sentence: Sentence) -> bool:
        triples = ngrams(sentence.words, 3)
        return sum(triple in self._prompt_triples for triple in triples) >= ECHO_SHARE * len(triples)

    def names_topic(self, sentence: Sentence) -> bool:
        """Whether a sentence takes up a word of the prompt's (two adjoining characters in Chinese)."""
        if sentence.chinese:
            asked = ngrams(Sentence(self.prompt).content_words, 2)
            return bool(set(asked) & set(ngrams(sentence.content_words, 2)))
        return any(stem(word) in self.prompt_stems for word in sentence.content_words if len(word) > 2)

    def adds(self, sentence: Sentence) -> bool:
        """Whether it says more than the prompt did."""
        return sum(stem(word) not in self.prompt_stems for word in sentence.content_words) >= NEW_WORDS


def ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start:start + n]) for start in range(len(words) - n + 1)]


def read(text: str, prompt: str, lines_run_on: bool = False) -> Reading:
    """`lines_run_on` is for verse, where a line's end is not a sentence's."""
    clean = plain(text)
    joined = re.sub(r"(?<![.!?。！？])\n+", " ", clean) if lines_run_on else clean
    return Reading(clean, prompt, tuple(Sentence(piece) for piece in split_sentences(joined)))


def asked(prompt: Prompt) -> str:
    """The last thing the user said: what an answer may not merely repeat."""
    return next((message.text for message in reversed(prompt.messages) if message.role == "user"), "")


@lru_cache(maxsize=8192)
def form_pattern(form: str) -> re.Pattern[str]:
    """What counts as saying `form`: whole words whatever their case, `*` for the rest of a word; Chinese anywhere."""
    body = r"\w*".join(re.escape(part) for part in plain(form).lower().split("*"))
    return re.compile(body if re.search(f"[{HAN}]", form) else rf"(?<![\w]){body}(?![\w])")


def says(sentence: Sentence, forms: tuple[str, ...]) -> bool:
    text = plain(sentence.text).lower()
    return any(form_pattern(form).search(text) for form in forms if form.strip("* "))
