"""The group of training processes."""

from pathlib import Path

import torch.distributed as dist

from ripu_ray.training.workers import any_worker


def test_a_group_of_one_waits_for_no_device(tmp_path: Path) -> None:
    """Ray Train makes one; with the GPU asked in each step, it would wait for the step before."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        # Reading a value from this device is an error.
        assert any_worker(True, "meta") and not any_worker(False, "meta")
    finally:
        dist.destroy_process_group()
