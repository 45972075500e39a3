"""The private interfaces of W&B that `wandb_internals` uses are as they were read."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import wandb
import wandb_workspaces.workspaces as workspaces

from ripu_ray.tracking.mode import ask_server
from ripu_ray.tracking.session import open_run
from ripu_ray.tracking.wandb_internals import (
    READ_FROM,
    SETTINGS,
    LocalRuns,
    keep_for_upload,
    read_entries,
    read_local_runs,
    specification,
)


def test_the_versions_are_those_that_were_read() -> None:
    for package, read in READ_FROM.items():
        assert version(package).startswith(f"{read}."), package


def test_the_private_settings_exist() -> None:
    assert wandb.Settings.model_fields.keys() >= SETTINGS.keys()


def test_programs_are_out_of_reach_of_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their end would set the sweep offline. Process group: the fifth field."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ngroup=$(cut -d' ' -f5 /proc/$$/stat)\necho $group\necho $group >&2\nexit $CODE\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("CODE", "0")
    (inspecting,) = read_entries(tmp_path / "x.wandb")
    monkeypatch.setenv("CODE", "1")
    asking, _, reason = ask_server().partition(": ")
    assert reason == asking
    assert os.getpgrp() not in {inspecting, int(asking)}


def test_a_local_run_has_the_files_and_entries_that_are_read(tmp_path: Path) -> None:
    run = open_run({"project": "wheat", "id": "field"}, tmp_path, is_online=False)
    folder = Path(run.dir).parent
    for step in (0, 2):
        run.log({"miou": 0.5}, step=step)
    run.finish()
    assert folder.parent == tmp_path / "wandb"
    assert folder.name.startswith("offline-run-")
    (file,) = folder.glob("*.wandb")
    entries = read_entries(file)
    steps = [entry["history"]["step"] for entry in entries if entry["type"] == "history"]
    assert [step.get("num", 0) for step in steps] == [0, 2]
    assert "exit" in {entry["type"] for entry in entries}
    assert read_local_runs(tmp_path) == LocalRuns(frozenset({0, 2}), is_pending=True)
    (folder / f"{file.name}.synced").touch()
    assert not read_local_runs(tmp_path).is_pending


def test_a_run_has_ended_wherever_its_exit_is(tmp_path: Path) -> None:
    run = open_run({"project": "wheat", "id": "field"}, tmp_path, is_online=False)
    run.log({"miou": 0.5}, step=0)
    run.finish()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    kinds = [entry["type"] for entry in read_entries(file)]
    # After 7 bytes, each entry is a chunk: a checksum of 4 bytes, the length in 2, the type in 1, and the content.
    content, chunks, start = file.read_bytes(), [], 7
    while start < len(content):
        end = start + 7 + int.from_bytes(content[start + 4 : start + 6], "little")
        chunks.append(content[start:end])
        start = end
    (ending,) = (chunk for chunk, kind in zip(reversed(chunks), reversed(kinds), strict=False) if kind == "exit")
    chunks.remove(ending)
    online = tmp_path / "wandb" / file.parent.name.removeprefix("offline-")
    file.parent.rename(online)
    for order, is_pending in (([*chunks[:-1], ending, chunks[-1]], False), (chunks, True)):
        (online / file.name).write_bytes(content[:7] + b"".join(order))
        assert read_local_runs(tmp_path) == LocalRuns(frozenset({0}), is_pending)


def test_the_folder_of_an_online_run_gets_the_name_of_an_offline_run(tmp_path: Path) -> None:
    online = tmp_path / "run-20260101_000000-field"
    online.mkdir()
    keep_for_upload(online)
    assert [path.name for path in tmp_path.iterdir()] == [f"offline-{online.name}"]


def test_a_workspace_gives_the_json_that_it_saves() -> None:
    workspace = workspaces.Workspace(entity="farm", project="wheat", name="field", sections=[])
    view = json.loads(specification(workspace))
    assert (view["displayName"], view["project"]) == ("field", "wheat")
    assert "panelBankConfig" in view["spec"]["section"]
