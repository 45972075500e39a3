"""`ripu data check`: what it prints, its exit code, and the picture that it writes."""

from pathlib import Path

import pytest
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from tests.data.folders import write_data_set


def _check() -> Result:
    settings = "data={dataset: folder, root: data, source: day, target: dusk}"
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["data", "check", "--set", settings])


def test_a_good_and_a_bad_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_data_set(tmp_path / "data")
    done = _check()
    assert (done.exit_code, done.stderr) == (0, "")
    for words in ("validation", "12x20: 3", "class2", "faults    0", "overlays.png"):
        assert words in done.stdout
    with Image.open(tmp_path / "overlays.png") as picture:
        assert picture.width == 960

    Image.new("L", (20, 12), 77).save(tmp_path / "data/dusk/train/labels/b.png")
    (tmp_path / "data/dusk/val/images/a.png").write_bytes(b"")
    done = _check()
    assert done.exit_code == 2
    assert "faults    2" in done.stdout
    assert done.stderr.splitlines() == [
        f"ripu: {tmp_path}/data/dusk/train/labels/b.png: label id 77 is outside the classes 0..2 and 255",
        f"ripu: {tmp_path}/data/dusk/val/images/a.png: not a JPEG or PNG image",
    ]

    (tmp_path / "data/dusk/val/labels/b.png").unlink()
    (tmp_path / "data/dusk/val/labels/c.png").unlink()
    done = _check()
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"ripu: {tmp_path}/data/dusk/val/images/b.png: has no label",
        f"ripu: {tmp_path}/data/dusk/val/images/c.png: has no label",
    ]
