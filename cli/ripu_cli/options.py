"""Flags that several commands share."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


class Wandb(StrEnum):
    """Where W&B runs go."""

    auto = "auto"
    offline = "offline"
    online = "online"
    disabled = "disabled"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings, such as configs/demo.yaml.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting: training.round_steps=20. Repeatable."),
]


@dataclass(frozen=True)
class Shared:
    """The options that `sweep` and `run` share."""

    config: ConfigOption = None
    settings: SetOption = None
    name: Annotated[str | None, typer.Option(help="Name of the run folder. Default: the date and time.")] = None
    output: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder that holds run folders, or a URL: s3://bucket/runs.")
    ] = "runs"
    resume: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Resume the run of this folder, as it was started.", show_default=False),
    ] = None
    wandb: Annotated[
        Wandb | None, typer.Option(help="auto: online where a key is known, else offline.", show_default=False)
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            help="http://HEAD:8265 submits a job to that cluster; auto, HOST:PORT or ray://HOST:PORT joins one."
        ),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run and what it would cost; run nothing.")
    ] = False
    show_config: Annotated[
        bool, typer.Option("--show-config", help="With --dry-run: print the resolved configuration first.")
    ] = False
    each: Annotated[bool, typer.Option("--each", help="End with a row for each trial instead of each arm.")] = False


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
