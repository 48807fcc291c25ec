"""Starts after a start: few at first, then ever more (requirement 7.4)."""

from __future__ import annotations

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from controller.api.jobqueue import JobQueue
from controller.decisions.admission import QueueView, cycle
from controller.decisions.order import Candidate
from controller.decisions.ramp import DOUBLING_SECONDS, LENGTH_SECONDS, Ramp
from controller.reconcile.ramped import HOST, RampedStarts


def starts(ramp: Ramp, moments: list[float], *, resumed: bool) -> int:
    """How many start when somebody looks at these moments and starts all that may."""
    count = 0
    for moment in moments:
        ramp = ramp.at(moment)
        while not ramp.over and ramp.allows(resumed=resumed):
            ramp = ramp.after(resumed=resumed)
            count += 1
    return count


def test_the_rate_is_the_one_that_was_set_and_doubles() -> None:
    """7.4: 10 per second at first, twice as many after each doubling."""
    ramp = Ramp(resumed=10, new=2, began=100, now=100)
    assert starts(ramp, [100], resumed=True) == 10
    assert starts(ramp, [100], resumed=False) == 2
    ticks = [100 + tick / 100 for tick in range(int(DOUBLING_SECONDS * 100) + 1)]
    first = starts(ramp, ticks, resumed=True)
    second = starts(ramp, [*ticks, *(tick + DOUBLING_SECONDS for tick in ticks)], resumed=True) - first
    assert 25 <= first - 10 <= 32  # the integral of 10*2^(t/2) over 2 s is 28.9
    assert 1.8 <= second / (first - 10) <= 2.2


@example(1.0, 17.0, False, 0.0, 16)
@given(
    st.floats(0.1, 1000),
    st.floats(0.1, 1000),
    st.booleans(),
    st.floats(0, LENGTH_SECONDS - 0.1),
    st.integers(0, 5000),
)
def test_the_wait_is_as_long_as_it_has_to_be(resumed: float, new: float, kind: bool, moment: float, taken: int) -> None:
    """7.4: who is told to wait may start when the wait is over, and not much earlier."""
    ramp = Ramp(resumed, new, 0.0, 0.0).at(moment)
    while taken and ramp.allows(resumed=kind):
        ramp, taken = ramp.after(resumed=kind), taken - 1
    wait = ramp.wait(resumed=kind)
    if ramp.allows(resumed=kind):
        assert wait == 0
        return
    assert wait > 0
    assert ramp.at(moment + wait + 1e-6).allows(resumed=kind)
    assert not ramp.at(moment + wait * 0.9 - 1e-6).allows(resumed=kind)


def test_it_ends() -> None:
    """7.4: the daily work is not limited."""
    ramp = Ramp(0.1, 0.1, 0.0, 0.0).at(LENGTH_SECONDS)
    assert ramp.over and ramp.allows(resumed=True) and ramp.wait(resumed=True) == 0


def test_zero_is_no_limit() -> None:
    """Settings: 0 switches it off."""
    ramp = Ramp(0, 1, 0.0, 0.0)
    assert starts(ramp, [0], resumed=False) == 1
    assert all(ramp.after(resumed=False).allows(resumed=True) for _ in range(1000))


async def test_nobody_overtakes_for_the_ramp() -> None:
    """2.1, 7.4: who is next in line is waited for, also by those who would be let go."""
    now, again = [0.0], asyncio.Event()
    ramped = RampedStarts(again.set, clock=lambda: now[0])
    line = [Candidate((0, n, 0.0, str(n)), "a", str(n), resumed=n == 1) for n in range(4)]
    view = QueueView(("a", "q"), None, False, 0, line)

    def startable(waiting: Candidate) -> bool:
        ramped.started(waiting, None)
        return True

    def names() -> list[str]:
        return [each.name for each in cycle([view], 9, 0, startable, None, ramped.too_soon)]

    assert names() == ["0", "1", "2", "3"]
    ramped.begin(resumed_per_second=0.5, new_per_second=1000)
    assert names() == ["0"]  # the second in line costs 2 s of credit, and 1 s is there
    await asyncio.wait_for(again.wait(), 60)
    now[0] += LENGTH_SECONDS
    assert names() == ["0", "1", "2", "3"]


def declared(name: str, **ramp: float) -> JobQueue:
    spec = {"admission": {"ramp": ramp}} if ramp else {}
    return JobQueue.model_validate({"metadata": {"name": name, "namespace": "a"}, "spec": spec})


async def test_a_queue_may_have_a_slower_ramp_of_its_own() -> None:
    """7.4: its next in line is waited for by those of the same queue only; the host's ramp holds for all together."""
    now, changed = [0.0], []
    ramped = RampedStarts(lambda: None, changed.append, clock=lambda: now[0])
    queues = {("a", "slow"): declared("slow", newPerSecond=1), ("a", "free"): declared("free")}
    lines = {name: [Candidate((0, n, 0.0, f"{name[1]}{n}"), "a", f"{name[1]}{n}") for n in range(4)] for name in queues}

    def startable(waiting: Candidate) -> bool:
        name = next(name for name, line in lines.items() if waiting in line)
        ramped.started(waiting, name)
        lines[name] = [each for each in lines[name] if each != waiting]
        return True

    def names() -> list[str]:
        views = [QueueView(name, None, False, 0, line) for name, line in lines.items()]
        asked = startable, None, ramped.too_soon, lambda waiting, name: ramped.too_soon_in(waiting, name, queues[name])
        return sorted(each.name for each in cycle(views, 9, 0, *asked))

    ramped.begin(resumed_per_second=0, new_per_second=0)
    assert names() == ["free0", "free1", "free2", "free3", "slow0"]
    assert ramped.holds(("a", "slow")) and not ramped.holds(("a", "free")) and changed == [("a", "slow")]
    queues["a", "slow"] = declared("slow", newPerSecond=1000)
    assert names() == []  # the credit that a start at the old rate took is not given back
    now[0] += LENGTH_SECONDS
    assert names() == ["slow1", "slow2", "slow3"]
    assert not ramped.holds(("a", "slow")) and changed == [("a", "slow")] * 2


async def test_the_hosts_ramp_is_told_of_all_queues() -> None:
    """7.4: a faster ramp of a queue does not loosen it."""
    changed: list[tuple[str, str]] = []
    ramped = RampedStarts(lambda: None, changed.append, clock=lambda: 0.0)
    ramped.begin(resumed_per_second=1, new_per_second=1)
    waiting, fast = Candidate((0, 0, 0.0, "u"), "a", "j"), declared("fast", newPerSecond=1000)
    assert not ramped.too_soon(waiting) and not ramped.too_soon_in(waiting, ("a", "fast"), fast)
    ramped.started(waiting, ("a", "fast"))
    assert ramped.too_soon(waiting) and changed == [HOST] and ramped.holds(("a", "any"))
