"""What is logged to W&B for a round: numbers by key, and pictures with masks (docs/wandb.md lists them)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Budget
from ripu_ray.core.metrics import IGNORE_LABEL, aubc
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.record import RoundRecord
from ripu_ray.simulation.inspection import Examples
from ripu_ray.training.job import Measurement

AXIS = "spent_share"
"""The x-axis of every panel: strategies are compared at equal cost."""
TRAINING_AXIS = "train/step"
"""The x-axis of what is measured of training: optimiser updates since the start of the warm-up."""
CONFUSION = "confusion_matrix"
"""The key of the confusion matrix."""
COSTS = ("spent_pixels", "clicks", "boundary_pixels", "annotation_s")
"""Columns of the other x-axes."""
_PLAIN = ("round", "step", AXIS, *COSTS, "void_pixels", "clipped_pixels", "miou", "accuracy")
_LARGEST_SIDE = 1024
_WINDOWS = {0: "not bought", 1: "bought before", 2: "bought in this round"}


def numbers(records: Sequence[RoundRecord], seconds: Mapping[str, float], budget: str) -> dict[str, float]:
    """The numbers of the last record by W&B key.

    Args:
        records: records of the warm-up and all rounds so far.
        seconds: durations of the last round's phases.
        budget: budget of the trial; a second key for the mIoU contains it, so that each budget has its own panel.
    """
    record = records[-1]
    area = aubc([each.spent_share for each in records], [each.miou for each in records])
    measured = {name: getattr(record, name) for name in _PLAIN} | {budget_key(budget): record.miou, "aubc": area}
    return {
        **{name: value for name, value in measured.items() if not np.isnan(value)},
        **{f"iou/{name}": value for name, value in record.iou.items() if value is not None},
        **{f"bought/{name}": value for name, value in record.bought.items()},
        **({} if record.labelled_share is None else {"labelled_share": record.labelled_share}),
        **{f"stopping/{name}": value for name, value in record.signals.items()},
        **{f"loss/{name}": value for name, value in record.losses.items()},
        **{f"seconds/{name}": value for name, value in seconds.items()},
    }


def training_numbers(measured: Measurement) -> dict[str, float]:
    """A measurement of training by W&B key."""
    return {TRAINING_AXIS: measured.step, **{f"train/{name}": value for name, value in measured.numbers.items()}}


def summary(records: Sequence[RoundRecord]) -> dict[str, float]:
    """What W&B's table of runs shows for a trial: the last values, and the best mIoU with its round (-1: warm-up).

    They are computed from all records, so a resumed run, which may log no new round, has them too.
    """
    last = records[-1]
    area = aubc([each.spent_share for each in records], [each.miou for each in records])
    found = {"miou": last.miou, "aubc": area, AXIS: last.spent_share, "clicks": last.clicks}
    if measured := [record for record in records if not np.isnan(record.miou)]:
        best = max(measured, key=lambda record: record.miou)
        found |= {"best/miou": best.miou, "best/round": best.round}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def budget_key(budget: str) -> str:
    """The key of the mIoU of trials with this budget."""
    return f"miou_by_budget/{budget}"


def budget_share(budget: Budget) -> float | None:
    """Share of the pool's pixels, in (0, 1], that a budget in per cent allows; None for a budget in pixels."""
    return float(budget.value / 100) if budget.unit == "percent" else None


def reference_line(trial: Trial, record: RoundRecord, budgets: Iterable[Budget]) -> list[dict[str, float]]:
    """The mIoU of a reference as a horizontal line over the spent share: what is logged at each point of it.

    The reference itself has spent a share of 0 or 1, at which no strategy can be compared. The line has points at 0, at
    1, and at the budgets, where the axis of a panel ends. It is empty for a strategy, and before the last round.
    """
    strategy = trial.config.strategy
    if not strategy.is_reference or record.round + 1 < strategy.rounds or np.isnan(record.miou):
        return []
    shares = sorted({0.0, 1.0, *filter(None, map(budget_share, budgets))})
    return [{AXIS: share, reference_key(strategy.acquisition): record.miou} for share in shares]


def reference_key(name: str) -> str:
    """The key of the horizontal line of a reference."""
    return f"reference/{name}"


def confusion(counts_CC: NDArray[np.int64], class_names: Sequence[str]) -> Any:
    """W&B's chart of a confusion matrix, from counts of pixels; rows are true classes."""
    import wandb

    rows: list[Iterable[Any]] = [
        [true, predicted, int(counts_CC[row, column])]
        for row, true in enumerate(class_names)
        for column, predicted in enumerate(class_names)
    ]
    fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
    table = wandb.Table(columns=list(fields), data=rows)
    title = {"title": "Confusion matrix, pixels of the validation split"}
    return wandb.plot_table("wandb/confusion_matrix/v1", table, fields, title)


def pictures(examples: Examples, round_index: int) -> Iterator[tuple[str, Any]]:
    """`pool/<image>` and `validation/<image>` after a committed round, each with its masks; `colours/...` of both."""
    import wandb

    classes = {**dict(enumerate(examples.classes.names)), IGNORE_LABEL: "void"}
    palette_2563 = examples.classes.palette_2563
    for example in examples.after_round(round_index):
        # Subsampled: a picture of Cityscapes in full size takes a megabyte in each round.
        thin = (slice(None, None, -(-max(example.label_HW.shape) // _LARGEST_SIDE)),) * 2
        bought_HW, label_HW = example.round_HW[thin], example.label_HW[thin]
        masks = {
            "prediction": {"mask_data": example.predicted_HW[thin], "class_labels": classes},
            "truth": {"mask_data": label_HW, "class_labels": classes},
        }
        if example.split == "pool":
            annotation_HW = np.where(bought_HW >= 0, label_HW, np.uint8(IGNORE_LABEL))
            windows_HW = (bought_HW >= 0).astype(np.uint8) + (bought_HW == max(round_index, 0))
            masks["bought"] = {"mask_data": annotation_HW, "class_labels": classes}
            masks["windows"] = {"mask_data": windows_HW, "class_labels": _WINDOWS}
        key = f"{example.split}/{example.image_id}"
        yield key, wandb.Image(example.image_HW3[thin], caption=example.image_id, masks=masks)
        # W&B chooses the colours of its masks.
        pair_HW = np.concatenate((example.predicted_HW[thin], label_HW), axis=1)
        yield f"colours/{key}", wandb.Image(palette_2563[pair_HW], caption=f"{example.image_id}: prediction, truth")
