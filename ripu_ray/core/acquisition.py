"""Acquisition functions: from the predictions of a network to a score of each pixel as the centre of a purchase.

Each is `function(maps, query) -> score_HW`: (H, W) float32, all finite, larger is better. The window of a pixel is its
region in `query.regions`. The decorator `@acquisition("name")` registers a new function.

This module imports neither torch nor numpy at load time, so that the configuration can validate names quickly.
Shapes: H x W label pixels, C classes.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ripu_ray.config.fields import Power
from ripu_ray.config.registry import ACQUISITIONS, check_words
from ripu_ray.config.strategy import REFERENCES, Mode

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ripu_ray.core.prediction import PixelMaps
    from ripu_ray.core.regions import Regions


@dataclass(frozen=True)
class Query:
    """The context of the scores of one image in one round.

    Attributes:
        regions: of the image; compute means and impurities over windows.
        mode: the unit of a purchase: "region", a whole window, or "pixel", its centre.
        parity: windows of one class have the reference's impurity, slightly below 0, instead of 0.
        rng: random generator of this image and round.
        bought_C: (C,) labelled pixels of each class bought in earlier rounds over the pool; None: the function does not
            need them.
        options: further arguments of a function from outside this package.
    """

    regions: "Regions"
    mode: Mode
    parity: bool
    rng: "np.random.Generator"
    bought_C: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def mean(self, values_HW: "Tensor") -> "Tensor":
        """(H, W): in mode "region" the window's mean, in mode "pixel" the pixel's own value."""
        return values_HW if self.mode == "pixel" else self.regions.mean(values_HW)


AcquisitionFunction = Callable[..., "Tensor"]
"""Scores the pixels of one image: (`PixelMaps`, `Query`) -> (H, W) float32, all finite, larger is better. A function
from outside this package may have further arguments, which `strategy.options` names."""


@dataclass(frozen=True)
class Acquisition:
    """An acquisition function and its preset: settings of the strategy that hold unless the strategy has its own.

    Attributes:
        function: scores the pixels.
        needs: beside logits: "features" or "dropout" of the network (see `models.networks.Builder`), or "bought", the
            counts of `Query.bought_C`.
        power, balanced, class_share: see `StrategyConfig`.
    """

    function: AcquisitionFunction
    needs: frozenset[str] = frozenset()
    power: Power | None = None
    balanced: bool = False
    class_share: float = 0.0

    @property
    def is_foreign(self) -> bool:
        """Whether the function is from outside this package: then it is tried before a run, and its scores checked."""
        # Not by `__module__`, which `functools.wraps` copies.
        return getattr(self.function, "__globals__", {}).get("__name__") != __name__

    @property
    def preset(self) -> str:
        """The settings as text."""
        return f"power {self.power}, balanced {self.balanced}, class_share {self.class_share}, {sorted(self.needs)}"


_NEEDS = ("bought", "dropout", "features")


def acquisition(
    name: str,
    *,
    needs: Collection[str] = (),
    power: float | str | None = None,
    balanced: bool = False,
    class_share: float = 0.0,
) -> Callable[[AcquisitionFunction], AcquisitionFunction]:
    """Register an acquisition function under a name for `strategy.acquisition`. See `Acquisition`.

    Raises:
        ValueError: see `Registry.register`; or another argument is not what `Acquisition` holds.
    """
    parsed, register = None if power is None else Power.parse(power), ACQUISITIONS.register(name)
    check_words(f"acquisition function {name}: needs", needs, _NEEDS)
    if not isinstance(balanced, bool) or type(class_share) not in (int, float) or not 0 <= class_share <= 1:
        raise ValueError(
            f"acquisition function {name}: balanced: expected True or False, found {balanced!r}; "
            f"class_share: a number from 0 to 1, found {class_share!r}"
        )

    def add(function: AcquisitionFunction) -> AcquisitionFunction:
        register(Acquisition(function, frozenset(needs), parsed, balanced, class_share))
        return function

    return add


_refuse = ACQUISITIONS.absent
ACQUISITIONS.reserved = REFERENCES
ACQUISITIONS.absent = lambda name: Acquisition(_refuse(name))
ACQUISITIONS.adapt = lambda part: part if isinstance(part, Acquisition) else Acquisition(part)


@acquisition("ripu")
def ripu(maps: "PixelMaps", query: Query) -> "Tensor":
    """Region impurity times prediction uncertainty: in [0, 1] for mode "region", in [0, log C] for "pixel".

    Source: the acquisition score of RIPU; tests/core/test_golden.py.
    """
    return impurity(maps, query) * entropy(maps, query)


@acquisition("impurity")
def impurity(maps: "PixelMaps", query: Query) -> "Tensor":
    """Region impurity, the first factor of RIPU, in both modes: in [0, 1]. Source: the region impurity of RIPU."""
    return query.regions.impurity(maps.predicted_HW, maps.num_classes, parity=query.parity)


@acquisition("uncertainty")
def uncertainty(maps: "PixelMaps", query: Query) -> "Tensor":
    """The window's mean entropy over log C, in both modes: in [0, 1]. Source: the prediction uncertainty of RIPU."""
    return query.regions.mean(maps.entropy_HW / math.log(maps.num_classes))


@acquisition("entropy")
def entropy(maps: "PixelMaps", query: Query) -> "Tensor":
    """Entropy sampling: `uncertainty` for mode "region", the pixel's own entropy in nats, up to log C, for "pixel"."""
    return maps.entropy_HW if query.mode == "pixel" else uncertainty(maps, query)


@acquisition("clasp_pe", power="1 -> 100", class_share=0.66)
def clasp_pe(maps: "PixelMaps", query: Query) -> "Tensor":
    """ClaSP PE: `entropy`, drawn at random at first and nearly greedily in the end; two thirds of it class by class.

    Source: ClaSP PE, arXiv 2601.13677.
    """
    return entropy(maps, query)


@acquisition("margin")
def margin(maps: "PixelMaps", query: Query) -> "Tensor":
    """1 - (p of the best class - p of the second best), in [0, 1]. Source: margin sampling, best versus second best."""
    best_HW, second_HW = maps.best_two
    return query.mean(1 - (best_HW - second_HW))


@acquisition("confidence")
def confidence(maps: "PixelMaps", query: Query) -> "Tensor":
    """1 - p of the best class, in [0, 1 - 1 / C]. Source: least confidence."""
    return query.mean(1 - maps.best_two[0])


@acquisition("random_balanced", balanced=True)
@acquisition("random")
def random(maps: "PixelMaps", query: Query) -> "Tensor":
    """The random baseline: uniform in [0, 1), independent for each image and round."""
    import torch

    drawn = query.rng.random(tuple(maps.predicted_HW.shape), dtype="float32")
    return torch.from_numpy(drawn).to(maps.predicted_HW.device)


@acquisition("random_boundary")
def random_boundary(maps: "PixelMaps", query: Query) -> "Tensor":
    """Uniform in [0, 1) where the window has several predicted classes; elsewhere in [-1, 0), so that it comes last.

    Source: ours, a random baseline on predicted outlines.
    """
    mixed_HW = impurity(maps, query) > 0
    return random(maps, query) - (~mixed_HW).float()


@acquisition("class_reweighted", needs=["bought"])
def class_reweighted(maps: "PixelMaps", query: Query) -> "Tensor":
    """RIPU times the window's mean of 1 / (1 + C * share of the predicted class in what was bought): in [0, 1].

    Source: the idea is that of CBDA, arXiv 2311.14146; the weight is ours.
    """
    import torch

    bought_C = torch.tensor(query.bought_C, dtype=torch.float64)
    weight_C = (1 / (1 + maps.num_classes * bought_C / bought_C.sum().clamp(min=1))).float()
    return ripu(maps, query) * query.mean(weight_C.to(maps.predicted_HW.device)[maps.predicted_HW.long()])


@acquisition("halo_euclidean", needs=["features"])
def halo_euclidean(maps: "PixelMaps", query: Query) -> "Tensor":
    """Entropy times the norm of the decoder's features, each scaled to [0, 1] over the image: in [0, 1].

    Source: HALO, arXiv 2306.11180, for a Euclidean network.
    """
    return _min_max(query.mean(maps.entropy_HW)) * _min_max(query.mean(maps.feature_norm))


def _min_max(values_HW: "Tensor") -> "Tensor":
    """(values - min) / (max - min); 0 where all values are equal."""
    low, high = values_HW.min(), values_HW.max()
    return (values_HW - low) / (high - low).clamp(min=1e-12)


@acquisition("power_bald", needs=["dropout"], power=1)
@acquisition("bald", needs=["dropout"])
def bald(maps: "PixelMaps", query: Query) -> "Tensor":
    """Mutual information of prediction and weights by Monte-Carlo dropout: in [0, log C].

    Source: BALD, arXiv 1112.5745, with dropout as in arXiv 1703.02910; `power_bald`: arXiv 2106.12059.
    """
    return query.mean(maps.mutual_information)


ACQUISITIONS.close()
