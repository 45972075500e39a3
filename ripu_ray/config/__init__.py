"""The configuration: sections, where their values come from, and the types that other modules name."""

from ripu_ray.config.data_section import DatasetSection
from ripu_ray.config.fields import Budget, Power, Size
from ripu_ray.config.loading import Config, load_config, override, vary
from ripu_ray.config.model import ModelConfig
from ripu_ray.config.sections import (
    Answer,
    ClusterConfig,
    CostConfig,
    NoiseConfig,
    SweepConfig,
    TrackingConfig,
)
from ripu_ray.config.strategy import (
    REFERENCES,
    Mode,
    StoppingConfig,
    StrategyConfig,
    Windows,
)
from ripu_ray.config.training import AugmentationConfig, TrainingConfig
from ripu_ray.config.writing import dump_config, setting, to_tree

__all__ = [
    "REFERENCES",
    "Answer",
    "AugmentationConfig",
    "Budget",
    "ClusterConfig",
    "Config",
    "CostConfig",
    "DatasetSection",
    "Mode",
    "ModelConfig",
    "NoiseConfig",
    "Power",
    "Size",
    "StoppingConfig",
    "StrategyConfig",
    "SweepConfig",
    "TrackingConfig",
    "TrainingConfig",
    "Windows",
    "dump_config",
    "load_config",
    "override",
    "setting",
    "to_tree",
    "vary",
]
