"""A record of a lock is wiped or damaged: nobody is granted anything before it is rebuilt or healed (1.3, 5.4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.repositories import CLAIMS, PUSH, REPOSITORIES, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon
from tests.integration.repositories.homes import git


def holder(uid: str, token: int, **more: Any) -> dict[str, Any]:
    return {"claim": f"claim-{uid}", "uid": uid, "mode": "Exclusive", "token": token, "attempt": "", **more}


@pytest.mark.parametrize("running", [True, False])
def test_wiped_status_of_the_repository(
    controller: RunningController, repositories: Repositories, jobs: Jobs, running: bool
) -> None:
    """1.3, issue 4: the holder is found in its run directory before anything is granted; tokens only grow."""
    repositories.ready(push="Mirror")
    script = (
        f"{repositories.note('first begins')}; {repositories.until('go')}; {PUSH}; {repositories.note('first ends')}"
    )
    first = repositories.job("first", script, use={"push": "Mirror"})
    jobs.running("first")
    soon(repositories.notes, "it has begun")
    second = repositories.job("second", f"{repositories.note('second')}; {PUSH}", use={"push": "Mirror"})
    soon(lambda: repositories.lock().get("waiting"), "the other one waits")
    before = repositories.held_by("first")[0]
    if not running:
        controller.kill()
    repositories.wipe(REPOSITORIES, "shop")
    repositories.wipe(CLAIMS, before["claim"])
    if not running:
        controller.start()
    repositories.wait("shop", "LockSound", reason="Rebuilt")
    after = repositories.held_by("first")[0]
    assert (after["attempt"], after["token"], after["mode"]) == (f"{uid_of(first)}.1", before["token"], "Exclusive")
    assert repositories.notes() == ["first begins"]
    repositories.let("go")
    jobs.finished("first", "Succeeded")
    token = jobs.finished("second", "Succeeded")["status"]["attempt"]["lockToken"]
    assert repositories.notes() == ["first begins", "first ends", "second"]
    assert token > before["token"] + 1, "one that nobody had heard of may have been given"
    assert uid_of(second)
    repositories.held_by()


def test_wiped_status_of_the_job(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """1.3: the token comes back from the run directory; what it pushes is accepted and published."""
    repositories.ready(push="Upstream")
    first = repositories.job("first", f"{repositories.until('go')}; {PUSH}", use={"push": "Upstream"})
    jobs.running("first")
    before = repositories.held_by("first")
    jobs.wipe("first")
    assert jobs.running("first")["status"]["attempt"]["lockToken"] == before[0]["token"]
    controller.kill()
    jobs.wipe("first")
    repositories.wipe(REPOSITORIES, "shop")
    controller.start()
    assert jobs.running("first")["status"]["attempt"]["lockToken"] == before[0]["token"]
    repositories.held_by("first")
    repositories.let("go")
    jobs.finished("first", "Succeeded")
    assert repositories.pushed() == [f"{uid_of(first)}.1", "change"]


@pytest.mark.parametrize("stopped", [False, True])
def test_wiped_status_of_a_job_that_was_published(
    controller: RunningController, repositories: Repositories, jobs: Jobs, stopped: bool
) -> None:
    """1.3, 6.1: what it published stays published, also where others' pushes, not upstream, came after it."""
    repositories.ready(push="Upstream")
    repositories.job("first", PUSH, use={"push": "Upstream"})
    published = jobs.finished("first", "Succeeded")["status"]["repository"]["published"]
    repositories.job("second", PUSH, use={"push": "Mirror"})
    jobs.finished("second", "Succeeded")
    if stopped:
        controller.kill()
    jobs.wipe("first")
    if stopped:
        controller.start()
    again = jobs.finished("first")["status"]
    assert again["phase"] == "Succeeded" and again["repository"]["published"] == published, again
    assert again["attempt"]["number"] == 1


GARBAGE = {
    "a person who never was": [holder("nobody", 7)],
    "a person without a name": [holder("nobody", 7, claim="")],
    "a name that names nothing": [holder("nobody", 7, claim="../..//x")],
    "an attempt of a job that never was": [holder("ghost", 7, attempt="11111111-2222-3333-4444-555555555555.1")],
    "an attempt that is none": [holder("ghost", 7, attempt="nonsense")],
    "an attempt that is a path": [holder("ghost", 7, attempt="../../../etc.1")],
    "two who exclude each other": [holder("a", 7), holder("b", 8, attempt="11111111-2222-3333-4444-555555555555.1")],
    "Shared beside Exclusive": [holder("a", 7, mode="Shared"), holder("b", 7)],
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_heals(controller: RunningController, repositories: Repositories, jobs: Jobs, what: str) -> None:
    """Issue 4: a record that is damaged or names a holder that never existed heals itself, and says so."""
    repositories.ready()
    since = controller.log_size()
    repositories.set_status(REPOSITORIES, "shop", lock={"token": 1, "holders": GARBAGE[what]})
    job = repositories.job("job", "true")
    jobs.finished("job", "Succeeded")
    assert jobs.get("job")["status"]["attempt"]["lockToken"] > 7, "tokens only grow"
    repositories.held_by()

    def told() -> bool:
        reasons = {event["reason"] for event in jobs.events("shop")}
        assert reasons & {"ClaimDeleted", "HolderNotFound", "TokenRaised", "Conflict"}, reasons
        return True

    def healed() -> bool:
        sound = condition_of(repositories.get(), "LockSound")
        assert sound is None or sound["status"] == "True", sound
        return True

    soon(told, "people are told")
    soon(healed, "the lock is sound")
    assert uid_of(job)
    assert not [line for line in controller.log_lines(since) if "defect" in str(line.get("event"))]


def test_garbage_beside_a_real_holder(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """Issue 4: who really runs keeps lock and token; what stands beside him goes."""
    repositories.ready(push="Mirror")
    repositories.job("first", f"{repositories.until('go')}; {PUSH}", use={"push": "Mirror"})
    jobs.running("first")
    real = repositories.held_by("first")[0]
    fake = holder("ghost", real["token"] + 5, attempt="11111111-2222-3333-4444-555555555555.1")
    repositories.set_status(REPOSITORIES, "shop", lock={"token": real["token"] + 5, "holders": [fake, real]})
    soon(lambda: [h["uid"] for h in repositories.holders()] == [real["uid"]], "the ghost is gone")
    assert repositories.holders()[0].get("fencedAt") is None
    repositories.let("go")
    jobs.finished("first", "Succeeded")


def test_a_mirror_that_a_job_finds_damaged(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.2: it is verified and made anew; the job waits for it, and has failed in nothing."""
    upstream = repositories.ready()
    mirror = repositories.mirror(controller)
    for path in (mirror / "objects" / "pack").iterdir():
        path.unlink()
    repositories.job("one", "cat file")
    status = jobs.finished("one", "Succeeded")["status"]
    assert status.get("failures", 0) == 0 and "Corrupt" in status["history"][0]["message"], status
    assert git(mirror, "rev-parse", "refs/upstream/main").stdout.strip() == upstream.head()
    types = [each["type"] for each in repositories.get()["status"]["activities"]]
    assert types[-2:] == ["Verify", "Clone"], types
