"""What W&B has written on this disk: which steps are there, and what still has to be uploaded."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stock:
    """The W&B runs of one folder.

    Attributes:
        steps: that were logged in any of them.
        is_pending: whether one of them was not uploaded.
    """

    steps: frozenset[int]
    is_pending: bool


def take_stock(folder: Path) -> Stock:
    """Read what earlier processes logged below `folder`/wandb, and put it in order.

    What a killed process left is marked as not uploaded, and removed if it holds nothing at all.
    """
    steps: set[int] = set()
    for file in sorted(folder.glob("wandb/*run-*/*.wandb")):
        entries = read_entries(file)
        if not entries:
            shutil.rmtree(file.parent)
            continue
        steps |= {entry["history"]["step"].get("num", 0) for entry in entries if entry["type"] == "history"}
        if entries[-1]["type"] != "exit":
            keep_for_upload(file.parent)
    pending = [run for run in folder.glob("wandb/offline-run-*") if not list(run.glob("*.synced"))]
    return Stock(frozenset(steps), bool(pending))


def keep_for_upload(run: Path) -> None:
    """Give the folder of an online run the name of an offline one, which is what `wandb sync` uploads."""
    if run.name.startswith("run-"):
        run.rename(run.with_name(f"offline-{run.name}"))


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The records of a `.wandb` file that are whole, by W&B's own reader: type and content."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
