"""Scores and selection in one image, without a run."""

from typing import TYPE_CHECKING, Any

from ripu_ray.config import Config, StrategyConfig, override
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.errors import ConfigError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor


def score_image(
    logits: "ArrayLike",
    size: tuple[int, int] | None = None,
    acquisition: str = "ripu",
    mode: str = "region",
    window: int | None = None,
    seed: int = 0,
) -> "NDArray[np.float32]":
    """Score every pixel of one image.

    Args:
        logits: (C, h, w) of a network, numpy or torch; upsampled to `size`.
        size: (H, W) of the labels; None: (h, w).
        acquisition: name of an acquisition function.
        mode: "region": each pixel stands for its window; "pixel".
        window: side of the window in pixels, odd; None: 3 for regions, 9 for pixels, as in the paper.
        seed: of the random numbers.

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

    strategy = _strategy(acquisition=acquisition, mode=mode, window=window)
    if strategy.is_reference:
        raise ConfigError(f"acquisition {acquisition}: expected one of {', '.join(ACQUISITIONS.names())}")
    if missing := ACQUISITIONS[strategy.acquisition].needs & {"features", "dropout"}:
        raise ConfigError(f"acquisition {acquisition}: needs {', '.join(missing)} of a network, expected one of logits")
    logits_CHW = _array(logits, "logits", "(C, h, w) floats, C of 2 to 255")
    is_float = logits_CHW.is_floating_point() and str(logits_CHW.layout) == "torch.strided"
    if logits_CHW.ndim != 3 or not is_float or not 2 <= len(logits_CHW) <= 255 or not logits_CHW.numel():
        found = f"{tuple(logits_CHW.shape)} {logits_CHW.dtype}"
        raise ConfigError(f"logits: expected (C, h, w) floats, C of 2 to 255, found {found}")
    height, width = _size(size or tuple(logits_CHW.shape[1:]))
    if not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed: expected a whole number of at least 0, found {seed!r}")
    regions = Windows((height, width), strategy.mode, strategy.radius)
    query = Query(regions, strategy.mode, False, generator(seed, "acquisition", 0, "image"))
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
        budget: per cent of the pixels, in (0, 100], or pixels such as "40px"; what `before` covers counts.
        mode, window: see `score_image`.
        before: (N, 2) centres (row, column) that are bought already; None: none.

    Returns:
        (n, 2) int32 centres, best first.

    Raises:
        ConfigError: a wrong budget, mode, window or shape.
        NonFiniteError: a NaN or an infinity among the scores.
    """
    import numpy as np
    import torch

    from ripu_ray.core.purchase import buy
    from ripu_ray.core.regions import Windows

    strategy = _strategy(budget=str(budget), mode=mode, window=window, rounds=1)
    score_HW = _array(score, "score", "(H, W) numbers").float()
    if score_HW.ndim != 2 or not score_HW.numel():
        raise ConfigError(f"score: expected (H, W), found {tuple(score_HW.shape)}")
    height, width = score_HW.shape
    regions = Windows((height, width), strategy.mode, strategy.radius)
    before_N2 = np.empty((0, 2), np.int32)
    if before is not None and np.size(before):
        before_N2 = _array(before, "before", "(N, 2) centres").numpy()
    is_inside = before_N2.ndim == 2 and before_N2.shape[1] == 2 and np.issubdtype(before_N2.dtype, np.integer)
    if not is_inside or (before_N2 < 0).any() or (before_N2 >= (height, width)).any():
        raise ConfigError(f"before: expected (N, 2) whole rows and columns within {height}x{width}")
    predicted_HW = torch.zeros(score_HW.shape, dtype=torch.uint8)
    return buy(score_HW, predicted_HW, 1, regions, strategy, 0, before_N2.astype(np.int32))[0]


def _array(values: object, name: str, expected: str) -> "Tensor":
    """Values as a tensor on the CPU without a gradient. Raises ConfigError: they are not an array of numbers."""
    import torch

    try:
        return torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{name}: expected {expected} ({first_line(error)})") from None


def _size(size: object) -> tuple[int, int]:
    match size:
        case (int(height), int(width)) if height > 0 and width > 0:
            return height, width
    raise ConfigError(f"size: expected (H, W) in pixels, found {size!r}")


def _strategy(window: int | None, **values: Any) -> StrategyConfig:
    """A checked section `strategy`. Raises ConfigError."""
    values |= {} if window is None else {"windows.region": window, "windows.pixel": window}
    return override(Config(), {f"strategy.{key}": value for key, value in values.items()}).strategy
