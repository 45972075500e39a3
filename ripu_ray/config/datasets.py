"""The section `data` of the configuration: a class for each kind of data set. Everybody takes them from `config`."""

from typing import Annotated, Literal

from pydantic import Field

from ripu_ray.config.fields import Count, FilePath, LocalPath, Number, Section, Seed, Size


class SyntheticData(Section):
    """The embedded task: street-like scenes drawn from a seed, nothing to download."""

    dataset: Literal["synthetic"] = "synthetic"
    num_source: Count = 80
    num_pool: Count = 40
    num_validation: Count = 24
    size: Size = (96, 128)
    seed: Seed = 0
    shift: Annotated[float, Number] = Field(1.0, ge=0, le=3)
    """How far the target is from the source: 0 not at all, 1 as the task is documented, 2 barely related; up to 3."""


class FolderData(Section):
    """Images and labels in `<root>/<domain>/<split>/{images,labels}/` with `<root>/classes.json`."""

    dataset: Literal["folder"] = "folder"
    root: FilePath
    source: str = "source"
    target: str = "target"
    train_split: str = "train"
    validation_split: str = "val"
    input_size: Size | None = None
    """(height, width) the network sees; images are resized bilinearly. None: as stored."""
    label_size: Size | None = None
    """(height, width) at which labels are bought and evaluated; resized to nearest. None: as stored."""
    cache: LocalPath | None = None
    """Folder for decoded and resized images and labels, on a local disk; many processes may share it. None: decode
    at every use."""


class CityscapesData(Section):
    """GTAV or SYNTHIA as the source and Cityscapes as the target, each in the folders it is published in.

    With GTAV there are 19 classes, with SYNTHIA 16. Sizes are (height, width), as in `FolderData`.
    """

    dataset: Literal["cityscapes"]
    source: Literal["gtav", "synthia"]
    source_root: FilePath | None = None
    """Holds `images` and `labels` (GTAV), or `RGB` and `GT/LABELS` (SYNTHIA, the folder RAND_CITYSCAPES).
    May be left out where the source is not opened."""
    target_root: FilePath
    """Holds `leftImg8bit` and `gtFine`."""
    source_list: FilePath | None = None
    """Text file, one image file name a line: the images to use. None: all."""
    train_list: FilePath | None = None
    validation_list: FilePath | None = None
    source_input_size: Size | None = None
    source_label_size: Size | None = None
    input_size: Size | None = None
    label_size: Size | None = None
    cache: LocalPath | None = None
    """See `FolderData`."""


Data = SyntheticData | FolderData | CityscapesData
