"""The paper's own setting: Cityscapes as the target, and GTAV or SYNTHIA as the source. The files are described in
`sets/cityscapes.yaml`, `sets/gtav.yaml` and `sets/synthia.yaml`.

Source: paper.md, "Data facts that bite" (16 and 13 classes).
"""

from typing import Literal, Self

from pydantic import model_validator

from ripu_ray.config.fields import FilePath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.described import DescribedData, PatternsData
from ripu_ray.data.loading import Domains

NAMES_13 = (
    *("road", "sidewalk", "building", "traffic light", "traffic sign", "vegetation", "sky"),
    *("person", "rider", "car", "bus", "motorcycle", "bicycle"),
)
"""Of SYNTHIA's 16 classes, those of the 13-class figure that the literature gives."""
NOT_AMONG_13 = ("wall", "fence", "pole")
"""The others of the 16."""


@DATASETS.register("cityscapes")
class CityscapesData(DescribedData):
    """GTAV or SYNTHIA as the source and Cityscapes as the target, each in the folders it is published in.

    With GTAV there are 19 classes, with SYNTHIA 16. Sizes are (height, width).
    """

    dataset: Literal["cityscapes"] = "cityscapes"
    """Name of the data set."""
    source: Literal["gtav", "synthia"]
    """Name of the source. Its folder holds `images` and `labels` (GTAV), or `RGB` and `GT/LABELS` (SYNTHIA, the folder
    RAND_CITYSCAPES); the folder of Cityscapes holds `leftImg8bit` and `gtFine`."""
    train_list: FilePath | None = None
    """The earlier name of `target_list`."""

    @model_validator(mode="after")
    def _list_is_told_once(self) -> Self:
        if self.train_list and self.target_list:
            raise ValueError("data.train_list is another name of data.target_list: leave out one of them")
        return self

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`."""
        same = self.model_dump(exclude={"dataset", "train_list"})
        section = PatternsData.model_validate(
            {**same, "target": "cityscapes", "target_list": self.train_list or self.target_list}
        )
        return section.asking(self.asks_people).open(with_source)
