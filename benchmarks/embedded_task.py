"""Source-only, full supervision, RIPU and random on the embedded task, over paired seeds.

`python -m benchmarks.embedded_task [SEEDS]` (5 by default; about 3 minutes a seed on 2 cores) prints a table and

    figure: gap_points <mIoU points of full supervision over source-only>
    figure: gap_closed <share of that gap that RIPU closes at 2.2 %>
    figure: ripu_minus_random_points <mean over the seeds, at equal spent pixels>
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from ripu_ray.config import Config, load_config
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.reporting.results import collect
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.run_folder import RunFolder

QUIET = ("tracking.wandb=disabled",)


def main(num_seeds: int) -> None:
    """Measure and print."""
    seeds = list(range(num_seeds))
    flags = {"sweep.acquisitions": ["ripu", "random", "full"], "sweep.seeds": seeds}
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame(_last_miou(_run(Path(folder) / "strategies", load_config(None, QUIET, flags))))
    points = 100 * table
    print(points.round(1).to_string())
    print(points.agg(["mean", "std"]).round(2).to_string())
    gap = points["full"] - points["source-only"]
    closed = (points["ripu"] - points["source-only"]) / gap
    print(f"figure: gap_points {gap.mean():.1f}")
    print(f"figure: gap_closed {closed.mean():.3f}")
    print(f"figure: ripu_minus_random_points {(points['ripu'] - points['random']).mean():.2f}")


def _run(folder: Path, config: Config) -> pd.DataFrame:
    run = RunFolder.create(folder, config)
    failures = run_sweep(run, _print)
    assert not failures, failures
    return collect(run)


def _last_miou(results: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    by_seed = results.set_index("seed")
    last = results.groupby("trial", sort=False).tail(1).set_index("seed")
    start = by_seed[(by_seed["round"] == -1) & (by_seed["acquisition"] == "ripu")]
    return {
        "source-only": start["miou"],
        **{str(name): rows["miou"] for name, rows in last.groupby("acquisition")},
        **{f"spent {name} %": rows["spent_share"] for name, rows in last.groupby("acquisition")},
    }


def _print(progress: Progress) -> None:
    if progress.phase in ("done", "failed"):
        print(progress.trial_id, [round(100 * miou, 1) for miou in progress.miou], flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
