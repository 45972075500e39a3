"""What a machine keeps secret is in nothing that a run leaves behind or prints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

RIPU = str(Path(sys.executable).with_name("ripu"))
PLANTED = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-of-the-store",
    "HF_TOKEN": "planted-token-of-a-hub",
}
NETRC_PASSWORD = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.mark.slow
@pytest.mark.parametrize("scorers", [0, 1])
def test_no_planted_secret_leaves_the_machine_s_own_places(tmp_path: Path, scorers: int) -> None:
    home = tmp_path / "home"
    home.mkdir()
    netrc = home / ".netrc"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {NETRC_PASSWORD}\n")
    netrc.chmod(0o600)
    flags = [flag for setting in (*TINY, f"cluster.scorers={scorers}") for flag in ("--set", setting)]
    done = subprocess.run(
        [RIPU, "run", *flags, "--wandb", "offline", "--name", "secretive"],
        cwd=tmp_path,
        env={**os.environ, **PLANTED, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "secretive"
    files = [path for path in folder.rglob("*") if path.is_file()]
    # W&B's own files are among those that are searched, and so are Ray's, where it was there.
    assert {"config.yaml", "record.json", "metrics.jsonl", "report.html"} <= {path.name for path in files}
    assert [path for path in files if path.suffix == ".wandb"]
    assert bool([path for path in files if "ray" in path.relative_to(folder).parts]) == bool(scorers)
    for secret in (*PLANTED.values(), NETRC_PASSWORD):
        assert secret not in done.stdout + done.stderr
        assert not [path for path in files if secret.encode() in path.read_bytes()]
