"""Paths behind URLs: as files of this machine in whatever is done with them, and one line where they fail."""

import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from ripu_ray.config import dump_config, load_config
from ripu_ray.errors import ConfigError, InputError, RemoteError, StorageError
from ripu_ray.storage import remote
from ripu_ray.storage.files import digest, replace_file, replace_json, replace_text
from ripu_ray.storage.remote import RemotePath, check_readable, check_writable, locate
from tests.stores import VARIABLES


def _use(folder: Path) -> list[object]:
    """What can be seen of a folder that is worked with."""
    seen: list[object] = [folder.is_dir(), (folder / "a").exists()]
    replace_text(folder / "a" / "one.txt", "one\n")
    replace_text(folder / "a" / "one.txt", "another\nline\n")
    replace_json(folder / "a" / "b" / "two.json", {"two": 2})
    (folder / "a" / "empty").touch()
    pickled: Path = pickle.loads(pickle.dumps(folder / "a"))  # noqa: S301
    seen += [path.name for path in sorted(pickled.iterdir())]
    seen += [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.json"))]
    seen += [str(path.relative_to(folder)) for path in sorted(folder.glob("*/b/*"))]
    one = folder / "a" / "one.txt"
    seen += [one.read_text(), one.stat().st_size, digest(one), one.is_file(), one.is_dir(), one.with_suffix("").name]
    with one.open(encoding="utf-8") as file:
        seen += file.readlines()
    one.unlink()
    one.unlink(missing_ok=True)
    for fails in (one.unlink, one.read_bytes, lambda: list((folder / "none").iterdir())):
        with pytest.raises(FileNotFoundError):
            fails()
    return [*seen, one.exists(), (folder / "a").exists(), folder.is_dir()]


def test_a_bucket_is_used_like_a_folder(bucket: Path, tmp_path: Path) -> None:
    assert _use(bucket / "folder") == _use(tmp_path / "folder")
    assert str(bucket / "folder") == f"s3://{bucket.name}/folder"


def test_nothing_takes_a_url_for_a_file_of_this_machine() -> None:
    path = locate("s3://bucket/name")
    with pytest.raises(TypeError, match="s3://bucket/name: not a local file"):
        path.chmod(0o600)
    with pytest.raises(TypeError, match="not a local file"):
        path.rename("name")


def test_an_object_is_created_once(bucket: Path) -> None:
    path = bucket / "name"
    assert isinstance(path, RemotePath)
    path.put(b"first", "create")
    with pytest.raises(FileExistsError):
        path.put(b"second", "create")
    assert path.read_bytes() == b"first"


def test_what_is_not_written_to_its_end_does_not_appear(bucket: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"s3://.*/file: cannot be written \(No space left"):
        replace_file(bucket / "file", write)
    assert not (bucket / "file").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://key:secret@bucket/x", "s3://bucket/x: a URL with a user or password"),
        ("s3://", "s3://: expected a bucket and a folder"),
        ("s3://bucket/x?versionId=1", "expected a bucket and a folder"),
        ("nowhere://bucket/x", "nowhere://bucket/x: nowhere:// is not supported"),
        ("ftp://host/x", "ftp://host/x: ftp:// is not supported"),
        ("zip://x/y", "zip://x/y: zip:// is not supported"),
        ("memory://x/y", "memory://x/y: memory:// is not supported"),
        ("file://host/x", "expected file:// and an absolute path"),
    ],
)
def test_a_url_that_names_no_place_is_one_line(url: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        locate(url)
    assert str(caught.value).startswith(says) or says in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"data\.root"):
        load_config(None, ("data.dataset=folder", f"data.root={url}"))


def test_a_configuration_keeps_its_urls(tmp_path: Path) -> None:
    config = load_config(None, ("data.dataset=folder", "data.root=s3://bucket/data"))
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == config
    assert "root: s3://bucket/data\n" in dump_config(config)
    with pytest.raises(ConfigError, match=r"data\.cache: s3://bucket/x: expected a folder of this machine"):
        load_config(None, ("data.dataset=folder", "data.root=/data", "data.cache=s3://bucket/x"))
    assert locate("file:///data/my%20set") == Path("/data/my set")


def test_a_bucket_that_is_not_there_is_one_line(bucket: Path) -> None:
    check_writable(bucket / "new")
    assert list(bucket.iterdir()) == []
    for check in (check_writable, check_readable):
        with pytest.raises(InputError, match=r"^s3://no-such-bucket/x: The specified bucket does not exist"):
            check(locate("s3://no-such-bucket/x"))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Called with a port, `s3://` is there; until the test ends."""

    def point(port: int) -> None:
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        remote._filesystem.cache_clear()

    yield point
    remote._filesystem.cache_clear()


def test_a_store_that_does_not_answer_is_one_line(
    elsewhere: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_CHECK_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        elsewhere(server.getsockname()[1])
        with pytest.raises(InputError, match=r"^s3://bucket/x: no answer within 0\.5 s$"):
            check_writable(locate("s3://bucket/x"))


@pytest.mark.slow
def test_a_store_that_is_not_there_is_one_line(
    elsewhere: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    elsewhere(port)
    with pytest.raises(RemoteError, match=r"^s3://bucket/x: Could not connect to the endpoint URL"):
        locate("s3://bucket/x").read_bytes()
