"""What the commands do: check, then one call, then print. What is wrong is said before torch and Ray are loaded."""

from pathlib import Path

import typer

from ripu_ray.config import Config, dump_config
from ripu_ray.distributed.capacity import check_capacity, local_cpus
from ripu_ray.simulation.grid import expand
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.tracking.mode import resolve_mode


def describe(config: Config, folder: Path) -> None:
    """Print the resolved configuration, the grid, and what it would cost."""
    _check(config)
    from ripu_cli.tables import print_cost

    typer.echo(dump_config(config))
    print_cost(config, folder)


def execute(config: Config, folder: Path) -> bool:
    """Run the sweep, write its results and print them. Returns whether a trial failed."""
    _check(config)
    from ripu_ray.simulation.run_folder import RunFolder

    run = RunFolder.create(folder, config)
    from ripu_cli.display import show_progress
    from ripu_cli.tables import print_outcome
    from ripu_ray.distributed.sweeping import run_alone, run_sweep
    from ripu_ray.reporting.figures import write_curves
    from ripu_ray.reporting.results import collect, write_csv

    needs_ray = len(run.trials) > 1 or config.cluster.scorers or config.cluster.train_workers
    with show_progress(run) as listen:
        failures = (run_sweep if needs_ray else run_alone)(run, listen)
    results = collect(run)
    if len(results):
        write_csv(run, results)
        write_curves(run, results)
    print_outcome(run, results, failures)
    return bool(failures)


def _check(config: Config) -> None:
    resolve_mode(config.tracking)
    if config.cluster.address is None:
        check_capacity(config.cluster, {"CPU": local_cpus(config.cluster), "GPU": float("inf")})
    check_trials(expand(config))
