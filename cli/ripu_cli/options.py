"""Flags that several commands share."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

import ripu_ray as ripu
from ripu_cli.completion import complete_setting
from ripu_ray.errors import ConfigError

_LONGEST_PATH = 4000


class Wandb(StrEnum):
    """Where W&B runs go."""

    auto = "auto"
    offline = "offline"
    online = "online"
    disabled = "disabled"


class PathText(str):
    """A path as it was typed. `expand_paths` makes it a `Path`."""


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        parser=PathText,
        metavar="FILE",
        help="YAML file of settings, such as configs/demo.yaml.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one setting: training.round_steps=20. Repeatable.",
        autocompletion=complete_setting,
    ),
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="Module or file that registers parts (docs/extending.md); replaces `plugins` of the file. Repeatable.",
    ),
]
OverlaysOption = Annotated[
    Path, typer.Option(parser=PathText, metavar="FILE", help="File for a picture of 8 labels over their images.")
]
PredictionsOption = Annotated[
    Path | None,
    typer.Option(
        parser=PathText, metavar="FOLDER", help="Folder for the predictions, as PNGs in the classes' colours."
    ),
]
FoldersArgument = Annotated[
    list[Path], typer.Argument(parser=PathText, metavar="DIR...", help="Run folders, finished or not.")
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        parser=PathText,
        metavar="FILE",
        help="The file. Default: report.html in the first folder.",
        show_default=False,
    ),
]
RunArgument = Annotated[
    Path, typer.Argument(parser=PathText, metavar="RUN", help="Folder of the run: runs/<name>.", show_default=False)
]


def expand_paths(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a command with `~` and `$VARIABLE` expanded in paths. Raises InputError: names option and path."""

    def expand(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [expand(name, part) for part in value]
        if not isinstance(value, PathText):
            return value
        if not value or not value.isprintable() or len(value) > _LONGEST_PATH:
            raise ConfigError(f"{name}: {value!r} is not a path")
        return ripu.locate(value)

    return {name: expand(name, value) for name, value in options.items()}


@dataclass(frozen=True)
class Shared:
    """The options that `sweep` and `run` share."""

    config: ConfigOption = None
    settings: SetOption = None
    plugins: PluginOption = None
    name: Annotated[str | None, typer.Option(help="Name of the run folder. Default: the date and time.")] = None
    output: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder that holds run folders, or a URL: s3://bucket/runs.")
    ] = "runs"
    resume: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Resume the run of this folder, as it was started.", show_default=False),
    ] = None
    wandb: Annotated[
        Wandb | None, typer.Option(help="Mode of W&B. auto: online if a key is set, else offline.", show_default=False)
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            help="http://HEAD:8265 submits a job to that cluster; auto, HOST:PORT or ray://HOST:PORT joins one."
        ),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print grid, steps, disk space and estimated time; run nothing.")
    ] = False
    show_config: Annotated[
        bool, typer.Option("--show-config", help="With --dry-run: print the resolved configuration first.")
    ] = False
    each: Annotated[
        bool, typer.Option("--each", help="Print a row for each trial, not each arm; also with --dry-run.")
    ] = False
    accept_changed_data: Annotated[
        bool,
        typer.Option("--accept-changed-data", help="If the data changed since the start, run in a new folder."),
    ] = False
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read all data to detect changes, not only files with new sizes and times.")
    ] = False

    @property
    def job_flags(self) -> list[str]:
        """The flags that a job gets, too."""
        flags = {"--accept-changed-data": self.accept_changed_data, "--rehash": self.rehash, "--each": self.each}
        return [flag for flag, is_given in flags.items() if is_given]

    def placed(self, config: "ripu.Config") -> "ripu.Config":
        """The configuration with the cluster and the mode of W&B of these flags. Raises ConfigError."""
        flags = {"cluster.address": self.address, "tracking.wandb": self.wandb and self.wandb.value}
        given = {key: value for key, value in flags.items() if value is not None}
        return ripu.override(config, given) if given else config


def with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `Shared` to a command, which receives them as its argument `shared`."""
    own = [parameter for parameter in signature(command).parameters.values() if parameter.name != "shared"]
    names = [field.name for field in fields(Shared)]

    @wraps(command)
    def with_options(*values: Any, **options: Any) -> None:
        shared = Shared(**{name: options.pop(name) for name in names})
        command(*values, shared=shared, **options)

    # Typer reads the options from the signature.
    with_options.__signature__ = Signature(  # type: ignore[attr-defined]
        [*own, *signature(Shared).parameters.values()]
    )
    with_options.__annotations__ = {
        **get_type_hints(command, include_extras=True),
        **get_type_hints(Shared, include_extras=True),
    }
    return with_options
