"""Data that changed between start and resume: refused with the first files named, or run in a new folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.api.starting import DataOptions, check, open_run
from ripu_ray.config import Config, load_config, override
from ripu_ray.errors import DataError, StoppedError
from ripu_ray.models.networks import build_network
from ripu_ray.reporting.comparison import Side, compare_runs
from ripu_ray.runs.data_seal import DataSeal
from ripu_ray.runs.environment import add_environment
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.storage.checksums import read_json, write_json
from ripu_ray.tracking.wandb import WandbTracker
from ripu_ray.tracking.wandb_internals import read_entries
from tests.conftest import TINY
from tests.data.folders import write_data_set
from tests.data.test_described import OWN, write_own
from tests.running import committed, ignore, run_alone

SIZES = ("data.input_size=[24, 32]", "data.label_size=[24, 32]")
RECIPE = (*TINY[4:], "cluster.scorers=0", "strategy.budget=20")


def _config(root: Path, *settings: str) -> Config:
    data = ("data.dataset=folder", f"data.root={root}", "data.source=day", "data.target=dusk")
    return load_config(None, (*RECIPE, *data, *settings))


def _start(folder: Path, config: Config) -> RunFolder:
    return RunFolder.create(folder, config, check_trials(expand(config)))


def _edit_picture(path: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(path).convert("RGB"))).save(path)


def _edit_label(path: Path) -> None:
    label = np.array(Image.open(path))
    label[5, 5] = 255 - label[5, 5]
    Image.fromarray(np.where(label == 255, 255, label % 3).astype(np.uint8)).save(path, compress_level=0)


def _edit_label_quietly(path: Path) -> None:
    """The size and modification time stay."""
    before = path.stat()
    _edit_label(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def _add(folder: Path) -> None:
    for kind in ("images", "labels"):
        (folder / kind / "d.png").write_bytes((folder / kind / "a.png").read_bytes())


def _remove(folder: Path) -> None:
    for kind in ("images", "labels"):
        (folder / kind / "b.png").unlink()


def _swap_classes(path: Path) -> None:
    table = json.loads(path.read_text())
    names = [entry["name"] for entry in table["classes"]]
    for entry, name in zip(table["classes"], [names[1], names[0], names[2]], strict=True):
        entry["name"] = name
    path.write_text(json.dumps(table))


CHANGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "image of the source": ("day/train/images/b.png", _edit_picture, "source: the image of day/train/b was changed"),
    "image of the pool": ("dusk/train/images/b.png", _edit_picture, "pool: the image of dusk/train/b was changed"),
    "label of the pool": ("dusk/train/labels/c.png", _edit_label, "pool: the label of dusk/train/c was changed"),
    "label of validation": ("dusk/val/labels/b.png", _edit_label, "validation: the label of dusk/val/b was changed"),
    "label, its time kept": ("dusk/val/labels/a.png", _edit_label_quietly, "the label of dusk/val/a was changed"),
    "image is added": ("day/train", _add, "source: day/train/d was added"),
    "image is removed": ("dusk/val", _remove, "validation: dusk/val/b was removed"),
    "names are swapped": ("classes.json", _swap_classes, "the class table, or the encoding of labels, was changed"),
    "list of images": ("list", lambda path: path.write_text("b\nc\n"), "pool: dusk/train/a was removed"),
    "initial weights": ("w.pt", lambda path: _save_weights(path, 1), "w.pt was changed"),
}


def _save_weights(path: Path, seed: int) -> None:
    torch.save({"network": build_network(load_config(None, TINY).model, 3, seed).state_dict()}, path)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunFolder, Config]:
    """A run that was started on data that count as old."""
    monkeypatch.setattr("ripu_ray.data.contents._RECENT_NS", -(10**18))
    root = tmp_path / "data"
    write_data_set(root)
    label = root / "dusk/val/labels/a.png"
    Image.open(label).copy().save(label, compress_level=0)
    (root / "list").write_text("c\nb\na\n")
    _save_weights(root / "w.pt", 0)
    config = _config(root, f"data.target_list={root / 'list'}", f"model.init_from={root / 'w.pt'}", *SIZES)
    return _start(tmp_path / "run", config), config


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_and_named(started: tuple[RunFolder, Config], change: str) -> None:
    run, config = started
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    where, do, says = CHANGES[change]
    do(run.path.parent / "data" / where)
    now = check_trials(expand(config), run.seal)
    with pytest.raises(DataError, match=f"{run.path}: the data changed since the run was started: .*{says}"):
        RunFolder.create(run.path, config, now)
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    assert now.digest(config) != run.seal.digest(config)
    assert warmup_key(config, now.digest(config)) != run.warmup_key(config)


def test_a_description_that_reads_labels_otherwise_is_refused(tmp_path: Path) -> None:
    write_own(tmp_path)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN))
    (tmp_path / "pictures").symlink_to(tmp_path)
    names = {"source": "own.yaml", "source_root": ".", "target": "own.yaml", "target_root": "pictures"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"dataset": "patterns", **names}}))
    config = load_config(tmp_path / "config.yaml", RECIPE)
    run = _start(tmp_path / "run", config)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**OWN, "id_map": {9: "road", 3: 1, "*": 255}}))
    with pytest.raises(DataError, match=r"the class table, or the encoding of labels, was changed; restore"):
        RunFolder.create(run.path, config, check_trials(expand(config), run.seal))


def test_what_no_result_depends_on_may_change(started: tuple[RunFolder, Config]) -> None:
    run, config = started
    root = run.path.parent / "data"
    (root / "list").write_text("images/a.png\r\n\nb.png\nc\n")
    (root / "classes.json").write_text(json.dumps(json.loads((root / "classes.json").read_text()), indent=3))
    image = root / "dusk/train/images/b.png"
    image.write_bytes(image.read_bytes())
    (root / "dusk/train/images/.hidden").touch()
    again = RunFolder.create(run.path, config, check_trials(expand(config), run.seal))
    assert again.seal.digest(config) == run.seal.digest(config)
    assert list(again.warmups) == list(run.warmups)


def test_weights_that_are_not_sealed_are_a_change(started: tuple[RunFolder, Config]) -> None:
    run, _ = started
    assert run.seal.weights
    without = DataSeal(run.seal.sets)
    assert not without.is_of(run.seal) and not run.seal.is_of(without)


def test_unchanged_files_are_not_hashed_again_unless_asked(
    started: tuple[RunFolder, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config = started
    known = check_trials(expand(config))
    monkeypatch.setattr("ripu_ray.data.contents.digest", lambda path: "0" * 64)
    assert check_trials(expand(config), known) == known
    assert not known.is_of(check_trials(expand(config)))


def test_the_digest_is_that_of_the_files_and_drawn_data_have_none(tmp_path: Path) -> None:
    for name in ("here", "there"):
        write_data_set(tmp_path / name)
    here, there = (_config(tmp_path / name) for name in ("here", "there"))
    assert check_trials(expand(here)).digest(here) == check_trials(expand(there)).digest(there) != ""
    drawn = load_config(None, TINY)
    assert check_trials(expand(drawn)).digest(drawn) == ""
    assert not (RunFolder.create(tmp_path / "drawn", drawn, check_trials(expand(drawn))).path / "data.json").exists()


def test_wandb_and_compare_show_the_digest(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    config = _config(tmp_path / "data", "tracking.wandb=offline", "tracking.images=0")
    run = _start(tmp_path / "run", config)
    _edit_label(tmp_path / "data/dusk/train/labels/a.png")
    other = _start(tmp_path / "other", config)
    (name,) = run.trials
    WandbTracker(run, name, run.trial(name).path).close()
    (file,) = run.path.glob("trials/*/wandb/offline-run-*/*.wandb")
    (update,) = [entry["run"]["config"]["update"] for entry in read_entries(file) if entry["type"] == "run"]
    digests = run.seal.digest(config), other.seal.digest(config)
    assert update["data_digest"] == digests[0]
    assert compare_runs(Side(run), Side(other)).settings == {"data_digest": digests}


def _ripu(cwd: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        return CliRunner(env={"COLUMNS": "200", "HOME": str(cwd)}).invoke(app, arguments)


@pytest.mark.slow
def test_changed_data_run_in_a_new_folder_and_nowhere_else(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    config = _config(tmp_path / "data")
    run = _start(tmp_path / "runs/x", config)
    assert not run_alone(run, ignore)
    before = committed(run)
    _edit_picture(tmp_path / "data/dusk/train/images/b.png")
    refused = _ripu(tmp_path, "sweep", "--resume", "runs/x")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "runs/x: the data changed" in refused.stderr
    assert "image of dusk/train/b was changed" in refused.stderr
    assert "--accept-changed-data" in refused.stderr
    assert _ripu(tmp_path, "sweep", "--resume", "runs/x", "--dry-run").exit_code == 2
    for _ in range(2):  # the second time it resumes the new folder
        done = _ripu(tmp_path, "sweep", "--resume", "runs/x", "--accept-changed-data", "--rehash")
        assert done.exit_code == 0, done.stderr
        assert "runs/x stays as it is; runs/x-data2 is run with the changed data" in done.stderr.replace(
            str(tmp_path), ""
        )
        assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["x", "x-data2"]
    assert committed(run) == before
    other = RunFolder(tmp_path / "runs/x-data2")
    assert other.config == run.config
    assert committed(other).keys() & before.keys() == {key for key in before if not key.startswith("warmups")}
    assert _ripu(tmp_path, "sweep", "--resume", "runs/x-data2").exit_code == 0


@pytest.mark.parametrize("name", ["run", "n" * 60])
def test_the_new_folder_is_none_that_others_use(started: tuple[RunFolder, Config], name: str) -> None:
    run, config = started
    runs, base = run.path.parent, name[:54]
    run.path.rename(runs / name)
    _edit_picture(runs / "data/dusk/train/images/b.png")
    foreign = runs / f"{base}-data2"
    foreign.mkdir()
    (foreign / "stop").write_text("bus stop")
    _start(runs / f"{base}-data3", override(config, {"seed": 7}))
    (runs / f"{base}-data4").mkdir()
    found = check(config, runs / name, data=DataOptions(accept_changed=True))
    assert found.folder == runs / f"{base}-data4"
    with pytest.raises(StoppedError), open_run(config, runs / name, data=DataOptions(accept_changed=True)) as (new, _):
        assert new.path == found.folder
        raise StoppedError
    assert (foreign / "stop").read_text() == "bus stop"


def test_a_run_without_digests_is_resumed_with_a_line(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data")
    run = RunFolder.create(tmp_path / "runs/x", _config(tmp_path / "data"))
    done = _ripu(tmp_path, "sweep", "--resume", "runs/x")
    assert done.exit_code == 0
    assert "runs/x: was started without digests of its data" in done.stderr
    assert list(RunFolder(run.path).warmups) == list(run.warmups)


def test_other_versions_are_said_and_both_kept(tmp_path: Path, tiny: Config) -> None:
    run = RunFolder.create(tmp_path / "run", tiny)
    path = run.path / "environment.json"
    assert add_environment(run.path, run.trials.values()) == ""
    tree = read_json(path)
    ours = dict(tree["packages"])
    tree["packages"] |= {"torch": "2.0.0", "ray": "2.50.1"}
    write_json(path, tree)
    assert (
        add_environment(run.path, run.trials.values()) == f"ray 2.50.1 -> {ours['ray']}, torch 2.0.0 -> {ours['torch']}"
    )
    assert add_environment(run.path, run.trials.values()) == ""
    kept = read_json(path)
    assert [kept["packages"]["torch"], kept["resumed_with"][0]["packages"]["torch"]] == ["2.0.0", ours["torch"]]


def test_git_is_started_without_keys_and_out_of_reach_of_ctrl_c(
    tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nenv\ncut -d' ' -f5 /proc/$$/stat\n")
    (tmp_path / "git").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    printed = read_json(RunFolder.create(tmp_path / "run", tiny).path / "environment.json")["git_revision"]
    assert "PATH=" in printed and "hidden" not in printed
    assert int(printed.split()[-1]) != os.getpgrp()
