"""The configuration: sections, where their values come from, and the types that other modules name."""

from ripu_ray.config.datasets import DatasetSection
from ripu_ray.config.fields import Budget, BudgetField, Size, Window
from ripu_ray.config.loading import Config, Overrides, dump_config, load_config, override, to_tree, vary
from ripu_ray.config.model import ModelConfig
from ripu_ray.config.sections import (
    REFERENCES,
    AcquisitionName,
    Allocation,
    ClusterConfig,
    CostConfig,
    Mode,
    NoiseConfig,
    OracleConfig,
    Reference,
    Shape,
    StoppingConfig,
    StrategyConfig,
    SweepConfig,
    TrackingConfig,
    WandbMode,
    Windows,
)
from ripu_ray.config.training import TrainingConfig

__all__ = [
    "REFERENCES",
    "AcquisitionName",
    "Allocation",
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
    "to_tree",
    "vary",
]
