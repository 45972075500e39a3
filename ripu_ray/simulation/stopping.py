"""Stopping rules: after a committed round, but not the last, a rule decides whether the trial ends before its budget
is spent.

A rule depends on the committed records alone, so a resumed trial ends after the same round as an uninterrupted one.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from operator import index
from statistics import mean
from typing import Protocol

import numpy as np

from ripu_ray.config import StoppingConfig
from ripu_ray.config.registry import STOPPING_RULES
from ripu_ray.core.stability import cohens_kappa
from ripu_ray.errors import ConfigError, blamed, counted, in_one_line
from ripu_ray.runs.record import RoundRecord
from ripu_ray.simulation.protocols import PoolSample


class StoppingRule(Protocol):
    """Decides after each round but the last.

    A rule may have two attributes. `needs_signals` says whether it compares predictions, and so needs no labels. If the
    attribute is missing, it is False. `rounds_needed` is the number of rounds of the shortest trial that it can end.
    """

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """One line with the reason to end the trial now, or None to continue.

        Args:
            history: the records of the warm-up and of every committed round, in order.
        """


stopping_rule: Callable[[str], Callable[[type], type]] = STOPPING_RULES.register
"""Registers a class under a name for `stopping.rule`. It is instantiated with the section `stopping`."""


def _check_rule(part: object) -> None:
    if not callable(getattr(part, "should_stop", None)):
        raise ValueError(f"expected a class with a method should_stop, found {part!r}")


STOPPING_RULES.check_part = _check_rule


@stopping_rule("small_gain")
class SmallGain:
    """Stop when the mIoU of the last round is less than `stopping.min_gain` above that of the round before."""

    rounds_needed = 3

    def __init__(self, stopping: StoppingConfig) -> None:
        self._min_gain = stopping.min_gain

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """See `StoppingRule`."""
        if len(history) < 3:
            return None  # the first round is compared with no other round
        gain = history[-1].miou - history[-2].miou
        if not gain < self._min_gain:  # nor if it is NaN: there is no validation label
            return None
        return f"the last round changed mIoU by {100 * gain:+.1f} points, less than {100 * self._min_gain:g}"


@stopping_rule("kappa_average")
class KappaAverage:
    """Stop when predictions on the sample have become stable: the mean of the last kappas is large enough.

    Source: Bloodgood and Vijay-Shanker, 2009, as in small-text 2.
    """

    needs_signals = True

    def __init__(self, stopping: StoppingConfig) -> None:
        self._window, self._min_kappa = stopping.window, stopping.min_kappa
        self.rounds_needed = self._window + 2  # the first kappa is that of the second round

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """See `StoppingRule`."""
        kappas = [record.signals["kappa"] for record in history[2:]][-self._window :]
        # An exact mean, since three kappas of 0.99 reach 0.99.
        if len(kappas) < self._window or (average := mean(kappas)) < self._min_kappa:
            return None
        what = counted(self._window, "round")
        return f"the mean kappa of the last {what} is {average:.3f}, at least {self._min_kappa:g}"


@stopping_rule("overall_uncertainty")
class OverallUncertainty:
    """Stop when the mean entropy of what is not bought, over log C, is small. Source: Zhu et al., 2008."""

    needs_signals = True
    rounds_needed = 2

    def __init__(self, stopping: StoppingConfig) -> None:
        self._most = stopping.max_uncertainty

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """See `StoppingRule`."""
        uncertainty = history[-1].signals["uncertainty"]
        if uncertainty >= self._most:
            return None
        return f"the mean entropy of what is not bought is {uncertainty:.3f} of its maximum, below {self._most:g}"


@stopping_rule("classification_change")
class ClassificationChange:
    """Stop when a round changes the predicted class of few pixels of the sample. Source: Zhu et al., 2008."""

    needs_signals = True
    rounds_needed = 3

    def __init__(self, stopping: StoppingConfig) -> None:
        self._most = stopping.max_change

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """See `StoppingRule`."""
        changed = history[-1].signals["changed"]
        if len(history) < 3 or changed > self._most:
            return None  # as for `small_gain`, the first round is compared with no other round
        return f"the last round changed the class of {100 * changed:.2f} % of the sample, at most {100 * self._most:g}"


def needs_signals(stopping: StoppingConfig) -> bool:
    """Whether there is a rule that compares predictions. Such a rule needs no labels. Raises as `make_rule` does."""
    return bool((rule := make_rule(stopping)) and rule.needs_signals)


def records_signals(stopping: StoppingConfig) -> bool:
    """Whether rounds record the signals: the rule needs them, or `stopping.monitor` asks for them."""
    return stopping.monitor or needs_signals(stopping)


def signals(before: Iterable[PoolSample], after: Iterable[PoolSample], num_classes: int) -> dict[str, float]:
    """The signals of a round, the same for samples in any order.

    Args:
        before, after: samples of the same images, with the weights before and after the round.
        num_classes: C.

    Returns:
        "kappa" (at most 1), "changed" (share of pixels) and "uncertainty" (mean of H / log C over what is not bought, 0
        if all is).
    """
    first, second = (sorted(samples, key=lambda sample: sample.image_id) for samples in (before, after))
    first_N, second_N = (np.concatenate([sample.predicted_N for sample in samples]) for samples in (first, second))
    unbought = sum(sample.num_unbought for sample in second)
    return {
        "kappa": cohens_kappa(first_N, second_N, num_classes),
        "changed": float((first_N != second_N).mean()),
        # The epsilon in H makes it slightly negative for p = 1.
        "uncertainty": max(sum(sample.entropy for sample in second) / max(unbought, 1), 0.0),
    }


def make_rule(stopping: StoppingConfig) -> "CheckedRule | None":
    """The rule that the configuration names, or None. Raises ConfigError: it cannot be made."""
    if stopping.rule is None:
        return None
    with blamed(f"stopping.rule {stopping.rule}"):
        return CheckedRule(stopping.rule, STOPPING_RULES[stopping.rule](stopping.model_copy(deep=True)))


class CheckedRule:
    """A rule whose errors and wrong answers are one line. It gets copies, which it may change."""

    def __init__(self, name: str, rule: StoppingRule) -> None:
        self._name, self._rule = name, rule
        self.needs_signals = bool(getattr(rule, "needs_signals", False))
        rounds_needed = getattr(rule, "rounds_needed", 0)
        try:
            self.rounds_needed = index(rounds_needed)
        except TypeError as error:
            raise ConfigError(f"stopping.rule {name}: rounds_needed: expected a whole number ({error})") from None

    def should_stop(self, history: Sequence[RoundRecord]) -> str | None:
        """See `StoppingRule`."""
        place = f"stopping.rule {self._name}: after round {history[-1].round}"
        with blamed(place):
            reason = self._rule.should_stop(deepcopy((*history,)))
        if reason is not None and not isinstance(reason, str):
            raise ConfigError(f"{place}: expected None or one line, found {reason!r}")
        return in_one_line(reason) if reason else None


STOPPING_RULES.close()
