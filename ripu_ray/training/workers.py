"""The group of training processes: its size, the rank of this process, and values over all of them."""

import torch
import torch.distributed as dist


def num_workers() -> int:
    """Number of workers that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def worker_rank() -> int:
    """Index of this worker."""
    return dist.get_rank() if dist.is_initialized() else 0


def largest(value: int, device: str) -> int:
    """The largest value over all workers. A collective operation: every worker must call it."""
    if not dist.is_initialized():
        return value
    values = torch.tensor(value, device=device)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)


def any_worker(flag: bool, device: str) -> bool:
    """Whether the flag is set on any worker. A collective operation: every worker must call it."""
    return bool(largest(int(flag), device))
