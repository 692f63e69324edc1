"""The training dashboard: runs live, their samples, artifacts with their lineage, reports."""
