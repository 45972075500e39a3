"""The data sets of this package: importing their modules registers them."""

from ripu_ray.config.data_section import AbsentDataset, DatasetSection
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.cityscapes import CityscapesData
from ripu_ray.data.described import PatternsData
from ripu_ray.data.folder import FolderData
from ripu_ray.data.huggingface import HuggingFaceData
from ripu_ray.data.synthetic.images import SyntheticData

__all__ = ["CityscapesData", "FolderData", "HuggingFaceData", "PatternsData", "SyntheticData", "dataset"]

dataset = DATASETS.register
"""Registers the section of a data set (`config.data_section.DatasetSection`) under its name."""
DATASETS.absent = lambda name: AbsentDataset


def _check_section(part: object) -> None:
    if not (isinstance(part, type) and issubclass(part, DatasetSection)):
        raise ValueError(f"expected a subclass of DatasetSection, found {part!r}")


DATASETS.check_part = _check_section
DATASETS.close()
