"""More than one process: the rooms below know them only as `protocols.Ranks`."""
