"""A round through a real Label Studio, which is installed in an environment of its own.

`RIPU_LABEL_STUDIO=.../bin/label-studio` names its program; with `RIPU_LABEL_STUDIO=install` the test makes the
environment (1 GB; from 4 minutes to half an hour with the start). Its packages would replace some of ours
(docs/decisions/0007-annotation-formats.md). Without the variable, as in `.ci/run`, the test is skipped.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from ripu_ray.annotation.answering import answer
from ripu_ray.annotation.asking import AskedTrial, ask
from ripu_ray.annotation.exporting import export
from ripu_ray.config import load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.runs.run_folder import RunFolder
from tests.annotation.answers import write_labelstudio
from tests.conftest import TINY
from tests.running import execute_warmup, ignore

PROGRAM = os.environ.get("RIPU_LABEL_STUDIO")
RELEASE = "label-studio==1.23.2"
TOKEN = "0123456789abcdef0123456789abcdef01234567"


class Server:
    """The API of a server on loopback."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api"

    def call(self, path: str, tree: object = None) -> Any:
        """POST a tree, or GET without one."""
        content = None if tree is None else json.dumps(tree).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, content, headers), timeout=60) as answer:
            return json.load(answer)


@pytest.fixture
def program(tmp_path: Path) -> str:
    if PROGRAM != "install":
        return str(PROGRAM)
    place = tmp_path / "environment"
    for command in ((sys.executable, "-m", "venv", place), (place / "bin/pip", "install", "-q", RELEASE)):
        subprocess.run(list(map(str, command)), check=True)
    return str(place / "bin/label-studio")


@pytest.fixture
def server(tmp_path: Path, program: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "server"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path / "export"),
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
    }
    user = ("--username", "a@example.org", "--password", "only-in-a-test", "--user-token", TOKEN)
    place = ("--internal-host", "127.0.0.1", "--port", str(port), "--no-browser")
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen([program, "start", *place, *user], env=environment, stdout=log, stderr=log)
    try:
        started = Server(port)
        for _ in range(240):
            time.sleep(1)
            try:
                started.call("/projects/")
                break
            except URLError:
                assert process.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
        yield started
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not PROGRAM, reason="4 minutes or more, and 1 GB: RIPU_LABEL_STUDIO=install runs it")
def test_a_round_through_the_server_gives_the_labels_of_the_simulation(tmp_path: Path, server: Server) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0"))
    run = RunFolder.create(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0", "oracle.kind=human")))
    for key in run.warmups:
        execute_warmup(run, key, ignore)
    questions = ask(AskedTrial(run), 0, ignore, ray_parts())
    export(AskedTrial(run), questions, "labelstudio", tmp_path / "export")
    interface = (tmp_path / "export/labels.xml").read_text()
    project = server.call("/projects/", {"title": "ripu", "label_config": interface})["id"]
    imported = server.call(f"/projects/{project}/import", json.loads((tmp_path / "export/tasks.json").read_text()))
    assert imported["task_count"] == 5 and imported["prediction_count"] == 5
    truth = open_domains(config.data).pool.label
    (drawn,) = write_labelstudio(AskedTrial(run), questions, truth, tmp_path / "drawn")
    results = {
        task["data"]["image"].partition("=")[2].removeprefix("images/").removesuffix(".png"): task["annotations"][0]
        for task in json.loads(drawn.read_text())
    }
    tasks = server.call(f"/tasks/?project={project}&page_size=100&fields=all")["tasks"]
    for task in tasks:
        result = results[task["data"]["image_id"]]["result"]
        server.call(f"/tasks/{task['id']}/annotations/", {"result": result, "lead_time": 12.0})
    exported = server.call(f"/projects/{project}/export?exportType=JSON")
    (tmp_path / "answers.json").write_text(json.dumps(exported))
    outcome = answer(AskedTrial(run), [tmp_path / "answers.json"])
    assert (outcome.answered, outcome.partly, outcome.outside) == (len(questions), 0, {})
    asked = AskedTrial(run)
    for question, found in asked.answers.by_key.items():
        members = asked.regions(question[0]).members(*question[1:])
        np.testing.assert_array_equal(found.labels_M, truth(question[0])[members].ravel())
    assert sum(found.seconds for found in asked.answers.by_key.values()) == pytest.approx(5 * 12.0)
