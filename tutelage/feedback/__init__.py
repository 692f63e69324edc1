"""What was judged, and what it means for training: kinds of judgment, aggregation, scripted annotators, exchange.

Pure but for `exchange` and `commands`: nothing here draws a page or trains a model (docs/feedback.md).
"""
