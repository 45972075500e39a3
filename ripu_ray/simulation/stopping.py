"""Stopping rules: after each committed round, a rule decides whether the trial ends before its budget is spent.

A rule depends on the committed records alone, so a resumed trial ends after the same round as an uninterrupted one.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ripu_ray.config import StoppingConfig
from ripu_ray.config.registry import STOPPING_RULES
from ripu_ray.runs.record import RoundRecord


class StoppingRule(Protocol):
    """Decides after each round."""

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """One line with the reason to end the trial now, or None to continue.

        Args:
            history: the records of the warm-up and of every committed round, in order.
        """


stopping_rule: Callable[[str], Callable[[type], type]] = STOPPING_RULES.register
"""Registers a class under a name for `stopping.rule`. It is instantiated with the section `stopping`."""


@stopping_rule("small_gain")
class SmallGain:
    """Stop when the mIoU of the last round is less than `stopping.min_gain` above that of the round before."""

    def __init__(self, stopping: StoppingConfig) -> None:
        self._min_gain = stopping.min_gain

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """See `StoppingRule`."""
        if len(history) < 3:
            return None  # the first round is compared with no other round
        gain = history[-1].miou - history[-2].miou
        if gain >= self._min_gain:
            return None
        return f"the last round changed mIoU by {100 * gain:+.1f} points, less than {100 * self._min_gain:g}"


def make_rule(stopping: StoppingConfig) -> StoppingRule | None:
    """The rule that the configuration names, or None."""
    if stopping.rule is None:
        return None
    rule: StoppingRule = STOPPING_RULES[stopping.rule](stopping)
    return rule
