"""The tables that a sweep ends with, from a real run folder."""

import re
import shutil
from pathlib import Path

import pytest
from ripu_cli.display import new_table, text_console
from ripu_cli.tables import print_outcome

import ripu_ray as ripu
from ripu_ray.config import load_config
from ripu_ray.reporting.results import collect
from ripu_ray.reporting.statistics import compare, outcomes, summarise
from ripu_ray.reporting.summary import arms_in_markdown
from ripu_ray.runs.grid import expand
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.estimate import weights_bytes
from tests.conftest import TINY
from tests.running import run_all


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    flags = {"sweep.acquisitions": ["random", "ripu", "full"], "sweep.seeds": [0, 1]}
    return run_all(tmp_path_factory.mktemp("runs") / "r", load_config(None, (*TINY, "cluster.scorers=0"), flags))


def _rows(run: RunFolder, capsys: pytest.CaptureFixture[str], each: bool = False) -> list[list[str]]:
    """The cells of the printed table."""
    print_outcome(ripu.Results(run.path), each)
    table = capsys.readouterr().out.partition("mIoU in per cent")[0]
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip() and "─" not in line]


def test_the_commands_of_wandb_can_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder.create(tmp_path / "a b", load_config(None, TINY))
    (run.path / "trials/one/wandb/offline-run-1").mkdir(parents=True)
    print_outcome(ripu.Results(run.path))
    line = capsys.readouterr().out.splitlines()[-1]
    assert f"wandb sync '{run.path}'/trials/*/wandb/offline-run-* " in line
    assert line.endswith(f"wandb leet '{run.path}/trials'/TRIAL/wandb")


def test_a_row_for_each_arm_or_each_trial(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = _rows(run, capsys)
    assert head == ["budget", "strategy", "seeds", "start", "mIoU", "against random", "spent", "labelled", "clicks"]
    finished = outcomes(collect(run))
    means = summarise(finished).set_index("strategy")
    (pair,) = compare(finished, "miou").to_dict("records")
    by_name = {row[1]: row for row in rows}
    shares = finished["labelled_share"]
    by_arm = dict(iter(shares.groupby(finished["acquisition"])))
    assert list(by_name) == ["random", "ripu", "full"]
    for name, row in by_name.items():
        assert row[2] == "2"
        assert f"{100 * means['miou_mean'][name]:.1f} ± {100 * means['miou_std'][name]:.1f}" in row
        assert row[-2] == f"{100 * by_arm[name].mean():.1f} %"
    interval = f"{100 * pair['low']:.1f} to {100 * pair['high']:.1f}"
    assert by_name["ripu"][5] == f"{100 * pair['difference']:+.1f} ({interval})"
    assert by_name["full"][0] == "-"
    assert [row[-2] for row in _rows(run, capsys, each=True)][:2] == ["labelled", f"{100 * shares.iloc[0]:.1f} %"]
    assert len(_rows(run, capsys, each=True)) == 1 + 6
    lines = arms_in_markdown(ripu.Results(run.path).arms).splitlines()
    cells = [line.strip("|").split("|") for line in (lines[0], *lines[2:])]
    assert [[cell.strip() for cell in row if cell.strip()] for row in cells] == [head, *rows]


def test_unfinished_arms_say_how_many_seeds_they_have(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy"))
    (copy.trial("region-w3-ripu-b5-s1").stage(1).path / "record.json").unlink()
    shutil.rmtree(copy.trial("region-w3-random-b5-s0").path)
    shutil.rmtree(copy.trial("region-w3-random-b5-s1").path)
    by_name = {row[1]: row for row in _rows(copy, capsys)}
    assert by_name["ripu"][2] == "1 of 2"
    assert by_name["random"][2] == "0 of 2"
    assert "nan" not in str(by_name)


@pytest.mark.parametrize("columns", [0, 40, 80, 200])
@pytest.mark.parametrize("each", [False, True])
def test_no_number_and_no_path_is_broken_on_a_narrow_terminal(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, each: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # for rich, standard output is a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    results = ripu.Results(run.path)
    print_outcome(results, each)
    out = capsys.readouterr().out
    words = {*re.sub(r"\x1b\[\w+", "", out).split()}
    last = results.frame.groupby("trial").last()
    arms = {word for row in results.arms_table for cell in row.values() for word in cell.split()}
    trials = {*last["clicks"].map(str), *(100 * last["miou"]).map("{:.1f}".format)}
    assert (trials if each else arms) <= words
    assert {str(run.path), *run.config.sweep.acquisitions} <= words


@pytest.mark.parametrize("columns", [30, 60, 70, 78, 79, 80, 81, 90, 100, 200])
def test_columns_of_unequal_headers_are_cut_nowhere(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The classes of three splits, as `ripu data check` shows them."""
    table = new_table("class")
    for split in ("source", "pool", "validation"):
        table.add_column(f"{split}: pixels %", justify="right", overflow="fold")
        table.add_column("images %", justify="right", overflow="fold")
    table.add_row("pedestrian", "16.480", "99.8", "20.715", "100.0", "22.880", "97.4")
    console = text_console()
    console.width = columns
    console.print(table)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert {"pedestrian", "16.480", "100.0", "22.880", "97.4", "validation:", "%"} <= {*" ".join(lines).split()}


def test_the_size_of_the_weights_is_known_before(run: RunFolder) -> None:
    expected = weights_bytes(expand(run.config))
    files = [path.stat().st_size for path in run.path.rglob("weights.pt")]
    assert len(files) == 2 + 2 * 2 * 2 + 2
    assert expected == pytest.approx(sum(files), rel=0.3)
