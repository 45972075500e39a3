"""Scores and selection in one image, without a run."""

from collections.abc import Mapping
from operator import index
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex

from ripu_ray.config import Config, StrategyConfig, override
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.errors import ConfigError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor


def score_image(
    logits: "ArrayLike",
    size: tuple[SupportsIndex, SupportsIndex] | None = None,
    acquisition: str = "ripu",
    mode: str = "region",
    window: int | None = None,
    seed: SupportsIndex = 0,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> "NDArray[np.float32]":
    """Score every pixel of one image.

    Args:
        logits: (C, h, w) of a network, numpy or torch; resized to `size`.
        size: (H, W) of the labels; None: (h, w).
        acquisition: name of an acquisition function.
        mode: "region": each pixel stands for its window; "pixel".
        window: side of the window in pixels, odd; None: 3 for regions, 9 for pixels, as in the paper.
        seed: of the random numbers.
        options: further arguments of a function of your own.

    Returns:
        (H, W) float32, larger is better.

    Raises:
        ConfigError: an unknown name, mode or window, a wrong shape or type, or a function that needs more than logits.
        NonFiniteError: a NaN or an infinity among the logits.
        ScoreError: the acquisition function of a plug-in failed, or returned something else than a score.
    """

    from ripu_ray.core.acquisition import Query
    from ripu_ray.core.purchase import score_image as score
    from ripu_ray.core.randomness import generator
    from ripu_ray.core.regions import Windows

    strategy = _strategy(acquisition=acquisition, mode=mode, window=window, options=options)
    _check_function(strategy)
    logits_CHW = _array(logits, "logits", "(C, h, w) floats, C of 2 to 255")
    is_float = logits_CHW.is_floating_point()
    if logits_CHW.ndim != 3 or not is_float or not 2 <= len(logits_CHW) <= 255 or not logits_CHW.numel():
        found = f"{tuple(logits_CHW.shape)} {logits_CHW.dtype}"
        raise ConfigError(f"logits: expected (C, h, w) floats, C of 2 to 255, found {found}")
    height, width = _wholes("size", "(H, W) in pixels", logits_CHW.shape[1:] if size is None else size, 2, 1)
    (seed,) = _wholes("seed", "a whole number of at least 0", (seed,), 1, 0)
    regions = Windows((height, width), strategy.mode, strategy.radius)
    rng = generator(seed, "acquisition", 0, "image")
    query = Query(regions, strategy.mode, False, rng, options=strategy.options)
    scored: NDArray[np.float32] = score(logits_CHW, (height, width), acquisition, query)[0].cpu().numpy()
    return scored


def select(
    score: "ArrayLike",
    budget: str | float = "2.2",
    mode: str = "region",
    window: int | None = None,
    before: "ArrayLike | None" = None,
) -> "NDArray[np.int32]":
    """Select the best regions of one image that fit a budget, without overlap.

    Args:
        score: (H, W), larger is better, without NaN.
        budget: per cent of the pixels, in (0, 100], or pixels such as "40px". The regions of `before` are part of it.
        mode, window: see `score_image`.
        before: (N, 2) centres (row, column) that are bought already; None: none.

    Returns:
        (n, 2) int32 centres, best first; none if the budget that is left is less than a region.

    Raises:
        ConfigError: a wrong budget, mode, window or shape, or a window that is larger than the image.
        NonFiniteError: a NaN or an infinity among the scores.
    """
    import numpy as np
    import torch

    from ripu_ray.core.purchase import buy
    from ripu_ray.core.regions import Windows

    strategy = _strategy(budget=str(budget), mode=mode, window=window, rounds=1)
    score_HW = _array(score, "score", "(H, W) numbers")
    if score_HW.ndim != 2 or not score_HW.numel() or score_HW.is_complex():
        raise ConfigError(f"score: expected (H, W) numbers, found {tuple(score_HW.shape)} {score_HW.dtype}")
    height, width = score_HW.shape
    if mode == "region" and strategy.window > min(height, width):
        raise ConfigError(f"window: expected at most {min(height, width)} in {height}x{width}, found {strategy.window}")
    regions = Windows((height, width), strategy.mode, strategy.radius)
    before_N2 = np.empty((0, 2), np.int32)
    if before is not None and (bought := _array(before, "before", "(N, 2) centres")).numel():
        before_N2 = bought.numpy()
    is_inside = before_N2.ndim == 2 and before_N2.shape[1] == 2 and np.issubdtype(before_N2.dtype, np.integer)
    if not is_inside or (before_N2 < 0).any() or (before_N2 >= (height, width)).any():
        raise ConfigError(f"before: expected (N, 2) whole rows and columns within {height}x{width}")
    predicted_HW = torch.zeros(score_HW.shape, dtype=torch.uint8)
    return buy(score_HW.float(), predicted_HW, 1, regions, strategy, 0, before_N2.astype(np.int32))[0]


def _check_function(strategy: StrategyConfig) -> None:
    """Raise ConfigError unless the acquisition function scores logits alone, with these options."""
    name = strategy.acquisition
    if strategy.is_reference:
        raise ConfigError(f"acquisition {name}: expected one of {', '.join(ACQUISITIONS.names())}")
    if strategy.options and not ACQUISITIONS[name].is_foreign:
        raise ConfigError(f"options: expected none for {name}, found {', '.join(strategy.options)}")
    if missing := ACQUISITIONS[name].needs & {"features", "dropout"}:
        raise ConfigError(f"acquisition {name}: needs {', '.join(missing)} of a network, expected one of logits")


def _array(values: object, name: str, expected: str) -> "Tensor":
    """Values as a dense tensor on the CPU without a gradient. Raises ConfigError: they are not an array of numbers."""
    import numpy as np
    import torch

    try:
        if isinstance(values, torch.Tensor):
            return values.detach().cpu().to_dense()
        if np.ma.is_masked(values):
            raise ConfigError(f"{name}: expected {expected}, found a masked array")
        array = np.asarray(values)
        # A copy: torch takes neither mirrored views nor another byte order, and warns of read-only arrays.
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{name}: expected {expected} ({first_line(error)})") from None


def _wholes(name: str, expected: str, values: Any, count: int, least: int) -> tuple[int, ...]:
    """Whole numbers of Python or numpy, at least `least`. Raises ConfigError: other values, or not `count` of them."""
    try:
        numbers = tuple(index(value) for value in values if not isinstance(value, bool))
    except TypeError:
        numbers = ()
    if len(numbers) != count or min(numbers) < least:
        raise ConfigError(f"{name}: expected {expected}, found {values if count > 1 else values[0]!r}")
    return numbers


def _strategy(window: int | None, **values: Any) -> StrategyConfig:
    """A checked section `strategy`. Raises ConfigError."""
    values |= {} if window is None else {"windows.region": window, "windows.pixel": window}
    return override(Config(), {f"strategy.{key}": value for key, value in values.items()}).strategy
