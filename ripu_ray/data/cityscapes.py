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
    """Name of the data set."""
    source: Literal["gtav", "synthia"]
    """Name of the source."""
    source_root: FilePath | None = None
    """Folder of the source: with `images` and `labels` (GTAV), or `RGB` and `GT/LABELS` (SYNTHIA, the folder
    RAND_CITYSCAPES). It may be left out if the source is not opened."""
    target_root: FilePath
    """Folder of Cityscapes, with `leftImg8bit` and `gtFine`."""
    source_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    train_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    validation_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    source_input_size: Size | None = None
    """Height and width of the source's images at the network's input. None: as stored."""
    source_label_size: Size | None = None
    """Height and width of the source's labels in training. None: as stored."""
    input_size: Size | None = None
    """Height and width of the target's images at the network's input; images are resized bilinearly. None: as
    stored."""
    label_size: Size | None = None
    """Height and width at which the target's labels are bought and evaluated; labels are resized to nearest. None: as
    stored."""
    cache: LocalPath | None = None
    """Local folder for decoded and resized images and labels, which processes share. None: decode at every use."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`."""
        same = self.model_dump(exclude={"dataset", "train_list"})
        section = PatternsData.model_validate({**same, "target": "cityscapes", "target_list": self.train_list})
        return section.open(with_source)
