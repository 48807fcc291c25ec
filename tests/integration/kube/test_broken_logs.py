"""Logs that a kubelet breaks off: what is kept is whole all the same (requirements 3.2, 4.2).

The API server is the real one; what it asks for the log of a Pod is a stand-in for a kubelet, as no real one breaks off
when a test wants it to.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
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
        asked: the paths of the requests.
    """

    told: list[tuple[int, Callable[[], object]]]
    port: int = 0
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def kubelet(plane: RunningPlane) -> Iterator[Kubelet]:
    made = Kubelet([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            lines, then = made.told[min(len(made.asked), len(made.told)) - 1]
            self.send_response(200)
            self.end_headers()
            self.wfile.write("".join(LINES[:lines]).encode())
            self.wfile.flush()
            then()

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
    server.shutdown()
    thread.join(10)
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
async def workloads(plane: RunningPlane, pod: Pod) -> AsyncIterator[Workloads]:
    async with await Api.connect(plane.kubeconfig, Metrics(), timeout_seconds=20) as api:
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
    await eventually(lambda: output.exists() and output.read_text() == TEXT, 60)
    await collector.close()
    assert "sinceTime" not in kubelet.asked[0] and "sinceTime=2026-01-01T00%3A00%3A02Z" in kubelet.asked[1]


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
