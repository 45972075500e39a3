"""Seeds by purpose."""

import itertools

from ripu_ray.core.randomness import generator


def test_the_numbers_are_the_same_on_every_machine() -> None:
    assert generator(0, "random", 1, "a/b.png").integers(2**32, size=3).tolist() == FROZEN


def test_every_part_and_the_order_matter() -> None:
    purposes = [(0,), (1,), (0, "a"), (0, "a", 1), (0, 1, "a"), (0, "a", "1"), (0, "a,1"), (0, "ab"), (0, "a", "b")]
    drawn = [generator(*parts).random() for parts in purposes]  # type: ignore[arg-type]
    assert all(first != second for first, second in itertools.combinations(drawn, 2))


FROZEN = [4016093101, 1770416864, 2909896560]
