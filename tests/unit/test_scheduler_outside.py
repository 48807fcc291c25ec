"""What an outside queue limits takes no slot of the scheduler and waits for none (4.1, issue 7 item 3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.executors.base import AttemptId
from tests.unit.builders import job, outside
from tests.unit.scheduler_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_an_outside_queue_limits_in_place_of_the_jobqueue(bench: Bench) -> None:
    """Issue 7, item 3: concurrency does not hold it back, 0 neither; and it takes no slot of the others (2.3)."""
    bench.declare("q", 1)
    bench.tell(job("runs").queue("q").running(), outside("a").queue("q"), job("b").queue("q"), outside("c").queue("q"))
    assert bench.granted("a", "b", "c") == ["a", "c"]
    bench.tell(outside("a").queue("q").starting().in_outside_queue())
    bench.tell(outside("c").queue("q").with_status(phase="Waiting").starting().in_outside_queue())
    account = bench.scheduler.books.account(("default", "q"))
    assert (account.held, account.outside) == ({"uid-runs"}, {"uid-a", "uid-c"})
    assert bench.granted("b") == []
    bench.tell(job("runs").queue("q").finished())
    assert bench.granted("b") == ["b"]
    bench.declare("none", 0)
    bench.tell(outside("d").queue("none"), job("e").queue("none"))
    assert bench.granted("d", "e") == ["d"]


def test_the_hosts_limit_is_not_for_an_outside_queue() -> None:
    """Issue 7, item 3: neither waits it for the host, nor the host for it."""
    bench = Bench(host_limit=1)
    bench.tell(outside("a"), outside("b"), job("c"), job("d"), outside("e"))
    assert bench.granted("a", "b", "c", "d", "e") == ["a", "b", "c", "e"]
    bench.tell(job("c").running())
    assert bench.granted("d") == []
    bench.close()


def test_what_holds_back_a_job_of_an_outside_queue(bench: Bench) -> None:
    """2.4, 7.4: a person's pause, a queue that is not there, backing off, and the gate; limits only are the other's."""
    bench.declare("q", paused=True)
    held = [outside("a").queue("q"), outside("b").queue("nowhere"), outside("c")]
    bench.tell(held[0], held[1])
    assert bench.granted("a", "b") == []
    bench.declare("q")
    assert bench.granted("a") == ["a"]
    bench.call(lambda: bench.scheduler.gate.shut("DiskFull", "1 byte left"))
    bench.tell(held[2])
    assert bench.granted("c") == []
    bench.call(lambda: bench.scheduler.gate.open("DiskFull"))
    bench.wait(0.05)
    assert bench.granted("c") == ["c"]
    bench.call(lambda: bench.scheduler.hold_back("uid-c", 30))
    bench.wait(0.05)
    assert bench.granted("c") == []


def test_a_grant_without_a_slot_does_not_become_one_with(bench: Bench) -> None:
    """2.3: who takes the label away before its start is recorded waits for a slot, and the other way round."""
    bench.declare("q", 1)
    named, plain = outside("a").queue("q"), outside("a").queue("q").labeled()
    bench.tell(job("runs").queue("q").running(), named)
    assert bench.granted("a") == ["a"]
    bench.tell(plain)
    assert bench.granted("a") == []
    bench.tell(named)
    assert bench.granted("a") == ["a"]


def test_a_label_that_comes_later_frees_no_slot(bench: Bench) -> None:
    """2.3: what was started with a slot keeps it to its end."""
    bench.declare("q", 1)
    bench.tell(outside("a").queue("q").labeled().running())
    bench.tell(outside("a").queue("q").running(), job("b").queue("q"))
    assert bench.granted("b") == []


def test_a_deleted_jobs_attempt_in_an_outside_queue_takes_no_slot(bench: Bench) -> None:
    """7.6: it is looked at until it is over, beside the limits."""
    bench.declare("default", 1)
    bench.index.add(AttemptId("uid-a", 1))
    bench.tell(outside("a").running().in_outside_queue())
    bench.delete(outside("a").running().in_outside_queue())
    bench.tell(job("b"))
    assert bench.scheduler.holds(AttemptId("uid-a", 1)) and bench.scheduler.books.held_total == 0
    assert bench.granted("b") == ["b"]
