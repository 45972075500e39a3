"""W&B's own variables, the ids of runs, and what `--dry-run` says about both."""

import shutil
from pathlib import Path

import pytest
import wandb
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import TrackingConfig, load_config
from ripu_ray.errors import ConfigError
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.identity import identify
from ripu_ray.tracking.mode import Decision, check_key, decide, describe_plan, go_offline
from ripu_ray.tracking.target import Target, check_variables, files_of, find_target
from tests.conftest import TINY
from tests.running import ignore, run_alone


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing of W&B is set."""
    for name in ("API_KEY", "MODE", "DISABLED", "PROJECT", "ENTITY", "DIR", "TAGS", "BASE_URL", "INIT_TIMEOUT"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _create(folder: Path, *settings: str) -> RunFolder:
    return RunFolder.create(
        folder, load_config(None, (*TINY[:-1], "tracking.images=0", "cluster.scorers=0", *settings))
    )


@pytest.mark.parametrize(
    ("variables", "settings", "says"),
    [
        ({}, {}, "W&B: offline (no key is known), in r/trials/TRIAL/wandb, for project ripu-ray"),
        ({"MODE": "offline"}, {}, "W&B: offline, in r/trials/TRIAL/wandb, for project ripu-ray"),
        ({"MODE": "dryrun"}, {}, "W&B: offline, in"),
        ({"MODE": "disabled"}, {}, "W&B: disabled, nothing is written"),
        ({"DISABLED": "true"}, {}, "W&B: disabled, nothing is written"),
        ({"MODE": "disabled"}, {"wandb": "offline"}, "W&B: offline, in"),
        ({"MODE": "offline"}, {"wandb": "disabled"}, "W&B: disabled"),
        ({"API_KEY": "k" * 40}, {}, "W&B: online if its server accepts the key, else offline, project ripu-ray, files"),
        (
            {"API_KEY": "k" * 40, "MODE": "online"},
            {},
            "W&B: online if its server accepts the key, else offline, project",
        ),
        ({"API_KEY": "k" * 40, "MODE": "offline"}, {}, "W&B: offline, in"),
        ({"PROJECT": "wheat", "ENTITY": "farm"}, {}, "for project farm/wheat"),
        ({"PROJECT": "wheat", "ENTITY": "farm"}, {"project": "ripu-ray"}, "for project farm/ripu-ray"),
        ({"PROJECT": "wheat", "ENTITY": "farm"}, {"entity": "team"}, "for project team/wheat"),
        ({"TAGS": "a, b,,"}, {}, "for project ripu-ray, tags a, b"),
        ({"DIR": "/tmp/w"}, {}, "in /tmp/w/r-TOKEN/TRIAL/wandb"),
        ({"TAGS": f"a,{'x' * 65}"}, {}, f"WANDB_TAGS: '{'x' * 65}': expected tags of at most 64 characters"),
        ({"MODE": "online"}, {}, "WANDB_MODE is online: expected a key in WANDB_API_KEY"),
        ({"MODE": "sometimes"}, {}, "WANDB_MODE is 'sometimes': expected online, offline or disabled"),
        ({"PROJECT": "a/b"}, {}, "WANDB_PROJECT is 'a/b': expected the name of a project"),
        ({"BASE_URL": "nonsense"}, {}, "WANDB_BASE_URL is 'nonsense': Input should be a valid URL"),
        ({"INIT_TIMEOUT": "soon"}, {}, "WANDB_INIT_TIMEOUT is 'soon': Input should be a valid number"),
        ({"RUN_ID": "a/b"}, {}, "a variable WANDB_... is wrong: Run ID cannot contain"),
        ({"BASE_URL": "nonsense", "MODE": "disabled"}, {}, "W&B: disabled, nothing is written"),
        ({"DIR": "/dev/null/w"}, {}, "WANDB_DIR is '/dev/null/w': /dev/null is not a folder"),
    ],
)
def test_variables_count_where_settings_say_nothing(
    variables: dict[str, str], settings: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    tracking = TrackingConfig(**settings)
    if not says.startswith(("W&B", "for ", "in ")):
        with pytest.raises(ConfigError, match=says.partition(":")[0]) as caught:
            check_key(tracking)
            check_variables(tracking)
            find_target(tracking, Path("r"))
        assert says in str(caught.value)
    else:
        assert says in describe_plan(tracking, Path("r"))
        flags = [f"--set=tracking.{name}={value}" for name, value in settings.items()]
        done = CliRunner().invoke(app, ["sweep", "--dry-run", "--name=r", "--output=.", *flags])
        assert says in done.stdout


def test_the_plan_of_a_job_says_what_is_sent_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROJECT": "wheat", "TAGS": "a", "MODE": "offline"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    done = CliRunner().invoke(app, ["sweep", "--dry-run", "--name=r", "--address=http://head:8265"])
    line = "W&B: offline, for project wheat, tags a; the key and the folder are those of the cluster"
    assert line in done.stdout


def test_a_resumed_run_stays_where_it_is(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROJECT": "wheat", "ENTITY": "farm", "TAGS": "a,b", "DIR": str(alone / "w")}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    run = _create(alone / "x/field", "tracking.wandb=offline")
    assert decide(run.config.tracking, run.path) == Decision("offline")
    first = find_target(run.config.tracking, run.path)
    assert first == Target("wheat", "farm", ("a", "b"), str(alone / "w"))
    go_offline(run.path, "why")
    for name in ("PROJECT", "ENTITY", "TAGS", "DIR"):
        monkeypatch.setenv(f"WANDB_{name}", "other")
    decide(run.config.tracking, run.path)
    assert find_target(run.config.tracking, run.path) == first
    assert find_target(TrackingConfig(project="own"), run.path).project == "own"


def test_w_and_b_s_files_are_in_its_folder_apart_from_those_of_other_runs(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = alone / "w/wandb/offline-run-20260101_000000-mine"
    foreign.mkdir(parents=True)
    (foreign / "run-mine.wandb").touch()
    monkeypatch.setenv("WANDB_DIR", "w")
    monkeypatch.setenv("WANDB_TAGS", "tagged")
    run = _create(alone / "field", "tracking.wandb=offline")
    assert not run_alone(run, ignore)
    (trial_id,) = run.trials
    folder = files_of(run, trial_id, run.trial(trial_id).path)
    assert folder.parent == alone / f"w/field-{run.token}"
    wandb.teardown()  # on a busy machine, W&B's service may write the file after the end of the run
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    assert b"tagged" in file.read_bytes()
    assert foreign.exists()
    assert not list(run.path.rglob("wandb"))


def test_no_two_runs_share_an_id_and_a_resumed_run_keeps_its_own(alone: Path) -> None:
    def ids(folder: Path, *names: str) -> list[str]:
        run = _create(folder)
        return [identify(run, name, "trial", {})["id"] for name in names]

    long = "x" * 150
    trials = ("rate=1e+30-s0", "rate=1e-30-s0", f"{long}-s0", f"{long}-s1")
    folders = ("a/one", "b/one", "one 1", "one-1")
    found = [one for folder in folders for one in ids(alone / folder, *trials)]
    assert len(set(found)) == len(found) == 16
    assert all(len(one) <= 128 for one in found)
    assert ids(alone / "a/one", *trials) == found[:4]
    shutil.move(alone / "a/one", alone / "moved")
    assert ids(alone / "moved", *trials) == found[:4]
