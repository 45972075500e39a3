"""The group of training processes: its size, the rank of this process, and values over all of them."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


def num_workers() -> int:
    """Number of workers that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def worker_rank() -> int:
    """Index of this worker."""
    return dist.get_rank() if dist.is_initialized() else 0


def largest(value: int, device: str) -> int:
    """The largest value over all workers. A collective operation: every worker must call it."""
    if num_workers() == 1:  # Ray Train makes a group of one, which would wait for the GPU
        return value
    values = torch.tensor(value, device=device)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)


def count_workers(flag: bool, device: str) -> Tensor:
    """Scalar number of workers with the flag, on the device. A collective operation that does not wait for a GPU."""
    count = torch.full((), float(flag), device=device)
    if num_workers() > 1:
        dist.all_reduce(count)
    return count


def any_worker(flag: bool, device: str) -> bool:
    """Whether the flag is set on any worker. A collective operation: every worker must call it."""
    return bool(largest(int(flag), device))


def share_buffers(network: nn.Module) -> None:
    """Give every worker the buffers of worker 0, as DistributedDataParallel does. A collective operation.

    Counters are left as they are, since all workers count alike.
    """
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if num_workers() == 1 or not buffers:
        return
    values = torch.cat([buffer.flatten() for buffer in buffers])
    dist.broadcast(values, 0)
    for buffer, part in zip(buffers, values.split_with_sizes([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))
