"""The image's steps, as far as they go without a Docker engine: the Dockerfile's own commands in a fresh environment.

What is not covered: apt-get, the users of a real image, and the download of what we depend on, which the environment
of the tests stands in for; pip still resolves it against constraints.txt.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HOME = "/opt/ripu-ray"


def _steps() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def _of(instruction: str) -> list[str]:
    return [rest for name, rest in _steps() if name == instruction]


def _copied() -> Iterator[tuple[Path, str]]:
    for rest in _of("COPY"):
        *sources, target = rest.split()
        for source in sources:
            yield ROOT / source, target if len(sources) == 1 and not target.endswith("/") else f"{target}{source}"


def test_the_image_runs_ripu_as_an_ordinary_user_and_ray_with_a_token() -> None:
    names = [name for name, _ in _steps()]
    assert _of("USER") == ["ripu"]
    # Nothing that root does comes after it.
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert any("useradd" in rest and "--uid 1000 ripu" in rest for rest in _of("RUN"))
    assert json.loads(_of("ENTRYPOINT")[0]) == ["ripu"]
    assert any("RAY_AUTH_MODE=token" in rest.split() for rest in _of("ENV"))
    assert _of("WORKDIR") == [HOME, "/workspace"]


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {source for source, _ in _copied()}
    assert {str(source.relative_to(ROOT)) for source in copied} == kept
    assert all(source.exists() for source in copied)


def test_everything_that_is_installed_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    waiting, seen = [Requirement("ripu-ray[dev]")], set[tuple[str, str]]()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), extra)) in seen:
                continue
            seen.add(key)
            for needed in map(Requirement, metadata.requires(requirement.name) or ()):
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    # setuptools and pip are the interpreter's.
    assert {name for name, _ in seen} - pinned <= {"ripu-ray", "setuptools", "pip"}


@pytest.mark.slow
def test_the_image_s_commands_give_a_ripu_that_works(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "image"], check=True)
    home = tmp_path / "home"
    home.mkdir()
    binaries = tmp_path / "image/bin"
    (packages,) = tmp_path.glob("image/lib/python*/site-packages")
    # Seen, and so not downloaded; ours itself is not.
    seen = tmp_path / "seen"
    seen.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.match("pip|setuptools|ripu|__editable|_?distutils|__pycache__|.*[.]pth", path.name):
            (seen / path.name).symlink_to(path)
    (packages / "seen.pth").write_text(f"{seen}\n")

    for source, target in _copied():
        place = home / target
        shutil.copytree(source, place, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, place)
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_AUTH_MODE")}
    environment = {**plain, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}

    def run(command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        shell = ["sh", "-ec", command]
        return subprocess.run(shell, cwd=cwd, env=environment | more, capture_output=True, text=True, check=False)

    commands = [rest for rest in _of("RUN") if "apt-get" not in rest and "useradd" not in rest]
    assert len(commands) == 3
    for command in commands:
        done = run(command, home, DEVICE="cpu")
        assert done.returncode == 0, done.stderr
    assert "expected cpu or cuda" in run(commands[0], home, DEVICE="tpu").stderr
    # What the tests' environment lacked came in the version that is pinned.
    installed = {canonicalize_name(one.name): one.version for one in metadata.distributions(path=[str(packages)])}
    pinned = dict(line.split("==") for line in (home / "constraints.txt").read_text().splitlines() if "==" in line)
    versions = {canonicalize_name(name): version for name, version in pinned.items()}
    for name in installed.keys() - {"pip", "setuptools", "ripu-ray"}:
        assert installed[name] == versions[name]
    assert "ripu-ray" in installed

    workspace = tmp_path / "workspace"
    workspace.mkdir()
    health = json.loads(_of("HEALTHCHECK")[0].partition(" CMD ")[2])
    done = run(" ".join(health), workspace)
    assert (done.returncode, done.stdout) == (0, f"ripu {metadata.version('ripu-ray')}\n")
    entry = json.loads(_of("ENTRYPOINT")[0]) + json.loads(_of("CMD")[0])
    assert "sweep" in run(" ".join(entry), workspace).stdout
    dry = run(f"ripu sweep --config {home}/configs/demo.yaml --dry-run", workspace)
    assert dry.returncode == 0, dry.stderr
    assert "4 trials, " in dry.stdout
    where = run("python -c 'import ripu_ray; print(ripu_ray.__file__)'", workspace).stdout
    assert where.startswith(str(packages))
