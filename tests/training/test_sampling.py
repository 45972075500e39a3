"""Source images by the rarity of their classes."""

import numpy as np
import pytest

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from ripu_ray.training.sampling import SUB_EPOCH, RaritySampler, draw_ids, find_classes, rarity_order


def test_order_is_the_paper_s() -> None:
    """Against a transcription with plain lists."""
    presence = np.random.default_rng(0).random((40, 6)) < np.array([0.9, 0.5, 0.2, 0.1, 0.05, 0])
    presence[3, 4] = True
    rng = np.random.default_rng(7)
    having = {c: [n for n in range(40) if presence[n, c]] for c in range(6)}
    classes = [c for c in having if having[c]]
    queues = {c: rng.permutation(having[c]).tolist() for c in classes}
    position, seen, expected = dict.fromkeys(classes, 0), [0] * 6, []
    for _ in range(200):
        share = [seen[c] / sum(seen) if sum(seen) else 0.0 for c in classes]
        weights = np.array([1 / np.log(1.01 + value) for value in share])
        chosen = int(rng.choice(classes, p=weights / weights.sum()))
        image = queues[chosen][position[chosen] % len(queues[chosen])]
        position[chosen] += 1
        expected.append(image)
        for c in range(6):
            seen[c] += int(presence[image, c])
    assert rarity_order(presence, 200, np.random.default_rng(7)).tolist() == expected


def test_rare_classes_come_more_often_than_by_chance() -> None:
    presence = np.ones((100, 3), bool)
    presence[:, 2] = False
    presence[5, 2] = True
    order = rarity_order(presence, 1000, np.random.default_rng(0))
    assert (order == 5).mean() > 0.2
    assert len(set(order.tolist())) == 100


def test_a_draw_depends_on_seed_and_position_alone(tiny: Config) -> None:
    images = open_domains(tiny.data).source
    sampler = RaritySampler(images, 10, seed=1)
    first = SUB_EPOCH - 3
    whole = sampler.draw(first, 8)
    assert set(whole) <= set(images.image_ids)
    pieces = [RaritySampler(images, 10, seed=1).draw(first + index, 1)[0] for index in (7, 0, 4)]
    assert pieces == [whole[7], whole[0], whole[4]]
    assert RaritySampler(images, 10, seed=2).draw(0, 20) != sampler.draw(0, 20)
    assert draw_ids(images.image_ids, 1, "source", 0, 20) != sampler.draw(0, 20)


def test_which_classes_an_image_has(tiny: Config) -> None:
    images = open_domains(tiny.data).source
    presence = find_classes(images, 10)
    for row, image_id in zip(presence, images.image_ids, strict=True):
        assert set(np.flatnonzero(row)) == set(np.unique(images.label(image_id))) - {255}


def test_no_class_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no source image has any class"):
        rarity_order(np.zeros((3, 4), bool), 5, np.random.default_rng(0))
