"""One of two processes: shards a tiny policy, makes two steps on its own rows, and writes down what came of it.

    python two_ranks.py RANK DIRECTORY DTYPE...
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tutelage.batch import TokenBatch
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.scaling.ranks import ProcessRanks
from tutelage.scaling.sharding import shard
from tutelage.training.config import Optimizer
from tutelage.training.loop import MicroBatch, update
from tutelage.training.optimizer import Masters
from tutelage.tuning.sft import NegativeLogLikelihood

# rank -> its micro-batches, each of rows; lengths and labels differ on purpose
ROWS: list[list[list[list[int]]]] = [
    [[[1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11]], [[12, 13, 14]]],
    [[[20, 21, 22, 23]], [[30, 31, 32, 33, 34, 35, 36], [40, 41, 42], [50, 51, 52, 53, 54]]]]
CONFIG = Optimizer(lr=1e-3, warmup_fraction=0.0, schedule="constant", max_grad_norm=0.5)


def micro(rows: Sequence[list[int]]) -> MicroBatch:
    masks = [[place >= 1 + len(row) // 3 for place in range(len(row))] for row in rows]
    return MicroBatch(tokens=TokenBatch.pack(rows, masks), rows=tuple(str(row[0]) for row in rows))


def learn(policy: Policy, batches: Sequence[MicroBatch], ranks: Any = None) -> list[Mapping[str, float]]:
    masters = Masters(policy, CONFIG, 2, ranks=ranks)
    return [update(masters, batches, NegativeLogLikelihood(), ranks) for _ in range(2)]


def gradients(policy: Policy, batches: Sequence[MicroBatch], ranks: Any = None) -> dict[str, torch.Tensor]:
    """Of the step's loss, by parameter, in the masters' precision and as the optimizer would see it."""
    masters = Masters(policy, CONFIG, 2, ranks=ranks)
    taken: dict[str, torch.Tensor] = {}

    def look() -> float:
        taken.update({name: _whole(policy.get_parameter(name), master.grad) for name, master in masters._masters.items()})
        masters.drop_gradients()
        return 0.0

    masters.step = look      # type: ignore[method-assign]
    update(masters, batches, NegativeLogLikelihood(), ranks)
    return taken


def _whole(parameter: torch.Tensor, shard: torch.Tensor | None) -> torch.Tensor:
    """A gradient of all ranks' shards, from this rank's."""
    from torch.distributed.tensor import DTensor

    assert shard is not None
    if not isinstance(parameter, DTensor):
        return shard.clone()
    return DTensor.from_local(shard, parameter.device_mesh, parameter.placements, shape=parameter.shape,
                              stride=parameter.stride()).full_tensor()


def main(rank: int, directory: Path, dtypes: Sequence[str]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{directory / 'meeting'}", rank=rank, world_size=2,
                            timeout=timedelta(seconds=60))
    for dtype in dtypes:
        torch.save(trained(rank, ProcessRanks(), dtype), directory / f"{dtype}-{rank}.pt")
    dist.destroy_process_group()


def trained(rank: int, ranks: ProcessRanks, dtype: str) -> dict[str, Any]:
    build = lambda: shard(Policy(tiny_model(noise=0.1).to(getattr(torch, dtype))), ranks)      # noqa: E731
    batches = [micro(rows) for rows in ROWS[rank]]
    found: dict[str, Any] = {"gradients": gradients(build(), batches, ranks)}
    policy = build()
    found["metrics"] = learn(policy, batches, ranks)
    found["weights"] = {name: value.detach().full_tensor() for name, value in policy.named_parameters()}      # type: ignore[attr-defined]
    found["numbers here"] = sum(value.to_local().numel() for value in policy.parameters())      # type: ignore[attr-defined]
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
