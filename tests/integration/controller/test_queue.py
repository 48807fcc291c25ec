"""The queue: order, limits, pause, suspend, cancel, queues that do not exist yet."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of, same_process
from tests.integration.controller.waits import soon

WIDE = 8


def test_priority_then_creation_order(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.1: with concurrency 1 jobs start by (priority, creation), also those created later with a higher one."""
    log = tmp_path / "order"
    jobs.queue("line", concurrency=1, paused=True)
    plan = [("a", 0), ("b", 0), ("c", 5), ("d", -3), ("e", 5), ("f", 0)]
    for name, priority in plan:
        jobs.shell(name, f"echo {name} >>{log}", queue="line", priority=priority)
    jobs.phase("f", "Queued")
    head = soon(lambda: len(head_of(jobs, "line")) == 6 and head_of(jobs, "line"), "the head is told")
    assert head == ["c", "e", "a", "b", "f", "d"]
    jobs.patch("line", {"paused": False}, plural="jobqueues")
    jobs.all_finished([name for name, _ in plan])
    assert log.read_text().split() == ["c", "e", "a", "b", "f", "d"]


def head_of(jobs: Jobs, queue: str) -> list[str]:
    return [job["name"] for job in (jobs.get(queue, "jobqueues").get("status") or {}).get("head", [])]


@pytest.mark.timeout(900)
def test_burst_while_no_controller_runs(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.1, 2.2: 200 jobs created at once while no controller runs start in creation order, edited ones in their place.

    Every 20th is edited before a controller sees it, so that its create revision has to be found by bisection. The
    first 25 run one after the other and prove the order exactly; the others go through a wider queue.
    """
    log = tmp_path / "order"
    controller.kill()
    jobs.queue("burst", concurrency=1)
    names = [f"j{n:03}" for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda name: jobs.shell(name, f"echo {name} >>{log}", queue="burst"), names))
    for name in names[::20]:
        jobs.patch(name, {"ttlAfterFinished": "10m"})
    made.sort(key=lambda job: int(job["metadata"]["resourceVersion"]))
    created = [job["metadata"]["name"] for job in made]
    controller.start()
    soon(lambda: log.exists() and len(log.read_text().split()) >= 25, "25 ran one by one")
    jobs.patch("burst", {"concurrency": WIDE}, plural="jobqueues")
    ended = jobs.all_finished(names, timeout=500)
    order = log.read_text().split()
    assert order[:25] == created[:25]
    assert sorted(order) == sorted(created)  # each ran once
    # By what is recorded: a shell may stand still for longer than others take that were started after it.
    admitted = sorted(names, key=lambda name: ended[name]["status"]["attempt"]["admittedAt"])
    assert all(abs(admitted.index(name) - place) < 2 * WIDE for place, name in enumerate(created))
    assert [ended[name]["status"]["sequence"] for name in created] == [
        int(job["metadata"]["resourceVersion"]) for job in made
    ]


def test_limits_hold_over_restarts(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.3: with concurrency 2 never more than two run, and never fewer for long, over two SIGKILLs."""
    log = tmp_path / "spans"
    script = "b=$(date +%s.%N); until [ -e {go} ]; do sleep 0.05; done; sleep 0.7; echo $b $(date +%s.%N) >>{log}"
    jobs.queue("two", concurrency=2)
    names = [f"n{n}" for n in range(10)]
    for number, name in enumerate(names):  # four of them for each SIGKILL, however late it comes
        jobs.shell(name, script.format(go=tmp_path / f"go-{number // 4}", log=log), queue="two")
    (tmp_path / "go-2").touch()
    for number in range(2):
        soon(lambda: sum(is_active(job) for job in jobs.all()) == 2, "two hold a slot")
        controller.kill()
        (tmp_path / f"go-{number}").touch()
        controller.start()
    jobs.all_finished(names)
    spans = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    assert len(spans) == len(names)
    edges = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    running = list(itertools.accumulate(step for _, step in edges))
    assert max(running) == 2


def is_active(job: dict[str, object]) -> bool:
    attempt = (job.get("status") or {}).get("attempt") or {}  # type: ignore[attr-defined]
    return attempt.get("state") in ("Starting", "Running", "Stopping")


def test_pause_and_resume_of_a_queue(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.4: a paused queue starts nothing and lets run what runs; resumed it goes on."""
    jobs.queue("valve", concurrency=1)
    jobs.shell("first", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done", queue="valve")
    jobs.running("first")
    jobs.patch("valve", {"paused": True}, plural="jobqueues")
    soon(lambda: paused(jobs) == "True", "the queue says that it is paused")
    jobs.create("second", queue="valve")
    (tmp_path / "go").touch()
    jobs.finished("first", "Succeeded")
    jobs.phase("second", "Queued")

    def counted() -> bool:
        status = jobs.get("valve", "jobqueues")["status"]
        assert (status["running"], status["pending"]) == (0, 1), status
        return True

    soon(counted, "nothing runs, one waits")
    assert "attempt" not in jobs.get("second")["status"]
    jobs.patch("valve", {"paused": False}, plural="jobqueues")
    jobs.finished("second", "Succeeded")


def paused(jobs: Jobs, queue: str = "valve") -> str:
    found = condition_of(jobs.get(queue, "jobqueues"), "Paused")
    return str(found["status"]) if found else ""


def test_unknown_queue_waits_and_goes_on(controller: RunningController, jobs: Jobs) -> None:
    """Faults: a job of a queue that does not exist waits, says so, and starts when the queue appears."""
    jobs.create("early", queue="later")
    job = jobs.phase("early", "Queued", reason="QueueNotFound")
    admitted = condition_of(job, "Admitted")
    assert admitted is not None and admitted["status"] == "False" and "later" in admitted["message"]
    jobs.queue("later", concurrency=1)
    jobs.finished("early", "Succeeded")


def test_suspend_and_resume(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.4: suspend holds back a queued job and stops a running one without a retry; resume starts a new attempt."""
    log = tmp_path / "starts"
    jobs.create("held", suspend=True)
    uid = uid_of(jobs.shell("works", f"echo x >>{log}; test $(wc -l <{log}) = 2 || sleep 60", gracePeriod="2s"))
    jobs.running("works")
    jobs.phase("held", "Suspended")
    jobs.patch("works", {"suspend": True})
    works = jobs.phase("works", "Suspended")
    assert works["status"]["attempt"]["state"] == "Suspended" and works["status"].get("failures", 0) == 0
    assert processes_of(uid) == []
    jobs.patch("held", {"suspend": False})
    jobs.patch("works", {"suspend": False})
    assert jobs.finished("held", "Succeeded")["status"]["attempt"]["number"] == 1
    done = jobs.finished("works", "Succeeded")["status"]
    assert (done["attempt"]["number"], done.get("failures", 0)) == (2, 0)


def test_cancel(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.4, 3.6: cancel ends a queued job at once, a running one by TERM, grace and KILL; no descendant is left."""
    jobs.queue("shut", paused=True)
    jobs.create("queued", queue="shut")
    script = f"trap 'echo bye; exit 9' TERM; touch {tmp_path}/tidy; sleep 60 & wait"
    tidy = uid_of(jobs.shell("tidy", script, gracePeriod="60s"))
    script = f"trap '' TERM; touch {tmp_path}/deaf; sleep 60 & sleep 60; sleep 60"
    deaf = uid_of(jobs.shell("deaf", script, gracePeriod="1s"))
    for name in ("tidy", "deaf"):
        jobs.running(name)
        soon((tmp_path / name).exists, f"{name} has set its trap")
    jobs.phase("queued", "Queued")
    for name in ("queued", "tidy", "deaf"):
        jobs.patch(name, {"cancel": True})
    queued = jobs.finished("queued", "Canceled")
    assert "attempt" not in queued["status"] and condition_of(queued, "Failed")["status"] == "True"  # type: ignore[index]
    job = jobs.finished("tidy", "Canceled")
    assert job["status"]["attempt"]["exitCode"] == 9 and controller.output(tidy) == b"bye\n"
    job = jobs.finished("deaf", "Canceled")
    assert job["status"]["attempt"]["signal"] == 9
    assert processes_of(tidy) == processes_of(deaf) == []


def test_cancel_while_no_controller_runs(controller: RunningController, jobs: Jobs) -> None:
    """2.4, 3.3: what a person asks for while no controller runs is done after its start."""
    uid = uid_of(jobs.shell("late", "sleep 60", gracePeriod="1s"))
    jobs.running("late")
    recorder = controller.recorder(uid)
    controller.kill()
    jobs.patch("late", {"cancel": True})
    assert same_process(recorder)
    controller.start()
    jobs.finished("late", "Canceled")
    assert processes_of(uid) == []


def test_running_jobs_count_against_the_hosts_limit(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.3: HOLDFAST_MAX_RUNNING is the limit over all queues, also of those that declare none."""
    limit = int(controller.settings["HOLDFAST_MAX_RUNNING"])
    names = [f"host{n}" for n in range(limit + 3)]
    for name in names:
        jobs.shell(name, f"until [ -e {tmp_path}/go ]; do sleep 0.2; done")
    soon(lambda: sum(map(is_active, jobs.all())) == limit, "the host is full")
    controller.restart()
    jobs.create("one-more")
    jobs.phase("one-more", "Queued")
    assert sum(map(is_active, jobs.all())) == limit
    (tmp_path / "go").touch()
    jobs.all_finished([*names, "one-more"])
