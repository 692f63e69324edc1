"""Tutelage: teach a language model with instructions and human feedback."""

__version__ = "0.1.0"
