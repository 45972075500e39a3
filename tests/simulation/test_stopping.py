"""Stopping rules, and the marker that states how a trial ended."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ripu_ray.config import StoppingConfig, load_config
from ripu_ray.config.registry import STOPPING_RULES
from ripu_ray.errors import ConfigError, RunFolderError
from ripu_ray.reporting.report import render
from ripu_ray.reporting.results import collect
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.grid import expand
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.stages import Ending
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.simulation.protocols import PoolSample
from ripu_ray.simulation.stopping import make_rule, records_signals, signals, stopping_rule
from tests.conftest import TINY
from tests.running import committed, execute_trial, ignore, run_all
from tests.tracking.records import RECORD

FOUR_ROUNDS = (*TINY, "cluster.scorers=0", "strategy.rounds=4")


def _history(*mious: float) -> list[RoundRecord]:
    return [replace(RECORD, round=number - 1, miou=miou) for number, miou in enumerate(mious)]


@pytest.mark.parametrize(
    ("mious", "stops"),
    [
        ((0.3,), False),
        ((0.3, 0.3), False),
        ((0.3, 0.4, 0.41), False),
        ((0.3, 0.4, 0.404), True),
        ((0.3, 0.4, 0.2), True),
        ((math.nan, math.nan, math.nan), False),  # without a label there is no mIoU
    ],
)
def test_small_gain_compares_the_last_two_rounds(mious: tuple[float, ...], stops: bool) -> None:
    rule = make_rule(StoppingConfig(rule="small_gain", min_gain=0.005))
    assert rule
    assert (rule.should_stop(_history(*mious)) is not None) == stops


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: 1 / 0, "after round 0: ZeroDivisionError: division by zero"),
        (lambda: True, "after round 0: expected None or one line, found True"),
        (lambda: "two\nlines", None),
        (lambda: "", None),
    ],
)
def test_a_rule_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[], object], says: str | None
) -> None:
    monkeypatch.setattr(STOPPING_RULES, "_parts", dict(STOPPING_RULES._parts))

    @stopping_rule("faulty")
    class Faulty:
        def __init__(self, stopping: StoppingConfig) -> None:
            if stopping.window == 9:
                raise KeyError("window")

        def should_stop(self, history: Sequence[RoundRecord]) -> object:
            return answer()

    with pytest.raises(ConfigError, match=r"^stopping\.rule faulty: KeyError: 'window'$"):
        make_rule(StoppingConfig(rule="faulty", window=9))
    rule = make_rule(StoppingConfig(rule="faulty"))
    assert rule
    if says:
        with pytest.raises(ConfigError, match=rf"^stopping\.rule faulty: {says}$"):
            rule.should_stop(_history(0.3, 0.4))
    else:
        assert rule.should_stop(_history(0.3, 0.4)) in (None, "two\\nlines")


def test_attributes_of_a_rule_may_be_set_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STOPPING_RULES, "_parts", dict(STOPPING_RULES._parts))

    @stopping_rule("made")
    class Made:
        def __init__(self, stopping: StoppingConfig) -> None:
            self.needs_signals = True
            self.rounds_needed = stopping.options["rounds"]

        def should_stop(self, history: Sequence[RoundRecord]) -> None: ...

    assert records_signals(StoppingConfig(rule="made", options={"rounds": 2}))
    with pytest.raises(
        ConfigError, match=r"^stopping\.rule made: rounds_needed: expected a whole number \('float' object"
    ):
        make_rule(StoppingConfig(rule="made", options={"rounds": 2.5}))


def test_the_uncertainty_of_sure_predictions_is_0() -> None:
    sure = PoolSample("image", np.zeros(9, np.uint8), -9e-6, 9)  # 9 pixels with p = 1: -log(1 + 1e-6) each
    assert signals([sure], [sure], 2) == {"kappa": 1.0, "changed": 0.0, "uncertainty": 0.0}
    rule = make_rule(StoppingConfig(rule="overall_uncertainty", max_uncertainty=0))
    assert rule and rule.should_stop(_signals(uncertainty=(0.0,))) is None


def test_a_rule_of_ones_own_ends_a_trial_and_the_marker_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STOPPING_RULES, "_parts", dict(STOPPING_RULES._parts))

    @stopping_rule("after_two")
    class AfterTwo:
        def __init__(self, stopping: StoppingConfig) -> None:
            self._rounds = 2

        def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
            return "two rounds are enough" if len(history) > self._rounds else None

    run = run_all(tmp_path / "run", load_config(None, (*FOUR_ROUNDS, "stopping.rule=after_two")))
    ((trial_id, trial),) = run.trials.items()
    folder = run.trial(trial_id)
    assert folder.num_committed() == 2
    assert folder.ending() == Ending(2, "two rounds are enough")
    assert run.is_finished(trial_id)
    assert run.startable() == []
    # The rounds that were run are those of a trial without a rule.
    whole = run_all(tmp_path / "whole", load_config(None, FOUR_ROUNDS))
    unstopped = committed(whole)
    assert all(unstopped[name] == content for name, content in committed(run).items())
    # A marker that was lost is written again, and the rest stays as it is.
    before, marker = committed(run), folder.path / "finished.json"
    content = marker.read_bytes()
    marker.unlink()
    assert not run.is_finished(trial_id)
    reports: list[Progress] = []
    records = execute_trial(run, trial_id, reports.append)
    assert (committed(run), marker.read_bytes()) == (before, content)
    left = records[-1].budget_pixels - records[-1].spent_pixels
    assert [report.note for report in reports if report.note] == [
        f"stopped after round 1: two rounds are enough; {left} pixels unspent"
    ]
    assert trial.config.strategy.rounds == 4
    assert left > 0


def test_the_marker_is_checked(tmp_path: Path) -> None:
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0")))
    (trial_id,) = run.trials
    folder = run.trial(trial_id)
    assert folder.ending() == Ending(2)
    # A round that is not committed any more is done again, whatever the marker says.
    before = committed(run)
    (folder.stage(1).path / "record.json").unlink()
    assert not run.is_finished(trial_id)
    execute_trial(run, trial_id, ignore)
    assert committed(run) == before
    marker = folder.path / "finished.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "rounds": 7}))
    with pytest.raises(RunFolderError, match=r"finished\.json: torn or altered"):
        RunFolder(run.path).is_finished(trial_id)


def test_an_unknown_rule_is_answered_with_all_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown stopping rule 'never': expected small_gain"):
        load_config(None, ["stopping.rule=never"])


def _signals(**values: tuple[float, ...]) -> list[RoundRecord]:
    """Records of a warm-up, which has no signals, and of rounds with these."""
    rounds = [dict(zip(values, each, strict=True)) for each in zip(*values.values(), strict=True)]
    return [replace(RECORD, round=-1), *(replace(RECORD, round=n, signals=each) for n, each in enumerate(rounds))]


@pytest.mark.parametrize(
    ("rule", "history", "stops"),
    [
        ("kappa_average", _signals(kappa=(1.0, 1.0, 1.0)), False),  # the first round is compared with the warm-up
        ("kappa_average", _signals(kappa=(0.2, 0.98, 1.0, 1.0)), True),
        ("kappa_average", _signals(kappa=(0.2, 0.98, 0.99, 0.99)), False),
        ("kappa_average", _signals(kappa=(0.2, 0.99, 0.99, 0.99)), True),
        ("overall_uncertainty", _signals(uncertainty=(0.2, 0.04)), True),
        ("overall_uncertainty", _signals(uncertainty=(0.2, 0.05)), False),
        ("classification_change", _signals(changed=(0.01,)), False),
        ("classification_change", _signals(changed=(0.5, 0.01)), True),
        ("classification_change", _signals(changed=(0.5, 0.02)), False),
    ],
)
def test_rules_without_labels_compare_with_their_limits(rule: str, history: list[RoundRecord], stops: bool) -> None:
    made = make_rule(StoppingConfig(rule=rule))
    assert made
    assert (made.should_stop(history) is not None) == stops


@pytest.mark.parametrize("rule", ["small_gain", "overall_uncertainty", "classification_change"])
def test_references_and_last_rounds_do_not_end_early(tmp_path: Path, rule: str) -> None:
    limits = ("stopping.min_gain=1", "stopping.max_uncertainty=1", "stopping.max_change=1", f"stopping.rule={rule}")
    arms = ("sweep.acquisitions=[ripu, full, source_only]", "strategy.rounds=1")
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0", *limits, *arms)))
    assert [run.trial(trial_id).ending() for trial_id in run.trials] == [Ending(1)] * 3
    settings = (*TINY, "cluster.scorers=0", *limits, "strategy.rounds=2")
    run = run_all(tmp_path / "two", load_config(None, settings))
    (trial_id,) = run.trials
    ending = run.trial(trial_id).ending()
    expected = (1, True) if rule == "overall_uncertainty" else (2, False)
    assert ending and (ending.rounds, bool(ending.reason)) == expected


def test_signals_are_recorded_and_end_a_trial(tmp_path: Path) -> None:
    plain = run_all(tmp_path / "plain", load_config(None, FOUR_ROUNDS))
    watched = run_all(tmp_path / "watched", load_config(None, (*FOUR_ROUNDS, "stopping.monitor=true")))
    (trial_id,) = plain.trials
    for number in range(4):
        before, after = (run.trial(trial_id).stage(number).read() for run in (plain, watched))
        assert replace(after, signals={}) == before
        assert set(after.signals) == {"kappa", "changed", "uncertainty"}
        assert -1 <= after.signals["kappa"] <= 1
        assert 0 < after.signals["uncertainty"] <= 1
    text = (plain.trial(trial_id).stage(0).path / "record.json").read_text()
    assert "signals" not in text
    # A lost record is written again with the same signals.
    expected = committed(watched)
    (watched.trial(trial_id).stage(3).path / "record.json").unlink()
    execute_trial(RunFolder(watched.path), trial_id, ignore)
    assert committed(watched) == expected
    settings = ("stopping.rule=classification_change", "stopping.max_change=1")
    run = run_all(tmp_path / "stopped", load_config(None, (*FOUR_ROUNDS, *settings)))
    ending = run.trial(trial_id).ending()
    assert ending
    assert ending.rounds == 2
    assert "changed the class of" in ending.reason
    last = collect(run).iloc[-1]
    assert (last["rounds"], last["stopped"]) == (2, True)
    assert last["labelled_share"] == 1 - last["void_pixels"] / last["spent_pixels"]
    report = render([run])
    assert "Trials that a stopping rule ended early" in report
    assert "Cohen&#39;s kappa" in report


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["stopping.rule=kappa_average"], ["stopping.rule kappa_average: ends no trial of fewer than 5 rounds"]),
        (["stopping.rule=kappa_average", "strategy.rounds=5"], []),
        (["stopping.rule=kappa_average", "stopping.window=1", "strategy.rounds=3"], []),
        (["stopping.rule=small_gain"], ["stopping.rule small_gain: ends no trial of fewer than 3 rounds"]),
        (["stopping.rule=overall_uncertainty"], []),
        (
            ["stopping.rule=overall_uncertainty", "stopping.max_change=0.5"],
            ["stopping.max_change has no effect"],
        ),
        (["stopping.min_gain=0", "stopping.images=9"], ["stopping.min_gain has no effect", "stopping.images has no"]),
        (["stopping.min_gain=0", "sweep.vary={stopping.rule: [null, small_gain], strategy.rounds: [2, 3]}"], []),
        (
            ["training.teacher_weight=2", "training.momentum=0"],
            ["training.teacher_weight has", "training.momentum has"],
        ),
        (["stopping.rule=small_gain", "strategy.acquisition=full"], []),
        (["oracle.answer=dominant", "sweep.modes=[pixel]"], ["oracle.answer has no effect on this trial"]),
        (["oracle.answer=dominant", "sweep.modes=[region, pixel]"], []),
        ([], []),
    ],
    ids=str,
)
def test_settings_that_can_do_nothing_are_named(settings: list[str], says: list[str]) -> None:
    notes: list[str] = []
    check_trials(expand(load_config(None, [*TINY, *settings])), notify=notes.append)
    assert len(notes) == len(says), notes
    assert all(note.startswith(begin) for note, begin in zip(sorted(notes), sorted(says), strict=True)), notes
