"""Two processes with FSDP2 take the gradients that one process takes on all rows (D5): gloo over the loopback device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.errors import UsageError
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import two_ranks  # noqa: E402

DTYPES = ("float32", "bfloat16")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two processes wrote down what they found."""
    directory = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent.parent)}
    processes = [subprocess.Popen([sys.executable, str(HERE / "two_ranks.py"), str(rank), str(directory), *DTYPES],
                                  env=environment, stderr=subprocess.PIPE, text=True) for rank in range(2)]
    try:
        said = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return directory


def policy(dtype: str) -> Policy:
    return Policy(tiny_model(noise=0.1).to(getattr(torch, dtype)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_two_ranks_learn_what_one_process_learns(directory: Path, dtype: str) -> None:
    found: list[dict[str, Any]] = [torch.load(directory / f"{dtype}-{rank}.pt", weights_only=True) for rank in range(2)]
    batches = [two_ranks.micro(rows) for rank in two_ranks.ROWS for rows in rank]
    close = {"rtol": 1e-5, "atol": 1e-7} if dtype == "float32" else {"rtol": 3e-2, "atol": 3e-3}
    wanted = two_ranks.gradients(policy(dtype), batches)
    for rank in found:
        assert set(rank["gradients"]) == set(wanted)
        for name, gradient in wanted.items():
            torch.testing.assert_close(rank["gradients"][name], gradient, **close, msg=lambda told, name=name: f"{name}: {told}")
    alone = policy(dtype)
    metrics = two_ranks.learn(alone, batches)
    for rank in found:
        for step, step_wanted in zip(rank["metrics"], metrics, strict=True):
            assert step == pytest.approx(step_wanted, rel=1e-5 if dtype == "float32" else 3e-2)
        if dtype == "float32":
            for name, weight in alone.named_parameters():
                torch.testing.assert_close(rank["weights"][name], weight.detach(), rtol=1e-4, atol=2e-6)
    whole = sum(weight.numel() for weight in alone.parameters())
    assert sum(rank["numbers here"] for rank in found) == whole and all(rank["numbers here"] < 0.6 * whole for rank in found)


def test_there_are_no_ranks_before_they_are_joined() -> None:
    from tutelage.scaling.ranks import ProcessRanks

    with pytest.raises(UsageError, match="join them first"):
        ProcessRanks()
