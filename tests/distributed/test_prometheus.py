"""What a sweep counts comes out at Ray's own metrics endpoint, under the names that the dashboard asks for."""

import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from ripu_ray.config import load_config
from ripu_ray.distributed import scorers, sweeping
from ripu_ray.distributed.prometheus import METRICS, RoundMetrics
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.runs.event_log import OnProgress
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import PackedSelections
from ripu_ray.simulation import execution
from ripu_ray.simulation.execution import Parts
from ripu_ray.simulation.protocols import ScoreRequest
from tests.conftest import TINY
from tests.running import dying, execute_trial, ignore, run_all

DASHBOARD = Path(__file__).parents[2] / "configs/cluster/grafana.json"
DEADLINE_S = 120.0
"""Ray passes numbers on every few seconds, and later on a machine with much to do."""

Samples = dict[tuple[str, str, str], float]
"""Exported name, trial, and phase or kind -> value, summed over processes."""


def _expressions(tree: Any) -> list[str]:
    """Every query of a dashboard, wherever it stands."""
    if isinstance(tree, dict):
        own = [tree[key] for key in ("expr", "query") if isinstance(tree.get(key), str)]
        return own + [expression for value in tree.values() for expression in _expressions(value)]
    return [expression for item in tree for expression in _expressions(item)] if isinstance(tree, list) else []


def test_the_dashboard_asks_for_every_metric_and_no_other() -> None:
    expressions = _expressions(json.loads(DASHBOARD.read_text()))
    asked = {name for expression in expressions for name in re.findall(r"\bray_\w+", expression)}
    assert asked == {metric.exported for metric in METRICS}
    tags = {"sweep"}.union(*(metric.tags for metric in METRICS))
    for expression in expressions:
        labels = re.findall(r"(\w+)=~", expression) + re.findall(r"by \((\w+)\)", expression)
        assert set(labels) <= tags, expression


def _scrape(sweep: str) -> Samples:
    (node,) = ray.nodes()  # type: ignore[no-untyped-call]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with build_opener(ProxyHandler({})).open(url, timeout=30) as answer:
        text = answer.read().decode()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if labels.get("sweep") == sweep:
                key = sample.name, labels["trial"], labels.get("phase") or labels.get("kind", "")
                samples[key] = samples.get(key, 0) + sample.value
    return samples


def _scrape_until(sweep: str, expected: Samples) -> Samples:
    """What is served once all that is expected is, or when the time is over."""
    end = time.monotonic() + DEADLINE_S
    while True:
        samples = _scrape(sweep)
        if expected.items() <= samples.items() or time.monotonic() > end:
            return samples
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_a_sweep_is_read_back_from_the_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=1", "cluster.max_failures=1"), {"sweep.budgets": ["5", "9px"]})
    run = RunFolder.create(tmp_path / "metered", config)
    mortal, bereaved = run.trials
    graves = tmp_path / "graves"
    graves.mkdir()
    grave = graves / "trial"

    class Mortal(scorers.ScoringActor):
        def score(self, weights: Any, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
            if not (graves / "scorer").exists():
                (graves / "scorer").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().score(weights, round_index, requests)

    def execute(run: RunFolder, name: str, report: OnProgress, parts: Parts) -> None:
        if name == mortal:
            report = dying(report, grave)
        if name == bereaved:
            scorers.ScoringActor = Mortal  # type: ignore[misc]
        execution.execute_trial(run, name, report, parts)

    monkeypatch.setattr(sweeping, "execute_trial", execute)
    assert run_sweep(run, ignore) == {}
    # Of the trial that was killed, the last seconds may be lost: only what its second process did is certain. Of the
    # warm-up, which ends at once, all may be.
    stage = run.trial(bereaved).stage
    seconds = Counter(stage(0).seconds())
    seconds.update(stage(1).seconds())
    expected: Samples = {
        ("ray_ripu_images_scored_total", bereaved, ""): 10,
        ("ray_ripu_rounds_committed_total", bereaved, ""): 2,
        ("ray_ripu_spent_pixels_total", bereaved, ""): stage(1).record().spent_pixels,
        ("ray_ripu_failures_total", bereaved, "scorer"): 1,
        ("ray_ripu_failures_total", mortal, "trial"): 1,
    }
    samples = _scrape_until(run.name, expected)
    assert {key: samples.get(key) for key in expected} == expected
    for phase in ("acquire", "score", "train", "evaluate"):
        assert samples["ray_ripu_phase_seconds_total", bereaved, phase] == pytest.approx(seconds[phase])
    assert {key for key in samples if "failures" in key[0]} == {key for key in expected if "failures" in key[0]}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_rounds_that_were_committed_before_count_once(tmp_path: Path) -> None:
    run = run_all(tmp_path / "counted", load_config(None, (*TINY, "cluster.scorers=0")))
    (trial_id,) = run.trials
    (warmup,) = run.warmups
    # It hears of every round again, and finds nothing new.
    execute_trial(run, trial_id, ignore)
    folder = run.trial(trial_id)
    end = RoundMetrics(run.name, "end", first_round=1)
    for index in range(2):
        end.log_round(folder.stage(index).record(), {})
    bought = [folder.stage(index).record().spent_pixels for index in range(2)]
    expected: Samples = {
        ("ray_ripu_images_scored_total", trial_id, ""): 10,
        ("ray_ripu_rounds_committed_total", trial_id, ""): 2,
        ("ray_ripu_rounds_committed_total", warmup, ""): 1,
        ("ray_ripu_spent_pixels_total", trial_id, ""): bought[1],
        # Counted last: what came before it has come through, too.
        ("ray_ripu_spent_pixels_total", "end", ""): bought[1] - bought[0],
    }
    samples = _scrape_until(run.name, expected)
    assert {key: samples.get(key) for key in expected} == expected
    assert samples["ray_ripu_images_per_second", trial_id, ""] > 0
