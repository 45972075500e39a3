"""Data behind a URL: the same images, and faults named by their URLs."""

from pathlib import Path

import numpy as np
import pytest
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.data.checking import check_domains
from ripu_ray.data.folder import FolderData
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError, InputError
from ripu_ray.storage.remote import locate
from tests.data.folders import write_data_set


@pytest.fixture
def local(tmp_path: Path) -> FolderData:
    """The data set on this machine."""
    return write_data_set(tmp_path / "data")


@pytest.fixture
def remote(local: FolderData, bucket: Path) -> FolderData:
    """A copy of it in a bucket."""
    for path in local.root.rglob("*.*"):
        (bucket / "data" / path.relative_to(local.root)).write_bytes(path.read_bytes())
    return local.model_copy(update={"root": bucket / "data"})


@pytest.mark.parametrize("cached", [False, True])
def test_images_and_labels_are_those_of_the_files(
    local: FolderData, remote: FolderData, cached: bool, tmp_path: Path
) -> None:
    if cached:
        remote = remote.model_copy(update={"cache": tmp_path / "cache"})
    ours, theirs = open_domains(remote), open_domains(local)
    check_domains(ours, remote)
    for images, expected in ((ours.source, theirs.source), (ours.pool, theirs.pool)):
        assert images.image_ids == expected.image_ids
        for image_id in images.image_ids * 2:
            assert np.array_equal(images.image(image_id), expected.image(image_id))
            assert np.array_equal(images.label(image_id), expected.label(image_id))
            assert images.label_size(image_id) == expected.label_size(image_id)


def test_a_fault_is_named_by_its_url(remote: FolderData) -> None:
    label = remote.root / "dusk" / "train" / "labels" / "b.png"
    label.write_bytes(label.read_bytes()[:60])
    with pytest.raises(DataError, match=rf"^{label}: the image is damaged"):
        check_domains(open_domains(remote), remote)
    label.unlink()
    with pytest.raises(DataError, match=rf"^{remote.root}/dusk/train/images/b\.png: has no label"):
        open_domains(remote)


def test_a_root_that_is_not_there_is_one_line(bucket: Path) -> None:
    for root, says in ((bucket / "none", "there is no object"), (locate("s3://no-bucket/x"), "bucket does not exist")):
        with pytest.raises(InputError, match=rf"^{root}: .*{says}"):
            open_domains(FolderData(root=root))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["check", "--set=data={dataset: folder, root: 'http://127.0.0.1:1/photos'}"],
            "http://127.0.0.1:1/photos: cannot be listed: expected a folder, or the URL of a store such as s3://bucket",
        ),
        (
            [
                "check",
                "--set=data={dataset: folder, root: ROOT, target: dusk, target_list: 'http://127.0.0.1:1/a.txt'}",
            ],
            "http://127.0.0.1:1/a.txt: cannot be read (not supported for http://)",
        ),
        (["init", "BUCKET/data"], "BUCKET/data: expected a place on this machine"),
        (["init", "ROOT", "--config", "BUCKET/a.yaml"], "BUCKET/a.yaml: expected a place on this machine"),
    ],
)
def test_urls_that_cannot_be_used_are_one_line(
    remote: FolderData, local: FolderData, bucket: Path, words: list[str], says: str
) -> None:
    def filled(text: str) -> str:
        return text.replace("ROOT", str(local.root)).replace("BUCKET", str(bucket))

    done = CliRunner().invoke(app, ["data", *map(filled, words)])
    assert (done.exit_code, done.output) == (2, f"ripu: {filled(says)}\n")


def test_sub_folders_and_shares_are_those_of_the_files(local: FolderData, bucket: Path) -> None:
    for kind in ("images", "labels"):
        (local.root / "dusk/train" / kind / "trip").mkdir()
        (local.root / "dusk/train" / kind / "b.png").rename(local.root / "dusk/train" / kind / "trip/b.png")
    for path in local.root.rglob("*.*"):
        (bucket / "data" / path.relative_to(local.root)).write_bytes(path.read_bytes())
    ours, theirs = (
        open_domains(local.model_copy(update={"root": root, "validation_share": 0.3}))
        for root in (bucket / "data", local.root)
    )
    assert ours.pool.image_ids == theirs.pool.image_ids
    assert ours.validation.image_ids == theirs.validation.image_ids
    image_id = "dusk/train/trip/b"
    assert image_id in ours.pool.image_ids + ours.validation.image_ids
