"""Comparisons with other libraries, one file each, with the peer's script beside ours: `python -m bench`."""
