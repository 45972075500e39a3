"""Images and labels in folders: `<root>/<domain>/<split>/{images,labels}/`, or wherever patterns say they lie."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from ripu_ray.config.fields import FilePath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.finding import Place, find_pairs
from ripu_ray.data.labels import ClassTable, read_class_table
from ripu_ray.data.loading import Domains
from ripu_ray.data.pairs import PairedImages
from ripu_ray.data.patterns import Pattern
from ripu_ray.data.settings import FilesData, Split
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

IMAGES, LABELS = "{domain}/{split}/images/**/*", "{domain}/{split}/labels/**/*"


def check_pattern(text: str) -> str:
    """Return the pattern. Raises ValueError: not a pattern, or its stars are not `*`, or `**` and then `*`."""
    *folders, last = text.split("/")
    try:
        pattern = Pattern(text)
        is_right = last.count("*") == 1 and "{" not in last and pattern.stars in (("*",), ("**", "*"))
        is_right = is_right and "**" not in folders[:-1] and set(pattern.placeholders) <= {"domain", "split"}
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(
            f"{text!r}: expected folders and a file's name, in which one * is the image's name, such as {IMAGES!r} or "
            "'labels/{split}/*_mask.png'"
        )
    return text


FolderPattern = Annotated[str, AfterValidator(check_pattern)]
"""A `Pattern` below `data.root`: `{domain}` and `{split}` stand for the names of folders, `*` in the last part for the
name of the image, and `**` before it for any sub-folders."""


@DATASETS.register("folder")
class FolderData(FilesData):
    """Images and labels in `<root>/<domain>/<split>/{images,labels}/` with `<root>/classes.json`."""

    of_source: ClassVar[tuple[str, ...]] = ("source",)
    of_validation: ClassVar[tuple[str, ...]] = ("validation_split",)

    dataset: Literal["folder"] = "folder"
    """Name of the data set."""
    root: FilePath
    """Folder with classes.json and the images and labels."""
    images: FolderPattern = IMAGES
    """Pattern of the images' paths below `root` (docs/data.md)."""
    labels: FolderPattern = LABELS
    """Pattern of the labels' paths below `root`."""
    source: str = "source"
    """Folder of the source."""
    target: str = "target"
    """Folder of the target."""
    train_split: str = "train"
    """Folder of the source's images and of the pool."""
    validation_split: str = "val"
    """Folder of the target's validation images."""

    def _is_meant(self, key: str) -> bool:
        # A folder of the default's name is the user's, too.
        return super()._is_meant(key) or (key == "source" and (self.root / self.source).is_dir())

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises DataError, besides: `classes.json` is missing or wrong."""
        check_readable(self.root)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: data.root is not a folder")
        classes = read_class_table(self.root / "classes.json")
        return self.share_out(classes, lambda split: self._open(split, classes), with_source, self.cache)

    def _open(self, part: Split, classes: ClassTable) -> PairedImages | None:
        domain = self.source if part == "source" else self.target
        place = folder_place(
            self.images, self.labels, domain, self.validation_split if part == "validation" else self.train_split
        )
        missing, hint = _HINTS[part]
        names = getattr(self, f"{part}_list")
        if part == "validation" and self.asks_people and not (self.root / place.label.folder).exists():
            return None
        if missing and missing not in self.images + self.labels and names is None:
            raise DataError(f"data.images {self.images!r} has no {missing} to tell the {part} from the target: {hint}")
        labelled = part != "target" or not self.asks_people
        unlabelled = "; without labels, people answer with oracle.kind=human" if part == "target" else ""
        for folder, more in ((place.images[0].folder, ""), *([(place.label.folder, unlabelled)] if labelled else [])):
            if not (self.root / folder).is_dir():
                raise DataError(f"{self.root / folder}: cannot be read (No such file or directory): {hint}{more}")
        pairs = find_pairs("the data set", [place], self.root, names, labelled)
        files = dict(sorted(pairs.items()))
        return PairedImages(files, classes, self.input_size, self.label_size, self.max_megapixels)


def folder_place(images: str, labels: str, domain: str, split: str) -> Place:
    """The patterns of a domain and a split. Raises DataError: one of them is not the name of a folder."""
    told = [f"{{{name}}}" for name in ("domain", "split") if f"{{{name}}}" in images]
    stars = Pattern(images).stars
    values = {"domain": domain, "split": split}
    for name in Pattern(images + "/" + labels).placeholders:
        if values[name] in ("", ".", "..") or set(values[name]) & set("/\\\0"):
            raise DataError(f"{values[name]!r}: expected the name of a folder inside data.root, not a path")
    patterns = (Pattern(text, values) for text in (images, labels, "/".join((*told, *stars))))
    of_images, of_labels, image_id = patterns
    return Place((of_images,), of_labels, image_id)


_HINTS = {
    "target": ("", "data.target and data.train_split name the folders of the target"),
    "validation": (
        "{split}",
        "data.validation_split names the target's folder for validation; without one, set data.validation_share=0.2",
    ),
    "source": (
        "{domain}",
        "data.source names the source's folder; without one, data.source_share=0.3 starts from a labelled part of "
        "the target",
    ),
}
"""What a pattern needs to tell a part of the data apart, and what to do where it is not there."""
