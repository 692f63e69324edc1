"""What the pages say, read from their sources; run as a program it adds what is missing to the catalogues.

    PYTHONPATH=. python tests/web/catalogues.py
"""

from __future__ import annotations

from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parents[2] / "tutelage"
ROOMS = ("web", "studio", "studio/dashboard")
TRANSLATED = ("zh-CN",)                  # English is the key
_KEYWORDS = {"_": None, "N_": None, "say": (2,), "ngettext": (1, 2)}


def said(room: str) -> Catalog:
    """Every text of a room's templates and modules that is marked for translation."""
    found = Catalog(locale="zh_CN")
    methods = [("**.py", "python"), ("**.html.j2", "jinja2")]
    inner = {str(PACKAGE / other) for other in ROOMS if other.startswith(f"{room}/")}      # a room of its own, with its own words
    for name, line, message, _, _ in extract_from_dir(PACKAGE / room, methods, keywords=_KEYWORDS,
                                                      directory_filter=lambda path: str(path) not in inner):
        found.add(message, locations=[(name, line)])
    return found


def path_of(room: str, language: str) -> Path:
    return PACKAGE / room / "locales" / f"{language}.po"


def catalogue(room: str, language: str) -> Catalog:
    with open(path_of(room, language), "rb") as file:
        return read_po(file, locale=language.replace("-", "_"))


def update(room: str, language: str) -> None:
    """Add what is said and not in the catalogue, take out what is no longer said; translations are kept."""
    path, fresh = path_of(room, language), Catalog(locale=language.replace("-", "_"), project="Tutelage", fuzzy=False)
    known = catalogue(room, language) if path.is_file() else Catalog()
    for message in said(room):
        if message.id:
            before = known.get(message.id)
            fresh.add(message.id, before.string if before else "")
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        write_po(file, fresh, width=130, sort_output=True, omit_header=True, no_location=True)


if __name__ == "__main__":
    for each in ROOMS:
        for tag in TRANSLATED:
            update(each, tag)
            missing = [message.id for message in catalogue(each, tag) if message.id and not message.string]
            print(f"{path_of(each, tag)}: {len(missing)} to translate")
