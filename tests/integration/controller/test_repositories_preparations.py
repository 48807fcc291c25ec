"""Jobs that wait for a preparation: one that failed, one that they need no more, one that is deleted (5.6, 5.7)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.integration.controller.jobs import GROUP, Jobs, condition_of
from tests.integration.controller.repositories import BATCHES, REPOSITORIES, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


def test_a_failed_preparation_is_not_for_ever(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.7: it fails the jobs that waited for it, in one place; a job that comes later has it tried anew."""
    script = (
        f"echo ran >>{repositories.directory}/ran; {repositories.until('go')}; [ -e {repositories.directory}/good ]"
    )
    repositories.ready(prepare={"command": ["/bin/sh", "-c", script], "retryLimit": 0})
    for name in ("one", "two"):
        repositories.job(name, "true", use={"lock": "Shared"})
        jobs.phase(name, "Queued", reason="Preparing")
    repositories.let("go")
    for name in ("one", "two"):
        failed = condition_of(jobs.finished(name, "Failed"), "Failed")
        assert failed is not None and failed["reason"] == "PreparationFailed", failed
    (repositories.directory / "good").touch()
    later(jobs, "two")
    repositories.job("three", "true", use={"lock": "Shared"})
    jobs.finished("three", "Succeeded")
    assert (repositories.directory / "ran").read_text().count("ran") == 2
    assert [jobs.get(name, BATCHES)["status"]["phase"] for name in batches(jobs)] == ["Ready"]


@pytest.mark.parametrize("change", ["spec.prepare is edited", "the batch is deleted"])
def test_a_preparation_that_is_not_the_one_any_more(
    controller: RunningController, repositories: Repositories, jobs: Jobs, change: str
) -> None:
    """5.6, 5.7: a job that waits for a batch gets the one that it needs now, without a restart and without an edit."""
    prepare = f'echo ran >>{repositories.directory}/ran; until [ -e "$0" ]; do sleep 0.05; done'
    command = ["/bin/sh", "-c", prepare, f"{repositories.directory}/go"]
    repositories.ready(prepare={"command": command})
    repositories.job("job", repositories.note("ran"))
    jobs.phase("job", "Queued", reason="Preparing")
    before = soon(lambda: batches(jobs), "its batch is made")
    soon((repositories.directory / "ran").exists, "it is being prepared")
    if change == "spec.prepare is edited":
        jobs.patch("shop", {"prepare": {"command": [*command, "mended"]}}, REPOSITORIES)
    else:
        repositories.delete(BATCHES, *before)
    soon(lambda: set(batches(jobs).values()) - set(before.values()), "another batch is made")
    repositories.let("go")
    jobs.finished("job", "Succeeded")
    assert repositories.notes() == ["ran"]


def batches(jobs: Jobs) -> dict[str, str]:
    """uids of the JobBatches, by name."""
    found = jobs.http.get(f"{GROUP}/{jobs.namespace}/{BATCHES}").json()["items"]
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}


def later(jobs: Jobs, name: str) -> None:
    """Wait until an object that is made now has a later creationTimestamp (whole seconds) than the end of a job."""
    ended = datetime.fromisoformat(jobs.get(name)["status"]["finishedAt"])
    soon(lambda: (datetime.now(UTC) - ended).total_seconds() > 1.1, "the next second")
