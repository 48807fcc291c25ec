"""People and the lock: claims by kubectl, leases, forceRelease, what is deleted by hand (5.4, 5.6)."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

from controller.executors.process.identity import send
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.repositories import CLAIMS, PUSH, REPOSITORIES, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


def test_people_in_creation_order(controller: RunningController, repositories: Repositories) -> None:
    """5.4, 5.6: claims made in the same second while no controller ran are served in the order of their creation."""
    repositories.ready()
    controller.kill()
    names = [f"person-{n}" for n in (3, 1, 2)]
    for name in names:
        repositories.claim(name)
    repositories.jobs.patch(names[0], {"renewTime": "2026-01-01T00:00:00Z"}, CLAIMS)  # its version moves on
    controller.start()
    tokens = []
    for name in names:
        tokens.append(repositories.held_by(name)[0]["token"])
        repositories.claim_phase(name, "Held")
        repositories.delete(CLAIMS, name)
    repositories.held_by()
    assert tokens == sorted(set(tokens))


def test_people_stand_among_jobs(controller: RunningController, repositories: Repositories) -> None:
    """5.4: a person's claim is served where it stands: behind the earlier job, before the later one."""
    repositories.ready()
    repositories.job("first", repositories.until("go"))
    repositories.jobs.running("first")
    repositories.claim("person")
    repositories.claim_phase("person", "Waiting")
    repositories.job("last", repositories.note("last"))
    soon(lambda: len(repositories.lock().get("waiting", [])) == 2, "both wait")
    assert [claim["claim"][:4] for claim in repositories.lock()["waiting"]] == ["pers", "last"]
    repositories.let("go")
    repositories.held_by("person")
    assert repositories.notes() == []
    repositories.delete(CLAIMS, "person")
    repositories.jobs.finished("last", "Succeeded")


def test_a_lease_ends_and_is_renewed(controller: RunningController, repositories: Repositories) -> None:
    """5.4: a claim with a lease ends after its last renewal; one without holds until it is deleted."""
    repositories.ready()
    # Renewed in advance: whoever renews from here may stand still for longer than the lease.
    repositories.claim("short", leaseDuration="2s", renewTime=now(ahead=3600))
    repositories.held_by("short")
    repositories.claim("next")
    for ahead in (3600, 1800):
        repositories.jobs.patch("short", {"renewTime": now(ahead)}, CLAIMS)
        before = datetime.now(UTC)
        soon(lambda b=before: (datetime.now(UTC) - b).total_seconds() > 3, "longer than the lease")  # type: ignore[misc]
        assert repositories.holders()[0]["claim"] == "short"
    repositories.jobs.patch("short", {"renewTime": now()}, CLAIMS)
    repositories.held_by("next")
    gone = repositories.claim_phase("short", "Released")
    assert gone["status"]["reason"] == "Expired"
    controller.restart()
    repositories.held_by("next")


def now(ahead: float = 0) -> str:
    """The moment so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat().replace("+00:00", "Z")


def test_a_stopped_holder_keeps_the_lock(controller: RunningController, repositories: Repositories) -> None:
    """5.4, 5.5: SIGSTOP is no proof; after forceRelease and SIGCONT its push is refused, the next one's is not."""
    repositories.ready(push="Mirror", lock={"leaseDuration": "1s", "whenSilent": "GiveOn"})
    use = {"push": "Mirror"}
    push = f"{PUSH} 2>&1 || {{ {repositories.note('refused')}; exit 4; }}"
    stale = push.replace("HEAD:main", "HEAD:stale")  # a branch of its own: nothing but the token speaks against it
    old = repositories.job("old", f"{repositories.until('go')}; {stale}", use=use)
    repositories.jobs.running("old")
    repositories.job("new", f"{push}; {repositories.note('new pushed')}", use=use)
    entry = repositories.held_by("old")[0]
    command = soon(lambda: controller.command(uid_of(old)), "the command runs")
    assert send(command, signal.SIGSTOP)
    before = datetime.now(UTC)
    soon(lambda: (datetime.now(UTC) - before).total_seconds() > 4, "four leases have passed")
    assert repositories.holders() == [entry], "it is alive, so it holds"
    repositories.jobs.patch(entry["claim"], {"forceRelease": "somebody-else"}, CLAIMS)
    soon(lambda: (datetime.now(UTC) - before).total_seconds() > 5, "a wrong uid does nothing")
    assert repositories.holders() == [entry]
    repositories.jobs.patch(entry["claim"], {"forceRelease": entry["uid"]}, CLAIMS)
    repositories.jobs.finished("new", "Succeeded")
    repositories.let("go")
    assert send(command, signal.SIGCONT)
    assert repositories.jobs.finished("old", "Failed")["status"]["attempt"]["exitCode"] == 4
    assert repositories.notes() == ["new pushed", "refused"]
    output = controller.output(uid_of(old)).decode()
    assert f"lock token {entry['token']}" in output, output


def test_a_claim_deleted_by_hand(controller: RunningController, repositories: Repositories) -> None:
    """5.4: deleting a job's claim takes nothing from the job that runs; a job that waits gets another one."""
    repositories.ready()
    first = repositories.job("first", repositories.until("go"))
    repositories.jobs.running("first")
    repositories.job("second", "true")
    soon(lambda: len(repositories.claims()) == 2, "both claim")
    for name in repositories.claims():
        repositories.delete(CLAIMS, name)
    soon(lambda: [n for n in repositories.claims() if n.startswith("second")], "the waiting one claims again")
    assert repositories.holder_of(first) is not None
    controller.restart()
    assert repositories.holder_of(first) is not None
    repositories.let("go")
    for name in ("first", "second"):
        repositories.jobs.finished(name, "Succeeded")
    repositories.held_by()
    soon(lambda: not repositories.claims(), "no claim is left")


def test_repository_deleted(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """Issue 4: its running job goes on, its waiting one waits and says why; made again, everybody has his turn."""
    remote = repositories.ready(push="Upstream")
    script = f"{PUSH}; {repositories.note('runs')}; {repositories.until('go')}"
    runs = repositories.job("runs", script, use={"push": "Upstream"})
    soon(repositories.notes, "it has pushed")
    repositories.job("waits", repositories.note("waits"))
    repositories.delete(REPOSITORIES, "shop")
    jobs.phase("waits", "Queued", reason="RepositoryNotFound")
    jobs.phase("runs", "Running")
    repositories.declare("shop", f"file://{remote.bare}", push="Upstream", refreshInterval="1h")
    held = repositories.held_by("runs")[0]
    assert held["attempt"] == f"{uid_of(runs)}.1"
    assert repositories.notes() == ["runs"]
    repositories.let("go")
    jobs.finished("runs", "Succeeded")
    jobs.finished("waits", "Succeeded")
    assert repositories.pushed() == [f"{uid_of(runs)}.1", "change"]


def test_repository_deleted_before_the_publication(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """Issue 4, push policy: what was not published is no success, and the reason is told."""
    repositories.ready(push="Upstream")
    script = f"{PUSH}; {repositories.note('runs')}; {repositories.until('go')}"
    repositories.job("runs", script, use={"push": "Upstream"})
    soon(repositories.notes, "it has pushed")
    repositories.job("waits", "true")
    repositories.delete(REPOSITORIES, "shop")
    jobs.phase("waits", "Queued", reason="RepositoryNotFound")  # the controller knows of it before the command ends
    repositories.let("go")
    job = jobs.finished("runs", "Failed")
    published = condition_of(job, "Published")
    assert published is not None and (published["status"], published["reason"]) == ("False", "RepositoryNotFound")
    assert repositories.pushed() == ["change"]
