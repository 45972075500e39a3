"""The report of sweeps that still run, served on this machine alone and renewed after each committed round."""

import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ripu_ray.errors import ConfigError, first_line
from ripu_ray.reporting.report import write_report
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.remote import RemotePath

HOST = "127.0.0.1"
RELOAD_S = 20
"""After this time a browser asks for the page again."""
_POLL_S = 2


class _Server(ThreadingHTTPServer):
    """Serves one page at `/`. Requests whose Host is another name are refused: a web page of others cannot read it."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.page, self.is_final = b"", False
        self.final_served = threading.Event()
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer with the page."""
        if self.headers.get("Host") not in self.server.hosts:
            self.send_error(403, "the report is served to this machine alone")
            return
        if self.path != "/":
            self.send_error(404)
            return
        page, is_final = self.server.page, self.server.is_final
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        if not is_final:
            self.send_header("Refresh", str(RELOAD_S))
        self.end_headers()
        self.wfile.write(page)
        if is_final:
            self.server.final_served.set()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def watch_report(runs: Sequence[RunFolder], output: Path, port: int, announce: Callable[[str], None]) -> None:
    """Write and serve the report, again after each committed round, until all trials are finished or Ctrl-C.

    Args:
        runs: different local folders.
        output: path of the report.
        port: of 127.0.0.1; 0: a free one.
        announce: is called once with the address.

    Raises:
        ConfigError: a folder is behind a URL, or the port is taken.
        RunFolderError, StorageError: see `write_report`.
    """
    for run in runs:
        if isinstance(run.path, RemotePath):
            raise ConfigError(f"{run.path}: only a local run folder can be watched")
    seen = _state(runs)
    write_report(runs, output)
    try:
        server = _Server(port)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port}: {HOST} cannot be served there ({first_line(error)})") from None
    server.page = output.read_bytes()
    server.is_final = _are_finished(runs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        announce(f"http://{HOST}:{server.server_port}/")
        while not server.is_final:
            time.sleep(_POLL_S)
            if (state := _state(runs)) != seen:
                is_final = _are_finished(runs)
                write_report(runs, output)
                seen, server.page, server.is_final = state, output.read_bytes(), is_final
        # A browser that shows the page asks for the last one.
        server.final_served.wait(RELOAD_S + _POLL_S)
    except KeyboardInterrupt:
        pass
    finally:
        server.shutdown()
        server.server_close()


def _state(runs: Sequence[RunFolder]) -> set[tuple[Path, int]]:
    """The committed records and markers of an end, with their times."""
    patterns = ("warmups/*/record.json", "trials/*/round_*/record.json", "trials/*/finished.json")
    paths = [path for run in runs for pattern in patterns for path in run.path.glob(pattern)]
    return {(path, path.stat().st_mtime_ns) for path in paths}


def _are_finished(runs: Sequence[RunFolder]) -> bool:
    return all(run.is_finished(trial_id) for run in runs for trial_id in run.trials)
