"""Fixtures for all tests: a task so small that a trial takes a second, and one Ray for all tests that need one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports Ray: no token file in the home folder, no start of W&B's cloud.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ.pop("WANDB_API_KEY", None)
# Several processes share the cores: one thread each, as `cluster.threads` has it.
os.environ["OMP_NUM_THREADS"] = "1"
# Ray starts its workers with a niceness of 15. Beside the tests of another process they would get almost no CPU time.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray's own spelling)

from ripu_ray.config import ClusterConfig, Config, load_config
from ripu_ray.errors import ClusterError

TINY = (
    "data.num_source=6",
    "data.num_pool=5",
    "data.num_validation=3",
    "data.size=[32, 48]",
    "model.width=8",
    "training.warmup_steps=3",
    "training.round_steps=2",
    "strategy.rounds=2",
    "strategy.budget=5",
    "strategy.power=null",
    "sweep.acquisitions=[]",
    "tracking.wandb=disabled",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests that share a Ray to the front, so that it starts while nothing else runs."""
    items.sort(key=lambda item: "ray_cpus" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def tiny() -> Config:
    """A trial on 5 images of 32x48, two rounds, no W&B, everything in this process."""
    return load_config(None, (*TINY, "cluster.scorers=0"))


@pytest.fixture(scope="session")
def ray_cpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real Ray that believes it has 4 cores, so that 3 scorers fit; shared by all tests of the session."""
    import ray

    from ripu_ray.distributed.cluster import start_ray

    # The working directory is not on the path of Ray's processes, which import actors of the tests.
    paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    for attempts_left in reversed(range(5)):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PYTHONPATH", os.pathsep.join(paths))
                start_ray(ClusterConfig(cpus=4))
            break
        except ClusterError:
            # Ray gives itself 30 s, which is too short on a machine with much else to do.
            ray.shutdown()
            if not attempts_left:
                raise
    yield 4
    ray.shutdown()


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference implementation's own numbers."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A real S3 server on loopback, which `s3://` means as long as the tests run."""
    from tests.stores import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> Path:
    """An empty bucket of that server, as a path."""
    from tests.stores import new_bucket

    return new_bucket(s3_endpoint)
