"""What waiting can mend fails no job: another operation works on the repository, the disk refuses (5.2, 8.3)."""

from __future__ import annotations

import pytest

from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.repositories import PUSH, REPOSITORIES, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.test_repositories_jobs import held_operations, operations_of
from tests.integration.controller.waits import soon


def test_a_state_directory_that_refuses_is_waited_for(
    other_controller: OtherController, repositories: Repositories, jobs: Jobs
) -> None:
    """8.3: the workspace is made as soon as it can be, in the same attempt, however long; the job says why."""
    controller = other_controller({"HOLDFAST_START_TIMEOUT_SECONDS": "3"})
    controller.start()
    repositories.ready()
    workspaces = controller.home / "workspaces"
    if workspaces.exists():
        workspaces.rmdir()
    workspaces.write_text("in the way")
    repositories.job("job", repositories.note("ran"))
    repositories.wait("job", "Running", "False", plural="batchjobs", reason="StateDirectoryFailed")
    workspaces.unlink()
    status = jobs.finished("job", "Succeeded")["status"]
    assert status["attempt"]["number"] == 1 and not status.get("failures"), status
    assert repositories.notes() == ["ran"]


@pytest.mark.parametrize("end", ["ready", "cancel"])
def test_a_publication_waits_for_the_repository(
    controller: RunningController, repositories: Repositories, jobs: Jobs, end: str
) -> None:
    """5.2: while the mirror has to be verified nothing is published; the job says so, and a cancel ends it."""
    repositories.ready(push="Upstream")
    script = f"{PUSH}; {repositories.note('pushed')}; {repositories.until('go')}"
    job = repositories.job("job", script, use={"push": "Upstream"})
    soon(repositories.notes, "it has pushed")
    with held_operations(controller, repositories):
        cut_off = repositories.get()["status"]["operation"] | {"type": "Fetch", "state": "Failed", "reason": "Lost"}
        repositories.set_status(REPOSITORIES, "shop", operation=cut_off)
        repositories.wait("shop", "Ready", "False")
        repositories.let("go")
        repositories.wait("job", "Published", "Unknown", plural="batchjobs", reason="RepositoryNotReady")
        controller.restart()
        assert len(operations_of(controller, job)) <= 1, "that of its workspace"
        if end == "cancel":
            jobs.patch("job", {"cancel": True})
            jobs.finished("job", "Canceled")
    if end == "ready":
        status = jobs.finished("job", "Succeeded")["status"]
        assert status["attempt"]["number"] == 1 and repositories.pushed()[0] == f"{uid_of(job)}.1", status
