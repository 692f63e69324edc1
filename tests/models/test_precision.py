"""The choice of arithmetic: what is wanted counts, what is measured is measured once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutelage.errors import ConfigError
from tutelage.models import precision
from tutelage.models.precision import Ceiling, choose_precision, dtype_of, measure_ceiling


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Ceiling]:
    """What the next measurements give, in order; the processor is taken for one without CUDA."""
    answers: list[Ceiling] = []
    monkeypatch.setattr(precision, "measure_ceiling", lambda: answers.pop(0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return answers


@pytest.mark.parametrize(("ceiling", "chosen"), [
    (Ceiling(bf16=2.2, fp32=0.35), "bf16"), (Ceiling(bf16=0.1, fp32=0.35), "fp32"), (Ceiling(bf16=0.36, fp32=0.35), "fp32")])
def test_auto_takes_bf16_where_it_is_clearly_faster(
        tmp_path: Path, measured: list[Ceiling], ceiling: Ceiling, chosen: str) -> None:
    measured.append(ceiling)
    assert choose_precision("auto", tmp_path / "new") == chosen


def test_a_machine_answers_the_same_at_every_start(tmp_path: Path, measured: list[Ceiling]) -> None:
    measured.append(Ceiling(bf16=2.0, fp32=1.0))
    assert [choose_precision("auto", tmp_path) for _ in range(3)] == ["bf16"] * 3
    assert measured == [] and len(list(tmp_path.iterdir())) == 1


def test_what_is_wanted_is_taken_without_measuring(tmp_path: Path, measured: list[Ceiling]) -> None:
    assert [choose_precision(wanted, tmp_path) for wanted in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["fp16", "", "BF16"])
def test_anything_else_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="wanted auto, bf16 or fp32"):
        choose_precision(wrong, tmp_path)


def test_names_stand_for_dtypes() -> None:
    assert (dtype_of("bf16"), dtype_of("fp32")) == (torch.bfloat16, torch.float32)


def test_the_measurement_gives_rates() -> None:
    ceiling = measure_ceiling(0.001)
    assert ceiling.bf16 > 0 and ceiling.fp32 > 0
