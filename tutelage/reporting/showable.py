"""Text that can be shown: every character one that a page can hold and a reader can see."""

import re

# Lone surrogates cannot be written as UTF-8; control characters and overrides of the writing direction can hide text
# or make it read as something else.
_UNSHOWABLE = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def showable(text: str) -> str:
    """`text` with each such character as the replacement character, so that it is seen that something was there."""
    return _UNSHOWABLE.sub("\ufffd", text)
