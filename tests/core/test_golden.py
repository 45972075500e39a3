"""The reference implementation's numbers: ours, and the plain transcription's that the other tests trust."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import reference
from ripu_ray.core.budget import annotate
from ripu_ray.core.geometry import cover, purchase_radius, suppression_radius
from ripu_ray.core.losses import (
    LossTerm,
    consistency,
    cross_entropy,
    negative_learning,
    plain_consistency,
    plain_negative_learning,
)
from ripu_ray.core.prediction import pixel_maps
from ripu_ray.core.selection import select
from ripu_ray.core.windows import region_impurity
from tests.core import golden

Choose = Callable[[golden.Selection, Tensor, NDArray[np.bool_], int], NDArray[np.int32]]


def ours(case: golden.Selection, logits_CHW: Tensor, excluded_HW: NDArray[np.bool_], count: int) -> NDArray[np.int32]:
    score_HW = golden.score(logits_CHW, case.size, mode=case.mode, radius=case.radius, parity=True)
    return select(score_HW, excluded_HW, count, suppression_radius(case.mode, case.radius))[0]


def plain(case: golden.Selection, logits_CHW: Tensor, excluded_HW: NDArray[np.bool_], count: int) -> NDArray[np.int32]:
    score_HW = reference.maps(logits_CHW, case.size, case.radius, case.mode)[2]
    radius = suppression_radius(case.mode, case.radius)
    return reference.greedy(score_HW, torch.from_numpy(excluded_HW), count, radius)


@pytest.mark.parametrize("choose", [ours, plain])
@pytest.mark.parametrize("name", golden.SELECTIONS)
def test_centres_masks_and_annotations_are_the_references(name: str, choose: Choose) -> None:
    case = golden.load(name)
    excluded_HW, centres = np.zeros(case.size, dtype=np.bool_), np.zeros((0, 2), dtype=np.int32)
    for index in range(case.rounds):
        count = golden.num_regions(
            case.budget,
            case.size,
            mode=case.mode,
            radius=case.radius,
            rounds=case.rounds,
            round_index=index,
            spent_pixels=0,
            parity=True,
        )
        new = choose(case, case.logits(index), excluded_HW, count)
        np.testing.assert_array_equal(new, case.arrays[f"centres_{index}"])
        centres = np.concatenate([centres, new])
        excluded_HW = cover(case.size, centres, suppression_radius(case.mode, case.radius))
        bought = purchase_radius(case.mode, case.radius)
        np.testing.assert_array_equal(np.packbits(excluded_HW), case.arrays[f"excluded_{index}"])
        np.testing.assert_array_equal(np.packbits(cover(case.size, centres, bought)), case.arrays[f"selected_{index}"])
        annotation_HW = annotate(case.arrays["ground_truth"], centres, bought)
        np.testing.assert_array_equal(annotation_HW, case.arrays[f"label_{index}"])


@pytest.mark.parametrize("name", golden.SELECTIONS)
def test_maps_are_the_references(name: str) -> None:
    case = golden.load(name)
    maps = pixel_maps(case.logits(0), case.size)
    found = {
        "impurity_0": region_impurity(maps.predicted_HW, maps.num_classes, case.radius, parity=True),
        "score_0": golden.score(case.logits(0), case.size, mode=case.mode, radius=case.radius, parity=True),
    }
    for key, found_HW in found.items():
        np.testing.assert_allclose(found_HW.numpy(), case.maps_in_our_units()[key], rtol=0, atol=1e-6)


LOSSES: dict[str, Callable[[Tensor, Tensor], LossTerm]] = {
    "cross_entropy": cross_entropy,
    "consistency_l1": lambda logits, labels: consistency(logits, labels, "l1"),
    "consistency_kl": lambda logits, labels: consistency(logits, labels, "kl"),
    "negative_learning": lambda logits, labels: negative_learning(logits, 0.05),
}
PLAIN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "consistency_l1": plain_consistency,
    "negative_learning": lambda logits, labels: plain_negative_learning(logits, 0.05),
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_the_references(name: str, index: int, dtype: torch.dtype) -> None:
    check_loss(name, index, lambda logits, labels: LOSSES[name](logits, labels.to(dtype)).mean())


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", PLAIN_LOSSES)
def test_plain_losses_are_the_references(name: str, index: int) -> None:
    check_loss(name, index, PLAIN_LOSSES[name])


def check_loss(name: str, index: int, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    with np.load(golden.FOLDER / "losses.npz") as file:
        logits, labels = torch.from_numpy(file[f"logits_{index}"]), torch.from_numpy(file[f"labels_{index}"])
        expected, expected_gradient = float(file[f"{name}_{index}"]), file[f"{name}_grad_{index}"]
    logits.requires_grad_()
    value = loss(logits, labels)
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert value.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(logits.grad, expected_gradient, rtol=0, atol=1e-5 * np.abs(expected_gradient).max())
