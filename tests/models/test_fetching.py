"""Weights from a URL: fetched once, checked, and every failure in one line."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from ripu_ray.config import load_config
from ripu_ray.errors import DataError
from ripu_ray.models import fetching
from ripu_ray.models.fetching import fetch
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import load_pretrained


class _Handler(SimpleHTTPRequestHandler):
    def send_header(self, keyword: str, value: str) -> None:
        """Promise more of one file than there is."""
        is_torn = self.path == "/torn.pth" and keyword == "Content-Length"
        super().send_header(keyword, str(int(value) + 2) if is_torn else value)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which its files are to be had."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["http", "file"])
def test_the_backbone_takes_weights_from_a_url(served: tuple[Path, str], kind: str) -> None:
    folder, address = served
    url = f"{address if kind == 'http' else folder.as_uri()}/resnet101.pth"
    config = load_config(None, ["model.name=deeplabv2", f"model.backbone_weights={url}"])
    there = build_network(config.model, 3, seed=1).state_dict()
    prefix = "feature_extractor.backbone."
    backbone = {name.removeprefix(prefix): value for name, value in there.items() if name.startswith(prefix)}
    torch.save(backbone, folder / "resnet101.pth")
    network = build_network(config.model, 3, seed=0)
    load_pretrained(network, config.model)
    assert all(torch.equal(network.state_dict()[prefix + name], value) for name, value in backbone.items())


def test_a_file_is_fetched_once_and_held_to_the_hash_in_its_name(served: tuple[Path, str]) -> None:
    folder, address = served
    start = hashlib.sha256(b"weights").hexdigest()[:8]
    (folder / f"a-{start}.pth").write_bytes(b"weights")
    (folder / "b-00000000.pth").write_bytes(b"weights")
    path = fetch(f"{address}/a-{start}.pth")
    (folder / f"a-{start}.pth").unlink()
    assert fetch(f"{address}/a-{start}.pth") == path
    assert path.read_bytes() == b"weights"
    with pytest.raises(DataError, match=rf"b-00000000\.pth: the content's SHA-256 begins with {start}"):
        fetch(f"{address}/b-00000000.pth")


def test_what_cannot_be_fetched_is_named(served: tuple[Path, str]) -> None:
    folder, address = served
    for url in (f"{address}/none.pth", f"{folder.as_uri()}/none.pth", "http://127.0.0.1:1/w.pth", "http://[/w.pth"):
        with pytest.raises(DataError) as caught:
            fetch(url)
        assert str(caught.value).startswith(f"{url}: cannot be fetched (")
        assert "\n" not in str(caught.value)


def test_a_download_is_bounded_and_complete(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = served
    monkeypatch.setattr(fetching, "MAX_BYTES", 10)
    for name, size, says in (("large", 11, "expected at most 10 bytes"), ("torn", 7, r"\(7 of 9 bytes came\)")):
        (folder / f"{name}.pth").write_bytes(bytes(size))
        with pytest.raises(DataError, match=says):
            fetch(f"{address}/{name}.pth")
    assert not list(folder.parent.glob("torch/ripu-ray/*"))
