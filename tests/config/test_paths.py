"""A path means the same wherever it is written, and in every process that reads it."""

import os
from pathlib import Path

import pytest
import yaml

from ripu_ray.config import DatasetSection, load_config
from ripu_ray.data.cityscapes import CityscapesData
from ripu_ray.data.folder import FolderData
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.data.folders import write_data_set
from tests.running import ignore


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, beside a folder `conf` for configuration files."""
    for name in ("here", "home", "elsewhere/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere/deep")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STORE", "s3://bucket")
    monkeypatch.setenv("DISK", str(tmp_path / "disk"))
    return tmp_path / "here"


def _in_file(tmp_path: Path, tree: object) -> Path:
    file = tmp_path / "conf/own.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(tree))
    return file


@pytest.mark.parametrize(
    ("written", "typed", "in_file"),
    [
        ("a/b", "here/a/b", "conf/a/b"),
        ("./a", "here/a", "conf/a"),
        ("../a", "a", "a"),
        ("link/../a", "elsewhere/a", "conf/a"),
        ("~/a", "home/a", "home/a"),
        ("$DISK/a", "disk/a", "disk/a"),
        ("${DISK}/a", "disk/a", "disk/a"),
        ("$STORE/a", "s3://bucket/a", "s3://bucket/a"),
        ("s3://bucket/a", "s3://bucket/a", "s3://bucket/a"),
        ("file:///a", "/a", "/a"),
        ("/a", "/a", "/a"),
    ],
)
def test_relative_to_the_file_in_it_and_to_the_working_directory_on_the_command_line(
    tmp_path: Path, written: str, typed: str, in_file: str
) -> None:
    def root(data: DatasetSection) -> str:
        assert isinstance(data, FolderData)
        return str(data.root).removeprefix(f"{tmp_path}/")

    file = _in_file(tmp_path, {"data": {"dataset": "folder", "root": written}})
    assert root(load_config(Path(os.path.relpath(file))).data) == in_file
    assert root(load_config(file, [f"data.root={written}"]).data) == typed
    assert root(load_config(None, ["data.dataset=folder"], {"data.root": written}).data) == typed


def test_every_kind_of_path_is_absolute_in_the_run_folder(tmp_path: Path, here: Path) -> None:
    names = ("source_root", "target_root", "source_list", "train_list", "validation_list", "cache")
    tree = {"data": {"dataset": "cityscapes", "source": "gtav", **{name: name for name in names}}}
    file = _in_file(tmp_path, {**tree, "model": {"init_from": "w.pt"}, "sweep": {"vary": {"model.init_from": ["a"]}}})
    config = load_config(file, ["data.cache=c", "sweep.seeds=[1]"])
    run = RunFolder.create(tmp_path / "run", config)
    assert run.config == config
    assert isinstance(config.data, CityscapesData)
    assert [getattr(config.data, name) for name in names[:-1]] == [tmp_path / "conf" / name for name in names[:-1]]
    assert (config.data.cache, config.model.init_from) == (here / "c", tmp_path / "conf/w.pt")
    assert config.sweep.vary == {"model.init_from": (str(tmp_path / "conf/a"),)}


def test_varied_paths_are_absolute_and_keep_their_partners(here: Path) -> None:
    flags = {
        "sweep.vary": [
            "model.name=deeplabv2",
            "model.backbone_weights=a.pth,https://x.org/b.pth",
            "data={dataset: folder, root: r, source: s},{dataset: synthetic}",
        ]
    }
    config = load_config(None, [], flags)
    assert config.sweep.vary == {
        "model.name": ("deeplabv2",),
        "model.backbone_weights": (str(here / "a.pth"), "https://x.org/b.pth"),
        "data": ({"dataset": "folder", "root": str(here / "r"), "source": "s"}, {"dataset": "synthetic"}),
    }


def test_a_trial_s_name_shows_a_varied_path_without_the_folder_that_all_share(here: Path) -> None:
    vary = [["model.init_from=a/w.pt,b/w.pt"], [f"model.init_from=null,{here}/a/w.pt"]]
    ids = [[trial.trial_id for trial in expand(load_config(None, [], {"sweep.vary": varied}))] for varied in vary]
    names = [[name.removeprefix("region-w3-ripu-b2.2-init_from=").removesuffix("-s0") for name in row] for row in ids]
    assert names == [["_a_w.pt_", "_b_w.pt_"], ["null", "_w.pt_"]]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("$NOWHERE/a", "data.root: $NOWHERE/a: the environment variable $NOWHERE is not set"),
        ("~absent-user/a", "data.root: ~absent-user/a: there is no user ~absent-user on this machine"),
    ],
)
def test_what_cannot_be_expanded_is_named(written: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["data.dataset=folder", f"data.root={written}"])
    assert str(caught.value) == says


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_a_relative_root_reaches_every_worker_of_a_sweep(here: Path) -> None:
    write_data_set(here / "data")
    data = "data={dataset: folder, root: data, source: day, target: dusk, cache: cache}"
    sizes = ("data.input_size=[32, 48]", "data.label_size=[32, 48]")
    run = RunFolder.create(Path("run"), load_config(None, (*TINY[4:], data, *sizes)))
    assert run_sweep(run, ignore) == {}
    assert all(run.is_finished(trial_id) for trial_id in run.trials)
    assert len(list((here / "cache").rglob("*.npy"))) >= 9
