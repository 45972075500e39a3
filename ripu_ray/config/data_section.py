"""The section `data` of the configuration: what every data set's section offers. Each stands beside its reader."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, PrivateAttr

from ripu_ray.config.fields import Section
from ripu_ray.errors import DataError


class DatasetSection(Section):
    """The data set.

    A data set is a subclass with a field `dataset: Literal[name] = name`, registered by
    `@DATASETS.register(name)` of `ripu_ray.config.registry`.
    """

    is_drawn: ClassVar[bool] = False
    """Whether images are drawn and not read from files, so that no check of files is needed."""
    dataset: str
    """Name of the data set."""
    _asks_people: bool = PrivateAttr(False)

    def __hash__(self) -> int:
        # The fields of a user's data set, such as a list, may have none. Equal sections have equal hashes.
        return hash((type(self), self.dataset))

    @property
    def source_prefix(self) -> str:
        """The settings of the source's sizes, without `input_size` and `label_size`."""
        return "data."

    @property
    def asks_people(self) -> bool:
        """Whether people label the target: `oracle.kind` is human. Its labels and validation may be missing then."""
        return self._asks_people

    def asking(self, people: bool) -> Self:
        """A copy with this value of `asks_people`. The configuration calls it."""
        copy = self.model_copy()
        copy._asks_people = people
        return copy

    def without_effect(self) -> Iterable[str]:
        """A line for each setting that has no effect because of another one."""
        return ()

    def open(self, with_source: bool = True) -> Any:
        """The `Domains` (ripu_ray.data.loading) of this data set. Cheap: lists folders, opens no image.

        Args:
            with_source: False leaves the source's files alone; `source` then has no images.

        Raises:
            DataError: a folder, a file of a pair or a list is missing or wrong.
            InputError: a folder is behind a URL, and cannot be read.
        """
        raise NotImplementedError


class AbsentDataset(DatasetSection):
    """Stands for the section of a data set whose plug-in is not run: it keeps all settings and opens nothing."""

    model_config = ConfigDict(extra="allow")

    def open(self, with_source: bool = True) -> Any:
        """Raises DataError."""
        raise DataError(f"data set {self.dataset}: commands that only read a run folder do not run its plug-ins")
