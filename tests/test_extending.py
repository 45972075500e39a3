"""The examples of docs/extending.md run as they are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs/extending.md"
SECTIONS = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=[section.splitlines()[0] for section in SECTIONS])
def test_each_section_has_one_short_example_that_runs(section: str, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    lines = [line for line in example.splitlines() if line]
    assert len(lines) < 30
    assert "assert " in example
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
