"""Jobs that wait for a preparation, and want another one before it is ready: they are woken, and make it (5.6, 5.7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.decisions.preparation import batch_name
from tests.unit.repository_bench import COMMIT, SHOP, Bench, Object, holder, job_claim_spec

MAKE = {"command": ["make"]}


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.call(made.task.cancel)
    made.loop.close()


def batch(bench: Bench, phase: str = "Preparing", prepare: Object | None = None) -> tuple[str, Object]:
    """Tell of the JobBatch for what the mirror has now; returns name and spec."""
    prepare = prepare or MAKE
    name = batch_name("shop", bench.commit, prepare["command"])
    spec = {"repository": "shop", "commit": bench.commit, "prepare": prepare}
    bench.tell("JobBatch", name, spec, {"phase": phase, "number": 1})
    return name, spec


def waits(bench: Bench) -> tuple[str, Object]:
    """A job that waits for a batch that is being prepared, and was told so."""
    bench.repository(prepare=MAKE, refreshed=10)
    bench.job("job", "Shared")
    bench.claim_of("job", "Shared")
    made = batch(bench)
    assert bench.book.why("uid-job") == ("Preparing", f"waits for JobBatch {made[0]}")
    bench.woken("BatchJob")
    return made


def moved(bench: Bench) -> None:
    """A fetch or a push has moved every branch of the mirror."""
    bench.commit = "d" * 40
    bench.call(lambda: bench.book.refs_changed(SHOP))


def test_the_branch_moved(bench: Bench) -> None:
    """5.7: the batch that the job waits for now is another one, which nobody else makes."""
    waits(bench)
    moved(bench)
    assert bench.woken("BatchJob") == {"job"}
    assert bench.book.why("uid-job") == ("Preparing", f"waits for JobBatch {batch(bench, 'Ready')[0]}")
    assert bench.pending() == ["claim-job"]


def test_spec_prepare_was_edited(bench: Bench) -> None:
    """5.7: also by somebody who mends a command that fails."""
    waits(bench)
    mended = {"command": ["make", "mended"]}
    bench.repository(prepare=mended, refreshed=10)
    assert bench.woken("BatchJob") == {"job"}
    batch(bench, "Ready", mended)
    assert bench.pending() == ["claim-job"]


def test_the_batch_was_deleted(bench: Bench) -> None:
    """5.7: its name stays the same, so the reason does not change; as often as it is deleted."""
    name, spec = waits(bench)
    for _ in range(2):
        bench.delete("JobBatch", name, spec)
        assert bench.woken("BatchJob") == {"job"}
        batch(bench)
        assert bench.woken("BatchJob") == set()
    batch(bench, "Ready")
    assert bench.pending() == ["claim-job"]


def test_who_does_not_wait_for_a_batch_is_not_woken(bench: Bench) -> None:
    """10.1: a batch that goes wakes nobody who waits for something else; a poke that changes nothing wakes nobody."""
    waits(bench)
    bench.tell("JobBatch", "other", {"repository": "shop", "commit": "e" * 40, "prepare": MAKE})
    bench.delete("JobBatch", "other", {"repository": "shop", "commit": "e" * 40, "prepare": MAKE})
    bench.call(bench.scheduler.poke)
    assert bench.woken("BatchJob") == set()


def test_the_job_before_pushes(bench: Bench) -> None:
    """5.6: a queue of one, whose first job moves the branch while the second waits for the batch of before."""
    spec = {"command": ["true"], "queue": "one", "repository": {"name": "shop", "push": "Mirror"}}
    more = {"prepare": MAKE, "push": "Mirror"}
    bench.tell("JobQueue", "one", {"concurrency": 1})
    bench.repository(refreshed=10, **more)
    for name in ("first", "second"):
        bench.tell("BatchJob", name, spec)
        bench.claim_of(name)
    batch(bench, "Ready")
    assert bench.pending() == ["claim-first"]
    attempt = {"id": "uid-first.1", "number": 1, "state": "Running", "lockToken": 1}
    bench.repository({"token": 1, "holders": [holder("claim-first", 1, "uid-first.1")]}, refreshed=10, **more)
    bench.tell("BatchJob", "first", spec, {"phase": "Running", "attempt": attempt})
    bench.woken("BatchJob")
    over = {"type": "Finished", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    attempt["state"] = "Succeeded"
    moved(bench)
    bench.tell("BatchJob", "first", spec, {"phase": "Succeeded", "attempt": attempt, "conditions": [over]})
    bench.delete("RepositoryLock", "claim-first", job_claim_spec("first"))
    bench.repository({"token": 1}, refreshed=10, **more)
    assert "second" in bench.woken("BatchJob")
    assert bench.book.why("uid-second") == ("Preparing", f"waits for JobBatch {batch(bench, 'Ready')[0]}")
    assert bench.pending() == ["claim-second"]


def test_a_batch_of_the_same_commit_wakes_nobody(bench: Bench) -> None:
    """10.1: refs that moved elsewhere change nothing for the job."""
    waits(bench)
    bench.call(lambda: bench.book.refs_changed(SHOP))
    assert bench.commit == COMMIT
    assert bench.woken("BatchJob") == set()
