"""What a data set is, in YAML: patterns of its files, the encoding of its labels, its classes and splits.

The data sets that come with this package are `sets/*.yaml` beside this file.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ripu_ray.config.fields import FilePath, Section
from ripu_ray.config.reading import one_line, read_yaml_file
from ripu_ray.config.texts import settle
from ripu_ray.data.class_shapes import listed
from ripu_ray.data.encodings import colour_table
from ripu_ray.data.finding import Place
from ripu_ray.data.labels import ClassTable, class_table
from ripu_ray.data.patterns import Pattern
from ripu_ray.errors import ConfigError
from ripu_ray.storage.remote import locate

SETS = Path(__file__).parent / "sets"
SPLIT = "split"
"""The placeholder that stands for the name of a split."""
_SUFFIXES = (".yaml", ".yml")
_PLACEHOLDER = re.compile("[a-z][a-z0-9_]*")


def _texts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _text_keys(value: object) -> object:
    """YAML's numbers as the texts that they are in JSON. Raises ValueError: a number is there as a text, too."""
    if not isinstance(value, dict):
        return value
    texts = [*map(str, value)]
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise ValueError(f"id_map: {twice[0]!r}: is there twice")
    return dict(zip(texts, value.values(), strict=True))


Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_texts), Field(min_length=1)]
"""One text, or a list of them."""


class Splits(Section):
    """What stands in place of `{split}` for the images to train on, and for those to validate on."""

    train: str = "train"
    validation: str = "val"


def _one_spelling(encoding: object) -> object:
    return "colours" if encoding == "colors" else encoding


class LabelFormat(Section):
    """How labels are stored, and what they mean. Classes, `id_map` and `void_colors` are those of `classes.json`."""

    encoding: Annotated[Literal["ids", "colours", "palette", "uint16_channel0"], BeforeValidator(_one_spelling)]
    """How a label is stored. ids: PNG with one 8-bit channel. colours: PNG with 8-bit colours or a palette of colours.
    palette: PNG whose palette indices are ids. uint16_channel0: PNG with 16-bit channels, of which the first holds
    ids."""
    classes: Annotated[list[Any], BeforeValidator(lambda value: listed(value) if isinstance(value, dict) else value)]
    """Names, or {name: road, color: [128, 64, 128]}. The id of a class is its position. Or {0: road, 1: sky}."""
    id_map: Annotated[dict[str, str | int], BeforeValidator(_text_keys)] | None = None
    """Id in the files -> name or id of a class, or 255. "*": all ids that are not listed. None: files hold class
    ids."""
    void_colors: list[Any] = Field(default_factory=list)
    """Colours of pixels without class."""

    @model_validator(mode="after")
    def _table_is_right(self) -> Self:
        table = self.table("classes")
        if self.encoding == "colours":
            colour_table(table)
        return self

    def table(self, origin: str) -> ClassTable:
        """The classes and the encoding. `origin`: where they are written, for messages."""
        settings: dict[str, Any] = {"void_colors": self.void_colors}
        if self.id_map is not None:
            settings["id_map"] = self.id_map
        return class_table(self.classes, settings, self.encoding, origin)


class Description(LabelFormat):
    """Where the images and labels of a data set are, and how its labels are stored."""

    images: Texts
    """Patterns of paths below the root: `*` stands for a part of a name, `**` for any number of folders, `{split}` for
    the name of a split, and any other `{placeholder}` for a value of `choices`."""
    labels: str
    """Pattern of the label of an image: its stars stand for what those of the image stand for, in the same order."""
    image_ids: str | None = None
    """Pattern of the image ids, with the same stars. None: placeholders and stars in the order of `images`."""
    splits: Splits = Splits()
    choices: dict[str, Texts] = Field(default_factory=dict)
    """Placeholder -> values. The configuration chooses some of them, or uses all."""

    @model_validator(mode="after")
    def _patterns_are_right(self) -> Self:
        first = _parsed("images[0]", self.images[0])
        if not first.stars:
            raise ValueError(f"images: {first.text!r}: expected a pattern with a star, such as images/*.png")
        others = [(f"images[{number}]", text) for number, text in enumerate(self.images[1:], 1)]
        others += [("labels", self.labels)]
        for place, text in others:
            pattern = _parsed(place, text)
            _check_stars(place, pattern, first)
            if set(pattern.placeholders) != set(first.placeholders):
                raise ValueError(f"{place}: {text!r}: expected the placeholders of {first.text!r}")
        if self.image_ids is not None:
            _check_stars("image_ids", _parsed("image_ids", self.image_ids), first)
        if Path(self.labels).suffix.lower() != ".png":
            raise ValueError(f"labels: {self.labels!r}: expected a pattern of .png files: JPEG changes ids and colours")
        return self

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        used = Pattern(self.images[0]).placeholders
        known = {SPLIT: (self.splits.train, self.splits.validation), **self.choices}
        for name in (*used, *Pattern(self.image_ids or self.labels).placeholders):
            if name not in known:
                names = ", ".join(f"{{{key}}}" for key in known)
                raise ValueError(f"images: unknown placeholder {{{name}}}: expected {names}, or a key in choices")
        for name, texts in known.items():
            if not _PLACEHOLDER.fullmatch(name) or (name == SPLIT and SPLIT in self.choices):
                raise ValueError(f"choices: {name!r}: expected lower-case letters, digits and _, and not 'split'")
            if name in self.choices and name not in used:
                raise ValueError(f"choices.{name}: images has no {{{name}}}")
            for text in texts:
                if set(text) & set("*{}"):
                    raise ValueError(f"{name}: {text!r}: expected a name, without stars and braces")
                Pattern(text)
        return self

    @property
    def has_splits(self) -> bool:
        """Whether the paths have `{split}`."""
        return SPLIT in Pattern(self.images[0]).placeholders

    def places(self, split: str, choice: Mapping[str, Sequence[str]]) -> tuple[Place, ...]:
        """The patterns of a split. `choice`: placeholder -> values to use. Other placeholders take all their values."""
        values = {SPLIT: (split,), **self.choices, **choice}
        chosen = [dict(zip(values, texts, strict=True)) for texts in product(*values.values())]
        texts = (*self.images, self.labels, self.image_ids or "/".join(Pattern(self.images[0]).tokens))
        patterns = [[Pattern(text, one) for text in texts] for one in chosen]
        return tuple(Place(tuple(images), label, image_id) for *images, label, image_id in patterns)


def _parsed(place: str, text: str) -> Pattern:
    try:
        if wrong := next((sign for sign in "?[]" if sign in text), None):
            raise ValueError(f"{text!r}: has {wrong!r}: expected *, ** and {{placeholders}} only")
        return Pattern(text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _check_stars(place: str, pattern: Pattern, first: Pattern) -> None:
    if pattern.stars != first.stars:
        raise ValueError(f"{place}: {pattern.text!r}: expected the stars of {first.text!r}, in the same order")


def set_names() -> tuple[str, ...]:
    """The data sets that come with this package."""
    return tuple(sorted(path.stem for path in SETS.glob("*.yaml")))


def _reference(value: object) -> object:
    if isinstance(value, dict):
        return Description.model_validate(value)
    if isinstance(value, Description | Path) or value in set_names():
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected the name of a data set, a YAML file or a description, found {value!r}")
    if value.endswith(_SUFFIXES):
        return locate(value)
    raise ValueError(f"unknown data set {value!r}: expected {', '.join(set_names())}, or a YAML file such as mine.yaml")


Reference = Annotated[str | FilePath | Description, BeforeValidator(_reference)]
"""Name of a data set of this package, a YAML file that holds a `Description`, or the description itself."""


def describe(reference: str | Path | Description) -> tuple[str, Description]:
    """The description that a setting names, and its name for messages.

    Raises:
        ConfigError: a file cannot be read, or holds no description; one line that names the file and the key.
    """
    if isinstance(reference, Description):
        return "the data set", reference
    if isinstance(reference, Path):
        return reference.name, _read(reference)
    return reference, _packaged(reference)


@lru_cache
def _packaged(name: str) -> Description:
    return _read(SETS / f"{name}.yaml")


def _read(file: Path) -> Description:
    tree = settle(read_yaml_file(file), Description)
    try:
        return Description.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(one_line(error, tree, file, Description)) from None
