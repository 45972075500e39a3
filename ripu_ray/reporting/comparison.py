"""The differences of two runs in settings, purchases and mIoU, by trial. Shapes: H x W label pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ripu_ray.config import to_tree
from ripu_ray.errors import ConfigError, RipuError
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.validate import read_record
from ripu_ray.simulation.inspection import Purchases
from ripu_ray.storage.remote import locate

NUM_WORST = 3
"""Number of images that are named, those with the lowest IoU of two purchases."""


@dataclass(frozen=True)
class Side:
    """A run folder and one of its trials, or None for all trials."""

    run: RunFolder
    trial_id: str | None = None

    @property
    def trials(self) -> dict[str, Trial]:
        """The selected trials by id."""
        return self.run.trials if self.trial_id is None else {self.trial_id: self.run.trials[self.trial_id]}


@dataclass(frozen=True)
class RoundOverlap:
    """The overlap of the purchases of two trials in the same pool.

    Attributes:
        round: round from 0.
        common_share: pixels that both bought in this round over the larger purchase; 1 if both are empty.
        iou: IoU of all pixels bought up to this round, over the pool.
        worst: image -> its `iou`, for the images with the lowest.
    """

    round: int
    common_share: float
    iou: float
    worst: dict[str, float]


@dataclass(frozen=True)
class Pair:
    """Two trials.

    Attributes:
        first, second: their ids.
        overlaps: overlap of each round that both have; empty for references, and if there is a `problem`.
        problem: why purchases cannot be compared, or "".
        rounds: number of committed rounds of each.
        miou: round (-1: the warm-up) -> mIoU of both in [0, 1] or None, for the rounds that both have.
        iou: class -> IoU of both in [0, 1] or None, after the last of these rounds; the largest change first.
    """

    first: str
    second: str
    overlaps: tuple[RoundOverlap, ...]
    problem: str
    rounds: tuple[int, int]
    miou: dict[int, tuple[float | None, float | None]]
    iou: dict[str, tuple[float | None, float | None]]

    @property
    def differs_in(self) -> RoundOverlap | None:
        """The first round with different purchases, or None."""
        return next((overlap for overlap in self.overlaps if overlap.common_share < 1), None)


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    answer: one line.
    settings: dotted key -> both values where they differ; None if a key is missing.
    pairs: matched trials.
    only_first, only_second: ids of trials without a counterpart.
    """

    answer: str
    settings: dict[str, tuple[Any, Any]]
    pairs: tuple[Pair, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def open_side(text: str) -> Side:
    """Read `RUN` or `RUN:TRIAL`. Raises InputError if one of them does not exist."""
    folder, sign, trial_id = text.rpartition(":")
    # The colon of a URL names no trial.
    if not sign or trial_id.startswith("//") or locate(text).exists():
        return Side(RunFolder(locate(text)))
    run = RunFolder(locate(folder))
    if trial_id not in run.trials:
        raise ConfigError(f"{folder}: no trial {trial_id!r}; expected one of {', '.join(run.trials)}")
    return Side(run, trial_id)


def compare_runs(first: Side, second: Side) -> Comparison:
    """See `ripu_ray.compare`. Two named trials are always matched."""
    matched = _match(first, second)
    pairs = tuple(_pair(first, one, second, other) for one, other in matched)
    return Comparison(
        _answer(pairs),
        _differences(_tree(first), _tree(second)),
        pairs,
        tuple(name for name in first.trials if name not in {one for one, _ in matched}),
        tuple(name for name in second.trials if name not in {other for _, other in matched}),
    )


def _match(first: Side, second: Side) -> list[tuple[str, str]]:
    if first.trial_id and second.trial_id:
        return [(first.trial_id, second.trial_id)]
    same = [(name, name) for name in first.trials if name in second.trials]
    if same or any(len({trial.arm for trial in side.trials.values()}) > 1 for side in (first, second)):
        return same
    by_seed = {trial.config.seed: name for name, trial in second.trials.items()}
    return [(name, by_seed[trial.config.seed]) for name, trial in first.trials.items() if trial.config.seed in by_seed]


def _pair(first: Side, one: str, second: Side, other: str) -> Pair:
    records = [_records(side, name) for side, name in ((first, one), (second, other))]
    rounds = [number for number in records[0] if number in records[1]]
    last = [side[rounds[-1]].iou if rounds else {} for side in records]
    classes = {name: (last[0].get(name), last[1].get(name)) for name in {**last[0], **last[1]}}
    overlaps, problem = _compare_purchases(first, one, second, other, [side.values() for side in records])
    return Pair(
        one,
        other,
        overlaps,
        problem,
        (max(records[0], default=-1) + 1, max(records[1], default=-1) + 1),
        {number: (_known(records[0][number].miou), _known(records[1][number].miou)) for number in rounds},
        dict(sorted(classes.items(), key=lambda item: -abs((item[1][1] or 0) - (item[1][0] or 0)))),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _records(side: Side, trial_id: str) -> dict[int, RoundRecord]:
    """Records of the warm-up and every committed round. Weights are not read, because they may have been removed."""
    folder = side.run.trial(trial_id)
    stages = [side.run.warmup(side.run.warmup_key(side.trials[trial_id].config))]
    stages += map(folder.stage, range(folder.num_committed()))
    records = [read_record(stage.path / "record.json") for stage in stages if stage.is_committed()]
    return {record.round: record for record in records}


def _compare_purchases(
    first: Side, one: str, second: Side, other: str, records: Sequence[Any]
) -> tuple[tuple[RoundOverlap, ...], str]:
    trials = first.trials[one], second.trials[other]
    digests = [[record.purchase_sha256 for record in side if record.purchase_sha256] for side in records]
    if any(trial.config.strategy.is_reference for trial in trials):
        return (), "" if one == other else "a reference makes no purchases"
    if trials[0].config.data == trials[1].config.data and digests[0] == digests[1]:
        # Equal digests are equal purchases: no data has to be read.
        return tuple(RoundOverlap(number, 1.0, 1.0, {}) for number in range(len(digests[0]))), ""
    try:
        sides = zip(trials, (first, second), strict=True)
        bought = [Purchases(trial, side.run.trial(trial.trial_id)) for trial, side in sides]
        return _overlaps(*bought), ""
    except RipuError as error:
        return (), str(error)


def _overlaps(first: Purchases, second: Purchases) -> tuple[RoundOverlap, ...]:
    """The overlap of each round; images that only one pool has count as not bought in the other."""
    num_rounds = min(first.num_rounds, second.num_rounds)
    image_ids = [*dict.fromkeys((*first.image_ids, *second.image_ids))]
    # (image, round, 5): pixels of both, the first, the second in the round; intersection and union up to the round.
    counts_IR5 = np.zeros((len(image_ids), num_rounds, 5), np.int64)
    for index, image_id in enumerate(image_ids):
        sides = [side for side in (first, second) if image_id in side.known]
        sizes = {side.size(image_id) for side in sides}
        if len(sizes) > 1:
            (height, width), (rows, cols) = sorted(sizes)
            raise ConfigError(f"image {image_id}: labels of {height}x{width} and {rows}x{cols}; pixels do not compare")
        (size,) = sizes
        so_far = [np.zeros(size, np.bool_), np.zeros(size, np.bool_)]
        for number in range(num_rounds):
            masks = [
                side.mask(image_id, number) if image_id in side.known else np.zeros(size, np.bool_)
                for side in (first, second)
            ]
            so_far = [old | new for old, new in zip(so_far, masks, strict=True)]
            areas = ((masks[0] & masks[1]), *masks, so_far[0] & so_far[1], so_far[0] | so_far[1])
            counts_IR5[index, number] = [np.count_nonzero(area) for area in areas]
    overlaps = []
    for number in range(num_rounds):
        both, one, other, both_so_far, either = counts_IR5[:, number].sum(axis=0).tolist()
        iou_I = _share(counts_IR5[:, number, 3], counts_IR5[:, number, 4])
        worst = [index for index in np.argsort(iou_I, kind="stable")[:NUM_WORST].tolist() if iou_I[index] < 1]
        common, iou = _share(np.array([both, both_so_far]), np.array([max(one, other), either])).tolist()
        overlaps.append(RoundOverlap(number, common, iou, {image_ids[index]: float(iou_I[index]) for index in worst}))
    return tuple(overlaps)


def _share(part: Any, whole: Any) -> Any:
    """part / whole, 1 where whole is 0."""
    return np.divide(part, whole, out=np.ones(len(part)), where=whole > 0)


def _tree(side: Side) -> dict[str, Any]:
    """The settings, and the digests of the data where there are files."""
    config = side.run.config if side.trial_id is None else side.trials[side.trial_id].config
    digests = {digest: None for trial in side.trials.values() if (digest := side.run.seal.digest(trial.config))}
    return to_tree(config) | ({"data_digest": ", ".join(digests)} if digests else {})


def _differences(first: Any, second: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key -> both values, for the values that differ in two trees."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return {} if first == second else {key: (first, second)}
    names = {**first, **second}
    found: dict[str, tuple[Any, Any]] = {}
    for name in names:
        found |= _differences(first.get(name), second.get(name), f"{key}.{name}" if key else name)
    return found


def _answer(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return "no trial of one has a counterpart in the other"
    differing = [(overlap, pair) for pair in pairs if (overlap := pair.differs_in)]
    unknown = [pair for pair in pairs if pair.problem]
    if differing:
        overlap, pair = min(differing, key=lambda item: item[0].round)
        among = f" ({len(differing)} of {len(pairs)} trials differ; first {pair.first})" if len(pairs) > 1 else ""
        return f"differ from round {overlap.round}: {100 * overlap.common_share:.0f} % of the pixels in common{among}"
    if unknown:
        return f"purchases cannot be compared: {unknown[0].problem}"
    same_miou = all(one == other for pair in pairs for one, other in pair.miou.values())
    unequal = any(pair.rounds[0] != pair.rounds[1] for pair in pairs)
    miou = " and every mIoU" if same_miou else ""
    return f"equal in every purchase{miou}{', in the rounds that both have' if unequal else ''}"
