"""A Repository whose lock cannot be recorded keeps nobody else waiting, says so, and goes on by itself (7.3, 7.5)."""

from __future__ import annotations

import pytest

from controller.repositories.fence import sealed
from controller.repositories.places import FENCE
from tests.integration.controller.jobs import Jobs, condition_of
from tests.integration.controller.repositories import CLAIMS, Repositories
from tests.integration.controller.running_controller import SETTINGS, RunningController
from tests.integration.controller.waits import soon

SLOTS = int(SETTINGS["HOLDFAST_MAX_RUNNING"])


@pytest.mark.parametrize("what", ["a newer version wrote the fence", "the fence cannot be written"])
def test_a_fence_that_does_not_work(
    controller: RunningController, repositories: Repositories, jobs: Jobs, what: str
) -> None:
    """Readers that fill the host: another queue's jobs run, the readers say why they wait, then run in their order."""
    repositories.ready(push="Mirror")
    place = repositories.mirror(controller).parent / FENCE
    soon(place.exists, "its first pass is over")
    before = place.read_bytes()
    if what == "the fence cannot be written":
        place.unlink()
        place.mkdir()
    else:
        place.write_bytes(sealed(b"version 9\nmax 7\n"))
    readers = [f"reader-{n}" for n in range(SLOTS)]
    for name in readers:
        repositories.job(name, repositories.note(name), use={"lock": "Shared"})
    jobs.phase(readers[-1], "Queued", reason="LockNotRecorded")
    jobs.queue("other", concurrency=2)
    jobs.shell("plain", "true", queue="other")
    jobs.finished("plain", "Succeeded")
    unsound = condition_of(repositories.wait("shop", "LockSound", "Unknown"), "LockSound")
    assert unsound is not None and str(place) in unsound["message"], unsound
    soon(lambda: "LockNotRecorded" in {event["reason"] for event in jobs.events("shop")}, "people are told")
    assert repositories.holders() == [] and repositories.notes() == []
    if place.is_dir():
        place.rmdir()
    place.write_bytes(before)
    jobs.all_finished(readers)
    repositories.wait("shop", "LockSound", "True")
    repositories.held_by()
    soon(lambda: not repositories.claims(), f"no {CLAIMS} are left")
