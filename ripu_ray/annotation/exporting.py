"""Questions of a round -> files for an annotation tool, with images, predictions, a table and an HTML page."""

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ripu_ray.annotation import coco, cvat, labelstudio, pngs
from ripu_ray.annotation.asking import AskedTrial, Question
from ripu_ray.annotation.catalogue import QUERY, Drawing, Export, Names
from ripu_ray.data.loading import Unlabelled
from ripu_ray.data.pictures import read_image
from ripu_ray.models.inference import predict
from ripu_ray.models.networks import build_network
from ripu_ray.storage.files import replace_file, replace_text
from ripu_ray.training.checkpoint import network_state

FORMATS: dict[str, Callable[[Path, Sequence[Export], Names], None]] = {
    "coco": coco.write,
    "cvat": cvat.write,
    "labelstudio": labelstudio.write,
    "png": pngs.write,
}
"""Name -> writes the questions and the predictions into a folder."""
_THUMBNAIL = 480
"""Width of a thumbnail, in pixels."""


def export(asked: AskedTrial, questions: Sequence[Question], form: str, folder: Path) -> None:
    """Write the questions of one round for a tool.

    Besides the files of the format: `images/`, at the size of the labels, so that pixels are those of the questions;
    `questions.csv`; `sheet.html` with `thumbnails/`.

    Args:
        asked: the trial.
        questions: of one round, in the order of the pool.
        form: one of FORMATS.
        folder: files in it that have the same names are replaced.

    Raises:
        DataError: an image or the weights cannot be read.
        StorageError: a file cannot be written.
    """
    exports = []
    round_index = questions[0].round if questions else 0
    predicted, token = _predictions(asked, round_index), asked.token(round_index)
    for image_id, group in groupby(questions, lambda question: question.key[0]):
        there = tuple(group)
        image_HW3 = _image(asked, image_id)
        regions = tuple(_region(asked, question) for question in there)
        predicted_HW = predicted(image_id)
        boxes = [question.box for question in there]
        crops = tuple(predicted_HW[top:bottom, left:right].copy() for left, top, right, bottom in boxes)
        exports.append(Export(image_id, asked.pool.label_size(image_id), token, there, regions, crops))
        picture = Image.fromarray(image_HW3)
        replace_file(folder / "images" / exports[-1].file_name, partial(picture.save, format="PNG"))
        replace_file(folder / "thumbnails" / f"{image_id}.jpg", partial(_thumbnail(picture, boxes).save, format="JPEG"))
    FORMATS[form](folder, exports, Names(asked.classes))
    replace_text(folder / "questions.csv", _table(questions))
    environment = Environment(
        loader=PackageLoader("ripu_ray.annotation", "."), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("sheet.html.j2").render(run=asked.run.name, exports=exports, total=len(questions))
    replace_text(folder / "sheet.html", page)


def _predictions(asked: AskedTrial, round_index: int) -> Callable[[str], NDArray[np.uint8]]:
    """Image id -> (H, W) classes, predicted with the weights that the round was asked with."""
    config = asked.trial.config
    stage = asked.folder.stage(round_index - 1) if round_index else asked.warmup
    device = torch.device("cuda" if config.cluster.gpu and torch.cuda.is_available() else "cpu")
    network = build_network(config.model, asked.classes.num_classes, seed=0)
    network.load_state_dict(network_state(stage.weights))
    network.to(device).eval()

    def predicted(image_id: str) -> NDArray[np.uint8]:
        image_13HW = network.to_input(asked.pool.image(image_id), device)[None]
        return predict(network, image_13HW, asked.pool.label_size(image_id)).astype(np.uint8)

    return predicted


def _image(asked: AskedTrial, image_id: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, an image at the size of its labels."""
    size, pool = asked.pool.label_size(image_id), asked.pool
    files = getattr(pool.images if isinstance(pool, Unlabelled) else pool, "files", None)
    if files:
        # Not from the network's input, which may be smaller.
        return read_image(files[image_id][0], size)
    image_HW3 = pool.image(image_id)
    return np.asarray(Image.fromarray(image_HW3).resize(size[::-1], Image.Resampling.BILINEAR))


def _region(asked: AskedTrial, question: Question) -> Drawing:
    left, top, right, bottom = question.box
    mask_hw = np.zeros((bottom - top, right - left), np.bool_)
    rows, cols = asked.regions(question.key[0]).members(*question.key[1:])
    mask_hw[rows - top, cols - left] = True
    return Drawing(QUERY, (top, left), mask_hw)


def _thumbnail(picture: Image.Image, boxes: Sequence[tuple[int, int, int, int]]) -> Image.Image:
    """A small picture with an outline around each box."""
    scale = _THUMBNAIL / picture.width
    small = picture.resize((_THUMBNAIL, max(1, round(picture.height * scale))), Image.Resampling.BILINEAR)
    drawn = ImageDraw.Draw(small)
    for left, top, right, bottom in boxes:
        edges = (scale * left - 1, scale * top - 1, scale * right, scale * bottom)
        drawn.rectangle(edges, outline=(255, 255, 0))
    return small


def _table(questions: Sequence[Question]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "row", "col", "left", "top", "right", "bottom", "round", "rank", "score"))
    writer.writerows((*asked.key, *asked.box, asked.round, asked.rank, asked.score) for asked in questions)
    return text.getvalue()
