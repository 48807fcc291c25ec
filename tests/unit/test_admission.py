"""One scheduling cycle: order, limits, pause, and its cost (2.1, 2.3, 2.4, design 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.decisions.admission import QueueView, cycle, free_slots
from controller.decisions.order import Candidate, candidate
from tests.unit.builders import job


def waiting(name: str, sequence: int, priority: int = 0) -> Candidate:
    return candidate(job(name).priority(priority).build(), sequence)


def outside(name: str, sequence: int, priority: int = 0) -> Candidate:
    return candidate(job(name).priority(priority).build(), sequence, "team")


def view(name: str, names: Iterable[Candidate], concurrency: int | None = None, held: int = 0) -> QueueView:
    line = sorted(names)
    return QueueView(("default", name), concurrency, False, held, line, [each for each in line if each.outside])


class Counted:
    """Candidates that count how many were read."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.candidates, self.read = candidates, 0

    def __iter__(self) -> Iterator[Candidate]:
        for each in self.candidates:
            self.read += 1
            yield each


def names(admitted: list[Candidate]) -> list[str]:
    return [each.name for each in admitted]


def test_order_is_priority_then_sequence_then_creation_then_uid() -> None:
    """2.1"""
    first = [waiting("c", 2), waiting("a", 2), waiting("b", 1), waiting("d", 9, 5)]
    assert names(sorted(first)) == ["d", "b", "a", "c"]


def test_the_last_slot_of_the_host_goes_to_the_first_of_all_queues() -> None:
    """2.1, 2.3"""
    views = [view("q", [waiting("late", 5)]), view("r", [waiting("early", 4)]), view("s", [waiting("urgent", 9, 1)])]
    assert names(cycle(views, 1, 0, lambda _: True)) == ["urgent"]
    assert names(cycle(views, 5, 3, lambda _: True)) == ["urgent", "early"]
    assert cycle(views, 3, 3, lambda _: True) == cycle(views, 3, 9, lambda _: True) == []


def test_a_candidate_that_cannot_start_is_passed_over() -> None:
    """2.1, design 4"""
    views = [view("q", [waiting("a", 1), waiting("b", 2), waiting("c", 3)], concurrency=1)]
    assert names(cycle(views, 9, 0, lambda each: each.name != "a")) == ["b"]


def test_free_slots() -> None:
    """2.3, 2.4: paused, concurrency 0, more held than allowed (the limit was lowered), the host's own limit."""
    table = [((None, False, 7), 3), ((2, False, 1), 1), ((2, False, 5), 0), ((0, False, 0), 0), ((9, True, 0), 0)]
    for (concurrency, paused, held), expected in table:
        assert free_slots(QueueView(("n", "q"), concurrency, paused, held, []), 3) == expected
    assert free_slots(QueueView(("n", "q"), 9, False, 0, []), 2) == 2


def test_a_cycle_costs_its_admissions_not_the_length_of_the_queues() -> None:
    """2.1, 10.2: with thousands waiting in each of ten queues."""
    sources = [Counted([waiting(f"{q}-{n}", n * 10 + q) for n in range(2000)]) for q in range(10)]
    views = [QueueView(("default", str(q)), 2, False, 0, source) for q, source in enumerate(sources)]
    assert len(cycle(views, 6, 0, lambda _: True)) == 6
    assert sum(source.read for source in sources) <= 6 + len(sources)
    for source in sources:
        source.read = 0
    assert cycle(views, 0, 0, lambda _: True) == []
    assert cycle([QueueView(("default", "p"), 2, True, 0, sources[0])], 6, 0, lambda _: True) == []
    assert sum(source.read for source in sources) == 0


def test_the_first_of_a_full_queue_stand_in_line_for_what_else_they_need() -> None:
    """5.4: without it others would overtake an Exclusive claim for ever while its queue is busy with other jobs."""
    full = view("full", [waiting("a", 1), waiting("b", 3), waiting("c", 5)], concurrency=2, held=2)
    paused = QueueView(("n", "paused"), 2, True, 0, [waiting("p", 2)])
    free = view("free", [waiting("x", 4)], concurrency=1)
    asked: list[str] = []

    def startable(each: Candidate) -> bool:
        asked.append(each.name)
        return True

    admitted = cycle([full, paused, free], 9, 2, startable, lambda each: asked.append(f"{each.name} stands"))
    assert names(admitted) == ["x"]
    assert asked == ["a stands", "b stands", "x"]


def test_who_needs_no_slot_takes_none() -> None:
    """Issue 7, item 3: in order with the others, past every limit but a pause."""
    line = [waiting("a", 1), outside("x", 2), waiting("b", 3), outside("y", 4)]
    asked: list[str] = []

    def startable(each: Candidate) -> bool:
        asked.append(each.name)
        return each.name != "y"

    assert names(cycle([view("q", line, concurrency=1)], 1, 0, startable)) == ["a", "x"]
    assert asked == ["a", "x", "y"]
    asked.clear()
    full = view("q", line, concurrency=1, held=1)
    assert names(cycle([full], 1, 1, startable, lambda each: asked.append(f"{each.name} stands"))) == ["x"]
    assert asked == ["a stands", "x", "y"], "it does not overtake one that waits for the same lock and has no slot"
    paused = QueueView(("n", "q"), None, True, 0, line, [each for each in line if each.outside])
    assert cycle([paused], 9, 0, lambda _: True) == []


def test_a_ramp_is_not_for_those_that_need_no_slot() -> None:
    """Issue 7, item 3, and 7.4: the others wait for it as ever; where the order is not known yet all wait (2.1)."""
    line = [waiting("a", 1), outside("x", 2), waiting("b", 3), outside("y", 4)]

    def slow(each: Candidate) -> bool:
        return not each.outside

    assert names(cycle([view("q", line)], 9, 0, lambda _: True, too_soon=slow)) == ["x", "y"]
    own = cycle([view("q", line)], 9, 0, lambda _: True, too_soon_in=lambda each, _: slow(each))
    assert names(own) == ["x", "y"]
    unsure = cycle([view("q", line)], 9, 0, lambda _: True, too_soon=lambda each: each.sequence >= 2)
    assert names(unsure) == ["a"]


def test_a_cycle_with_outside_queues_reads_no_long_line() -> None:
    """2.1, 10.2: those that need a slot are read as far as slots last, also where others go past them."""
    source = Counted([waiting(f"q-{n}", n) for n in range(2000)])
    busy = QueueView(("default", "q"), 2, False, 2, source, [outside("x", 5000)])
    assert names(cycle([busy], 6, 2, lambda _: True)) == ["x"]
    assert source.read <= 2
    free = QueueView(("default", "q"), 2, False, 0, source, [outside("x", 5000)])
    assert names(cycle([free], 6, 0, lambda _: True, lambda _: None, too_soon=lambda each: not each.outside)) == ["x"]
    assert source.read <= 5


QUEUES = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 4)),  # concurrency
        st.booleans(),  # paused
        st.integers(0, 5),  # held
        # (priority, startable, limited by an outside queue)
        st.lists(st.tuples(st.integers(-2, 2), st.booleans(), st.booleans()), max_size=8),
    ),
    max_size=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(QUEUES, st.integers(0, 8), st.integers(0, 6))
def test_limits_are_exact_and_order_is_kept(
    declared: list[tuple[int | None, bool, int, list[tuple[int, bool, bool]]]], host: int, elsewhere: int
) -> None:
    """2.1, 2.3: never over a limit, never past somebody who could start, and no slot left over.

    Issue 7, item 3: those that need no slot all start, unless a person paused their queue.
    """
    views, can, queue_of, sequence = [], set(), {}, 0
    for index, (concurrency, paused, held, jobs) in enumerate(declared):
        candidates = []
        for priority, startable, without in jobs:
            sequence += 1
            one = (outside if without else waiting)(f"job-{sequence}", sequence, priority)
            candidates.append(one)
            queue_of[one] = index
            if startable:
                can.add(one)
        candidates.sort()
        others = [one for one in candidates if one.outside]
        views.append(QueueView(("n", str(index)), concurrency, paused, held, candidates, others))
        can -= set(others) if paused else set()
    total = elsewhere + sum(held for _, _, held, _ in declared)
    admitted = cycle(views, host, total, can.__contains__)
    assert admitted == sorted(admitted) and set(admitted) <= can
    assert {one for one in can if one.outside} <= set(admitted)
    admitted = [one for one in admitted if not one.outside]
    can = {one for one in can if not one.outside}
    assert len(admitted) <= max(0, host - total)
    free = {
        index: 0 if paused else (host if concurrency is None else max(0, concurrency - held))
        for index, (concurrency, paused, held, _) in enumerate(declared)
    }
    for one in admitted:
        free[queue_of[one]] -= 1
    assert all(left >= 0 for left in free.values())
    for one in can - set(admitted):
        if free[queue_of[one]] > 0:
            assert len(admitted) == max(0, host - total)
            assert all(one > better for better in admitted)
        else:
            assert all(one > better for better in admitted if queue_of[better] == queue_of[one])
