"""The books: order of thousands, slots by queue, ghosts of deleted jobs, positions and estimates (2.1-2.3)."""

from __future__ import annotations

import random

from controller.api.batchjob_status import AttemptState
from controller.decisions.executors import named, outside_queue
from controller.decisions.order import candidate
from controller.decisions.placement import Place, place
from controller.reconcile.books import Books
from tests.unit.builders import JobBuilder, at, job, outside, queue

DEFAULT = ("default", "default")


def enter(books: Books, builder: JobBuilder, sequence: int = 1, known: tuple[int, ...] | None = ()) -> bool:
    built = builder.build()
    queue = outside_queue(built, named(built.spec, "Process"))
    return books.enter(built, place(built, known), candidate(built, sequence, queue))


def order(books: Books, name: tuple[str, str] = DEFAULT) -> list[str]:
    return [each.name for each in books.account(name).waiting]


def test_thousands_stand_in_order_whatever_order_they_came_in() -> None:
    """2.1: also where every one of them is entered again, changes its priority, or leaves."""
    books, shuffled = Books(), list(range(3000))
    rng = random.Random(7)
    rng.shuffle(shuffled)
    for number in shuffled:
        enter(books, job(f"{number:04}"), number)
    assert order(books) == [f"{number:04}" for number in range(3000)]
    assert not enter(books, job("0007"), 7)
    for number in range(0, 3000, 3):
        enter(books, job(f"{number:04}").priority(1), number)
    for number in range(1, 3000, 3):
        books.remove(f"uid-{number:04}")
    urgent, rest = [f"{n:04}" for n in range(0, 3000, 3)], [f"{n:04}" for n in range(2, 3000, 3)]
    assert order(books) == urgent + rest
    assert books.position("uid-0003") == 1 and books.position("uid-0001") is None


def test_where_a_job_stands() -> None:
    """2.3: what is recorded and not proved over holds a slot, and so does a wiped job with a run directory."""
    over = job().over(AttemptState.FAILED)
    table = [
        (job(), (), Place.WAITING),
        (job().queued(), (), Place.WAITING),
        (over.queued("BackingOff"), (1,), Place.WAITING),
        (job().starting(), (), Place.HELD),
        (job().running(), None, Place.HELD),
        (job().stopping("Canceled").cancel(), (1,), Place.HELD),
        (job(), (1,), Place.HELD),
        (job().cancel(), (1,), Place.HELD),
        (job(), None, Place.NEITHER),
        (job().suspend(), (), Place.NEITHER),
        (job().cancel(), (), Place.NEITHER),
        (job().deleting(), (), Place.NEITHER),
        (job().needs_decision(), (1,), Place.NEITHER),
        (job().with_status(phase="Waiting"), (), Place.WAITING),
        (over.finished(), (1,), Place.NEITHER),
        (outside(), (), Place.WAITING),
        (outside().starting(), (), Place.HELD),
        (outside().starting().in_outside_queue(), (), Place.OUTSIDE),
        (job().running().in_outside_queue(), (1,), Place.OUTSIDE),
        (job().stopping("Canceled").in_outside_queue(), (1,), Place.OUTSIDE),
        (over.in_outside_queue().queued(), (1,), Place.WAITING),
        (outside(), (1,), Place.HELD),
    ]
    for builder, known, expected in table:
        assert place(builder.build(), known) is expected, builder


def test_a_slot_is_held_from_the_start_to_the_proved_end() -> None:
    """2.3"""
    books = Books()
    for builder, waits, held in [
        (job(), 1, 0),
        (job().starting(), 0, 1),
        (job().running(), 0, 1),
        (job().stopping("Suspended"), 0, 1),
        (job().over(AttemptState.FAILED).queued(), 1, 0),
        (job().starting(2), 0, 1),
        (job().over(AttemptState.SUCCEEDED).finished(), 0, 0),
    ]:
        enter(books, builder)
        assert (len(books.account(DEFAULT).waiting), books.held_total) == (waits, held)


def test_what_a_deleted_job_left_running_keeps_its_slot() -> None:
    """2.3, 7.6: and is counted once, in the queue that it turns out to be of."""
    books = Books()
    books.hold("ownerless u.1", ("", ""))
    books.hold("ownerless u.1", ("default", "q"))
    books.hold("ownerless u.1", ("default", "q"))
    assert (books.held_total, len(books.account(("", "")).held)) == (1, 0)
    enter(books, job("next").queue("q"))
    assert [view.held for view in books.views({}, {})] == [1]
    books.remove("ownerless u.1")
    books.remove("ownerless u.1")
    assert books.held_total == 0


def test_a_queue_that_is_not_there_admits_nothing() -> None:
    """2.4: `default` works without being made; another one from the moment that it is there."""
    books = Books()
    enter(books, job("a"), 1)
    enter(books, job("b").queue("q"), 2)
    paused = {view.name[1]: view.paused for view in books.views({}, {})}
    assert paused == {"default": False, "q": True}
    books.declare(("default", "q"), queue("q", 2))
    assert [(v.paused, v.concurrency) for v in books.views({}, {}) if v.name[1] == "q"] == [(False, 2)]
    books.declare(("default", "q"), queue("q", 2, paused=True))
    assert [v.paused for v in books.views({}, {}) if v.name[1] == "q"] == [True]
    books.declare(("default", "q"), None)
    assert not books.exists(("default", "q"))


def test_admissions_that_are_not_recorded_count() -> None:
    """2.3"""
    books = Books()
    enter(books, job("a"), 1)
    enter(books, job("b"), 2)
    assert [view.held for view in books.views({"uid-a": DEFAULT}, {})] == [1]


def test_a_job_that_changes_its_queue_leaves_the_other_one() -> None:
    """2.1"""
    books = Books()
    enter(books, job("a").queue("q"))
    enter(books, job("a").queue("r"))
    assert order(books, ("default", "q")) == [] and order(books, ("default", "r")) == ["a"]
    assert books.queue_of("uid-a") == ("default", "r")


def test_estimates_learn_from_what_succeeded() -> None:
    """2.2"""
    books = Books()
    books.declare(DEFAULT, queue("default", 2))
    for name, seconds in (("a", 10), ("b", 20), ("c", 3000)):
        done = job(name).over(AttemptState.SUCCEEDED).finished().build()
        attempt = done.status.attempt
        assert attempt is not None
        longer = attempt.model_copy(update={"finished_at": at(seconds)})
        books.ran(done.model_copy(update={"status": done.status.model_copy(update={"attempt": longer})}))
    for number in range(4):
        enter(books, job(f"w{number}"), number)
    enter(books, outside("kueue"), 1)
    assert (books.eta("uid-w3", 8), books.eta("uid-w3", 1)) == (40, 80)
    assert books.position("uid-w3") == 4, "it is in line, and takes no slot"
    assert books.eta("uid-kueue", 8) is None, "nobody here knows when"
    books.declare(DEFAULT, queue("default", 0))
    assert books.eta("uid-w0", 8) is None
    books.declare(DEFAULT, queue("default", 2, paused=True))
    assert books.eta("uid-w0", 8) is None


def test_what_an_outside_queue_limits_is_counted_apart() -> None:
    """Issue 7, item 3: it waits in its place, then it is neither a slot's nor forgotten."""
    books = Books()
    for builder, expected in [
        (outside("x"), (1, 1, 0, 0)),
        (outside("x").starting().in_outside_queue(), (0, 0, 1, 0)),
        (outside("x").running().in_outside_queue(), (0, 0, 1, 0)),
        (outside("x").running(), (0, 0, 0, 1)),
        (outside("x").over(AttemptState.FAILED).queued(), (1, 1, 0, 0)),
        (job("x").queued(), (1, 0, 0, 0)),
        (outside("x").over(AttemptState.SUCCEEDED).finished(), (0, 0, 0, 0)),
    ]:
        enter(books, builder)
        account = books.account(DEFAULT)
        found = len(account.waiting), len(account.waiting_outside), len(account.outside), len(account.held)
        assert found == expected and books.held_total == found[3], builder
    assert not books.account(DEFAULT).used


def test_a_place_that_is_not_known_holds_back_both_lines() -> None:
    """2.1: nobody of a queue starts before one who may be in front, with or without a slot."""
    books = Books()
    for number, builder in enumerate([outside("a"), outside("b").priority(2), job("c"), job("d").priority(2)]):
        enter(books, builder, number)
    (view,) = books.views({}, {DEFAULT: 1})
    assert [each.name for each in view.candidates] == ["b", "d"] and [each.name for each in view.outside] == ["b"]
    (view,) = books.views({}, {})
    assert [each.name for each in view.outside] == ["b", "a"]
