"""Settings that have no effect on a trial. Arms that differ only in such settings are one arm."""

from collections.abc import Collection
from operator import attrgetter

from ripu_ray.config import Config
from ripu_ray.config.registry import ACQUISITIONS

_OF_TARGET = (
    "training.source_free",
    "training.target_batch",
    "training.negative_weight",
    "training.negative_threshold",
    "training.class_weights",
)
_RULE_OF = {
    "stopping.min_gain": "small_gain",
    "stopping.min_kappa": "kappa_average",
    "stopping.window": "kappa_average",
    "stopping.max_uncertainty": "overall_uncertainty",
    "stopping.max_change": "classification_change",
}
"""Settings of one rule. A rule of a plug-in may read any of them."""
_OWN_RULES = frozenset(_RULE_OF.values())
_OPTIONS = ("strategy.options", "stopping.options")
_DEPENDENT = (
    *_RULE_OF,
    "stopping.images",
    "training.teacher_threshold",
    "training.teacher_weight",
    "training.momentum",
)


def is_dependent(key: str) -> bool:
    """Whether a setting of a competitor may have no effect, by the value of another one."""
    return key in _DEPENDENT or any(is_in(key, options) for options in _OPTIONS)


def is_in(key: str, section: str) -> bool:
    """Whether a dotted key is that of a section, or of one of its values."""
    return f"{key}.".startswith(f"{section}.")


def is_ignored(key: str, config: Config) -> bool:
    """Whether results of a trial, or their distribution over seeds, cannot depend on a setting.

    Args:
        key: dotted, of a setting or a section.
        config: of the trial, complete.
    """
    section, _, name = key.partition(".")
    strategy, rule = config.strategy, config.stopping.rule
    if is_in(key, "strategy.options") and not strategy.is_reference:
        return not ACQUISITIONS[strategy.acquisition].is_foreign
    if is_in(key, "stopping.options") and (rule is None or rule in _OWN_RULES):
        return True
    if key in _RULE_OF and (rule is None or (rule in _OWN_RULES and rule != _RULE_OF[key])):
        return True
    if strategy.is_reference and (section == "stopping" or (section == "strategy" and name != "rounds")):
        return True
    if strategy.acquisition == "source_only" and (section == "oracle" or key in _OF_TARGET):
        return True
    has_weights = strategy.spread.class_share > 0 or strategy.avoid_void != "none"
    return {
        # Any power of independent random numbers gives the same draw, but not of their products.
        "strategy.power": strategy.acquisition == "random" and not has_weights,
        "strategy.balanced": strategy.acquisition == "random_balanced",  # its preset
        "oracle.answer": strategy.mode == "pixel" or strategy.is_reference,
        "stopping.images": rule in (None, "small_gain") and not config.stopping.monitor,
        "training.teacher": strategy.is_reference,
        "training.teacher_threshold": strategy.is_reference or config.training.teacher == "none",
        "training.teacher_weight": strategy.is_reference or config.training.teacher == "none",
        "training.momentum": config.training.optimiser != "sgd",
    }.get(key, False)


def idle_settings(configs: Collection[Config]) -> list[str]:
    """A line for each dependent setting, and `oracle.answer`, that was set and that no trial depends on.

    Args:
        configs: of all trials.
    """
    default = Config()

    def is_set(key: str, config: Config) -> bool:
        value, usual = map(attrgetter(key), (config, default))
        return bool(value != usual)

    return [
        f"{key} has no effect on {'this trial' if len(configs) == 1 else 'any of these trials'}"
        for key in (*_DEPENDENT, *_OPTIONS, "oracle.answer")
        if any(is_set(key, config) for config in configs) and all(is_ignored(key, config) for config in configs)
    ]
