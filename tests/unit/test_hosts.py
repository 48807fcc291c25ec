"""Limits per host and in all, and the circuit breaker (6.3)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.keys import Key
from controller.delivery.hosts import FAILURES_TO_OPEN, MAX_HOSTS, OPEN_LIMIT_SECONDS, OPEN_SECONDS, Hosts
from tests.eventually import eventually
from tests.unit.builders import START, at


def key(name: object) -> Key:
    return Key("Callback", "default", str(name))


class Rig:
    """Hosts with a clock that is set by hand, and what was woken."""

    def __init__(self, per_host: int = 2, total: int = 5) -> None:
        self.now = START
        self.woken: list[Key] = []
        self.hosts = Hosts(self.woken.append, lambda: self.now, per_host, total)

    def ask(self, name: object, host: str = "h", **more: bool) -> bool:
        return self.hosts.ask(key(name), host, **more)

    def fail(self, times: int, host: str = "h") -> None:
        for number in range(times):
            self.hosts.learn(host, self.now - timedelta(microseconds=times - number), False)

    def take_woken(self) -> list[str]:
        found, self.woken[:] = [each.name for each in self.woken], []
        return found


async def test_a_host_has_so_many_places_and_a_line() -> None:
    """6.3: who comes first goes first; asking again changes nothing."""
    rig = Rig()
    assert [rig.ask(n) for n in range(5)] == [True, True, False, False, False]
    assert rig.ask(0) and not rig.ask(4) and rig.hosts.figures().waiting == 3
    rig.hosts.leave(key(0), True)
    assert rig.take_woken() == ["2"]
    assert rig.ask(2) and not rig.ask(3)
    rig.hosts.leave(key(3))
    rig.hosts.leave(key(1), True)
    assert rig.take_woken() == ["4"]
    for name in (2, 4, "unknown"):
        rig.hosts.leave(key(name), True)
    figures = rig.hosts.figures()
    assert (figures.in_flight, figures.waiting, figures.open) == (0, 0, 0)


async def test_hosts_take_turns_for_the_places_in_all() -> None:
    """6.3: a host with a long line does not take them all."""
    rig = Rig(per_host=2, total=2)
    assert rig.ask("a0", "a") and rig.ask("a1", "a")
    assert not any(rig.ask(f"a{n}", "a") for n in range(2, 6))
    assert not any(rig.ask(f"b{n}", "b") for n in range(4))
    order = []
    for name in ("a0", "a1", "a2", "b0", "a3", "b1"):
        rig.hosts.leave(key(name), True)
        order += rig.take_woken()
    assert order == ["a2", "b0", "a3", "b1", "a4", "b2"]


async def test_a_key_that_changes_its_host_keeps_no_place() -> None:
    """6.3: nothing leaks."""
    rig = Rig()
    assert rig.ask("x", "a") and rig.ask("x", "b")
    rig.hosts.leave(key("x"))
    assert rig.hosts.figures().in_flight == 0


async def test_a_failing_host_gets_one_try_at_a_time_ever_more_seldom() -> None:
    """6.3: the circuit opens, doubles, and closes with the first success."""
    rig = Rig(per_host=4)
    rig.fail(FAILURES_TO_OPEN - 1)
    assert rig.hosts.open_for("h") == 0 and rig.ask(1)
    rig.hosts.leave(key(1), False)
    assert rig.hosts.open_for("h") == OPEN_SECONDS and rig.hosts.figures().open == 1
    assert not rig.ask(1) and not rig.ask(2)
    waits = []
    for _ in range(8):
        rig.now += timedelta(seconds=rig.hosts.open_for("h"))
        assert rig.ask(1) and not rig.ask(2), "one probe"
        rig.hosts.leave(key(1), False)
        assert not rig.ask(1)
        waits.append(rig.hosts.open_for("h"))
        rig.hosts.leave(key(1))
        rig.hosts.leave(key(2))
    assert waits == [20, 40, 80, 160, 300, 300, 300, 300] and max(waits) == OPEN_LIMIT_SECONDS
    rig.now += timedelta(seconds=300)
    assert rig.ask(3) and not rig.ask(4) and not rig.ask(5)
    rig.take_woken()
    rig.hosts.leave(key(3), True)
    assert rig.take_woken() == ["4", "5"] and rig.hosts.figures().open == 0


async def test_failures_of_one_moment_count_once_the_circuit_is_open() -> None:
    """6.3: four tries that end together are one outage."""
    rig = Rig(per_host=4)
    rig.fail(FAILURES_TO_OPEN - 1)
    assert all(rig.ask(n) for n in range(4))
    for n in range(4):
        rig.hosts.leave(key(n), False)
    assert rig.hosts.open_for("h") == OPEN_SECONDS


async def test_what_showed_nothing_changes_nothing() -> None:
    """6.4: what the guard refused is not the host's failure, nor its success."""
    rig = Rig()
    rig.fail(FAILURES_TO_OPEN)
    rig.hosts.learn("h", rig.now, None)
    assert rig.hosts.open_for("h") > 0
    assert rig.ask("x", "other")
    rig.hosts.leave(key("x"), None)
    assert rig.hosts.open_for("other") == 0


async def test_the_impatient_pass_an_open_circuit_but_no_limit() -> None:
    """6.3: a circuit holds a try up for a while only; remembered also while the host is full."""
    rig = Rig(per_host=1)
    rig.fail(FAILURES_TO_OPEN)
    assert not rig.ask("patient")
    assert rig.ask("a", impatient=True) and not rig.ask("b", impatient=True) and not rig.ask("c", impatient=True)
    rig.hosts.leave(key("a"), False)
    assert rig.take_woken() == ["b"]
    rig.hosts.leave(key("b"), False)
    assert rig.take_woken() == ["c"]
    rig.hosts.leave(key("c"), False)
    assert rig.take_woken() == [] and rig.hosts.figures().waiting == 1


async def test_the_record_of_a_host_survives_a_restart() -> None:
    """6.3: told again from what is recorded, in the order of the times."""
    rig = Rig()
    rig.hosts.learn("h", at(-1000), True)
    rig.fail(FAILURES_TO_OPEN + 3)
    assert not rig.ask(1) and rig.hosts.open_for("h") > 0
    rig.hosts.learn("h", at(1), True)
    assert rig.hosts.open_for("h") == 0


async def test_a_clock_that_is_set_back_opens_no_circuit_for_longer() -> None:
    """6.3: the wait begins anew, once."""
    rig = Rig()
    rig.fail(FAILURES_TO_OPEN)
    rig.now -= timedelta(days=1)
    assert rig.hosts.open_for("h") == OPEN_SECONDS
    rig.now += timedelta(seconds=OPEN_SECONDS)
    assert rig.hosts.open_for("h") == 0


async def test_the_line_of_an_open_circuit_is_woken_by_time() -> None:
    """6.3: nobody has to ask again."""
    woken: list[Key] = []
    hosts = Hosts(woken.append, lambda: datetime.now(UTC), 4, 64)
    for _ in range(FAILURES_TO_OPEN):
        hosts.learn("h", datetime.now(UTC) - timedelta(seconds=OPEN_SECONDS - 3), False)
    assert not hosts.ask(key(1), "h") and not hosts.ask(key(2), "h")
    await eventually(lambda: woken == [key(1)])
    hosts.leave(key(1), True)
    assert woken == [key(1), key(2)]


async def test_a_slow_host_delays_no_other() -> None:
    """6.3: ten thousand waiting for one that answers nothing, nine others go on."""
    rig = Rig(per_host=4, total=64)
    for n in range(10_000):
        rig.ask(f"dead{n}", "dead")
    for n in range(9 * 4):
        assert rig.ask(f"live{n}", f"h{n % 9}")
    assert rig.hosts.figures().in_flight == 40


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "hurry", "leave", "works", "fails", "time"]), st.integers(0, 12), st.integers(0, 3)
    ),
    max_size=80,
)


@settings(deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(1, 4))
def test_limits_hold_and_nobody_is_forgotten(steps: list[tuple[str, int, int]], per_host: int, total: int) -> None:
    """6.3: whatever happens, in whatever order."""

    async def play() -> None:
        rig, places = Rig(per_host, total), dict[Key, str]()
        waiting: dict[Key, str] = {}

        def woken() -> None:
            for each in rig.woken:
                places[each] = waiting.pop(each)
            rig.woken.clear()

        for what, number, host in steps:
            one, where = key(number), f"h{host}"
            if what in ("ask", "hurry"):
                if places.get(one, where) != where or waiting.get(one, where) != where:
                    continue
                if rig.hosts.ask(one, where, impatient=what == "hurry"):
                    places[one] = where
                    waiting.pop(one, None)
                else:
                    waiting[one] = where
            elif what == "time":
                rig.now += timedelta(seconds=50 * number)
            else:
                rig.hosts.leave(one, {"leave": None, "works": True, "fails": False}[what])
                places.pop(one, None)
                waiting.pop(one, None)
            woken()
            counts = Counter(places.values())
            assert len(places) <= total and all(count <= per_host for count in counts.values())
            figures = rig.hosts.figures()
            assert (figures.in_flight, figures.waiting) == (len(places), len(waiting))
            if len(places) < total:
                for each in set(waiting.values()):
                    assert (
                        counts[each] == per_host or rig.hosts.open_for(each) > 0 or counts[each] > 0 or what == "time"
                    )
        for one in list(places) + list(waiting):
            rig.hosts.leave(one, None)
            woken()
            places.pop(one, None)
            waiting.pop(one, None)
        for one in list(places):
            rig.hosts.leave(one, None)
        assert rig.hosts.figures().waiting == 0

    asyncio.run(play())


async def test_more_hosts_than_are_remembered() -> None:
    """Design 8: memory is bounded; who is wanted stays."""
    rig = Rig()
    assert rig.ask("kept", "kept")
    for number in range(2 * MAX_HOSTS):
        for _ in range(FAILURES_TO_OPEN):
            rig.hosts.learn(f"h{number}", START, False)
    assert rig.hosts.figures().open <= MAX_HOSTS and rig.hosts.figures().in_flight == 1
    rig.hosts.leave(key("kept"), True)
    assert rig.hosts.figures().in_flight == 0
