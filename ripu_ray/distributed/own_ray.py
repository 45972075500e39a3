"""Detect within seconds that a Ray of our own has died. Ray itself waits for a minute or more."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ripu_ray.distributed.process_table import descendants, running
from ripu_ray.distributed.ray_internals import AGENTS, own_processes
from ripu_ray.runs.interrupt import StopRequest

_CORE = {"gcs_server", "raylet"}
INTERVAL_S = 0.5
"""Interval of looking at the processes."""
Process = tuple[int, int]
"""Id of a process, and its start since the start of the machine in clock ticks: ids are used again."""


@contextmanager
def watch_own_ray(stop: StopRequest, on_death: Callable[[str], object]) -> Iterator[None]:
    """Watch the processes of a Ray that this process started, until the block ends.

    When the control store or the raylet ends, or an agent of the raylet after a stop was requested, all processes that
    descend from this one are killed, and `on_death` is called. A control store and a raylet that get SIGTERM with all
    others end after 10 s and more.

    Args:
        stop: request to stop, which SIGTERM makes.
        on_death: called in another thread with one line. It must end this process, whose main thread may wait for Ray.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(ended, stop, on_death), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(ended: threading.Event, stop: StopRequest, on_death: Callable[[str], object]) -> None:
    watched = own_processes()
    seen, agents = set[Process](), set[Process]()
    while not ended.wait(INTERVAL_S):
        dead = [name for name, process in watched if process.poll() is not None]
        # Descendants of a dead raylet have another parent now.
        table = running()
        seen = {process for process in seen if table.get(process[0], (0, 0))[1] == process[1]} | _descendants(table)
        agents |= {process for process in seen if _is_agent(process[0])}  # once they have their titles
        if not agents <= seen and stop.is_made():
            dead.append("agent")
        if dead and (_CORE.intersection(dead) or stop.is_made()):
            for pid, _ in seen:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            on_death(f"Ray on this machine died ({', '.join(dead)})")
            return


def _descendants(table: dict[int, tuple[int, int]]) -> set[Process]:
    own = os.getpid()
    return {(pid, table[pid][1]) for pid in descendants(table, {own}) if pid in table and pid != own}


def _is_agent(pid: int) -> bool:
    """Whether a process is an agent of a raylet."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").strip("\0") in AGENTS
    return False
