"""A lock that cannot be recorded keeps no slots; nothing is granted twice, nobody overtakes (2.3, 5.4, 7.3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.repository_bench import SHOP, Bench, holder

WHY = ("LockNotRecorded", "the fence cannot be written")
PLAIN = {"command": ["true"], "queue": "other"}


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.repository()
    yield made
    made.call(made.task.cancel)
    made.loop.close()


def outage(bench: Bench, reason: tuple[str, str] | None = WHY) -> None:
    bench.call(lambda: bench.book.not_grantable(SHOP, reason))
    bench.call(lambda: None)


def test_its_slots_go_to_others(bench: Bench) -> None:
    """7.5: readers that fill the host give their slots back, say why they wait, and go on by themselves."""
    readers = [f"reader-{n}" for n in range(8)]
    for name in readers:
        bench.job(name, "Shared")
        bench.claim_of(name, "Shared")
    bench.tell("JobQueue", "other", {"concurrency": 2})
    for n in range(2):
        bench.tell("BatchJob", f"plain-{n}", PLAIN)
    assert len(bench.pending()) == 8 and not bench.scheduler.granted("uid-plain-0")
    bench.woken("BatchJob")
    outage(bench)
    assert bench.pending() == []
    assert {n for n in (0, 1) if bench.scheduler.granted(f"uid-plain-{n}")} == {0, 1}
    assert [bench.book.why(f"uid-{name}") for name in readers] == [WHY] * 8
    assert set(readers) < bench.woken("BatchJob")
    outage(bench, None)
    assert bench.pending() == [f"claim-{name}" for name in readers[:6]]


def test_a_recorded_grant_that_is_not_fenced(bench: Bench) -> None:
    """7.5: also the slot of a holder whose token the fence does not accept yet; one that it accepts keeps it."""
    for name in ("one", "two"):
        bench.job(name, "Shared")
        bench.claim_of(name, "Shared")
    shared = [holder(f"claim-{name}", n, f"uid-{name}.1") | {"mode": "Shared"} for n, name in ((1, "one"), (2, "two"))]
    bench.repository({"token": 2, "holders": shared})
    bench.call(lambda: bench.book.fenced(SHOP, frozenset({1})))
    outage(bench)
    assert bench.scheduler.granted("uid-one") and not bench.scheduler.granted("uid-two")


def test_what_may_be_recorded_is_given_to_nobody_else(bench: Bench) -> None:
    """5.4: the answer to a PATCH was lost, and it was done: its holder holds, whoever comes to the front meanwhile."""
    bench.job("first")
    bench.claim_of("first")
    assert bench.pending() == ["claim-first"]
    outage(bench)
    bench.tell("BatchJob", "urgent", {"command": ["true"], "priority": 5, "repository": {"name": "shop"}})
    bench.claim_of("urgent")
    bench.person("ann", 1)
    assert bench.pending() == []
    bench.repository({"token": 1, "holders": [holder("claim-first", 1, "uid-first.1")]})
    outage(bench, None)
    assert bench.pending() == []
    assert not bench.scheduler.granted("uid-urgent")
    assert "shop" in bench.woken("Repository"), "it is looked whether the grant is used"


def test_the_line_keeps_its_order(bench: Bench) -> None:
    """5.4: nobody overtakes in the line of the repository while it grants nothing."""
    for name in ("first", "second", "third"):
        bench.job(name)
        bench.claim_of(name)
    assert bench.pending() == ["claim-first"]
    outage(bench)
    outage(bench)
    assert bench.pending() == []
    outage(bench, None)
    assert bench.pending() == ["claim-first"]


def test_a_repository_in_an_outage_is_not_asked_in_every_cycle(bench: Bench) -> None:
    """8.3: it is tried again in its time, not whenever anything changes anywhere."""
    bench.repository({"token": 1, "holders": [holder("claim-job", 1, "uid-job.1")]})
    bench.job("job")
    outage(bench)
    bench.woken("Repository")
    bench.call(bench.scheduler.poke)
    assert bench.woken("Repository") == set()
