"""The private interfaces of Ray that `ray_internals` uses are as they were read."""

import inspect
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import ray
from ray._private.services import canonicalize_bootstrap_address
from ray._private.state import GlobalState
from ray._raylet import ActorID, GcsClient  # type: ignore[attr-defined]
from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
from ray.job_submission import JobSubmissionClient

from ripu_ray.config import ClusterConfig

from ripu_ray.distributed.cluster import start_ray  # isort: skip (sets Ray's variables)
from ripu_ray.distributed.process_table import descendants, running
from ripu_ray.distributed.ray_internals import (
    AGENTS,
    READ_FROM,
    ask_gcs,
    draining_nodes,
    orphaned_groups,
    own_processes,
    read_secret,
    share_secret,
    with_few_callbacks,
)
from ripu_ray.distributed.session_files import private_folder, remove_unused_compiled
from ripu_ray.errors import ClusterError


def test_the_interfaces_take_what_we_give_them() -> None:
    assert ray.__version__.startswith(READ_FROM)
    assert next(iter(inspect.signature(canonicalize_bootstrap_address).parameters)) == "addr"
    assert {"self", "method", "endpoint"} < inspect.signature(JobSubmissionClient._do_request).parameters.keys()
    assert callable(GlobalState._connect_and_get_accessor)
    assert GcsClient and ActorID.nil().is_nil()
    fields = set(PlacementGroupTableData.DESCRIPTOR.fields_by_name)
    assert fields >= {"creator_actor_dead", "creator_actor_id", "state", "creator_job_id", "placement_group_id"}
    assert "REMOVED" in PlacementGroupTableData.PlacementGroupState.keys()  # noqa: SIM118 (no mapping)


@pytest.mark.usefixtures("ray_cpus")
def test_a_live_ray_answers_to_them() -> None:
    ask_gcs(ray.get_runtime_context().gcs_address)
    assert list(orphaned_groups()) == []
    assert draining_nodes() == {}
    kinds = {kind for kind, process in own_processes() if process.poll() is None}
    assert kinds >= {"gcs_server", "raylet"}
    assert not kinds & {"monitor", "log_monitor", "dashboard"}
    titles = {Path(f"/proc/{pid}/cmdline").read_text().strip("\0") for pid in descendants(running(), {os.getpid()})}
    assert titles >= AGENTS
    # Without it, the process of a trial grows with each trial.
    assert ray.get(ray.remote(os.getenv).remote("MALLOC_ARENA_MAX")) == "2"
    share_secret("key", "value")
    assert ray.get(ray.remote(read_secret).remote("key")) == "value"


@pytest.mark.usefixtures("ray_cpus")
def test_a_training_run_starts_no_process_that_is_not_used() -> None:
    """Without a dashboard, the end of each run would wait 12 s for Train's cleaner of placement groups."""
    from ray.train.torch import TorchTrainer

    def names(trainer: TorchTrainer) -> set[str]:
        return {type(one).__name__ for one in trainer._create_default_callbacks()}  # type: ignore[attr-defined]

    before, after = names(TorchTrainer(print)), names(with_few_callbacks(TorchTrainer(print)))
    assert before - after == {"DatasetsCallback", "PlacementGroupCleanerCallback"}
    assert after < before


@pytest.mark.usefixtures("ray_cpus")
def test_another_ray_than_the_joined_one_is_refused() -> None:
    joined = ray.get_runtime_context().gcs_address
    port = joined.rpartition(":")[2]
    for same in (joined, f"localhost:{port}", f"{socket.gethostname()}:{port}", "auto", None):
        assert start_ray(ClusterConfig(address=same))
    for other in (f"192.0.2.1:{port}", "127.0.0.1:1"):
        with pytest.raises(ClusterError, match=rf"cluster.address is {other}, but this process has joined the Ray at"):
            start_ray(ClusterConfig(address=other))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "signal.raise_signal(signal.SIGTERM)"])
def test_a_ray_of_our_own_leaves_no_files_and_is_closed_to_others(end: str) -> None:
    """Each worker of Ray that starts opens the session's folder to all users, so the one above is looked at then."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:  # short, as paths of sockets must be
        program = (
            "import os, pathlib, signal, tempfile, ray; from ripu_ray.config import ClusterConfig; "
            "from ripu_ray.distributed.cluster import start_ray; "
            "signal.signal(signal.SIGTERM, lambda *_: exit(143)); start_ray(ClusterConfig()); "
            "ray.get(ray.remote(lambda: __import__('torch._dynamo') and tempfile.mkdtemp() and None).remote()); "
            "compiled, private = sorted(pathlib.Path(os.environ['RAY_TMPDIR']).iterdir(), reverse=True); "
            "assert compiled.name.startswith('torchinductor_'); "
            "assert list(private.glob('ray/session_*/logs')) and list(private.glob('tmp*')); "
            f"print(oct(private.stat().st_mode)); {end}"
        )
        environment = {**os.environ, "RAY_TMPDIR": folder, "TMPDIR": folder}
        environment.pop("TORCHINDUCTOR_CACHE_DIR", None)  # set by torch's compiler in the process of the tests
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == (143 if end else 0), done.stderr
        assert done.stdout.split()[-1] == "0o40700"
        assert not list(Path(folder).iterdir())


def test_the_files_of_a_killed_process_are_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    before = dict(os.environ)
    with private_folder() as living:
        assert tempfile.gettempdir() != os.environ["TMPDIR"] == str(living)
        (owner,) = living.iterdir()
    for name in ("ripukilled", "ripuforeign"):
        (tmp_path / name / "ray").mkdir(parents=True)
    (tmp_path / "ripukilled" / owner.name).touch()
    (tmp_path / "ripulink").symlink_to(tmp_path / "ripuforeign")
    with private_folder() as other:
        left = {living, other, tmp_path / "ripuforeign", tmp_path / "ripulink"}
        assert {*tmp_path.iterdir()} == left
    assert dict(os.environ) == before


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_the_folder_of_a_ray_of_our_own_is_absolute_and_in_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, "own")
    with private_folder() as folder:
        assert folder.parent == tmp_path / "own"
    monkeypatch.setenv(variable, "caf\u00e9")
    with pytest.raises(ClusterError, match="expected a path in ASCII; set RAY_TMPDIR to one"), private_folder():
        pass


@pytest.mark.usefixtures("ray_cpus")
def test_a_ray_of_our_own_listens_on_loopback_only() -> None:
    ray.get(ray.remote(lambda: None).remote())
    pids = descendants(running(), {os.getpid()})
    sockets = {}
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = row.split()[:10]
            if state == "0A":  # listening
                sockets[f"socket:[{inode}]"] = address
    links = set()
    for pid in pids:
        with suppress(OSError):
            links |= {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    addresses = [address for link, address in sockets.items() if link in links]
    assert len(addresses) > 3
    assert all(address.partition(":")[0].endswith("0100007F") for address in addresses)


def test_no_empty_folder_for_compiled_code_is_left(tmp_path: Path) -> None:
    for name, is_used, stays in (
        ("torchinductor_x", False, False),
        ("torchinductor_y", True, True),
        ("z", False, True),
    ):
        folder = tmp_path / name
        folder.mkdir()
        if is_used:
            (folder / "code").touch()
        remove_unused_compiled(folder)
        assert folder.exists() == stays
