"""Pictures of scores, purchases and predictions, as data URIs."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.errors import RipuError
from ripu_ray.reporting.joining import trial_of
from ripu_ray.reporting.statistics import common_means, competitors, seeded
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import InspectedImage, class_colours, inspect_images

NUM_IMAGES = 2
NUM_STRATEGIES = 4
_LARGEST_WIDTH = 640
_FIRST, _LATER = (235, 64, 52), (255, 214, 10)
"""Colours of purchases in round 0, and in later rounds."""


@dataclass(frozen=True)
class Picture:
    """Attributes:
    uri: the picture as `data:image/...`.
    title: short title.
    alt: description for screen readers.
    """

    uri: str
    title: str
    alt: str


@dataclass(frozen=True)
class Column:
    """Pictures of one image, one below the other. Attributes: title: the strategy; empty: all share them; pictures."""

    title: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Examples:
    """Images of the pool with the purchases and predictions of several strategies side by side.

    Attributes:
        condition: of the trials.
        rows: image id -> its columns: what all strategies share, then one for each strategy.
        legend: class -> its colour in CSS.
        problems: a line for each strategy without pictures.
    """

    condition: str
    rows: dict[str, list[Column]]
    legend: dict[str, str]
    problems: list[str]


def draw_examples(runs: Mapping[str, RunFolder], finished: pd.DataFrame) -> Examples | None:
    """Recompute the pictures of the trials of `choose_trials`. None if no strategy has a finished trial.

    Args:
        runs: by name, which is `sweep` of the outcomes.
        finished: result of `outcomes`.
    """
    chosen = choose_trials(competitors(finished))
    if not chosen:
        return None
    colours: dict[str, tuple[int, int, int]] = {}
    problems = []
    inspected: dict[str, dict[str, InspectedImage]] = {}
    for row in chosen:
        strategy, (run, trial_id) = str(row["strategy"]), trial_of(runs, row)
        trial = run.trials[trial_id]
        try:
            own_colours = class_colours(trial.config.data)
            warmup = run.warmup(run.warmup_key(trial.config))
            for image in inspect_images(trial, run.trial(trial_id), warmup, NUM_IMAGES):
                inspected.setdefault(image.image_id, {})[strategy] = image
        except RipuError as error:
            problems.append(f"{strategy} ({trial_id}): {error}")
            continue
        colours |= own_colours
    palette = [channel for colour in colours.values() for channel in colour]
    rows = {image_id: _columns(by_strategy, palette) for image_id, by_strategy in inspected.items()}
    legend = {name: f"rgb({red} {green} {blue})" for name, (red, green, blue) in colours.items()}
    return Examples(str(chosen[0]["condition"]), rows, legend, problems)


def choose_trials(finished: pd.DataFrame) -> list[dict[str, object]]:
    """Choose trials for pictures: in the last condition, the first seed of the best strategy, of `random`, and others.

    Args:
        finished: result of `outcomes` without references.
    """
    if finished.empty:
        return []
    there = seeded(finished[finished["condition"] == finished["condition"].iloc[-1]])
    first = there.sort_values("seed", kind="stable").drop_duplicates("strategy").set_index("strategy", drop=False)
    means, _ = common_means(there)
    ranked = [*dict.fromkeys([*means.index, *there["strategy"]])]
    random = [name for name in ranked if first.loc[name, "acquisition"] == "random"]
    chosen = [*dict.fromkeys([ranked[0], *random[:1], *ranked])][:NUM_STRATEGIES]
    rows = first.loc[chosen].to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _columns(images: Mapping[str, InspectedImage], palette: list[int]) -> list[Column]:
    """The columns of one image. Args: images: by strategy; palette: red, green and blue of each class."""
    first = next(iter(images.values()))
    name = f"image {first.image_id} of the pool"
    photo = np.asarray(Image.fromarray(first.image_HW3).resize(first.label_HW.shape[::-1], Image.Resampling.BILINEAR))
    # Strategies with other settings of the warm-up have other first predictions.
    is_shared = all(np.array_equal(first.before_HW, image.before_HW) for image in images.values())
    shared = [
        Picture(_jpeg(photo), "image", f"{name}, as it is"),
        Picture(_png(first.label_HW, palette), "label", f"True classes of {name}"),
        *([_prediction(first, "before", first.before_HW, palette, name)] if is_shared else []),
    ]
    columns = [Column("", shared)]
    for strategy, image in images.items():
        before = [] if is_shared else [_prediction(image, "before", image.before_HW, palette, name)]
        after = _prediction(image, "prediction", image.after_HW, palette, f"{name}, {strategy}")
        pictures = [_purchase(image, photo, strategy), *before, after, _score(image, strategy)]
        columns.append(Column(strategy, pictures))
    return columns


def _purchase(image: InspectedImage, photo: NDArray[np.uint8], strategy: str) -> Picture:
    bought = (photo * 0.55).astype(np.uint8)
    bought[image.round_HW > 0] = _LATER
    bought[image.round_HW == 0] = _FIRST
    share = f"{100 * float((image.round_HW >= 0).mean()):.1f} %"
    alt = f"Bought by {strategy} in image {image.image_id}: {share}; red in round 0, yellow later"
    return Picture(_jpeg(bought), f"bought: {share}", alt)


def _prediction(
    image: InspectedImage, title: str, predicted_HW: NDArray[np.uint8], palette: list[int], name: str
) -> Picture:
    known = image.label_HW != IGNORE_LABEL
    wrong = f"{100 * float((predicted_HW != image.label_HW)[known].mean()):.0f} %" if known.any() else "–"
    return Picture(_png(predicted_HW, palette), f"{title}: {wrong} wrong", f"Predicted classes, {title}, of {name}")


def _score(image: InspectedImage, strategy: str) -> Picture:
    score = image.score_HW - image.score_HW.min()
    heat = (255 * matplotlib.colormaps["magma"](score / (score.max() or 1))[..., :3]).astype(np.uint8)
    alt = f"Score of {strategy} in image {image.image_id} of the pool, the higher the brighter"
    return Picture(_jpeg(heat), "score in round 0", alt)


def _png(classes_HW: NDArray[np.uint8], palette: list[int]) -> str:
    """Classes in their colours, void in black."""
    picture = Image.fromarray(classes_HW, "P")
    picture.putpalette(palette + [0] * (768 - len(palette)))
    return _uri(picture, Image.Resampling.NEAREST, "png", optimize=True)


def _jpeg(pixels_HW3: NDArray[np.uint8]) -> str:
    # BOX keeps windows of a few pixels visible.
    return _uri(Image.fromarray(pixels_HW3), Image.Resampling.BOX, "jpeg", quality=85)


def _uri(picture: Image.Image, resampling: Image.Resampling, kind: str, **options: bool | int) -> str:
    if picture.width > _LARGEST_WIDTH:
        size = _LARGEST_WIDTH, max(1, round(picture.height * _LARGEST_WIDTH / picture.width))
        picture = picture.resize(size, resampling)
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
