"""The report of a running sweep, served on this machine."""

import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from ripu_cli.main import app
from typer.testing import CliRunner

import ripu_ray as ripu
from ripu_ray.config import load_config
from ripu_ray.errors import ConfigError
from ripu_ray.reporting import serving
from tests.conftest import TINY
from tests.running import run_all


def _get(address: str, host: str | None = None) -> tuple[int, str, str | None]:
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers["Refresh"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), None


@pytest.mark.slow
def test_the_page_is_served_to_this_machine_alone_until_the_sweep_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_POLL_S", 0.1)
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0")))
    trial = run.trial(next(iter(run.trials))).path
    last = tmp_path / "last"
    shutil.move(trial / "round_01", last)
    (trial / "finished.json").rename(tmp_path / "finished.json")
    addresses: list[str] = []
    is_up = threading.Event()

    def announce(address: str) -> None:
        addresses.append(address)
        is_up.set()

    thread = threading.Thread(target=ripu.report, args=([run.path], None, announce))
    thread.start()
    assert is_up.wait(60)
    (address,) = addresses
    assert address.startswith("http://127.0.0.1:")
    status, text, refresh = _get(address)
    assert (status, refresh) == (200, str(serving.RELOAD_S))
    assert "0 of 1 trials finished" in text
    port = address.rstrip("/").rpartition(":")[2]
    assert _get(address, f"localhost:{port}")[0] == 200
    assert [_get(address, host)[0] for host in ("evil.example", f"evil.example:{port}", "127.0.0.1")] == [403] * 3
    assert [_get(address + path)[0] for path in ("report.html", "../config.yaml", "?x")] == [404] * 3
    with pytest.raises(ConfigError, match=f"port {port}: 127.0.0.1 cannot be served there"):
        ripu.report([run.path], tmp_path / "other.html", announce, int(port))
    shutil.move(last, trial / "round_01")
    (tmp_path / "finished.json").rename(trial / "finished.json")
    while (found := _get(address))[2]:
        pass
    assert "1 of 1 trials finished" in found[1]
    thread.join(30)
    assert not thread.is_alive()
    assert (run.path / "report.html").read_text(encoding="utf-8") == found[1]
    monkeypatch.setattr(serving, "RELOAD_S", 0)
    done = CliRunner().invoke(app, ["report", str(run.path), "--watch"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "watch    http://127.0.0.1:" in done.stdout
