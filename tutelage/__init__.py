"""Tutelage: teach a language model with instructions and human feedback.

`tutelage.pretrain`, `sft`, `dpo`, `classify`, `sample`, `reward`, `rl` and `evaluate` are the stages, `predict` asks a
classifier, `policy_trainer` is for loops of one's own; see `tutelage.api`. They are fetched when first asked for, so that
importing the package costs nothing.
"""

import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "classify", "dpo", "evaluate", "policy_trainer", "predict", "pretrain", "reward", "rl",
           "sample", "sft"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from tutelage import api

        return getattr(api, name)
    raise AttributeError(f"module 'tutelage' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `tutelage.rl` the stage: importing the room of that name would put the room in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
