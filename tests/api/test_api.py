"""The Python interface: its list of names, its weight, what it returns, and the examples."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ripu_cli.main import app
from typer.testing import CliRunner

import ripu_ray as ripu
from ripu_ray.errors import ConfigError, InputError, StoppedError
from tests.conftest import TINY

ROOT = Path(__file__).parent.parent.parent
NAMES = [
    "REFERENCES",
    "Comparison",
    "Config",
    "DataOptions",
    "DataReport",
    "DatasetSection",
    "JobServer",
    "Ledger",
    "Network",
    "Observer",
    "Plan",
    "Progress",
    "Query",
    "Results",
    "RipuError",
    "RunFolder",
    "StopRequest",
    "__version__",
    "acquisition",
    "acquisition_names",
    "answer",
    "check_data",
    "compare",
    "convert_data",
    "dashboard",
    "dataset",
    "dump_config",
    "evaluate",
    "export_weights",
    "init_data",
    "is_job_server",
    "load_config",
    "locate",
    "name_folder",
    "network",
    "override",
    "plan",
    "query",
    "read_run",
    "report",
    "resume",
    "run",
    "run_config",
    "score_image",
    "select",
    "setting_keys",
    "start",
    "status",
    "stopping_rule",
    "submit",
    "submit_resume",
    "sweep",
    "sweep_config",
    "train",
    "versions",
]
SETTINGS = {
    key: json.loads(value) if value[0] in "[0123456789" or value == "null" else value
    for key, value in (s.split("=") for s in TINY)
}


def test_the_list_of_names_is_exported_and_documented() -> None:
    assert ripu.__all__ == NAMES
    assert set(NAMES) == {*ripu._MODULES, "__version__"}
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    for name in NAMES:
        part = getattr(ripu, name)
        assert isinstance(part, str) or part.__doc__
        assert f"`{name}" in page
    with pytest.raises(AttributeError, match="absent"):
        _ = ripu.absent


def test_the_import_is_light() -> None:
    code = "import sys, ripu_ray; ripu_ray.sweep, ripu_ray.acquisition, ripu_ray.load_config; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "ray", "pandas", "wandb"} & set(loaded)


def test_a_run_returns_its_results_and_resuming_repeats_nothing(tmp_path: Path) -> None:
    settings = SETTINGS | {"cluster.scorers": 0}
    seen: list[str] = []
    results = ripu.run(
        acquisition="entropy",
        budget=5,
        seed=3,
        name="a",
        output=tmp_path,
        settings=settings,
        on_progress=lambda progress: seen.append(progress.phase),
    )
    assert results.failures == {}
    assert results.trials == ("region-w3-entropy-b5-s3",)
    assert list(results.frame["round"]) == [-1, 0, 1]
    assert {"train", "score"} <= set(seen)
    assert list(results.curves["round"]) == [-1, 0, 1]
    assert (tmp_path / "a/report.html").exists()
    assert results.report(tmp_path / "other.html").read_text().startswith("<!DOCTYPE html>")
    purchases = ripu.Ledger.open(results.folder, results.trials[0]).to_frame()
    assert len(purchases) == results.frame["clicks"].iloc[-1]
    assert list(purchases.columns) == [
        "round", "image_id", "row", "col", "score", "pixels", "void_pixels", "boundary_pixels"
    ]  # fmt: skip
    with pytest.raises(ripu.RipuError, match="no trial other"):
        ripu.Ledger.open(results.folder, "other")

    empty = ripu.Results(ripu.RunFolder.create(tmp_path / "empty", ripu.run_config(settings=settings)).path)
    assert list(empty.curves) == list(results.curves) and not len(empty.curves)
    before = (tmp_path / "a/log.jsonl").read_bytes()
    again = ripu.resume(tmp_path / "a")
    assert again.frame.equals(results.frame)
    assert (tmp_path / "a/log.jsonl").read_bytes() == before
    config = ripu.load_config(tmp_path / "a/config.yaml")
    assert ripu.run(config, name="a", output=tmp_path).frame.equals(results.frame)
    with pytest.raises(ConfigError, match="unknown acquisition 'absent'"):
        ripu.run(config, acquisition="absent", name="b", output=tmp_path)
    assert not (tmp_path / "b").exists()

    (arm,) = results.arms.to_dict("records")
    assert (arm["seeds"], arm["planned"], arm["miou_mean"]) == (1, 1, results.frame["miou"].iloc[-1])
    assert set(results.files) == {"results.csv", "curves.png", "report.html"}
    assert ripu.compare(results.folder, results.folder).answer == "equal in every purchase and every mIoU"
    weights = ripu.export_weights(results.folder, tmp_path / "w.safetensors")
    assert ripu.evaluate(weights, config).miou == pytest.approx(results.frame["miou"].iloc[-1])
    plan = ripu.plan(ripu.sweep_config(config, budgets=[2, 5], acquisitions="ripu,random"), tmp_path / "c")
    assert (len(plan.trials), plan.num_warmups, (tmp_path / "c").exists()) == (4, 1, False)
    checked = ripu.check_data(config)
    assert ([split.name for split in checked.splits], checked.faults) == (["source", "pool", "validation"], ())


def test_one_image_is_scored_and_selected_as_in_a_run() -> None:
    logits_CHW = torch.randn(5, 12, 18, generator=torch.Generator().manual_seed(1))
    score_HW = ripu.score_image(logits_CHW.numpy(), (24, 36), "ripu", window=5)
    assert score_HW.dtype == np.float32
    assert score_HW.shape == (24, 36)
    mirrored_CHW, size = logits_CHW.flip(2).numpy()[:, :, ::-1], (np.int64(24), np.int64(36))
    for alike in (mirrored_CHW, logits_CHW.numpy().astype(">f4"), logits_CHW.to_sparse()):
        assert np.array_equal(ripu.score_image(alike, size, "ripu", window=5, seed=np.int64(0)), score_HW)
    centres = ripu.select(score_HW, budget=10, window=5)
    assert tuple(centres[0]) == np.unravel_index(score_HW.argmax(), score_HW.shape)
    covered = np.zeros(score_HW.shape, int)
    for row, col in centres:
        covered[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3] += 1
    assert covered.max() == 1
    assert covered.sum() <= 0.1 * covered.size < covered.sum() + 25
    more = ripu.select(score_HW, budget=20, window=5, before=centres)
    assert len(more) >= len(centres) - 1
    assert not {map(tuple, more)} & {map(tuple, centres)}


class _Place:
    """A path of another class than pathlib's."""

    def __init__(self, path: str | bytes) -> None:
        self._path = path

    def __fspath__(self) -> str | bytes:
        return self._path


def test_numbers_of_numpy_and_paths_of_any_class_are_taken(tmp_path: Path) -> None:
    config = ripu.sweep_config(
        _Place(str(ROOT / "configs" / "demo.yaml")),  # type: ignore[arg-type]
        budgets=np.array(2.2, np.float32),
        seeds=np.array(3),
        windows=torch.tensor([3, 9]),
        vary={"data.shift": np.array([0, 1]), "model.options": [{"width": np.int64(8)}]},  # type: ignore[dict-item]
    )
    sweep = config.sweep
    assert ([*map(str, sweep.budgets)], sweep.seeds, sweep.windows) == (["2.2"], (3,), (3, 9))
    assert sweep.vary == {"data.shift": (0, 1), "model.options": ({"width": 8},)}
    changed = {"data.size": np.array([32, 48]), "model.init_from": _Place("w.pt"), "model.options": {"a": np.ones(2)}}
    config = ripu.override(config, {"sweep": {}, "model.name": "factory", "model.factory": "a:b", **changed})
    assert (config.data.model_dump()["size"], config.model.options) == ((32, 48), {"a": [1.0, 1.0]})
    assert str(config.model.init_from) == "w.pt"
    folder: Any = _Place(str(tmp_path / "absent"))
    for call in (ripu.Results, ripu.status, ripu.report, ripu.read_run, lambda place: ripu.compare(place, place)):
        with pytest.raises(InputError, match="absent: not a run folder"):
            call(folder)
    with pytest.raises(InputError, match="absent: not a run folder"):
        ripu.export_weights(tmp_path / "absent", round_index=np.int64(0))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"oracle\.kind is simulated"):
        ripu.query(tmp_path / "absent", np.int64(0), config=ripu.load_config())  # type: ignore[arg-type]
    assert not ripu.is_job_server(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ripu.score_image(np.zeros((4, 5), np.float32)), "expected .C, h, w. floats"),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.int64)), "expected .C, h, w. floats"),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), acquisition="full"), "acquisition full"),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), window=4), "window 4: expected an odd"),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), options={"a": 1}), "options: expected none"),
        (lambda: ripu.select(np.zeros((2, 4, 5), np.float32)), "expected .H, W."),
        (lambda: ripu.select(np.zeros((4, 5), np.float32), budget=0), "budget '0'"),
        (lambda: ripu.select(np.zeros((4, 5), np.float32), budget=100, window=5), "window: expected at most 4 in 4x5"),
        (lambda: ripu.sweep(budgets="0"), "budget '0'"),
        (lambda: ripu.sweep("absent.yaml"), "absent.yaml: cannot be read"),
        (lambda: ripu.sweep(ripu.load_config(), plugins=["x"]), "plugins"),
        (lambda: ripu.score_image("x"), "logits: expected .C, h, w. floats"),
        (lambda: ripu.score_image([[1.0, 2.0], [1.0]]), "logits: expected .C, h, w. floats"),
        (lambda: ripu.score_image(np.zeros((1, 4, 5), np.float32)), "C of 2 to 255, found .1, 4, 5."),
        (lambda: ripu.score_image(np.zeros((2, 0, 5), np.float32)), "C of 2 to 255, found .2, 0, 5."),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), (4,)), "size: expected .H, W. in pixels"),  # type: ignore[arg-type]
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), (0, 4)), "size: expected .H, W. in pixels"),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), np.array([4])), "size: expected .H, W. in pixels"),  # type: ignore[arg-type]
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), (True, True)), "size: expected .H, W. in pixels"),
        (lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), seed=-1), "seed: expected a whole .* found -1$"),
        (
            lambda: ripu.select(np.zeros((4, 5), np.complex64)),
            "score: expected .H, W. numbers, found .4, 5. torch.compl",
        ),
        (lambda: ripu.select(np.zeros((4, 5), np.float32), before=[[1], [1, 2]]), "before: expected .N, 2. centres"),
        (lambda: ripu.load_config(settings={"seed": 1}), "settings: expected texts, found {'seed': 1}"),  # type: ignore[arg-type]
        *(
            (call, "expected an Observer and DataOptions, found 3")
            for call in (
                lambda: ripu.start(ripu.load_config(), "x", 3),  # type: ignore[arg-type]
                lambda: ripu.plan(ripu.load_config(), "x", 3),  # type: ignore[arg-type]
                lambda: ripu.submit(ripu.load_config(), "x", observer=3),  # type: ignore[arg-type]
                lambda: ripu.answer("x", [], observer=3),  # type: ignore[arg-type]
            )
        ),
        (
            lambda: ripu.score_image(np.zeros((2, 4, 5), np.float32), acquisition="bald"),
            "bald: needs dropout of a network",
        ),
        (lambda: ripu.select(np.ma.masked_less(np.eye(4), 1)), "score: expected .H, W. numbers, found a masked array"),
        (lambda: ripu.select(np.zeros((0, 5), np.float32)), "score: expected .H, W. numbers, found .0, 5."),
        (lambda: ripu.select(np.zeros((4, 5), np.float32), before=[[1, 2, 3]]), "before: expected .N, 2. whole rows"),
        (lambda: ripu.select(np.zeros((4, 5), np.float32), before=[[4, 0]]), "before: .* within 4x5"),
        (lambda: ripu.select(np.zeros((4, 5), np.float32), before=[[0.5, 0]]), "before: expected .N, 2. whole rows"),
        (lambda: ripu.sweep(budgets=float("nan")), "budget 'nan'"),
        (lambda: ripu.sweep(settings=3), "settings: expected texts, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.sweep(settings={3: 4}), "settings: expected dotted keys, found 3"),  # type: ignore[dict-item]
        (lambda: ripu.sweep(vary=3), "vary: expected texts, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.sweep(plugins="absent"), "plug-in absent: no file absent.py"),
        (lambda: ripu.sweep({"seed": 1}), "expected a path or a URL, found {'seed': 1}"),  # type: ignore[arg-type]
        (lambda: ripu.load_config(3), "expected a path or a URL, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.load_config(settings=[3]), "settings: expected texts, found .3."),  # type: ignore[list-item]
        (lambda: ripu.load_config(flags=[1]), "flags: expected dotted keys and values, found .1."),  # type: ignore[arg-type]
        (lambda: ripu.override(ripu.load_config(), {3: 1}), "values: expected dotted keys, found 3"),  # type: ignore[dict-item]
        (lambda: ripu.override(3, {}), "config: expected a Config, as of load_config, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.dump_config(3), "config: expected a Config, as of load_config, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.JobServer(3), "--address 3: expected the cluster's job server"),  # type: ignore[arg-type]
        (lambda: ripu.start(3, "x"), "config: expected a Config, as of load_config, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.plan("x.yaml", "x"), "config: expected a Config, as of load_config"),  # type: ignore[arg-type]
        (lambda: ripu.submit(None, "x"), "config: expected a Config, as of load_config"),  # type: ignore[arg-type]
        (lambda: ripu.RunFolder("absent"), "absent: not a run folder"),
        (lambda: ripu.StopRequest.of(3), "expected a path or a URL, found 3"),  # type: ignore[arg-type]
        (lambda: ripu.export_weights("absent", round_index="1"), "round_index: expected a whole"),  # type: ignore[arg-type]
        (lambda: ripu.query("absent", "0"), "round_index: expected a whole number, found '0'"),  # type: ignore[arg-type]
        (lambda: ripu.query("absent", True), "round_index: expected a whole number, found True"),
        (lambda: ripu.export_weights("absent", round_index=True), "round_index: expected a whole number, found True"),
        (lambda: ripu.status(_Place(b"x")), "expected a path or a URL, found <"),  # type: ignore[arg-type]
        (lambda: ripu.status(""), "expected a path or a URL, found ''"),
        (lambda: ripu.sweep_config(settings=(text for text in ["sed=1"])), "sed: unknown key"),
        (lambda: ripu.run(name=3), "name 3: expected a name"),  # type: ignore[arg-type]
        (lambda: ripu.run(on_progress=3), "on_progress: expected a function"),  # type: ignore[arg-type]
        (lambda: ripu.resume("absent"), "absent: not a run folder"),
        (lambda: ripu.report([]), "folders: expected at least one"),
        (lambda: ripu.submit(ripu.load_config(), "x"), "cluster.address None: expected the cluster's job server"),
    ],
)
def test_wrong_arguments_are_one_line(call: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        call()  # type: ignore[operator]
    assert "\n" not in str(error.value)


def test_a_stop_of_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ripu.RipuError, match=r"absent/stop: cannot be written \(No such file"):
        ripu.StopRequest.of(tmp_path / "absent").make()


def test_a_stop_ends_one_start_alone(tmp_path: Path) -> None:
    stop = ripu.StopRequest.of(tmp_path / "a")
    with pytest.raises(StoppedError):
        settings = SETTINGS | {"cluster.scorers": 0}
        ripu.run(name="a", output=tmp_path, settings=settings, on_progress=lambda progress: stop.make())
    assert not stop.is_made()
    stop.make()  # as of a process that was killed before it withdrew the request
    assert list(ripu.resume(tmp_path / "a").frame["round"]) == [-1, 0, 1]
    assert not stop.is_made()


def test_there_are_five_examples() -> None:
    assert len(list((ROOT / "examples").glob("*.py"))) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "examples").glob("*.py"))])
def test_each_example_runs(name: str, tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / f"examples/{name}.py")]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    for run in tmp_path.glob("runs/*"):  # read without the program, whose parts are known by name; resumed only by it
        assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
        resumed = CliRunner().invoke(app, ["sweep", "--resume", str(run), "--dry-run"])
        assert resumed.exit_code == (2 if name.startswith("own_") else 0), resumed.output
        assert (
            not resumed.exit_code
            or f"was registered by the program {program[1]}: resume the run from it" in resumed.output
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_in_a_thread_in_an_event_loop_and_in_a_ray_of_the_user(tmp_path: Path) -> None:
    """A Ray that a thread started ends with the thread: Linux tells its processes. A Ray of the user stays."""
    settings = [*TINY, "strategy.rounds=1", "cluster.scorers=1"]
    code = f"""
import asyncio, threading, time
import ray, ripu_ray as ripu

def run(start, name):
    print(start(name=name, output={str(tmp_path)!r}, settings={settings!r}).failures)

async def notebook():
    ticks = asyncio.create_task(asyncio.sleep(0))
    run(ripu.run, "b")
    await ticks

class Counter:
    def __init__(self):
        self.count = 0
    def add(self):
        self.count += 1
        return self.count

if __name__ == "__main__":
    thread = threading.Thread(target=run, args=(ripu.run, "a"))
    thread.start(); thread.join(); time.sleep(2)
    asyncio.run(notebook())
    ray.shutdown()
    ray.init(address="local", num_cpus=2, include_dashboard=False)
    counter = ray.remote(num_cpus=0)(Counter).remote()
    before = ray.get(counter.add.remote())
    run(ripu.sweep, "c")
    print(before, ray.get(counter.add.remote()), ray.get(ray.remote(num_cpus=2)(lambda: "free").remote(), timeout=60))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=560, check=False)
    assert (done.stdout, done.returncode) == ("{}\n{}\n{}\n1 2 free\n", 0), done.stderr


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "examples/quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (tmp_path / "runs/quickstart/report.html").exists()


@pytest.mark.slow
def test_a_plugin_reaches_every_process_and_libraries_are_not_replaced(tmp_path: Path) -> None:
    """Files named like libraries lie in the working directory, whose own acquisition function is used over Ray."""
    (tmp_path / "mine.py").write_text(
        "import ripu_ray\n\n@ripu_ray.acquisition('mine')\n"
        "def mine(maps, query):\n    return query.mean(maps.entropy_HW)\n"
    )
    for library in ("wandb", "numpy", "pandas", "torch", "matplotlib", "ray"):
        (tmp_path / f"{library}.py").write_text("raise SystemExit('replaced')")
    flags = [
        flag
        for setting in (*TINY, "tracking.wandb=offline", "strategy.rounds=1", "cluster.train_workers=1")
        for flag in ("--set", setting)
    ]
    ripu_command = str(Path(sys.executable).with_name("ripu"))
    arguments = ["sweep", *flags, "--plugin", "mine", "--acquisitions", "mine", "--name", "a"]
    done = subprocess.run(
        [ripu_command, *arguments],
        cwd=tmp_path,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    entropy = ripu.run(
        acquisition="entropy",
        name="b",
        output=tmp_path / "runs",
        settings=SETTINGS | {"strategy.rounds": 1, "cluster.scorers": 0},
    )
    # The same order of scores as `entropy`, so the same purchases.
    mine, theirs = (
        ripu.Ledger.open(results.folder, *results.trials).to_frame().drop(columns="score")
        for results in (ripu.Results(tmp_path / "runs/a"), entropy)
    )
    assert mine.equals(theirs)
