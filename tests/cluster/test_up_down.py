"""`hack/cluster` itself: nodes side by side, started again, killed at any moment; nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.executors.process import identity
from controller.local import records
from hack.node import layout
from hack.node.layout import Node
from tests.cluster.pods import Pods
from tests.cluster.running_node import PATIENT_SECONDS, Cluster, command, down, up
from tests.eventually import eventually_sync

SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
pytestmark = pytest.mark.timeout(PATIENT_SECONDS)


def traces(directory: Path) -> list[str]:
    """Everything of a node that can be found on the machine, by other means than `hack/cluster down` uses."""
    found = [str(directory)] if directory.exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            seen += (process / "mountinfo").read_bytes()
        except OSError:
            continue  # it has ended, or is a zombie
        if str(directory).encode() in seen and process.name != str(os.getpid()):
            found.append(f"process {process.name}")
    return found


def machine() -> dict[str, str]:
    """What a node must not change: rules and kernel settings of the machine."""
    rules = subprocess.run(["iptables-save", "-t", "nat"], check=True, capture_output=True, text=True, timeout=60)
    found = {"rules": "\n".join(line for line in rules.stdout.splitlines() if line.startswith("-A"))}
    for name in SETTINGS:
        found[name] = (Path("/proc/sys") / name).read_text()
    return found


def taken(node: Node) -> list[str]:
    """What of the machine bears the node's number."""
    link = Path("/sys/class/net") / node.link
    # Not pathlib's glob, which fails where a cgroup goes under its feet: those of other nodes come and go.
    walked = os.walk("/sys/fs/cgroup")
    cgroups = [f"{directory}/{name}" for directory, names, _ in walked for name in names if name == node.cgroup]
    return [str(link)] * link.exists() + [path for path in cgroups if Path(path).exists()]


@pytest.fixture
def second(node: Node, node_directory: Path) -> Iterator[Path]:
    """Directory of a second node, beside the one of all tests."""
    directory = node_directory / "second"
    yield directory
    down(directory)


def ended_by_kill(node: Node, name: str) -> None:
    """KILL a server of the node, as a crash would."""
    record = records.read(node.home.record(name))
    assert record is not None
    assert record.process is not None
    assert identity.send(record.process, signal.SIGKILL)
    eventually_sync(lambda: not record.alive, 60, f"end of {name}")


def test_down_leaves_nothing(second: Path, cluster: Cluster, tmp_path: Path) -> None:
    """Process, mount, link, rule, cgroup and kernel setting: all as before, with a Pod still running; and the other
    node goes on."""
    before = machine()
    made = up(second)
    assert machine() == before
    other = Cluster(made.home.kubeconfig, cluster.kubectl_binary, tmp_path, made)
    other.kubectl("create", "namespace", "work")
    pods = Pods(other, "work")
    name = pods.start("sleep", "1000")
    eventually_sync(
        lambda: other.get("pod", name, "--namespace=work")["status"]["phase"] == "Running", 120, "the Pod runs"
    )
    assert traces(second)
    assert taken(made)
    down(second)
    assert traces(second) == []
    assert taken(made) == []
    assert machine() == before
    assert len(cluster.get("nodes")["items"]) == 1


def killed_up(directory: Path, seconds: float) -> None:
    """`hack/cluster up`, killed after this time."""
    argv = [sys.executable, "-m", "hack.node", "up", f"--dir={directory}"]
    with subprocess.Popen(argv, cwd=layout.CHECKOUT, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.mark.parametrize("seconds", [1, 2, 4, 8])
def test_down_removes_what_a_killed_up_left(second: Path, seconds: float) -> None:
    """Whenever `up` is killed: nothing that it started was told to anybody but the machine."""
    before = machine()
    killed_up(second, seconds)
    half = layout.read(second)
    down(second)
    assert traces(second) == []
    assert half is None or taken(half) == []
    assert machine() == before


def test_up_goes_on_where_a_killed_one_was(second: Path) -> None:
    """Killed early, killed late, then finished."""
    killed_up(second, 2)
    killed_up(second, 5)
    up(second)
    assert command("status", f"--dir={second}").returncode == 0


def test_what_was_killed_is_started_again(second: Path) -> None:
    """`up` on a node of which a part is gone brings that part back, or all of it where nothing works without it."""
    made = up(second)
    for name in ("kubelet", "containerd", "apiserver", "namespaces"):
        ended_by_kill(made, name)
        assert command("status", f"--dir={second}").returncode == 1, name
        assert up(second) == made, name
        assert command("status", f"--dir={second}").returncode == 0, name


def test_a_directory_with_something_else_is_refused() -> None:
    """Nobody's files get among a node's, whose directory is removed as a whole."""
    with tempfile.TemporaryDirectory() as name:
        mine = Path(name) / "mine"
        mine.touch()
        done = command("up", f"--dir={name}")
        assert done.returncode == 1
        assert "holds something else" in done.stderr
        assert "no node" in command("down", f"--dir={name}").stderr
        assert mine.exists()


def test_a_machine_without_root_is_told_what_to_do_instead() -> None:
    """Elsewhere a cluster of the user's own is named by --context."""
    script = "import os; from hack.node.__main__ import main; os.setuid(65534); raise SystemExit(main(['up']))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, cwd=layout.CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "needs root" in done.stderr
    assert "--context" in done.stderr
