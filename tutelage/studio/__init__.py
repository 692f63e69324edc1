"""The studio: where people teach the model. Pages for annotators, reviewers and whoever leads (docs/studio.md)."""
