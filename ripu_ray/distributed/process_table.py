"""The running processes of this machine, as /proc shows them. No Ray is imported."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path


def running() -> dict[int, tuple[int, int]]:
    """Id -> parent and start, of every process that has not ended. A start is in clock ticks since the machine's."""
    table = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # Fields 3, 4 and 22 of proc(5); the name, field 2, may contain spaces and brackets.
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                table[int(path.parent.name)] = int(fields[1]), int(fields[19])
    return table


def descendants(table: Mapping[int, tuple[int, int]], ancestors: Collection[int]) -> set[int]:
    """Ids of `ancestors` and of all processes in the result of `running` that descend from them."""
    found = {*ancestors}
    while more := {pid for pid, (parent, _) in table.items() if parent in found} - found:
        found |= more
    return found
