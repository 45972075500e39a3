"""Files whose bytes are those of datumaro, cvat-sdk, pycocotools and label-studio-sdk: tests/annotation/fixtures."""

from pathlib import Path

import numpy as np
import pytest

from ripu_ray.annotation.answering import answer
from ripu_ray.core.metrics import IGNORE_LABEL
from tests.annotation.conftest import Asked

FIXTURES = Path(__file__).parent / "fixtures"
FILES = {
    "cvat.xml": "cvat",
    "cvat_tight.xml": "cvat",
    "coco.json": "coco",
    "coco_compressed.json": "coco",
    "labelstudio.json": "coco",
}
"""Name -> what it says, in `expected.npz`."""


@pytest.mark.parametrize("name", FILES)
def test_each_question_gets_exactly_the_labels_of_the_file(asked: Asked, name: str) -> None:
    trial = asked.trial()
    with np.load(FIXTURES / "expected.npz") as arrays:
        expected = dict(zip(trial.pool.image_ids, arrays[FILES[name]], strict=True))
    outcome = answer(trial, [FIXTURES / name])
    answered = 0
    for key in trial.keys:
        labels_M = expected[key[0]][trial.regions(key[0]).members(*key[1:])].ravel()
        assert (key in trial.answers.by_key) == (labels_M != IGNORE_LABEL).any()
        if key in trial.answers.by_key:
            np.testing.assert_array_equal(trial.answers.by_key[key].labels_M, labels_M, err_msg=str(key))
            answered += 1
    assert outcome.answered == answered > 8
    # Outside the questions, too.
    outside = answer(asked.trial(), [FIXTURES / name], accept_extra=True).outside
    trial = asked.trial()
    for image_id, label_HW in expected.items():
        found_HW = trial.answers.label(image_id, trial.regions(image_id), label_HW.shape)
        is_points = name.startswith("cvat") and image_id.endswith("3")  # a point outside is one pixel
        if not is_points:
            np.testing.assert_array_equal(found_HW, label_HW)
            assert outside.get(image_id, 0) <= (label_HW != IGNORE_LABEL).sum()
