"""How many processes train together, and which one this is."""

import torch.distributed as dist


def num_workers() -> int:
    """Workers that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def worker_rank() -> int:
    """Index of this worker."""
    return dist.get_rank() if dist.is_initialized() else 0
