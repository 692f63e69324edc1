"""`ScriptedTruth`: what the demo calls a good answer, as rules that a person can read (docs/feedback.md).

It stands in for the opinion of people where there are none: scripted annotators see it through noise and bias of their
own, the evaluation measures against it, and nothing that trains ever reads it. Each part is in [0, 1] and is earned by
sentences, never by length: an empty response gets 0 in all of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from tutelage.feedback import lexicon
from tutelage.feedback.reading import Reading, Sentence, asked, ngrams, plain, read, says, words_of
from tutelage.records import Prompt, Sample, Scores

WEIGHTS: Mapping[str, float] = {"content": 0.40, "voice": 0.30, "complete": 0.15, "clean": 0.10, "fit": 0.05}
# Kinds of prompt whose answer is a text to be used as it is: it need not speak to the reader.
TEXT_KINDS = frozenset(("rewrite", "summarise", "create", "correct"))
RUN_ON_WORDS = 40           # a sentence past this counts as two, past twice this as three, ...
FIT = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.6, 5: 0.3}      # sentences -> how well an answer fits in a chat


class ScriptedTruth:
    """A `Score` that reads nothing but the response, its prompt and whether it ended its turn itself."""

    def __init__(self, weights: Mapping[str, float] = WEIGHTS) -> None:
        self.weights = dict(weights)

    def parts(self, sample: Sample) -> dict[str, float]:
        return dict(_parts(sample.text, sample.prompt, sample.ended))

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Totals and parts in [0, 1], (B,) each; the total is the mean of the parts by weight."""
        found = [self.parts(sample) for sample in samples]
        whole = math.fsum(self.weights.values())
        total = tuple(math.fsum(self.weights[name] * parts[name] for name in self.weights) / whole for parts in found)
        return Scores(total=total, parts={name: tuple(parts[name] for parts in found) for name in RULES})


@lru_cache(maxsize=8192)             # a panel looks at the same responses again and again
def _parts(text: str, prompt: Prompt, ended: bool) -> tuple[tuple[str, float], ...]:
    reading = read(text, asked(prompt), lines_run_on=prompt.kind == "create")
    return tuple((name, float(rule(reading, prompt, ended))) for name, rule in RULES.items())


def content(reading: Reading, prompt: Prompt, ended: bool) -> float:
    """Share of the prompt's key facts that real sentences say, the prompt's own sentences not counted.

    A response that breaks off or runs in circles gets half or a quarter: nobody can rely on it. Without key facts it
    is whether a sentence takes up the prompt's subject and adds to it.
    """
    said = _facts_said(reading, prompt)
    share = len(said) / len(prompt.key_facts) if prompt.key_facts else float(_topical(reading))
    return _soundness(reading, ended) * share


def complete(reading: Reading, prompt: Prompt, ended: bool) -> float:
    """Share of sentences that are real and not said before, if the response ended itself behind a finished one.

    One interjection ("Happy birthday!") beside a real sentence is no fault.
    """
    if not (ended and reading.finished and reading.real):
        return 0.0
    spare = min(1, sum(sentence.interjection for sentence in reading.sentences))
    return len(_distinct(reading.real)) / (len(reading.sentences) - spare)


def clean(reading: Reading, prompt: Prompt, ended: bool) -> float:
    """1 less what spoils it: repetition, openers, padding, lists, refusal, shouting; 0 without a real sentence."""
    if not reading.telling:
        return 0.0
    habits = (_opens_with_boilerplate(reading), _restates(reading, prompt), _pads(reading, prompt),
              _refuses(reading, prompt), _shouts(reading))
    return max(0.0, 1.0 - _repetition(reading) - _scaffolding(reading) - 0.5 * sum(habits))


def voice(reading: Reading, prompt: Prompt, ended: bool) -> float:
    """Speaks to the reader, and is concrete: half each. Once is enough, too much is worse than none.

    Only what is about the prompt counts: all with a key fact, 0.3 with the prompt's subject alone, else nothing; and
    a sentence that has neither earns half, so that a fixed tail on every answer pays little.
    """
    if not reading.telling or _refuses(reading, prompt):
        return 0.0
    tone = _restraint(reading)
    if prompt.kind not in TEXT_KINDS:
        concrete = _best(reading, prompt, _is_concrete) * _not_stuffed(reading)
        tone *= (_best(reading, prompt, _addresses) + concrete) / 2
    return _relevance(reading, prompt) * _soundness(reading, ended) * tone


def fit(reading: Reading, prompt: Prompt, ended: bool) -> float:
    """One to three sentences. A run-on counts as several; what never ended has no count."""
    if not (ended and reading.real):
        return 0.0
    lengths = (len(sentence.words) / (2 if sentence.chinese else 1) for sentence in reading.sentences)
    return FIT.get(sum(math.ceil(length / RUN_ON_WORDS) for length in lengths), 0.0)


Rule = Callable[[Reading, Prompt, bool], float]
RULES: dict[str, Rule] = {"content": content, "voice": voice, "complete": complete, "clean": clean, "fit": fit}


def _facts_said(reading: Reading, prompt: Prompt) -> list[tuple[str, ...]]:
    return [forms for forms in prompt.key_facts if any(says(sentence, forms) for sentence in reading.telling)]


def _relevance(reading: Reading, prompt: Prompt) -> float:
    if not prompt.key_facts:
        return 1.0 if _topical(reading) else 0.7       # no rubric to hold it against: the benefit of some doubt
    return 1.0 if _facts_said(reading, prompt) else 0.3 * _topical(reading)


def _topical(reading: Reading) -> bool:
    return any(reading.names_topic(sentence) and reading.adds(sentence) for sentence in reading.telling)


def _soundness(reading: Reading, ended: bool) -> float:
    return (1.0 if ended and reading.finished else 0.5) * (0.25 if _repetition(reading) >= 1 else 1.0)


def _distinct(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Those that are not, nearly word for word, one that came before."""
    kept: list[Sentence] = []
    for sentence in sentences:
        mine = set(sentence.words)
        if not any(len(mine & set(other.words)) >= 0.8 * len(mine | set(other.words)) for other in kept):
            kept.append(sentence)
    return kept


def _repetition(reading: Reading) -> float:
    """0 none, 0.5 one phrase or word too often, 1 running in circles."""
    words = reading.words
    n = 6 if reading.chinese else 4
    again, longer = (sum(count - 1 for count in Counter(ngrams(words, size)).values()) for size in (n, n + 1))
    thrice = any(words[i] == words[i + 1] == words[i + 2] for i in range(len(words) - 2))
    if thrice or again >= 3 or len(_distinct(reading.sentences)) < len(reading.sentences):
        return 1.0
    counts = Counter(word for sentence in reading.sentences for word in sentence.content_words)
    overused = not reading.chinese and any(count >= 4 and count > 0.12 * len(words) for count in counts.values())
    return 0.5 if longer or overused else 0.0


def _scaffolding(reading: Reading) -> float:
    lists = max(len(lexicon.LIST_LINE.findall(reading.text)), len(lexicon.INLINE_NUMBERS.findall(reading.text)) - 1)
    return min(1.0, 0.5 * lists + 0.5 * bool(lexicon.MARKUP.search(reading.text)))


def _opens_with_boilerplate(reading: Reading) -> bool:
    start = reading.text.lstrip("\"'“ ")
    return bool(lexicon.OPENER.match(start) or lexicon.ZH_OPENER.match(start))


def _restates(reading: Reading, prompt: Prompt) -> bool:
    """The first sentence hands the prompt back: word for word (a corrected text may), or as a question of its own."""
    first = reading.sentences[0]
    if prompt.kind not in TEXT_KINDS and first.real and first not in reading.telling:
        return True
    mine = first.content_words
    given = sum(word in reading.prompt_words for word in mine)
    return first.text.endswith(("?", "？")) and given >= max(3, 0.6 * len(mine))


def _pads(reading: Reading, prompt: Prompt) -> bool:
    """Offers of more, or a question back where an answer was wanted. Small talk and texts to be used may ask."""
    if lexicon.PADDING.search(reading.text) or lexicon.ZH_PADDING.search(reading.text):
        return True
    own = re.sub(r"[\"“「][^\"”」]*[\"”」]", "", reading.text)          # not what it quotes
    questions = len(re.findall(r"[?？]", own))
    if prompt.kind in TEXT_KINDS:
        return questions > 2
    return questions > 1 or (questions == 1 and prompt.kind != "smalltalk" and own.rstrip().endswith(("?", "？")))


def _refuses(reading: Reading, prompt: Prompt) -> bool:
    if prompt.kind == "decline" or (prompt.kind in TEXT_KINDS and _facts_said(reading, prompt)):
        return False
    return bool(lexicon.REFUSAL.search(reading.text) or lexicon.ZH_REFUSAL.search(reading.text))


def _shouts(reading: Reading) -> bool:
    return bool(lexicon.SHOUT.search(reading.text)) or len(re.findall("[!！]", reading.text)) > 2


def _restraint(reading: Reading) -> float:
    """1, then less and less when every clause says "you"; "your" weighs half."""
    said = math.fsum(0.5 if word.startswith("your") else 1.0 for word in reading.words if word in lexicon.READER)
    said += len(lexicon.ZH_READER.findall(reading.text))
    allowed = max(2.0, 1.5 * len(reading.sentences))
    return 1.0 if said <= allowed else 0.5 if said <= allowed + 1 else 0.0


def _best(reading: Reading, prompt: Prompt, has: Callable[[Reading, Sentence], float]) -> float:
    """The most any sentence has of it; one that is not about the prompt counts half."""
    found = []
    for sentence in reading.telling:
        about = (not prompt.key_facts or reading.names_topic(sentence)
                 or any(says(sentence, forms) for forms in prompt.key_facts))
        found.append(has(reading, sentence) * (1.0 if about else 0.5))
    return max(found, default=0.0)


def _addresses(reading: Reading, sentence: Sentence) -> float:
    if any(word in lexicon.READER for word in sentence.words) or lexicon.ZH_READER.search(sentence.text):
        return 1.0
    if _tips(sentence):                          # "Keep it cool" speaks to the reader without saying so; in Chinese
        return 1.0 if sentence.chinese else 0.8  # that is the usual way
    return 0.0


def _is_concrete(reading: Reading, sentence: Sentence) -> float:
    """An example that is given, a number, a name or a tip, none of them the prompt's own."""
    text = plain(sentence.text)
    if sentence.chinese:
        patterns = (lexicon.ZH_EXAMPLE, lexicon.ZH_NUMBER, lexicon.ZH_NAME, lexicon.ZH_TIP)
        return float(any(match[0] not in reading.prompt for pattern in patterns for match in pattern.finditer(text)))
    bare = [len(words_of(text[match.end():])) < 2 for match in lexicon.EXAMPLE.finditer(text)]
    if any(bare):
        return 0.0
    fresh = [word for word in sentence.words if word not in reading.prompt_words]
    number = any(word[0].isdigit() or word.split("-")[0] in lexicon.NUMBER_WORDS for word in fresh)
    return float(bool(bare) or number or _tips(sentence) or bool(_names(reading, text)))


def _names(reading: Reading, text: str) -> list[str]:
    """Capitalised words inside a sentence that the prompt did not bring; not those that open a quotation."""
    later = re.findall(r"(?<=[a-z,;:0-9] )[A-Z][\w'-]+", text)
    known = reading.prompt_words | lexicon.FUNCTION_WORDS
    return [name for name in later if name.lower() not in known and not name.startswith("I'")]


def _tips(sentence: Sentence) -> bool:
    """A clause that tells the reader what to do, with something to do it to."""
    if sentence.chinese:
        return bool(lexicon.ZH_TIP.search(sentence.text))
    for clause in re.split(r"[,;:]|\b(?:and|then|so)\b", plain(sentence.text)):
        words = words_of(clause)
        while words and words[0] in lexicon.LEAD_INS:
            words = words[1:]
        if len(words) >= 3 and words[0] in lexicon.IMPERATIVES and Sentence(" ".join(words[1:])).content_words:
            return True
    return False


def _not_stuffed(reading: Reading) -> float:
    text = plain(reading.text)
    examples = len(lexicon.EXAMPLE.findall(text)) + len(lexicon.ZH_EXAMPLE.findall(text))
    numbers = sum(word[0].isdigit() or word in lexicon.NUMBER_WORDS for word in reading.words)
    return 0.5 if examples > 2 or numbers > 8 or len(_names(reading, text)) > 9 else 1.0
