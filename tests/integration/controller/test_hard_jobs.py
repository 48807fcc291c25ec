"""Jobs that misbehave: signals to themselves, many descendants, sessions of their own, strange and much output."""

from __future__ import annotations

import pytest

from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of
from tests.integration.controller.waits import soon

MEGABYTE = 1024**2


def test_output_is_kept_as_it_was_written(controller: RunningController, jobs: Jobs) -> None:
    """3.2: no newline, invalid UTF-8, closed output, nothing at all: bytes and exit codes are as they were."""
    plan = {
        "no-newline": ("printf abc", 0, b"abc"),
        "not-utf8": (r"printf '\377\376\000\n\200'; exit 2", 2, b"\xff\xfe\x00\n\x80"),
        "closed": ("echo before; exec >&- 2>&-; sleep 0.1; exit 3", 3, b"before\n"),
        "silent": ("exit 4", 4, b""),
        "reopened": ("echo one >/dev/stderr; exec >>/dev/stdout; echo two", 0, None),
    }
    for name, (script, _, _) in plan.items():
        jobs.shell(name, script)
    for name, (_, code, output) in plan.items():
        job = jobs.finished(name)
        assert job["status"]["attempt"]["exitCode"] == code
        if output is not None:
            assert controller.output(uid_of(job)) == output
            assert job["status"]["output"]["bytes"] == len(output)


def test_job_that_kills_its_group(controller: RunningController, jobs: Jobs) -> None:
    """Faults: `kill -9 0` hits the command and what it started, never its recorder: 137 is recorded."""
    jobs.shell("suicide", "sleep 600 & sleep 600 & kill -9 0; sleep 600")
    jobs.shell("termed", "sleep 600 & kill -TERM 0; sleep 600")
    job = jobs.finished("suicide", "Failed")
    assert job["status"]["attempt"]["exitCode"] == 137
    assert processes_of(uid_of(job)) == []
    assert jobs.finished("termed", "Failed")["status"]["attempt"]["exitCode"] == 143


def test_no_descendant_is_left(controller: RunningController, jobs: Jobs) -> None:
    """3.6: 200 descendants that ignore TERM, and a daemon in a session of its own, are gone after a cancel."""
    crowd = uid_of(jobs.shell("crowd", f"trap '' TERM; {'sleep 6000 & ' * 200} wait", gracePeriod="1s"))
    daemon = "(trap '' TERM; setsid sh -c 'sleep 6000 & sleep 6000' </dev/null >/dev/null 2>&1 &)"
    escaped = uid_of(jobs.shell("escaped", f"{daemon}; sleep 6000", gracePeriod="1s"))
    jobs.running("crowd")
    jobs.running("escaped")
    soon(lambda: len(processes_of(crowd)) > 200, "all 200 run")
    soon(lambda: len(processes_of(escaped)) > 4, "the daemon runs")
    for name in ("crowd", "escaped"):
        jobs.patch(name, {"cancel": True})
    jobs.finished("crowd", "Canceled")
    jobs.finished("escaped", "Canceled")
    assert processes_of(crowd) == processes_of(escaped) == []


def test_what_an_ended_command_leaves_is_ended(controller: RunningController, jobs: Jobs) -> None:
    """3.6, design 6: a command that ends and leaves a daemon keeps its slot until the daemon is ended; its code stays.

    The attempt's processes are ended before its end is recorded.
    """
    jobs.queue("one", concurrency=1)
    script = "(setsid sh -c 'trap \"\" TERM; sleep 6000' </dev/null >/dev/null 2>&1 &); exit 5"
    uid = uid_of(jobs.shell("leaver", script, queue="one", gracePeriod="1s"))
    jobs.shell("next", f"grep -zqs '^HOLDFAST_ATTEMPT={uid}.1$' /proc/[0-9]*/environ && exit 1; exit 0", queue="one")
    job = jobs.finished("leaver", "Failed")
    assert job["status"]["attempt"]["exitCode"] == 5
    assert processes_of(uid) == []
    jobs.finished("next", "Succeeded")


def test_much_output(controller: RunningController, jobs: Jobs) -> None:
    """Faults: 100 MB are kept whole below outputBytes; above it the attempt ends with OutputLimit."""
    jobs.shell("much", "head -c 100M /dev/zero", limits={"outputBytes": "200Mi"})
    jobs.shell("too-much", "cat /dev/zero", limits={"outputBytes": "8Mi"}, retry={"limit": 0})
    much = jobs.finished("much", "Succeeded")
    assert much["status"]["output"]["bytes"] == 100 * MEGABYTE == len(controller.output(uid_of(much)))
    over = jobs.finished("too-much", "Failed")
    assert over["status"]["reason"] == over["status"]["attempt"]["reason"] == "OutputLimit"
    assert over["status"]["output"]["bytes"] >= 8 * MEGABYTE
    assert processes_of(uid_of(over)) == []
    for name in ("much", "too-much"):
        jobs.delete(name)


@pytest.mark.soak
def test_a_gigabyte_of_output(controller: RunningController, jobs: Jobs) -> None:
    """Faults: a job that prints 1 GB ends as Succeeded with all of it."""
    jobs.shell("huge", "head -c 1000M /dev/zero", limits={"outputBytes": "2Gi"})
    huge = jobs.finished("huge", "Succeeded", timeout=200)
    assert huge["status"]["output"]["bytes"] == 1000 * MEGABYTE
    jobs.delete("huge")


def test_memory_and_file_limits(controller: RunningController, jobs: Jobs) -> None:
    """3.7: more memory than limits.memory ends the attempt with MemoryLimit; openFiles is the command's limit."""
    eater = "import time\nx = bytearray(200 * 1024 * 1024)\ntime.sleep(600)"
    jobs.create("eater", "python3", "-c", eater, limits={"memory": "100Mi"})
    uid = uid_of(jobs.shell("files", "ulimit -n", limits={"openFiles": 77}))
    eaten = jobs.finished("eater", "Failed")
    assert eaten["status"]["attempt"]["reason"] == "MemoryLimit"
    jobs.finished("files", "Succeeded")
    assert controller.output(uid) == b"77\n"
