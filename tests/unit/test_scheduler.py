"""The scheduler on the real store, books and work queue: grants, gate, ghosts, sequences (2.1-2.4, 7.4, 7.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from controller.api.keys import Key
from controller.executors.base import AttemptId
from controller.reconcile.first_pass import needs_a_look
from tests.unit.builders import JobBuilder, job
from tests.unit.scheduler_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_grant_wakes_its_job_and_counts_until_it_is_recorded(bench: Bench) -> None:
    """2.3: the next one waits for the first one's end, not for its record."""
    bench.declare("q", 1)
    bench.tell(job("a").queue("q"), job("b").queue("q"))
    assert bench.granted("a", "b") == ["a"]
    assert bench.loop.run_until_complete(bench.queue.get()) == Key("BatchJob", "default", "a")
    bench.tell(job("a").queue("q").starting())
    assert bench.granted("a", "b") == []
    bench.tell(job("a").queue("q").finished())
    assert bench.granted("a", "b") == ["b"]


def test_a_grant_that_is_given_back_is_given_again(bench: Bench) -> None:
    """2.6: losing it loses nothing."""
    bench.tell(job("a"))
    bench.call(lambda: bench.scheduler.give_back("uid-a"))
    bench.wait(0.05)
    assert bench.granted("a") == ["a"]


def test_a_grant_is_bound_to_its_queue(bench: Bench) -> None:
    """2.3: the slot was one of the other queue."""
    bench.declare("q", 1)
    bench.declare("r", 0)
    bench.tell(job("a").queue("q"))
    assert bench.granted("a") == ["a"]
    bench.tell(job("a").queue("r"))
    assert bench.granted("a") == []


@pytest.mark.parametrize("change", [JobBuilder.suspend, JobBuilder.cancel, JobBuilder.deleting])
def test_what_does_not_wait_any_more_loses_its_grant(bench: Bench, change: Callable[[JobBuilder], JobBuilder]) -> None:
    """2.4"""
    bench.tell(job("a"))
    bench.tell(change(job("a")))
    assert bench.granted("a") == []


def test_the_hosts_limit_holds_over_all_queues() -> None:
    """2.3"""
    bench = Bench(host_limit=2)
    for name in ("q", "r"):
        bench.declare(name)
    bench.tell(job("a").queue("q"), job("b").queue("r"), job("c").queue("q"), job("d"))
    assert bench.granted("a", "b", "c", "d") == ["a", "b"]
    bench.tell(job("a").queue("q").running())
    assert bench.granted("b", "c", "d") == ["b"]
    bench.close()


def test_queues_appear_pause_and_go(bench: Bench) -> None:
    """2.4: and each change takes effect without anything else happening."""
    bench.tell(job("a").queue("q"), job("b").queue("q"))
    assert bench.granted("a", "b") == []
    bench.declare("q", 0)
    assert bench.granted("a", "b") == []
    bench.declare("q", 1)
    assert bench.granted("a", "b") == ["a"]
    bench.tell(job("a").queue("q").running())
    bench.declare("q", 2, paused=True)
    assert bench.granted("b") == []
    bench.declare("q", 2)
    assert bench.granted("b") == ["b"]


def test_a_job_that_is_held_back_keeps_its_place_and_comes_back_by_itself(bench: Bench) -> None:
    """2.1, 2.4"""
    bench.declare("q", 1)
    bench.tell(job("a").queue("q"), job("b").queue("q"))
    bench.call(lambda: bench.scheduler.hold_back("uid-a", 30))
    bench.wait(0.05)
    assert bench.granted("a", "b") == ["b"]
    bench.tell(job("b").queue("q").finished())
    assert bench.granted("a") == []
    bench.wait(30)
    bench.wait(0.05)
    assert bench.granted("a") == ["a"]


def test_nothing_is_admitted_before_what_runs_is_accounted_for(bench: Bench) -> None:
    """7.4: a key that was looked at, or whose job was deleted, is accounted for."""
    keys = {Key("BatchJob", "default", name) for name in ("x", "y")}
    bench.tell(job("x").running(), job("y").running())
    bench.call(lambda: bench.scheduler.gate.wait_for(keys))
    bench.tell(job("a"))
    assert bench.granted("a") == [] and "Gate" in bench.scheduler.gate.closed_for
    bench.call(lambda: bench.scheduler.gate.accounted(Key("BatchJob", "default", "x")))
    assert bench.granted("a") == []
    bench.delete(job("y"))
    assert bench.granted("a") == ["a"] and not bench.scheduler.gate.closed_for


def test_jobs_that_cannot_be_accounted_for_are_passed_over(bench: Bench) -> None:
    """7.3, 2.3: after a while the others go on; what may run keeps its slot, and is still to be accounted for."""
    bench.declare("narrow", 1)
    bench.tell(job("x").queue("narrow").running())
    key, ghost = Key("BatchJob", "default", "x"), Key("Attempt", "", "gone.1")
    bench.call(lambda: bench.scheduler.gate.wait_for([key, ghost]))
    bench.tell(job("later").queue("narrow"), job("a"))
    assert "BatchJob default/x" in bench.scheduler.gate.closed_for["Gate"]
    bench.call(bench.scheduler.gate.wait_no_longer)
    assert bench.scheduler.gate.unaccounted(key)
    assert "Attempt gone.1" in bench.scheduler.gate.closed_for["Gate"] and bench.granted("a") == []
    bench.call(lambda: bench.scheduler.gate.accounted(ghost))
    bench.wait(0.05)
    assert bench.granted("a") == ["a"] and bench.granted("later") == [] and not bench.scheduler.gate.closed_for
    assert bench.scheduler.gate.unaccounted(key)
    bench.call(lambda: bench.scheduler.gate.accounted(key))
    assert not bench.scheduler.gate.unaccounted(key)


def test_shut_and_open(bench: Bench) -> None:
    """Design 4: a full disk admits nothing, and goes on by itself."""
    bench.call(lambda: bench.scheduler.gate.shut("DiskFull", "1 byte left"))
    bench.tell(job("a"))
    assert bench.granted("a") == []
    bench.call(lambda: bench.scheduler.gate.open("DiskFull"))
    bench.wait(0.05)
    assert bench.granted("a") == ["a"]


@pytest.mark.parametrize("recorded", [job("a").running(), job("a").starting(), job("a")])
def test_a_deleted_jobs_attempt_keeps_its_slot_until_it_is_proved_over(bench: Bench, recorded: JobBuilder) -> None:
    """2.3, 7.6: also where its status was wiped before."""
    attempt = AttemptId("uid-a", 1)
    bench.declare("default", 1)
    bench.index.add(attempt)
    bench.tell(recorded)
    bench.delete(recorded)
    bench.tell(job("b"))
    assert bench.scheduler.books.held_total == 1 and bench.scheduler.holds(attempt)
    assert bench.granted("b") == []
    bench.call(lambda: bench.scheduler.release(attempt))
    bench.wait(0.05)
    assert bench.granted("b") == ["b"]


def test_a_job_created_again_under_its_name_is_another_one(bench: Bench) -> None:
    """2.1, 7.6"""
    bench.tell(job("a").running())
    bench.tell(job("a").uid("uid-again"))
    assert bench.scheduler.owner("uid-a") is None
    assert bench.scheduler.owner("uid-again") == Key("BatchJob", "default", "a")
    assert bench.scheduler.holds(AttemptId("uid-a", 1)) and bench.scheduler.granted("uid-again")


def test_the_sequence_is_the_version_of_the_creation(bench: Bench) -> None:
    """2.1: an edit does not move a job, and a wiped status gets its place back."""
    bench.tell(job("a").queue("q"))
    first = bench.scheduler.sequence(job("a").build())
    bench.tell(job("a").queue("q").priority(1))
    assert bench.scheduler.sequence(job("a").build()) == first == 101
    bench.tell(job("a").queue("q").sequence(101))
    bench.tell(job("a").queue("q"))
    assert bench.scheduler.sequence(job("a").build()) == 101


def test_nobody_starts_who_may_be_behind_one_whose_place_is_not_known(bench: Bench) -> None:
    """2.1: a job that was edited before it was first seen may stand in front of all others of its priority."""
    bench.tell(job("late"), edited=True)
    bench.tell(job("late").priority(1), job("later"), edited=True)
    bench.tell(job("lower"), job("same").priority(1), job("higher").priority(2))
    assert bench.scheduler.sequence(job("late").build()) is None
    assert bench.granted("lower", "same", "late", "higher") == ["higher"]
    bench.call(lambda: bench.scheduler.set_sequence(job("late").priority(1).build(), 5))
    bench.wait(0.05)
    assert bench.granted("lower", "same", "late", "higher") == ["same", "late", "higher"]
    bench.call(lambda: bench.scheduler.set_sequence(job("later").build(), 6))
    bench.wait(0.05)
    assert bench.granted("lower", "later") == ["lower", "later"]


def test_a_place_that_is_not_known_holds_no_other_queue_back(bench: Bench) -> None:
    """2.1: whatever keeps its look-up from succeeding, the other queues go on; one of a namespace is one of its own."""
    bench.declare("q")
    bench.declare("r")
    bench.tell(job("late").queue("q"), edited=True)
    bench.tell(job("late").queue("q").priority(0), edited=True)
    elsewhere = job("elsewhere").queue("default").namespace("other")
    bench.tell(job("a").queue("q"), job("b").queue("r"), job("c"), elsewhere)
    assert bench.granted("a", "b", "c", "elsewhere") == ["b", "c", "elsewhere"]
    assert not bench.scheduler.gate.closed_for


@pytest.mark.parametrize(
    "change",
    [lambda late: late.queue("r"), JobBuilder.suspend, JobBuilder.cancel, lambda late: late.priority(-1), None],
    ids=["moved", "suspended", "canceled", "lowered", "deleted"],
)
def test_what_does_not_wait_in_front_any_more_holds_nobody_back(
    bench: Bench, change: Callable[[JobBuilder], JobBuilder] | None
) -> None:
    """2.1, 2.4: and it takes effect without anything else happening."""
    bench.declare("q")
    bench.declare("r")
    late = job("late").queue("q")
    bench.tell(late, edited=True)
    bench.tell(late.priority(0), job("a").queue("q"), edited=True)
    bench.call(lambda: bench.scheduler.set_sequence(job("a").queue("q").build(), 7))
    bench.wait(0.05)
    assert bench.granted("a") == []
    if change is None:
        bench.delete(late)
    else:
        bench.tell(change(late), edited=True)
    assert bench.granted("a") == ["a"]


def test_a_cycle_reads_no_more_than_it_admits(bench: Bench) -> None:
    """2.1, 10.2: 3,000 wait behind a limit of 2; a cycle with nothing to give reads nothing."""
    bench.declare("q", 2)
    bench.tell(*(job(f"{number:04}").queue("q") for number in range(3000)))
    assert bench.granted(*(f"{number:04}" for number in range(3000))) == ["0000", "0001"]
    looked: list[str] = []
    waiting = bench.scheduler.books.account(("default", "q")).waiting
    assert len(waiting) == 3000
    bench.scheduler._startable = lambda each: looked.append(each.name) is None  # type: ignore[method-assign]
    bench.call(bench.scheduler.cycle)
    assert looked == []
    bench.tell(job("0000").queue("q").finished())
    assert 0 < len(looked) <= 2


def test_what_a_restart_has_to_look_at() -> None:
    """10.1: a queued or finished job with nothing to do costs no reconcile after a restart."""
    settled = [job().queued().sequence(1), job().finished(), job().queued("Lost").sequence(1)]
    assert [needs_a_look(builder.build()) for builder in settled] == [False, False, True]
    busy = [
        job(),
        job().queued(),
        job().finished().ttl("1h"),
        job().queued().sequence(1).cancel(),
        job().queued().sequence(1).suspend(),
        job().queued().sequence(1).active_deadline("1h"),
        job().backing_off(60).sequence(1),
        job().needs_decision().sequence(1),
    ]
    assert all(needs_a_look(builder.build()) for builder in busy)
