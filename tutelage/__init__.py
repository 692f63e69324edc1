"""Tutelage: teach a language model with instructions and human feedback.

`tutelage.sft`, `sample`, `reward`, `rl` and `evaluate` are the stages; see `tutelage.api`. They are fetched when first
asked for, so that importing the package costs nothing.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "reward", "rl", "sample", "sft"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from tutelage import api

        return getattr(api, name)
    raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
