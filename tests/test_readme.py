"""The commands of README.md are accepted as they stand there."""

import re
import shlex
from pathlib import Path

import pytest

from tests.running import ripu_here

ROOT = Path(__file__).parent.parent
SWEEPS = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Sweeps")[2].partition("```\n")[2]
LINES = [line.partition(" # ")[0].strip() for line in SWEEPS.partition("```")[0].splitlines()]
RUN_HERE = [line for line in LINES if re.match("ripu (sweep|run) ", line) and "/data/" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("line", RUN_HERE)
def test_a_command_of_the_section_sweeps_passes_all_checks(line: str, tmp_path: Path) -> None:
    done = ripu_here(tmp_path, *shlex.split(line)[1:], "--dry-run")
    assert done.exit_code == 0, done.output
    assert "trial" in done.output
