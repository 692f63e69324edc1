"""A policy in shards: FSDP2 over the ranks of a run (Rajbhandari et al. 2020, arXiv:1910.02054; Zhao et al. 2023,
arXiv:2304.11277).

    ranks = ProcessRanks()
    policy = shard(load_policy(...), ranks)
    masters = Masters(policy, config, total_steps, ranks=ranks)   each rank's masters are those of its shards
    update(masters, own_batches, objective, ranks)                the gradient of all ranks' rows, as one process would take it

Every rank brings its own rows, of any lengths and number of labels, in as many micro-batches as the others: each forward and
backward is a meeting of all ranks.
"""

from __future__ import annotations

from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from tutelage.models.policy import Policy
from tutelage.scaling.ranks import ProcessRanks


def shard(policy: Policy, ranks: ProcessRanks) -> Policy:
    """Split every parameter of `policy`, in place, over `ranks`; all of them hold the same weights before.

    Gradients are summed over the ranks, not averaged: each term of a loss is already divided by its count over all of them (D5).
    """
    mesh = init_device_mesh(policy.device.type, (ranks.size,))
    for module in (*policy.blocks(), policy):
        fully_shard(module, mesh=mesh)
    for module in policy.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)      # else a sum scaled by 1.0 is asked for, which gloo has not
    return policy
