"""Logs that a kubelet breaks off: what is kept is whole all the same (requirements 3.2, 4.2).

The API server is the real one; what it asks for the log of a Pod is a stand-in for a kubelet, as no real one breaks off
when a test wants it to.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from controller.errors import Transient
from controller.executors.base import AttemptId
from controller.executors.pod import collector as collector_module
from controller.executors.pod import patience
from controller.executors.pod.collector import Collector
from controller.executors.pod.names import ATTEMPT_LABEL
from controller.executors.pod.place import OutputPlace
from controller.executors.pod.views import pod_view
from controller.kube.client import Api
from controller.kube.workloads import Workloads
from controller.telemetry.metrics import Metrics
from tests.disks import small_disk
from tests.eventually import eventually
from tests.running_plane import RunningPlane

STATUS = {"Content-Type": "application/merge-patch+json"}
LINES = [f"2026-01-01T00:00:{second:02d}.5Z line {second}\n" for second in range(6)]
TEXT = "".join(line.partition(" ")[2] for line in LINES)


@dataclass
class Kubelet:
    """Serves the log of one container.

    Args:
        told: what each request gets, the last one all that follow: a number of lines, and what is done before its end.
            Without a line not even an answer begins.
        instead: what it says in place of lines that are none, as text without a time.
        there: lines that a request is told which does not follow.
        asked: the paths of the requests that follow.
        looks: of the others.
        gone: set when the test is over.
    """

    told: list[tuple[int, Callable[[], object]]]
    port: int = 0
    instead: str = ""
    there: int = 0
    asked: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def hang(self) -> None:
        """As over a connection whose other end is gone without a word."""
        self.gone.wait(120)


@pytest.fixture
def kubelet(plane: RunningPlane) -> Iterator[Kubelet]:
    made = Kubelet([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> object:
            lines, then = self.told()
            if not lines and not made.instead:
                return then()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(("".join(LINES[:lines]) if lines else made.instead).encode())
            self.wfile.flush()
            return then()

        def told(self) -> tuple[int, Callable[[], object]]:
            if "follow=true" not in self.path:
                made.looks.append(self.path)
                return made.there, lambda: None
            made.asked.append(self.path)
            return made.told[min(len(made.asked), len(made.told)) - 1]

        def log_message(self, *_: object) -> None:
            """Tests look at what was asked."""

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    home = plane.plane.home
    tls.load_cert_chain(home.crt("serving"), home.key("serving"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.port = server.server_address[1]
    yield made
    made.gone.set()
    server.shutdown()
    thread.join(60)
    server.server_close()


@dataclass
class Pod:
    """A Pod of an attempt, on a node whose kubelet is the stand-in."""

    http: httpx.Client
    path: str
    attempt: AttemptId

    def state(self, **state: object) -> None:
        """What its container is in."""
        container = {"name": "main", "image": "a", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        body = {"status": {"phase": "Running", "containerStatuses": [container]}}
        self.http.patch(f"{self.path}/status", json=body, headers=STATUS).raise_for_status()

    def ended(self) -> None:
        self.state(terminated={"exitCode": 0, "finishedAt": "2026-01-01T00:01:00Z"})


@pytest.fixture
def pod(plane_http: httpx.Client, namespace: str, kubelet: Kubelet) -> Iterator[Pod]:
    name, attempt = f"node-{uuid4().hex[:8]}", AttemptId(str(uuid4()), 1)
    nodes, pods = "/api/v1/nodes", f"/api/v1/namespaces/{namespace}/pods"
    plane_http.post(nodes, json={"metadata": {"name": name}}).raise_for_status()
    there = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }
    plane_http.patch(f"{nodes}/{name}/status", json={"status": there}, headers=STATUS).raise_for_status()
    spec = {
        "nodeName": name,
        "automountServiceAccountToken": False,
        "serviceAccountName": "default",
        "containers": [{"name": "main", "image": "a"}],
    }
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    plane_http.post(account, json={"metadata": {"name": "default"}})  # the controller manager makes it too
    labels = {ATTEMPT_LABEL: str(attempt)}
    body = {"metadata": {"name": "printer", "labels": labels}, "spec": spec}
    plane_http.post(pods, json=body).raise_for_status()
    made = Pod(plane_http, f"{pods}/printer", attempt)
    made.state(running={"startedAt": "2026-01-01T00:00:00Z"})
    yield made
    plane_http.delete(f"{nodes}/{name}").raise_for_status()


@pytest.fixture
async def workloads(plane: RunningPlane, pod: Pod, metrics: Metrics) -> AsyncIterator[Workloads]:
    async with await Api.connect(plane.kubeconfig, metrics, timeout_seconds=20) as api:
        made = Workloads(api, ATTEMPT_LABEL)
        await made.fill()
        running = asyncio.create_task(made.run())
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.close()


async def test_a_stream_that_ends_while_the_container_ends(
    kubelet: Kubelet, pod: Pod, workloads: Workloads, tmp_path: Path
) -> None:
    """4.2: a kubelet that loses its containers ends the stream as if all was said; what was printed meanwhile is kept.

    Its container has ended by the time that the stream does, so only another look can tell what is lacking; that one
    asks for no more than it has to.
    """
    kubelet.told = [(3, lambda: None), (4, pod.ended), (6, lambda: None)]
    place = OutputPlace(tmp_path / "output", "", "")
    collector = Collector(workloads, place, lambda _: None)
    _, found = workloads.known(str(pod.attempt))
    collector.follow(pod.attempt, pod_view(found[0]), None)
    output = place.directory(pod.attempt) / "output.log"
    await eventually(lambda: output.exists() and output.read_text() == TEXT, 120)
    await collector.close()
    assert "sinceTime" not in kubelet.asked[0] and "sinceTime=2026-01-01T00%3A00%3A02Z" in kubelet.asked[1]


async def test_what_a_kubelet_says_in_place_of_a_log(
    kubelet: Kubelet, pod: Pod, workloads: Workloads, tmp_path: Path
) -> None:
    """4.2: its container has ended, and its runtime is away just then: that sentence is not the output."""
    kubelet.instead = "unable to retrieve container logs for containerd://4ace175088d84862702c04252639d66b"
    kubelet.told = [(0, lambda: None), (0, lambda: None), (6, lambda: None)]
    pod.ended()
    await eventually(lambda: pod_view(workloads.known(str(pod.attempt))[1][0]).terminated)
    place = OutputPlace(tmp_path / "output", "", "")
    collector = Collector(workloads, place, lambda _: None)
    await collector.finish(pod.attempt, pod_view(workloads.known(str(pod.attempt))[1][0]), None)
    assert (place.directory(pod.attempt) / "output.log").read_text() == TEXT
    await collector.close()


async def test_a_disk_that_is_full_for_a_while(
    kubelet: Kubelet, pod: Pod, workloads: Workloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.2, 8.3: said once, with the path; the output is whole once there is room, and its Pod stays until then."""
    monkeypatch.setattr(collector_module, "FINISH_SECONDS", 1.0)
    kubelet.told = [(3, pod.ended), (6, lambda: None)]
    with small_disk(tmp_path / "disk", "256k") as disk, capture_logs() as said:
        place = OutputPlace(disk / "output", "", "")
        directory = place.directory(pod.attempt)
        directory.mkdir(parents=True)
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 2**20)
        collector = Collector(workloads, place, lambda _: None)
        _, found = workloads.known(str(pod.attempt))
        collector.follow(pod.attempt, pod_view(found[0]), None)
        await eventually(lambda: len(kubelet.asked) >= 4)
        with pytest.raises(Transient, match=rf"^OutputNotKept: {directory}/output.log: No space left .* its Pod stays"):
            await collector.finish(pod.attempt, pod_view(found[0]), None)
        filler.unlink()
        await eventually(lambda: place.is_kept(pod.attempt))
        assert (directory / "output.log").read_text() == TEXT
        await eventually(lambda: len(said) == 2)
        assert [each["log_level"] for each in said] == ["warning", "info"]
        await collector.close()


async def test_a_stream_that_is_dead_when_the_command_is_over(
    kubelet: Kubelet, pod: Pod, workloads: Workloads, tmp_path: Path
) -> None:
    """4.2: a release does not wait for it, but has the log asked for again, within seconds."""
    kubelet.told = [(3, kubelet.hang), (0, kubelet.hang), (6, lambda: None)]
    place = OutputPlace(tmp_path / "output", "", "")
    collector = Collector(workloads, place, lambda _: None)
    running = pod_view(workloads.known(str(pod.attempt))[1][0])
    collector.follow(pod.attempt, running, None)
    output = place.directory(pod.attempt) / "output.log"
    await eventually(lambda: output.exists() and output.read_text().count("\n") == 3)
    pod.ended()
    await eventually(lambda: pod_view(workloads.known(str(pod.attempt))[1][0]).terminated)

    async def released() -> bool:
        try:
            await collector.finish(pod.attempt, running, None)
        except Transient:
            return False
        return place.is_kept(pod.attempt)

    await eventually(released, 120)
    assert output.read_text() == TEXT
    assert len(kubelet.asked) >= 3 and "sinceTime=2026-01-01T00%3A00%3A02Z" in kubelet.asked[2]
    await collector.close()


async def test_a_command_that_is_silent(
    kubelet: Kubelet, pod: Pod, workloads: Workloads, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.2, 4.2: its stream stays until there is more than came over it, which is looked for; that is no failure."""
    monkeypatch.setattr(patience, "SILENT_SECONDS", 3.0)  # enough for the first byte of a stream
    kubelet.told = [(3, kubelet.hang), (6, pod.ended), (6, lambda: None)]
    kubelet.there = 3
    place = OutputPlace(tmp_path / "output", "", "")
    collector = Collector(workloads, place, lambda _: None)
    with capture_logs() as said:
        collector.follow(pod.attempt, pod_view(workloads.known(str(pod.attempt))[1][0]), None)
        await eventually(lambda: len(kubelet.looks) >= 3)
        assert len(kubelet.asked) == 1 and "sinceTime=2026-01-01T00%3A00%3A02Z" in kubelet.looks[-1]
        kubelet.there = 4
        await eventually(lambda: place.is_kept(pod.attempt))
    assert (place.directory(pod.attempt) / "output.log").read_text() == TEXT
    assert not said and len(kubelet.asked) >= 3
    labels = {"verb": "log", "kind": "Pod", "code": "unreachable"}
    assert not metrics.registry.get_sample_value("holdfast_api_requests_total", labels)
    await collector.close()


async def test_the_kernel_asks_whether_the_other_end_is_there(plane: RunningPlane, workloads: Workloads) -> None:
    """4.2, 6.4: also of a stream, on which nothing is sent that would have to be answered."""
    await eventually(lambda: connections(plane.plane.record("apiserver").port, KEEPALIVE) >= 2)  # Jobs and Pods


KEEPALIVE = "02"  # which timer runs


def connections(port: int, timer: str) -> int:
    """How many of this process to a port have such a timer (proc_net_tcp)."""
    ours = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            ours.add(str(fd.readlink()))
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    to_it = [row for row in rows if int(row[2].split(":")[1], 16) == port and f"socket:[{row[9]}]" in ours]
    return sum(row[5].startswith(timer) for row in to_it)
