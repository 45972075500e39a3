"""Labels drawn over images. A person can then check whether they belong together and whether the classes are right."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains
from ripu_ray.errors import DataError

LINE = 16
"""Height of a line of text, in pixels."""
_TEXT_SIZE = 11


def draw_overlays(domains: Domains, count: int = 8, width: int = 480) -> NDArray[np.uint8]:
    """Labels over images, each with its split and file name below it, and a legend of the classes at the bottom.

    Args:
        domains: some readable images of each split are shown, in turn, from all over it.
        count: pictures at most.
        width: of one picture, in pixels; two stand side by side.

    Returns:
        (h, 2 * width, 3) uint8 RGB; void shows the image alone, darker.

    Raises:
        DataError: no image can be read.
    """
    pictures = []
    named = (("source", domains.source), ("pool", domains.pool), ("validation", domains.validation))
    splits = [(name, images) for name, images in named if images.image_ids]
    for number in range(count):
        name, images = splits[number % len(splits)]
        step = len(images.image_ids) * (number // len(splits)) * len(splits) // count
        image_id = images.image_ids[min(step, len(images.image_ids) - 1)]
        try:
            picture = _overlay(images.image(image_id), images.label(image_id), domains.classes, width)
        except DataError:
            continue  # among the faults
        pictures.append((picture, f"{name}: {_file_name(images, image_id)}"))
    if not pictures:
        raise DataError("no image can be read together with its label: there is nothing to draw")
    legend = _legend(domains.classes, 2 * width)
    height = max(picture.height for picture, _ in pictures) + LINE
    sheet = Image.new("RGB", (2 * width, height * -(-len(pictures) // 2) + legend.height))
    for number, (picture, caption) in enumerate(pictures):
        left, top = width * (number % 2), height * (number // 2)
        _write(picture_line := Image.new("RGB", (width, LINE)), 3, 1, caption)
        sheet.paste(picture, (left, top))
        sheet.paste(picture_line, (left, top + picture.height))
    sheet.paste(legend, (0, sheet.height - legend.height))
    return np.array(sheet)


def _file_name(images: ImageSet, image_id: str) -> str:
    return images.files[image_id][0].name if isinstance(images, FileImageSet) else image_id


def _overlay(image_HW3: NDArray[np.uint8], label_HW: NDArray[np.uint8], classes: ClassTable, width: int) -> Image.Image:
    size = width, max(1, round(width * label_HW.shape[0] / label_HW.shape[1]))
    image = Image.fromarray(image_HW3).resize(size, Image.Resampling.BILINEAR)
    label = Image.fromarray(classes.palette_2563[label_HW]).resize(size, Image.Resampling.NEAREST)
    return Image.blend(image, label, 0.5)


def _legend(classes: ClassTable, width: int) -> Image.Image:
    """A square in the colour of each class, and its name."""
    entries = [f"{class_id} {name}" for class_id, name in enumerate(classes.names)]
    cell = min(width, 2 * LINE + max(int(_font().getlength(entry)) for entry in entries))
    columns = max(1, width // cell)
    legend = Image.new("RGB", (width, LINE * -(-len(entries) // columns)))
    for number, (entry, colour) in enumerate(zip(entries, classes.colours, strict=True)):
        left, top = cell * (number % columns), LINE * (number // columns)
        ImageDraw.Draw(legend).rectangle((left + 3, top + 3, left + LINE - 4, top + LINE - 4), colour, (128, 128, 128))
        _write(legend, left + LINE + 2, top + 1, entry)
    return legend


def _write(picture: Image.Image, left: int, top: int, text: str) -> None:
    try:
        ImageDraw.Draw(picture).text((left, top), text, (255, 255, 255), _font())
    except UnicodeEncodeError:  # of the font of a Pillow without FreeType
        ImageDraw.Draw(picture).text((left, top), ascii(text), (255, 255, 255), _font())


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT_SIZE)
