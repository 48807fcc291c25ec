"""Who may lead (requirement 10.5): a table, and a machine in which clocks differ and requests are late."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decisions.lease import Held, Sighting, seen, takeable_in, valid

DURATION, REQUEST = 15.0, 3.0


def held(holder: str, version: str = "1") -> Held:
    return Held(holder, DURATION, 0, version)


@pytest.mark.parametrize(
    ("holder", "since", "now", "left"),
    [
        ("", 100, 100, 0),  # released
        ("me", 100, 100, 0),  # the answer was lost
        ("other", 100, 100, 18),  # its duration, and what it sent last
        ("other", 100, 110, 8),
        ("other", 100, 118, 0),
        ("other", 100, 500, 0),
    ],
)
def test_when_it_may_be_taken(holder: str, since: float, now: float, left: float) -> None:
    """10.5: a lease that is held only after it was seen unchanged for long enough."""
    assert takeable_in(Sighting(held(holder), since), "me", now, REQUEST) == left


def test_each_renewal_begins_the_wait_anew() -> None:
    """10.5: only a change of the object counts, not when we looked."""
    first = seen(None, held("other"), 100)
    assert seen(first, held("other"), 110) is first
    assert seen(first, held("other", "2"), 110).since == 110


@pytest.mark.parametrize(
    ("renewed", "now", "ok"),
    [(None, 0, False), (100, 100, True), (100, 111.9, True), (100, 112, False), (100, 9e9, False)],
)
def test_until_when_a_leader_writes(renewed: float | None, now: float, ok: bool) -> None:
    """10.5: a write has a whole request's time to arrive before the lease runs out."""
    assert valid(renewed, DURATION, now, REQUEST) is ok


@dataclass
class Candidate:
    """One controller; its clock differs from the world's by `skew`."""

    name: str
    skew: float
    sighting: Sighting | None = None
    renewed_at: float | None = None
    writes: list[tuple[float, float]] = field(default_factory=list)  # (sent, arrives) in the world's time

    def clock(self, now: float) -> float:
        return now + self.skew


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["look", "renew", "write"]), st.floats(0, 12)), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(skews=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), steps=STEPS, late=st.floats(0, 0.999))
def test_never_two_that_write(skews: list[float], steps: list[tuple[int, str, float]], late: float) -> None:
    """10.5: whatever the pauses: no write arrives after another controller may have begun to lead."""
    candidates = [Candidate(str(number), skew) for number, skew in enumerate(skews)]
    world, now, arrived = held(""), 0.0, []
    for who, what, pause in steps:
        now += pause
        one = candidates[who]
        clock = one.clock(now)
        if what == "look":
            one.sighting = seen(one.sighting, world, clock)
            if takeable_in(one.sighting, one.name, clock, REQUEST) == 0:
                world = held(one.name, str(int(world.version) + 1))
                one.renewed_at, one.sighting = clock, Sighting(world, clock)
        elif what == "renew" and world.holder == one.name and one.renewed_at is not None:
            world = held(one.name, str(int(world.version) + 1))
            one.renewed_at, one.sighting = clock, Sighting(world, clock)
        elif what == "write" and valid(one.renewed_at, DURATION, clock, REQUEST):
            arrived.append((now + late * REQUEST, one.name, now))
    for arrives, name, sent in arrived:
        others = [(other_sent, other) for _, other, other_sent in arrived if other != name and other_sent > sent]
        assert all(other_sent >= arrives for other_sent, _ in others), (arrives, name, others)
