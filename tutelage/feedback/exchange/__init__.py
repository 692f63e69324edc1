"""Judgments in from other tools, and out to them: who said what stays with it, and what cannot be carried is counted.

    told.py              one judgment as a file tells it, and how it becomes one of the store's
    taking.py            an import: rows, in batches, into the store
    giving.py            an export: rows of any format, one after the other, into a file that is there whole or not
    records.py           training files (the formats of `data.formats`), both ways
    argilla.py, label_studio.py, tables.py     the formats that name people
"""
