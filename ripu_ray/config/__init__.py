"""The configuration: sections, where their values come from, and the types that other modules name."""

from ripu_ray.config.data_section import DatasetSection
from ripu_ray.config.fields import Budget, BudgetField, Power, Size, Window
from ripu_ray.config.loading import Config, Overrides, load_config, override, vary
from ripu_ray.config.model import ModelConfig
from ripu_ray.config.sections import (
    Answer,
    ClusterConfig,
    CostConfig,
    NoiseConfig,
    OracleConfig,
    SweepConfig,
    TrackingConfig,
    WandbMode,
)
from ripu_ray.config.strategy import (
    REFERENCES,
    AcquisitionName,
    Allocation,
    Mode,
    Reference,
    Shape,
    StoppingConfig,
    StrategyConfig,
    Windows,
)
from ripu_ray.config.training import AugmentationConfig, TrainingConfig
from ripu_ray.config.writing import dump_config, setting, to_tree

__all__ = [
    "REFERENCES",
    "AcquisitionName",
    "Allocation",
    "Answer",
    "AugmentationConfig",
    "Budget",
    "BudgetField",
    "ClusterConfig",
    "Config",
    "CostConfig",
    "DatasetSection",
    "Mode",
    "ModelConfig",
    "NoiseConfig",
    "OracleConfig",
    "Overrides",
    "Power",
    "Reference",
    "Shape",
    "Size",
    "StoppingConfig",
    "StrategyConfig",
    "SweepConfig",
    "TrackingConfig",
    "TrainingConfig",
    "WandbMode",
    "Window",
    "Windows",
    "dump_config",
    "load_config",
    "override",
    "setting",
    "to_tree",
    "vary",
]
