"""A wheel holds the package and nothing else, and works where no checkout is."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.distributed import ray_internals
from ripu_ray.errors import ClusterError, TrackingError
from ripu_ray.runs import versions
from ripu_ray.tracking import wandb_internals

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_wheel_is_enough(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        tops = {name.split("/")[0] for name in names}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"ripu_ray", "ripu_cli"}
    assert {"ripu_ray/reporting/report.html.j2", "ripu_ray/reporting/report.css"} <= set(names)

    place = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(place), str(wheel)], check=True)
    script = "import ripu_ray, ripu_cli.main; print(ripu_ray.__file__); ripu_cli.main.app(['sweep', '--dry-run'])"
    environment = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(place))
    assert "4 trials, " in done.stdout


def test_the_tested_versions_are_those_of_constraints_txt() -> None:
    pinned = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert versions.TESTED.items() <= {(name.lower(), version) for name, version in pinned}
    assert versions.TESTED["ray"].startswith(ray_internals.READ_FROM)
    assert versions.TESTED["wandb"].startswith(wandb_internals.READ_FROM["wandb"])


def test_no_version_is_too_new_without_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert not [one for one in wanted if "<" in one or "~" in one]


def test_everything_that_installs_takes_the_tested_versions() -> None:
    files = [ROOT / name for name in ("README.md", "Makefile", "Dockerfile")]
    lines = [line for file in files for line in file.read_text().splitlines() if "pip install" in line]
    assert len(lines) >= 6
    # The package itself, without what it depends on, has nothing to choose.
    assert not [line for line in lines if "--constraint constraints.txt" not in line and "--no-deps ." not in line]


def test_verbose_versions_are_those_of_a_bug_report(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {"torch": "2.99.1+cu130", "wandb": "0.1.0", "typer": None}
    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: newer[name] if name in newer else real(name))
    done = CliRunner().invoke(app, ["--version", "--verbose"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert re.match(r"ripu \d", lines[0])
    assert f"torch 2.99.1+cu130, newer than tested ({versions.TESTED['torch']})" in lines
    assert f"wandb 0.1.0, older than tested ({versions.TESTED['wandb']})" in lines
    assert "typer is not installed" in lines
    assert [line.partition(":")[0] for line in lines[-2:]] == ["GPU", "Ray"]


def test_a_private_interface_that_is_gone_names_the_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = r"\S+ \S+ has no interface that ripu-ray knows from version \S+ \(.+\); install \S+ \S+: pip install .*"
    monkeypatch.setattr(ray_internals, "canonicalize_bootstrap_address", None)
    monkeypatch.setattr(ray_internals, "GcsClient", object)
    for use in (ray_internals.running_address, lambda: ray_internals.ask_gcs("127.0.0.1:9")):
        with pytest.raises(ClusterError, match=gone):
            use()
    for track in (
        lambda: wandb_internals.private_settings(["silent"]),
        lambda: wandb_internals.read_entries(tmp_path / "none.wandb"),
        lambda: wandb_internals.specification(object()),
    ):
        with pytest.raises(TrackingError, match=gone):
            track()
