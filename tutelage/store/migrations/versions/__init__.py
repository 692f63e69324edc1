"""One module a revision: `rNNNN_what.py`."""
