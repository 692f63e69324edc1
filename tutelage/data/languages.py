"""Which language a text is in, by its script, and for Latin letters by its commonest words: no model, no dependency."""

from __future__ import annotations

from collections import Counter

import regex

MIN_LETTERS = 12       # under so few, nobody can tell
UNKNOWN = ""

_SCRIPTS = (("zh", r"\p{Han}"), ("ja", r"[\p{Hiragana}\p{Katakana}]"), ("ko", r"\p{Hangul}"), ("ru", r"\p{Cyrillic}"),
            ("ar", r"\p{Arabic}"), ("he", r"\p{Hebrew}"), ("hi", r"\p{Devanagari}"), ("th", r"\p{Thai}"), ("el", r"\p{Greek}"),
            ("latin", r"\p{Latin}"))
_SCRIPT_PATTERNS = tuple((name, regex.compile(pattern)) for name, pattern in _SCRIPTS)
_WORDS = {
    "en": "the of and to in is that it for was with as on are be this by at from or you have not an they which what how can "
          "your will if has more we i my do",
    "de": "der die und das ist nicht ein eine den von zu mit sich des auf für im dem wie sie auch es werden wird ich oder sind",
    "fr": "le les des est et une dans que pour qui pas sur avec ce il sont plus par vous nous au aux du cette ou je elle",
    "es": "el los las que del una por con para está es como pero más se su al lo son muy este esta ser y un",
    "it": "il che di per non una sono con della gli dei nel più anche questo è le alla come si ma ha un",
    "pt": "o os que não uma para com do da em por mais como mas foi ao das dos você são é um se na no",
    "nl": "de het een van en dat niet op te zijn voor met die aan om ook als maar bij er naar wordt",
}
_BY_WORD: dict[str, list[str]] = {}
for _name, _list in _WORDS.items():
    for _word in _list.split():
        _BY_WORD.setdefault(_word, []).append(_name)
_WORD = regex.compile(r"\p{L}+")
_CODE = regex.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^>\n]{1,80}>", regex.DOTALL)
MIN_VOTES, MIN_SHARE = 3, 0.08      # common words it takes, and their share of all words, to call Latin text a language


def language(text: str) -> str:
    """`zh`, `en`, another code, or `UNKNOWN` where there is too little text or too many languages at once.

    Code, tags and addresses are left out. A text with kana is Japanese however many Han characters it has; a text is of
    the script of most of its letters, a Han character counting as two, for it says as much as half a word.
    """
    text = _CODE.sub(" ", text)
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPT_PATTERNS}
    if sum(counts.values()) < MIN_LETTERS and counts["zh"] + counts["ja"] + counts["ko"] < 4:
        return UNKNOWN
    if counts["ja"] * 10 > counts["zh"] and counts["ja"] > counts["latin"] / 2:
        return "ja"
    counts["zh"] *= 2
    best = max(counts, key=lambda name: counts[name])
    return _latin(text) if best == "latin" else best


def _latin(text: str) -> str:
    words = [word.casefold() for word in _WORD.findall(text)]
    votes: Counter[str] = Counter()
    for word in words:
        for name in _BY_WORD.get(word, ()):
            votes[name] += 1
    if not votes:
        return UNKNOWN
    (best, most), *rest = votes.most_common(2)
    second = rest[0][1] if rest else 0
    return best if most >= MIN_VOTES and most > second and most >= MIN_SHARE * len(words) else UNKNOWN
