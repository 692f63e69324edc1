"""docs/coming-from.md: our side of every pair runs as it is printed, on a tiny model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
OURS = re.compile(r"<!-- runs -->\n```python\n(.*?)```", re.DOTALL)
THEIRS = re.compile(r"(?<!<!-- runs -->\n)```python\n(.*?)```", re.DOTALL)


def test_each_of_their_snippets_has_ours_beside_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    theirs = THEIRS.findall(text)
    assert len(theirs) == len(OURS.findall(text)) - 1 == text.count("*here*") - 1 == 6      # the first of ours writes the files
    for known in ("trlx.train", "PPOTrainer", "GRPOTrainer", "DPOTrainer", "Trainer(", "MlpPolicy"):
        assert any(known in snippet for snippet in theirs)
    for snippet in theirs:
        compile(snippet, "theirs", "exec")


def test_our_side_runs_as_it_is_printed(tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for snippet in OURS.findall(PAGE.read_text(encoding="utf-8")):
        shorter = snippet.replace("smollm2-135m-q4", str(tiny_directory)).replace("steps=100", "steps=2")
        shorter = shorter.replace("max_new_tokens=64", "max_new_tokens=8").replace("max_new_tokens=16", "max_new_tokens=8")
        exec(compile(shorter, str(PAGE), "exec"), names)
    made = {path.name for path in (tmp_path / "my-project" / "artifacts" / "model").iterdir()}
    assert made == {"cat-lover", "varied", "preferred", "rewarded", "taught"}
    assert names["stats"]["objective/kl"] == names["stats"]["objective/kl"] and names["agent"].num_timesteps == 64
