"""How many processes train together, which one this is, and what they agree on."""

import torch
import torch.distributed as dist


def num_workers() -> int:
    """Workers that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def worker_rank() -> int:
    """Index of this worker."""
    return dist.get_rank() if dist.is_initialized() else 0


def largest(value: int, device: str) -> int:
    """The largest of all workers' values; each has to ask."""
    if not dist.is_initialized():
        return value
    values = torch.tensor(value, device=device)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)


def any_worker(flag: bool, device: str) -> bool:
    """Whether the flag is up for any worker; each has to ask."""
    return bool(largest(int(flag), device))
