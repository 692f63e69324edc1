"""The processes of a run over torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist

from tutelage.errors import UsageError


class ProcessRanks:
    """`protocols.Ranks` for the processes that `torch.distributed.init_process_group` joined.

    Raises:
        UsageError: if none were joined.
    """

    def __init__(self) -> None:
        if not dist.is_initialized():
            raise UsageError("there are no ranks: join them first with torch.distributed.init_process_group.")
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        # What is summed is counts and losses: on the GPU where only its backend is there, in fp64 so that counts stay exact.
        self._device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise over all ranks, the same answer on each; every rank gives as many."""
        total = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        return total.tolist()
