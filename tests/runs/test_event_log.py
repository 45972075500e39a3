"""The log of a run, and the heartbeat of a process."""

import json
import subprocess
import sys
from pathlib import Path

from ripu_ray.config import load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.runs.event_log import EventLog, Progress
from ripu_ray.training.heartbeat import Heartbeat, Place, join_places, name_suspects, read_place
from tests.conftest import TINY

WRITER = """
import sys
from pathlib import Path
from ripu_ray.runs.event_log import EventLog, Progress
events = EventLog(Path(sys.argv[1]), sys.argv[2], lambda progress: None)
for index in range(200):
    events(Progress(sys.argv[2], "train", 0, index, note="x" * 5000))
"""


def _log(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    log = _log(tmp_path)
    for name in "abc":
        assert [line["step"] for line in log if line["trial"] == name] == list(range(200))


def test_phases_and_notes_are_lines_and_everything_is_handed_on(tmp_path: Path) -> None:
    heard: list[Progress] = []
    events = EventLog(tmp_path, "one", heard.append)
    for step in (3, 4, 5):
        events(Progress("one", "train", 1, step))
    events.warn("a scorer died\n  of nothing")
    events(Progress("one", "evaluate", 1, 5))
    assert [report.step for report in heard] == [3, 4, 5, 5, 5]
    keys = ("level", "trial", "round", "phase", "step", "text")
    assert [tuple(line[key] for key in keys) for line in _log(tmp_path)] == [
        ("info", "one", 1, "train", 3, "train at step 3"),
        ("warning", "one", 1, "train", 5, "a scorer died of nothing"),
        ("info", "one", 1, "evaluate", 5, "evaluate at step 5"),
    ]


def test_what_a_full_disk_cut_off_is_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"time": "20')
    EventLog(tmp_path, "one", lambda _: None).warn("text")
    torn, whole = (tmp_path / "log.jsonl").read_text().splitlines()
    assert torn == '{"time": "20'
    assert json.loads(whole)["text"] == "text"


def test_a_trail_says_where_its_process_is(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "at.json"
    domains = open_domains(load_config(None, TINY).data)
    image_id = domains.pool.image_ids[2]
    with Heartbeat(path, "here") as heartbeat:
        watched = heartbeat.watch(domains)
        assert (watched.pool.image(image_id) == domains.pool.image(image_id)).all()
        assert (watched.pool.label(image_id) == domains.pool.label(image_id)).all()
        with heartbeat.at("a" * 300), heartbeat.at("b"):
            assert read_place(path) == Place("here", 0, ("a" * 300, "b"), ())
        heartbeat.compute(["c", "d"])
        heartbeat.count(7)
        assert read_place(path) == Place("here", 7, (), ("c", "d"))
    assert read_place(tmp_path / "nowhere") is None


def test_suspects_are_what_all_deaths_have_in_common() -> None:
    reading = [Place(reading=("a", "b"), batch=("x", "y")), Place(reading=("b",), batch=("x", "y"))]
    assert name_suspects(reading) == ", while reading b"
    computing = [Place(reading=("a",), batch=("x", "y")), Place(reading=(), batch=("x", "y"))]
    assert name_suspects(computing) == ", in a step on images x, y"
    assert name_suspects([Place(), Place(reading=("a",))]) == ""
    together = [Place("one", 3, ("a",), ("x",)), Place("two", 2, ("b",), ("y",))]
    assert join_places(together) == Place("one", 3, ("a", "b"), ("x", "y"))
