"""Pictures of scores, purchases and predictions, as data URIs."""

import base64
import io
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.errors import RipuError
from ripu_ray.reporting.statistics import seeded
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import InspectedImage, class_colours, inspect_images

NUM_IMAGES = 2
NUM_STRATEGIES = 4
_LARGEST_WIDTH = 480
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
class Example:
    """Attributes:
    strategy, condition: strategy and condition of the trial.
    trial: id of the trial with these weights and purchases.
    legend: class -> its colour in CSS.
    rows: one row of pictures for each image.
    problem: why there are no pictures, or "".
    """

    strategy: str
    condition: str
    trial: str
    legend: dict[str, str]
    rows: list[list[Picture]]
    problem: str = ""


def choose_trials(finished: pd.DataFrame) -> list[dict[str, object]]:
    """Choose trials for pictures: in the last condition, the first seed of the best strategy, of `random`, and others.

    Args:
        finished: result of `outcomes` without references.
    """
    if finished.empty:
        return []
    there = seeded(finished[finished["condition"] == finished["condition"].iloc[-1]])
    first = there.sort_values("seed", kind="stable").drop_duplicates("strategy").set_index("strategy", drop=False)
    means = there.groupby("strategy", sort=False)["miou"].mean().sort_values(ascending=False, kind="stable")
    ranked = list(means.index)
    random = [name for name in ranked if first.loc[name, "acquisition"] == "random"]
    chosen = [*dict.fromkeys([ranked[0], *random[:1], *ranked])][:NUM_STRATEGIES]
    rows = first.loc[chosen].to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def draw_example(run: RunFolder, trial_id: str, strategy: str, condition: str) -> Example:
    """The pictures of one trial, or the reason why there are none."""
    trial = run.trials[trial_id]
    try:
        colours = class_colours(trial.config.data)
        warmup = run.warmup(run.warmup_key(trial.config))
        inspected = inspect_images(trial, run.trial(trial_id), warmup, NUM_IMAGES)
    except RipuError as error:
        return Example(strategy, condition, trial_id, {}, [], str(error))
    table_2563 = np.zeros((IGNORE_LABEL + 1, 3), np.uint8)
    table_2563[: len(colours)] = list(colours.values())
    legend = {name: f"rgb({red} {green} {blue})" for name, (red, green, blue) in colours.items()}
    return Example(
        strategy, condition, trial_id, legend, [_pictures(image, table_2563, strategy) for image in inspected]
    )


def _pictures(image: InspectedImage, colours_2563: NDArray[np.uint8], strategy: str) -> list[Picture]:
    height, width = image.label_HW.shape
    photo = np.asarray(Image.fromarray(image.image_HW3).resize((width, height), Image.Resampling.BILINEAR))
    score = image.score_HW - image.score_HW.min()
    heat = (255 * matplotlib.colormaps["magma"](score / (score.max() or 1))[..., :3]).astype(np.uint8)
    bought = (photo * 0.55).astype(np.uint8)
    bought[image.round_HW > 0] = _LATER
    bought[image.round_HW == 0] = _FIRST
    share = f"{100 * float((image.round_HW >= 0).mean()):.1f} %"
    before, after = (_wrong(predicted, image.label_HW) for predicted in (image.before_HW, image.after_HW))
    name = f"image {image.image_id} of the pool"
    return [
        Picture(_jpeg(photo), "image", f"{name}, as it is"),
        Picture(_png(colours_2563[image.label_HW]), "truth", f"True classes of {name}"),
        Picture(_png(heat), "score in round 0", f"Score of {strategy} in {name}, the higher the brighter"),
        Picture(_png(bought), f"bought: {share}", f"Bought in {name}: {share}; red in round 0, yellow later"),
        Picture(_png(colours_2563[image.before_HW]), f"before: {before} wrong", f"First prediction of {name}"),
        Picture(_png(colours_2563[image.after_HW]), f"after: {after} wrong", f"Last prediction of {name}"),
    ]


def _wrong(predicted_HW: NDArray[np.uint8], label_HW: NDArray[np.uint8]) -> str:
    known = label_HW != IGNORE_LABEL
    return f"{100 * float((predicted_HW != label_HW)[known].mean()):.0f} %" if known.any() else "–"


def _png(pixels_HW3: NDArray[np.uint8]) -> str:
    return _uri(pixels_HW3, "png", optimize=True)


def _jpeg(pixels_HW3: NDArray[np.uint8]) -> str:
    return _uri(pixels_HW3, "jpeg", quality=85)


def _uri(pixels_HW3: NDArray[np.uint8], kind: str, **options: bool | int) -> str:
    picture = Image.fromarray(pixels_HW3)
    if picture.width > _LARGEST_WIDTH:
        size = _LARGEST_WIDTH, max(1, round(picture.height * _LARGEST_WIDTH / picture.width))
        # BOX keeps windows of a few pixels visible.
        picture = picture.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
