"""A Ray cluster whose nodes have addresses of their own: a raylet in each of several network namespaces.

The namespaces are joined by a bridge in one more of them, so nothing of the machine's own network is touched and no
packet leaves it. They go with everything in them when the block ends, however it ends.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

INTERFACE = "eth0"
"""Of every node."""
_PORT = 6379
_START_ATTEMPTS = 3
_QUICK = {
    # A node that is cut off is given up after some seconds and not half a minute.
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}


class Node:
    """A network namespace with one address, and the raylet in it."""

    def __init__(self, namespace: str, ip: str) -> None:
        self.namespace, self.ip = namespace, ip

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs another one on this node."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def cut_off(self) -> None:
        """Pull the plug of its network."""
        _ip("-n", self.namespace, "link", "set", INTERFACE, "down")

    def pids(self) -> list[int]:
        """The processes on this node."""
        return [int(line) for line in _ip("netns", "pids", self.namespace).split()]

    def runs(self, title: str) -> bool:
        """Whether one of its processes goes by a title such as `ray::ScoringActor`."""
        return any(title in _title(pid) for pid in self.pids())


class RayNetwork:
    """Nodes, the first of which is the head.

    Attributes:
        nodes: in the order in which they were started.
        environment: variables of every process on them.
    """

    def __init__(self, nodes: Sequence[Node], environment: Mapping[str, str]) -> None:
        self.nodes, self.environment = nodes, environment

    @property
    def address(self) -> str:
        """Of the head, as `cluster.address` takes it."""
        return f"{self.nodes[0].ip}:{_PORT}"

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`ripu` with the given arguments, on the head; its output comes by way of `stdout`."""
        return subprocess.Popen(
            self.nodes[0].command([sys.executable, "-m", "ripu_cli", *arguments]),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def ray_network(num_nodes: int, hidden: Path | None = None) -> Iterator[RayNetwork]:
    """A running cluster of nodes of one core each.

    Args:
        num_nodes: with the head, at least 2.
        hidden: a folder that the last node does not see: an empty one lies over it there.

    Raises:
        pytest.skip.Exception: this machine does not allow namespaces.
    """
    skip_unless_allowed()
    prefix = f"ripu{os.getpid()}{secrets.token_hex(2)}"
    switch = f"{prefix}s"
    temporary = Path(tempfile.mkdtemp(prefix="ripu"))  # short: sockets lie in it
    environment = {**os.environ, **_QUICK, "RAY_TMPDIR": str(temporary), "RAY_AUTH_MODE": "disabled"}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        _add_namespace(switch, stack)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        nodes = []
        for number in range(1, num_nodes + 1):
            node = Node(f"{prefix}n{number}", f"10.77.0.{number}")
            _add_namespace(node.namespace, stack)
            port = f"port{number}"
            _ip("-n", node.namespace, "link", "add", INTERFACE, "type", "veth", "peer", "name", port, "netns", switch)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", node.namespace, "address", "add", f"{node.ip}/24", "dev", INTERFACE)
            _ip("-n", node.namespace, "link", "set", INTERFACE, "up")
            nodes.append(node)
        network = RayNetwork(nodes, environment)
        for node in nodes:
            head = ["--head", f"--port={_PORT}", "--include-dashboard=false"]
            role = head if node is nodes[0] else [f"--address={network.address}"]
            ray_start = [
                *(str(Path(sys.executable).with_name("ray")), "start", *role, f"--node-ip-address={node.ip}"),
                *("--num-cpus=1", "--object-store-memory=100000000"),
                *("--disable-usage-stats", "--block"),
            ]
            if hidden is not None and node is nodes[-1]:
                cover = 'mount -t tmpfs ripu "$0" && exec "$@"'
                ray_start = ["unshare", "--mount", "sh", "-c", cover, str(hidden), *ray_start]
            _start_raylet(node, ray_start, environment, temporary / f"{node.namespace}.log", stack)
        yield network


def skip_unless_allowed() -> None:
    """Skip the test if this machine does not allow namespaces."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("this machine does not allow network and mount namespaces")


def _add_namespace(name: str, stack: ExitStack) -> None:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "delete", name)
    stack.callback(_end_all, name)
    _ip("-n", name, "link", "set", "lo", "up")


def _end_all(namespace: str) -> None:
    for pid in map(int, _ip("netns", "pids", namespace).split()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _start_raylet(
    node: Node, ray_start: Sequence[str], environment: Mapping[str, str], log: Path, stack: ExitStack
) -> None:
    """Return once the node is up, which `ray start` says; it gives up after 30 s, which a busy machine may need."""
    for _ in range(_START_ATTEMPTS):
        with log.open("w") as file:
            process = subprocess.Popen(node.command(ray_start), env=environment, stdout=file, stderr=file)
        stack.callback(process.wait)
        stack.callback(_end_all, node.namespace)
        while process.poll() is None:
            if "Ray runtime started." in log.read_text():
                return
            time.sleep(0.1)
        _end_all(node.namespace)
    raise RuntimeError(f"node {node.ip} did not start:\n{log.read_text()}")


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        return ""


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
