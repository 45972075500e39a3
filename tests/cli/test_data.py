"""`ripu data check` as its users meet it."""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.data.folders import write_data_set

RIPU = str(Path(sys.executable).with_name("ripu"))


def _check(cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "HOME": str(cwd)}
    settings = ("data={dataset: folder, root: data, source: day, target: dusk}",)
    flags = [flag for setting in settings for flag in ("--set", setting)]
    command = [RIPU, "data", "check", *flags]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_a_good_and_a_bad_data_set(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    done = _check(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("validation", "12x20: 3", "class2", "faults    0", "overlays.png"):
        assert words in done.stdout
    with Image.open(tmp_path / "overlays.png") as picture:
        assert picture.width == 960

    Image.new("L", (20, 12), 77).save(tmp_path / "data/dusk/train/labels/b.png")
    (tmp_path / "data/dusk/val/images/a.png").write_bytes(b"")
    done = _check(tmp_path)
    assert done.returncode == 2
    assert "faults    2" in done.stdout
    assert done.stderr.splitlines() == [
        f"ripu: {tmp_path}/data/dusk/train/labels/b.png: label id 77 is outside the classes 0..2 and 255",
        f"ripu: {tmp_path}/data/dusk/val/images/a.png: not a JPEG or PNG image",
    ]

    (tmp_path / "data/dusk/val/labels/b.png").unlink()
    (tmp_path / "data/dusk/val/labels/c.png").unlink()
    done = _check(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"ripu: {tmp_path}/data/dusk/val/images/b.png: has no label",
        f"ripu: {tmp_path}/data/dusk/val/images/c.png: has no label",
    ]
