"""Flags that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
NameOption = Annotated[str | None, typer.Option(help="Name of the run folder. Default: the date and time.")]
ResumeOption = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Go on with the run of this folder, as it was started.", show_default=False),
]
OutputOption = Annotated[
    str, typer.Option(metavar="FOLDER", help="Folder that holds run folders, or a URL: s3://bucket/runs.")
]
WandbOption = Annotated[
    Wandb | None, typer.Option(help="auto: online where a key is known, else offline.", show_default=False)
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="http://HEAD:8265 submits a job to that cluster; auto, HOST:PORT or ray://HOST:PORT joins one."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would run and what it would cost; run nothing.")
]
