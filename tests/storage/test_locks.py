"""Locks of objects of a store: one holder at a time, and a dead holder is not waited for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from ripu_ray.errors import RunFolderError
from ripu_ray.runs.lock import lock_run
from ripu_ray.storage import locks as lease
from ripu_ray.storage.locks import FileHeldError, Release, Watch, hold_file
from ripu_ray.storage.remote import RemotePath


@pytest.fixture
def path(bucket: Path) -> Iterator[RemotePath]:
    """Of the object."""
    path = bucket / "lock.json"
    assert isinstance(path, RemotePath)
    yield path


def _unheard(text: str, seconds: float) -> None:
    """Drop a line."""


def hold_object(path: RemotePath, text: str, watch: Watch) -> AbstractContextManager[tuple[str | None, Release]]:
    """The lock of an object, which is not lost."""
    return hold_file(path, text, lambda text: True, watch, lambda: pytest.fail("lost"))


def test_it_is_held_until_the_block_ends(path: RemotePath) -> None:
    with hold_object(path, "first", _unheard) as (before, _):
        assert before is None
        assert path.read_text() == "first"
    assert not path.exists()


def test_a_holder_that_lives_is_not_disturbed(path: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.5)
    watched: list[str] = []
    with (
        hold_object(path, "first", _unheard),
        pytest.raises(FileHeldError, match="first"),
        hold_object(path, "second", lambda text, seconds: watched.append(text)),
    ):
        raise AssertionError("two hold it")
    assert watched == ["first"]


def test_of_many_who_find_a_dead_holder_one_gets_in(path: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE_S", 3.0)
    path.put(b"dead")
    with ExitStack() as held, ThreadPoolExecutor(4) as threads:

        def take(name: str) -> str:
            try:
                return str(held.enter_context(hold_object(path, name, _unheard))[0])
            except FileHeldError:
                return "refused"

        answers = list(threads.map(take, ("a", "b", "c", "d")))
    assert sorted(answers) == ["dead", "refused", "refused", "refused"]
    assert list(path.parent.iterdir()) == []


def test_a_run_in_a_bucket_is_locked_by_its_owner(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.5)
    says: list[str] = []
    with (
        lock_run(bucket / "run"),
        pytest.raises(RunFolderError, match=rf"^{bucket}/run: in use by process \d+ on "),
        lock_run(bucket / "run", says.append),
    ):
        raise AssertionError("two hold it")
    assert len(says) == 1
    assert "waiting 60 s for its heartbeat" in says[0]
