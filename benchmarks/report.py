"""Time of `ripu report` for a sweep of 500 trials, from the files on disk to the page.

The run folder is synthetic: its records have random numbers, so that no network is trained. It has weights and
purchases only where the report draws them. The time includes all that `ripu report` does after its imports.

`python -m benchmarks.report` takes a minute and prints, at the end,

    figure: report_500_trials_s <seconds>
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Config, load_config
from ripu_ray.core.metrics import iou, miou, pixel_accuracy
from ripu_ray.core.randomness import generator
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.models.networks import build_network
from ripu_ray.reporting.report import write_report
from ripu_ray.reporting.results import REPORT
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import Selection
from ripu_ray.runs.stages import Ending, StageFolder
from ripu_ray.storage.files import digest
from ripu_ray.training.checkpoint import TrainingState

GAIN = {"random": 0.20, "entropy": 0.18, "margin": 0.19, "uncertainty": 0.21, "ripu": 0.22, "source_only": 0.03}
REPEATS = 3


def main() -> None:
    """Measure and print."""
    flags = {
        "sweep.budgets": ["1", "2.2", "5", "10", "20"],
        "sweep.windows": [3, 9],
        "sweep.acquisitions": ["random", "entropy", "margin", "uncertainty", "ripu"],
        "sweep.seeds": list(range(10)),
    }
    with tempfile.TemporaryDirectory() as name:
        run = make_up(Path(name) / "run", load_config(None, ("tracking.wandb=disabled",), flags))
        taken, cpu = [], []
        for _ in range(REPEATS):
            start, start_cpu = time.perf_counter(), time.process_time()
            write_report([RunFolder(run.path)], run.path / REPORT)
            taken.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
        size = (run.path / REPORT).stat().st_size
    print(f"{len(run.trials)} trials, {size / 1e6:.1f} MB of HTML")
    for seconds, seconds_cpu in zip(taken, cpu, strict=True):
        print(f"{seconds:.1f} s, of them {seconds_cpu:.1f} s of a core")
    print(f"figure: report_500_trials_s {statistics.median(taken):.1f}")


def make_up(folder: Path, config: Config) -> RunFolder:
    """A run folder whose rounds look committed; trials of the first seed have weights and purchases, too."""
    run = RunFolder.create(folder, config)
    domains = open_domains(config.data, with_source=False)
    weights = folder / "weights.pt"
    network = build_network(config.model, domains.classes.num_classes, seed=0)
    TrainingState(network.state_dict(), {"state": {}, "param_groups": []}, 0).save(weights)
    first = next(iter(run.trials.values())).config.seed
    for key, warmup in run.warmups.items():
        stage = run.warmup(key)
        stage.path.mkdir(parents=True)
        stage.weights.hardlink_to(weights)
        _commit(stage, Trial("warm-up", warmup), -1, domains, {"train": 23.0, "evaluate": 0.5}, digest(weights))
    for trial_id, trial in run.trials.items():
        strategy = trial.config.strategy
        trial_folder = run.trial(trial_id)
        if trial.config.seed == first and not strategy.is_reference:
            ledger = Ledger(trial_folder.path, domains.pool.image_ids, strategy.window**2)
            for number in range(strategy.rounds):
                ledger.commit(number, [_selection(trial, number, image_id) for image_id in domains.pool.image_ids])
        for number in range(strategy.rounds):
            stage = trial_folder.stage(number)
            stage.path.mkdir(parents=True, exist_ok=True)
            if trial.config.seed == first:
                stage.weights.hardlink_to(weights)
            seconds = {"acquire": 0.1, "score": 0.7, "train": 9.0, "evaluate": 0.5}
            _commit(stage, trial, number, domains, seconds, digest(weights))
        trial_folder.finish(Ending(strategy.rounds))
    weights.unlink()
    return run


def _commit(
    stage: StageFolder, trial: Trial, number: int, domains: Domains, seconds: dict[str, float], sha256: str
) -> None:
    strategy, seed = trial.config.strategy, trial.config.seed
    total = sum(height * width for height, width in map(domains.pool.label_size, domains.pool.image_ids))
    done = (number + 1) / strategy.rounds
    share = 0.0 if number < 0 or strategy.acquisition == "source_only" else float(strategy.budget.value) / 100 * done
    rng = generator(seed, "record", trial.arm, number)
    gain = GAIN.get(strategy.acquisition, 0.28) * (1 - np.exp(-60 * share if share else -done))
    level = 0.38 + 0.03 * generator(seed, "start").normal() + float(gain) + 0.005 * rng.normal() * (number >= 0)
    names, chances = domains.classes.names, np.linspace(2, 0.2, domains.classes.num_classes)
    bought = rng.dirichlet(20 * chances) * share * total * 0.9
    confusion_CC = _confusion(level, len(names), rng)
    record = RoundRecord(
        round=number,
        step=300 + 60 * (number + 1),
        budget_pixels=int(total * float(strategy.budget.value) / 100),
        spent_pixels=int(total * share),
        void_pixels=int(total * share * 0.1),
        clipped_pixels=0,
        clicks=int(total * share / strategy.window**2),
        spent_share=share,
        miou=miou(confusion_CC),
        accuracy=pixel_accuracy(confusion_CC),
        iou=dict(zip(names, iou(confusion_CC).tolist(), strict=True)),
        losses={"total": 1.0},
        purchase_sha256="",
        weights_sha256=sha256,
        boundary_pixels=int(total * share / 20),
        annotation_s=total * share / 9,
        bought=dict(zip(names, bought.astype(int).tolist(), strict=True)),
    )
    stage.commit(record, seconds, confusion_CC)


def _confusion(level: float, num_classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Confusion counts whose mIoU is near `level`, with classes of different IoU."""
    easy_C = 0.25 * np.cos(np.arange(num_classes)) + 0.01 * rng.normal(size=num_classes)
    iou_C = np.clip(level + easy_C, 0.02, 0.98)
    right_C = 2 * iou_C / (1 + iou_C)  # with as many false positives as false negatives
    others_CC = np.random.default_rng(0).dirichlet(np.full(num_classes, 0.3), num_classes) * (1 - np.eye(num_classes))
    others_CC = others_CC / others_CC.sum(axis=1, keepdims=True) * (1 - right_C)[:, None]
    return np.asarray(100_000 * (np.diag(right_C) + others_CC)).astype(np.int64)


def _selection(trial: Trial, number: int, image_id: str) -> Selection:
    rng = generator(trial.config.seed, trial.arm, number, image_id)
    count = max(
        int(96 * 128 * float(trial.config.strategy.budget.value) / 100 / 5 / trial.config.strategy.window**2), 1
    )
    centres = np.stack([rng.integers(0, side, count) for side in (96, 128)], axis=1).astype(np.uint16)
    flat = np.zeros(count, np.uint32)
    class_pixels = np.array([[9 * count]], np.int64)
    return Selection(image_id, centres, flat.astype(np.float32), flat + 9, flat, flat, class_pixels)


if __name__ == "__main__":
    main()
