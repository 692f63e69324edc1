"""The common options are found wherever they stand."""

from pathlib import Path

import pytest

from tutelage.errors import UsageError
from tutelage.options import Options, split_options


def test_common_options_are_taken_out_from_anywhere() -> None:
    words = ["--json", "rl", "--project", "p", "--algorithm", "ppo", "--seed=7", "--store", "postgresql://h/d",
             "--seeds", "3", "--debug"]
    options, rest = split_options(words)
    assert options == Options(project=Path("p"), store="postgresql://h/d", json=True, seed=7, debug=True)
    assert rest == ["rl", "--algorithm", "ppo", "--seeds", "3"]


@pytest.mark.parametrize("words", [
    ["--project"], ["--project", "--json"], ["--project="], ["--store"], ["--seed"], ["--seed", "x"], ["--seed=-1"]])
def test_an_option_without_a_usable_value_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match=words[0].partition("=")[0]):
        split_options(["sft", *words])
