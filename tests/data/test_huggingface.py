"""`dataset: huggingface`: folders that the library has saved, without a network, and each fault in one line."""

import shutil
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import Config, dump_config, load_config
from ripu_ray.data.huggingface import _load
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from ripu_ray.runs.grid import expand
from ripu_ray.simulation.preflight import check_trials
from tests.conftest import TINY

datasets = pytest.importorskip("datasets")
HEIGHT, WIDTH = 12, 20
LABELS = {"encoding": "ids", "classes": ["road", "sky", "car"], "id_map": {7: "road", 23: "sky", 26: "car", "*": 255}}
BASE = {"source": "./saved", "target": "./saved", "source_split": "day", "validation_split": "val", "labels": LABELS}


def _rows(seed: int, count: int = 2) -> Any:
    """A split of `count` rows: pictures, and labels with the ids of `LABELS`."""
    rng = np.random.default_rng(seed)
    images = [Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)) for _ in range(count)]
    labels = [Image.fromarray(rng.choice(np.array([7, 23, 26, 3], np.uint8), (HEIGHT, WIDTH))) for _ in range(count)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.Image(), "number": datasets.Value("int8")}
    )
    columns = {"image": images, "label": labels, "number": list(range(count))}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder saved by the library, with three splits; not to be changed."""
    folder = tmp_path_factory.mktemp("huggingface") / "saved"
    datasets.disable_progress_bars()
    datasets.DatasetDict({"day": _rows(0), "train": _rows(1, 3), "val": _rows(2)}).save_to_disk(folder)
    return folder


def check(tmp_path: Path, saved: Path, **changes: Any) -> Result:
    """`ripu data check` of a section in a file beside the saved folder."""
    (tmp_path / "saved").symlink_to(saved)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"data": {"dataset": "huggingface", **BASE, **changes}}))
    arguments = ["data", "check", "--config", str(file), "--overlays", str(tmp_path / "overlays.png")]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


def test_a_saved_folder_is_read(tmp_path: Path, saved: Path) -> None:
    done = check(tmp_path, saved)
    assert (done.exit_code, done.stderr, "faults    0" in done.stdout) == (0, "", True), done.output
    config = load_config(tmp_path / "config.yaml")
    assert Config.model_validate(yaml.safe_load(dump_config(config))) == config
    domains = open_domains(config.data)
    assert domains.source.image_ids == ("source/day/0", "source/day/1")
    assert domains.pool.image_ids == ("target/train/0", "target/train/1", "target/train/2")
    assert domains.validation.image_ids == ("target/val/0", "target/val/1")
    rows = datasets.load_from_disk(str(saved))["train"]
    np.testing.assert_array_equal(domains.pool.image("target/train/2"), np.asarray(rows[2]["image"]))
    ids = np.asarray(rows[2]["label"])
    expected = np.select([ids == 7, ids == 23, ids == 26], [0, 1, 2], 255)
    np.testing.assert_array_equal(domains.pool.label("target/train/2"), expected)
    assert domains.pool.label_size("target/train/2") == (HEIGHT, WIDTH)


def test_the_source_may_have_labels_of_its_own(tmp_path: Path, saved: Path) -> None:
    theirs = {"encoding": "ids", "classes": ["car", "tree", "road"], "id_map": {26: 0, 3: 1, 7: 2, 23: 255}}
    assert check(tmp_path, saved, source_labels=theirs).exit_code == 0
    domains = open_domains(load_config(tmp_path / "config.yaml").data)
    assert domains.classes.names == ("road", "car")
    ids = np.asarray(datasets.load_from_disk(str(saved))["day"][0]["label"])
    np.testing.assert_array_equal(domains.source.label("source/day/0"), np.select([ids == 7, ids == 26], [0, 1], 255))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "./nowhere"}, "/nowhere: expected a folder that the library's save_to_disk has written"),
        ({"target": "a folder"}, "data.target: 'a folder': expected an id of the hub, such as user/name or"),
        ({"target": "user/name"}, "user/name: cannot be loaded ("),
        ({"train_split": "test"}, "/saved: has no split 'test': expected day, train, val as data.train_split"),
        ({"source_split": "test"}, "/saved: has no split 'test': expected day, train, val as data.source_split"),
        ({"image_column": "img"}, "has no column 'img': expected one of image, label, number as data.image_column"),
        ({"label_column": "number"}, "the column 'number' is of type Value: expected Image"),
        ({"source": None}, "data.source: expected the data set to train on first"),
        (
            {"labels": {**LABELS, "encoding": "palette"}},
            "row 0, label: expected a PNG with a palette: its encoding is pal",
        ),
        (
            {"labels": {**LABELS, "id_map": {7: 0}}},
            "row 0, label: label id 3 is none of this data set's: not in the id_",
        ),
        ({"labels": {"encoding": "ids"}}, "data.labels.classes: expected a value, and there is none"),
    ],
)
def test_each_fault_is_named(
    tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = check(tmp_path, saved, **changes)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert all(line.startswith("ripu: ") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("text", ["[]", "{}", "{"])
@pytest.mark.parametrize("name", ["dataset_dict.json", "train/state.json"])
def test_a_damaged_saved_folder_is_named(tmp_path: Path, saved: Path, name: str, text: str) -> None:
    copied = shutil.copytree(saved, tmp_path / "copied")
    (copied / name).write_text(text)
    done = check(tmp_path, copied)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert f"{tmp_path}/saved: cannot be loaded (" in done.stderr


def test_a_saved_folder_is_converted_to_files(tmp_path: Path, saved: Path) -> None:
    check(tmp_path, saved)
    for file in (tmp_path / "config.yaml", tmp_path / "out/ripu.yaml"):
        data = open_domains(load_config(file).data)
        labels = [images.label(name) for images in (data.source, data.pool) for name in images.image_ids]
        if file.parent == tmp_path:
            expected = labels
            assert (
                CliRunner().invoke(app, ["data", "convert", "--config", str(file), str(tmp_path / "out")]).exit_code
                == 0
            )
    np.testing.assert_array_equal(labels, expected)


def test_a_row_that_changed_between_start_and_resume_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"dataset": "huggingface", **BASE}}))
    seals = []
    for seed in (1, 3):
        datasets.DatasetDict({"day": _rows(0), "train": _rows(seed), "val": _rows(2)}).save_to_disk(tmp_path / "saved")
        config = load_config(tmp_path / "config.yaml", (*TINY[4:], "strategy.budget=20"))
        seals.append(check_trials(expand(config)))
    said = "pool: the image of target/train/0 was changed; pool: the label of target/train/0 was changed; pool: "
    with pytest.raises(DataError, match=said):
        seals[0].check(seals[1], tmp_path)
    seals[1].check(check_trials(expand(config), seals[1]), tmp_path)


def test_a_hub_that_does_not_answer_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("ripu_ray.storage.hub._ANSWER_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        ports = [server.getsockname()[1] for server in (silent, closed)]
        closed.close()
        for port in ports:
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
            with pytest.raises(DataError, match=rf"^user/name: cannot be loaded \(not in the cache; http.*:{port}"):
                _load("user/name")


def test_a_hub_that_is_out_of_order_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(503)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(
            DataError, match=r"^user/name: cannot be loaded \(not in the cache; .* answers with status 503"
        ):
            _load("user/name")
        thread.join()


def test_the_extra_is_named_if_it_is_missing(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    done = check(tmp_path, saved)
    assert done.exit_code == 2
    assert done.stderr == "ripu: data.dataset huggingface needs datasets: pip install 'ripu-ray[datasets]'\n"
