"""What a machine keeps secret is in nothing that a run leaves behind or prints."""

import os
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.processes import ProcessTree
from tests.conftest import TINY

PLANTED = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-of-the-store",
    "HF_TOKEN": "planted-token-of-a-hub",
}
NETRC_PASSWORD = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.mark.slow
@pytest.mark.parametrize("scorers", [0, 1])
def test_no_planted_secret_leaves_the_machine_s_own_places(tmp_path: Path, scorers: int) -> None:
    netrc = tmp_path / ".netrc"  # of the home that ProcessTree sets
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {NETRC_PASSWORD}\n")
    netrc.chmod(0o600)
    flags = [flag for setting in (*TINY, f"cluster.scorers={scorers}") for flag in ("--set", setting)]
    arguments = ["run", *flags, "--wandb", "offline", "--name", "secretive"]
    holders = dict[int, str]()
    with patch.dict(os.environ, PLANTED), ProcessTree(arguments, tmp_path) as tree:
        tree.wait_until(lambda: holders.update(_holders(tree)))
        assert tree.process.wait() == 0, tree.err
        said = tree.out + tree.err
    # What `ripu` starts itself inherits it, such as git and W&B's own process, which logs.
    assert [line for line in holders.values() if "ray::" in line or "/ray/" in line] == []
    folder = tmp_path / "runs" / "secretive"
    files = [path for path in folder.rglob("*") if path.is_file()]
    # W&B's own files are among those that are searched, and so are Ray's, where it was there.
    assert {"config.yaml", "record.json", "metrics.jsonl", "report.html"} <= {path.name for path in files}
    assert [path for path in files if path.suffix == ".wandb"]
    assert bool([path for path in files if "ray" in path.relative_to(folder).parts]) == bool(scorers)
    for secret in (*PLANTED.values(), NETRC_PASSWORD):
        assert secret not in said
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def _holders(tree: ProcessTree) -> dict[int, str]:
    """Processes, with their command lines, that have W&B's key in their environment."""
    found = {}
    for pid in tree.members():
        with suppress(OSError):
            process = Path("/proc") / str(pid)
            if PLANTED["WANDB_API_KEY"].encode() in process.joinpath("environ").read_bytes():
                found[pid] = process.joinpath("cmdline").read_text()
    return found
