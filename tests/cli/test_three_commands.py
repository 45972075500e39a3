"""The commands of docs/data.md, as they stand there, from ten photographs to a finished sweep."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.data.photographs import write_photographs

ROOT = Path(__file__).parent.parent.parent


def _commands() -> list[str]:
    section = (ROOT / "docs/data.md").read_text().partition("## Your own data in three commands")[2]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block
    return [line.partition("#")[0].strip() for line in block[1].splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_photographs_become_a_finished_sweep(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photos", "holiday/{number}.jpg", "painted/{number}.png", count=10)
    commands = _commands()
    assert len(commands) <= 3
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/cli"}
    for command in commands:
        program, *words = command.split()
        assert program == "ripu"
        done = subprocess.run(
            [sys.executable, "-m", "ripu_cli", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    (folder,) = (tmp_path / "runs").iterdir()
    results = pd.read_csv(folder / "results.csv")
    assert set(results["acquisition"]) == {"ripu", "random"}
    assert (results["miou"] > 0.3).all()
    assert (folder / "report.html").exists()
