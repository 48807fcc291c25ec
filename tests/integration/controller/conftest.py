"""Fixtures: one controller for the session, started again by tests; others with state directories of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.controller.archived import everything
from tests.integration.controller.jobs import GROUP, Jobs
from tests.integration.controller.repositories import BATCHES, CLAIMS, REPOSITORIES, Repositories
from tests.integration.controller.restoring import PLURALS, Restore
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.sinks import Sink, serving
from tests.running_plane import RunningPlane
from tests.unit.archives import archive

OtherController = Callable[..., RunningController]


@pytest.fixture(scope="session")
def controller_process(plane: RunningPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    """The session's controller; ask for `controller` instead, which is sure to run."""
    made = RunningController(tmp_path_factory.mktemp("controller"), plane.kubeconfig)
    yield made
    made.stop()
    made.clean()


@pytest.fixture(scope="module", autouse=True)
def apart(controller_process: RunningController) -> Iterator[None]:
    """Each module begins without a controller and leaves none: what runs beside a test hangs on no other module."""
    yield
    controller_process.stop()


@pytest.fixture
def controller(controller_process: RunningController) -> Iterator[RunningController]:
    """A controller that is ready; afterwards its log must tell of no defect."""
    since = controller_process.log_size()
    controller_process.ensure()
    yield controller_process
    assert_no_defect(controller_process, since)


@pytest.fixture
def other_controller(
    controller_process: RunningController, plane: RunningPlane, plane_http: httpx.Client, tmp_path: Path
) -> Iterator[OtherController]:
    """Makes a controller with a state directory of its own; the session's one stands still meanwhile.

    Jobs that other tests left are deleted: a new state directory is not bound while others' jobs run.
    """
    made: list[RunningController] = []

    def make(settings: dict[str, str] | None = None, home: Path | None = None) -> RunningController:
        controller_process.stop()
        controller_process.clean()  # else it would find many that run without a BatchJob, and ask a person
        delete_all_jobs(plane_http)
        directory = tmp_path / f"controller-{len(made)}"
        directory.mkdir()
        made.append(RunningController(directory, plane.kubeconfig, settings, home))
        return made[-1]

    yield make
    delete_all_jobs(plane_http)
    for one in made:
        one.stop()
        one.clean()
        assert_no_defect(one)


@pytest.fixture
def jobs(plane_http: httpx.Client, namespace: str) -> Jobs:
    return Jobs(plane_http, namespace)


@pytest.fixture
def repositories(jobs: Jobs, tmp_path: Path) -> Iterator[Repositories]:
    """Repositories of the test's namespace; they are deleted afterwards, so that their mirrors are not fetched on."""
    yield Repositories(jobs, tmp_path)
    for plural in ("batchjobs", CLAIMS, BATCHES, REPOSITORIES):
        jobs.http.delete(f"{GROUP}/{jobs.namespace}/{plural}")


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A receiver of callbacks."""
    with serving() as one:
        yield one


def delete_all_jobs(http: httpx.Client) -> None:
    """Delete every BatchJob of the cluster."""
    for job in http.get("/apis/holdfast.dev/v1alpha1/batchjobs").json()["items"]:
        meta = job["metadata"]
        http.delete(f"{GROUP}/{meta['namespace']}/batchjobs/{meta['name']}")


# A TLS connection to a server that stands still cannot be closed before the process ends; Python says so at its end.
HARMLESS = ("unclosed transport", "sys:1: ResourceWarning: unclosed <socket", "Enable tracemalloc")


def assert_no_defect(controller: RunningController, since: int = 0) -> None:
    """Style: anything that is not an error by reaction is a defect, and loud."""
    wrong = [
        entry
        for entry in controller.log_lines(since)
        if ("defect" in str(entry.get("event")) or "Traceback" in str(entry) or "Warning:" in str(entry.get("event")))
        and not any(text in str(entry.get("event")) for text in HARMLESS)
    ]
    assert not wrong, wrong[:3]


@pytest.fixture
def restore(plane: RunningPlane, tmp_path: Path, controller_process: RunningController) -> Restore:
    """No controller runs: a test that wants one starts it, so that its account is of that test alone."""
    controller_process.stop()
    return Restore(tmp_path / "home", plane.kubeconfig)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a job writes to when it is started."""
    return tmp_path / "started"


@pytest.fixture
def full(jobs: Jobs, tmp_path: Path, marker: Path) -> Iterator[Path]:
    """An archive of 110 jobs in all states and of all other kinds; what it brought is deleted afterwards."""
    path = tmp_path / "archive"
    archive(path, everything(jobs.namespace, str(marker)), namespaces=(jobs.namespace,))
    yield path
    for plural in PLURALS.values():
        jobs.http.delete(f"{GROUP}/{jobs.namespace}/{plural}")
