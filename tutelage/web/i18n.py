"""Both languages: gettext catalogues for pages (the English text is the key), one JSON catalogue for scripts.

Catalogues are read as they are written (`locales/zh-CN.po` of each room); nothing has to be compiled or kept in step.
A script's words stand in `static/messages.json`: `{"key": {"en": "...", "zh-CN": "..."}}`.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from tutelage.web.error_words import ErrorWords

LANGUAGES = {"en": "English", "zh-CN": "简体中文"}
DEFAULT = "en"


class Words:
    """The pages' words in every language."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._translations = {language: gettext.NullTranslations() for language in LANGUAGES}
        for folder in folders:
            for language in LANGUAGES:
                path = folder / "locales" / f"{language}.po"
                if path.is_file():
                    read = _read(path, language)
                    read.add_fallback(self._translations[language])
                    self._translations[language] = read

        self._errors = {language: ErrorWords.of(Path(__file__).parent, language) for language in LANGUAGES}

    def error(self, language: str, message: str) -> str:
        """The message of an error of any room, in `language`."""
        return self._errors[language].say(message)

    def of(self, language: str) -> gettext.NullTranslations:
        return self._translations[language]

    def say(self, language: str, text: str, **values: object) -> str:
        """`text` in `language`, with %(names)s filled in; English where the catalogue has no word for it."""
        said = self._translations[language].gettext(text)
        return said % values if values else said


def _read(path: Path, language: str) -> gettext.GNUTranslations:
    with open(path, "rb") as file:
        catalogue = read_po(file, locale=language.replace("-", "_"))
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def choose(accepted: str, preferred: str = "") -> str:
    """The language of a page: the person's own choice, else the best that the browser accepts, else English."""
    if preferred in LANGUAGES:
        return preferred
    wanted = []
    for part in accepted[:500].split(","):
        tag, _, quality = part.partition(";")
        number = re.fullmatch(r"\s*q=([01](?:\.\d{1,3})?)\s*", quality)
        wanted.append((-(float(number[1]) if number else 1.0 if not quality else 0.0), tag.strip().lower()))
    for quality_, tag in sorted(wanted, key=lambda each: each[0]):
        if quality_ < 0 and tag.split("-")[0] in ("en", "zh"):
            return "en" if tag.startswith("en") else "zh-CN"
    return DEFAULT


def N_(text: str) -> str:
    """Marks a text for the catalogue where it is written down; it is translated where it is shown."""
    return text
