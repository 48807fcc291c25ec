"""Jobs that stand in line, hold, push and end: order, starvation, retry, suspend and cancel at every step (5.3-5.5)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from controller.repositories.places import LOCK
from tests.integration.controller.jobs import Jobs, Object, condition_of, uid_of
from tests.integration.controller.repositories import CLAIMS, PUSH, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


def test_a_push_that_is_not_allowed(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """Issue 4, push policy: the job fails for good with a reason that names both fields; it never runs."""
    repositories.ready()
    for push in ("Mirror", "Upstream"):
        name = push.lower()
        repositories.job(name, repositories.note("ran"), use={"push": push}, retry={"limit": 3})
        job = jobs.finished(name, "Failed")
        failed = condition_of(job, "Failed")
        assert failed is not None and failed["reason"] == "PushNotAllowed", failed
        assert "spec.repository.push" in failed["message"] and "shop" in failed["message"]
        assert "attempt" not in job["status"]
    assert repositories.notes() == []


def test_a_push_without_permission_is_refused_by_the_mirror(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.5: a job that asked for no push cannot push, also where others may."""
    repositories.ready(push="Upstream")
    job = repositories.job("job", f"{PUSH} 2>&1")
    jobs.finished("job", "Failed")
    assert "does not allow to push" in controller.output(uid_of(job)).decode()
    assert repositories.pushed() == ["change"]


def test_no_writer_starves(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.4: readers that came after the writer do not get in front of it, however many there are; nor across queues."""
    repositories.ready()
    jobs.queue("one", concurrency=3)
    jobs.queue("two", concurrency=3)
    shared = {"lock": "Shared"}
    for n in range(3):
        repositories.job(f"early-{n}", repositories.until(f"go-{n}"), queue="one", use=shared)
        jobs.running(f"early-{n}")
    assert len({holder["token"] for holder in repositories.holders()}) == 3
    repositories.job("writer", f"{repositories.note('writer')}; sleep 0.3; {repositories.note('written')}", queue="two")
    soon(lambda: repositories.lock().get("waiting"), "the writer waits")
    late = [f"late-{n}" for n in range(12)]
    for n, name in enumerate(late):
        repositories.job(name, repositories.note("late"), queue=("one", "two")[n % 2], use=shared)
    for n in range(3):
        repositories.let(f"go-{n}")
        jobs.finished(f"early-{n}", "Succeeded")
    jobs.all_finished(["writer", *late])
    assert repositories.notes() == ["writer", "written", *["late"] * 12]


def test_order_over_two_queues(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.4, 5.6: creation order over all queues; a priority goes first; created while no controller ran."""
    repositories.ready()
    for queue in ("one", "two"):
        jobs.queue(queue, concurrency=4)
    controller.kill()
    names = [f"job-{n}" for n in range(6)]
    for n, name in enumerate(names):
        repositories.job(name, repositories.note(name), queue=("one", "two")[n % 2])
    repositories.job("urgent", repositories.note("urgent"), queue="two", priority=5)
    controller.start()
    jobs.all_finished([*names, "urgent"])
    assert repositories.notes() == ["urgent", *names]


def test_retry_gets_a_new_token(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.4, 2.4: the lock goes back when an attempt fails; the next one stands in line with a claim of its own."""
    repositories.ready(push="Mirror")
    fails = f"case $HOLDFAST_ATTEMPT in *.1) {repositories.until('go')}; exit 3;; esac"
    script = f"echo $HOLDFAST_LOCK_TOKEN >>{repositories.directory}/tokens; {fails}; {PUSH}"
    repositories.job("again", script, use={"push": "Mirror"}, retry={"limit": 1, "backoff": "500ms"})
    jobs.running("again")
    repositories.job("between", repositories.note("between"))
    soon(lambda: repositories.lock().get("waiting"), "the other one waits")
    repositories.let("go")
    status = jobs.finished("again", "Succeeded")["status"]
    first, second = map(int, (repositories.directory / "tokens").read_text().split())
    assert second > first + 1, "the other one was served while it backed off"
    assert (status["history"][0]["lockToken"], status["attempt"]["lockToken"]) == (first, second)
    repositories.held_by()
    soon(lambda: not repositories.claims(), "no claim is left")


@pytest.mark.parametrize("change", ["suspend", "cancel"])
def test_stopped_while_it_waits_for_the_lock(
    controller: RunningController, repositories: Repositories, jobs: Jobs, change: str
) -> None:
    """2.4, 5.4: it leaves the line at once, and the next one is served."""
    repositories.ready()
    repositories.job("first", repositories.until("go"))
    jobs.running("first")
    repositories.job("second", repositories.note("second"))
    jobs.phase("second", "Queued", reason="WaitingForLock")
    repositories.job("third", repositories.note("third"))
    jobs.patch("second", {change: True})
    jobs.phase("second", "Suspended" if change == "suspend" else "Canceled")
    repositories.let("go")
    jobs.finished("third", "Succeeded")
    assert repositories.notes() == ["third"]
    if change == "suspend":
        jobs.patch("second", {"suspend": False})
        jobs.finished("second", "Succeeded")
    repositories.held_by()
    soon(lambda: not repositories.claims(), "no claim is left")


@pytest.mark.parametrize("change", ["suspend", "cancel"])
def test_stopped_while_its_workspace_is_made(
    controller: RunningController, repositories: Repositories, jobs: Jobs, change: str
) -> None:
    """2.4, 5.3: the command never runs, the lock goes on, and a job that is resumed gets another attempt."""
    repositories.ready()
    with held_operations(controller, repositories):
        slow = repositories.job("slow", repositories.note("slow"))
        jobs.phase("slow", "Starting")
        soon(lambda: operations_of(controller, slow), "its workspace is being made")
        jobs.patch("slow", {change: True})
        job = jobs.phase("slow", "Suspended" if change == "suspend" else "Canceled")
        repositories.job("next", repositories.note("next"))
        repositories.held_by("next")
        assert job["status"]["attempt"]["state"] == job["status"]["phase"]
        soon(lambda: not operations_of(controller, slow), "nothing of its operation is left")
    jobs.finished("next", "Succeeded")
    assert repositories.notes() == ["next"]
    if change == "suspend":
        jobs.patch("slow", {"suspend": False})
        assert jobs.finished("slow", "Succeeded")["status"]["attempt"]["number"] == 2
    repositories.held_by()


@pytest.mark.parametrize("change", ["suspend", "cancel"])
def test_stopped_while_its_push_is_published(
    controller: RunningController, repositories: Repositories, jobs: Jobs, change: str
) -> None:
    """2.4, push policy: its command has succeeded. A suspend lets the publication end; a cancel ends it."""
    repositories.ready(push="Upstream")
    script = f"{PUSH}; {repositories.note('pushed')}; {repositories.until('go')}"
    job = repositories.job("job", script, use={"push": "Upstream"})
    soon(repositories.notes, "it has pushed")
    with held_operations(controller, repositories):
        repositories.let("go")
        repositories.wait("job", "Published", "Unknown", plural="batchjobs")
        jobs.patch("job", {change: True})
        assert repositories.pushed() == ["change"]
        controller.restart()
        if change == "cancel":
            assert jobs.finished("job", "Canceled")["status"]["repository"]["published"] == ""
            ends = [controller.home / "operations" / each / "exit.json" for each in operations_of(controller, job)]
            soon(lambda: all(end.exists() for end in ends), "its operation is over")
            assert repositories.pushed() == ["change"]
        else:
            assert repositories.holder_of(job) is not None, "it holds the lock until it is published"
    if change == "suspend":
        assert jobs.finished("job", "Succeeded")["status"]["repository"]["published"]
        assert repositories.pushed() == [f"{uid_of(job)}.1", "change"]
    repositories.held_by()


def test_lock_taken_while_its_workspace_is_made(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.4: what has not begun does not begin without the lock; the job stands in line again."""
    repositories.ready()
    with held_operations(controller, repositories):
        first = repositories.job("first", repositories.note("$HOLDFAST_LOCK_TOKEN"))
        entry = repositories.held_by("first")[0]
        soon(lambda: operations_of(controller, first), "its workspace is being made")
        repositories.jobs.patch(entry["claim"], {"forceRelease": entry["uid"]}, CLAIMS)
        soon(lambda: entry not in repositories.holders(), "the lock was taken")
    status = jobs.finished("first", "Succeeded")["status"]
    assert status["attempt"]["number"] == 2 and status["history"][0]["state"] == "NeverStarted"
    assert repositories.notes() == [str(status["attempt"]["lockToken"])]
    assert status["attempt"]["lockToken"] > entry["token"]


def test_a_push_that_was_killed_blocks_nobody(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.2: the lock file of a ref that a killed git left does not refuse the next holder's push."""
    repositories.ready(push="Upstream")
    lock = "$(git remote get-url origin)/refs/heads"
    repositories.job("killed", f"mkdir -p {lock}; : >{lock}/main.lock; {repositories.note('x')}; sleep 60")
    soon(repositories.notes, "it is in the middle of a push")
    jobs.patch("killed", {"cancel": True})
    job = repositories.job("next", f"{PUSH} 2>&1", use={"push": "Upstream"})
    done = jobs.finished("next")
    assert done["status"]["phase"] == "Succeeded", controller.output(uid_of(job)).decode()
    assert repositories.pushed() == [f"{uid_of(job)}.1", "change"]


def test_edited_while_it_waits(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.4: a job that waits may want another mode or repository: its claim follows, and the old one is gone."""
    repositories.ready()
    repositories.ready("other")
    repositories.job("reader", repositories.until("go"), use={"lock": "Shared"})
    jobs.running("reader")
    repositories.job("writer", repositories.note("writer"))
    jobs.phase("writer", "Queued", reason="WaitingForLock")
    jobs.patch("writer", {"repository": {"name": "shop", "lock": "Shared"}})
    assert jobs.finished("writer", "Succeeded")
    repositories.job("mover", repositories.note("mover"))
    jobs.phase("mover", "Queued", reason="WaitingForLock")
    jobs.patch("mover", {"repository": {"name": "other"}})
    jobs.finished("mover", "Succeeded")
    repositories.let("go")
    jobs.finished("reader", "Succeeded")
    soon(lambda: not repositories.claims(), "no claim is left")
    assert repositories.notes() == ["writer", "mover"]


def operations_of(controller: RunningController, job: Object) -> list[str]:
    """Run directories of operations that belong to a job."""
    found = []
    for path in controller.home.glob("operations/*/attempt.json"):
        with suppress(FileNotFoundError):
            if uid_of(job) in path.read_text():
                found.append(path.parent.name)
    return found


@contextmanager
def held_operations(controller: RunningController, repositories: Repositories) -> Iterator[None]:
    """Every operation on the Repository waits: somebody else works on it."""
    place = repositories.mirror(controller).parent / LOCK
    fd = os.open(place, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def test_a_job_that_cannot_start_holds_nobody_up(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.4: a granted job whose Secret is missing gives the lock back at once, and does not lose its place for ever."""
    repositories.ready()
    repositories.job("poor", repositories.note("poor"), envFrom=[{"secretRef": {"name": "missing"}}])
    jobs.phase("poor", "Queued", reason="EnvironmentNotFound")
    began = datetime.now(UTC)
    for n in range(4):
        repositories.job(f"job-{n}", repositories.note(f"job-{n}"))
        jobs.finished(f"job-{n}", "Succeeded")
    assert (datetime.now(UTC) - began).total_seconds() < 100
    jobs.secret("missing", key="value")
    jobs.finished("poor", "Succeeded")
    assert repositories.notes() == [*(f"job-{n}" for n in range(4)), "poor"]
