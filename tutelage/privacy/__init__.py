"""Personal data in English and Chinese text: found by rules with checksums, replaced by typed placeholders.

Pure functions of a text: no model, no network, no state. `docs/privacy.md` says how well each rule does.
"""

from tutelage.privacy.finding import KINDS, Finding
from tutelage.privacy.redaction import Redaction, redact, restore
from tutelage.privacy.scan import find

__all__ = ["KINDS", "Finding", "Redaction", "find", "redact", "restore"]
