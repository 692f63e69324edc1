"""Measures of a response against what was wanted: pure functions of text and numbers; nothing here knows a model.

Shares are 0 to 1, whatever the literature prints (BLEU and chrF too). What a metric gives for empty input stands in its
docstring.
"""
