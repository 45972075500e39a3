"""The paper's own setting: Cityscapes as the target, and GTAV or SYNTHIA as the source. The files are described in
`sets/cityscapes.yaml`, `sets/gtav.yaml` and `sets/synthia.yaml`.

Source: paper.md, "Data facts that bite" (16 and 13 classes).
"""

from typing import ClassVar, Literal

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import FilePath, LocalPath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.described import PatternsData
from ripu_ray.data.loading import Domains

NAMES_13 = (
    *("road", "sidewalk", "building", "traffic light", "traffic sign", "vegetation", "sky"),
    *("person", "rider", "car", "bus", "motorcycle", "bicycle"),
)
"""Of SYNTHIA's 16 classes, those of the 13-class figure that the literature gives."""
NOT_AMONG_13 = ("wall", "fence", "pole")
"""The others of the 16."""


@DATASETS.register("cityscapes")
class CityscapesData(DatasetSection):
    """GTAV or SYNTHIA as the source and Cityscapes as the target, each in the folders it is published in.

    With GTAV there are 19 classes, with SYNTHIA 16. Sizes are (height, width), as in `FolderData`.
    """

    source_prefix: ClassVar[str] = "data.source_"

    dataset: Literal["cityscapes"] = "cityscapes"
    source: Literal["gtav", "synthia"]
    source_root: FilePath | None = None
    """Holds `images` and `labels` (GTAV), or `RGB` and `GT/LABELS` (SYNTHIA, the folder RAND_CITYSCAPES).
    May be left out where the source is not opened."""
    target_root: FilePath
    """Holds `leftImg8bit` and `gtFine`."""
    source_list: FilePath | None = None
    """Text or Parquet file of names of the images to use. None: all."""
    train_list: FilePath | None = None
    validation_list: FilePath | None = None
    source_input_size: Size | None = None
    source_label_size: Size | None = None
    input_size: Size | None = None
    label_size: Size | None = None
    cache: LocalPath | None = None
    """See `FolderData`."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`."""
        same = self.model_dump(exclude={"dataset", "train_list"})
        section = PatternsData.model_validate({**same, "target": "cityscapes", "target_list": self.train_list})
        return section.open(with_source)
