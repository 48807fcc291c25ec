"""Who may lead (requirement 10.5): a table, and all short stories in which requests are late."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

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

    def took(self, world: Held, clock: float) -> Held:
        """The Lease after it was taken or renewed."""
        new = held(self.name, str(int(world.version) + 1))
        self.renewed_at, self.sighting = clock, Sighting(new, clock)
        return new


PAUSES = (0.0, 1.0, 2.9, 11.8, 14.9, 17.9)  # around the limits
STEPS = [(who, what, pause) for who in (0, 1) for what in ("look", "renew", "write") for pause in PAUSES]
SKEW = 12345.6  # of the second clock


def test_never_two_that_write() -> None:
    """10.5: one leads, the other has looked; whatever three steps follow, no write arrives after the other's."""
    for steps in product(STEPS, repeat=3):
        play([(0, "look", 0.0), (1, "look", 0.1), *steps])


def play(steps: list[tuple[int, str, float]]) -> None:
    """Two candidates do what is said, each step after a pause; asserts that no late write is met."""
    candidates = [Candidate("a", 0.0), Candidate("b", SKEW)]
    world, now = held(""), 0.0
    written: list[tuple[str, float]] = []  # by whom, when it was sent; it arrives up to REQUEST later
    for who, what, pause in steps:
        now += pause
        one = candidates[who]
        clock = now + one.skew
        if what == "renew" and world.holder == one.name and one.renewed_at is not None:
            world = one.took(world, clock)
        elif what == "look":
            one.sighting = seen(one.sighting, world, clock)
            if takeable_in(one.sighting, one.name, clock, REQUEST) == 0:
                world = one.took(world, clock)
        if valid(one.renewed_at, DURATION, clock, REQUEST):
            late = [(name, sent) for name, sent in written if name != one.name and sent + REQUEST > now]
            assert not late, f"{late} may arrive after a write of {one.name} at {now}: {steps}"
            written.append((one.name, now))
