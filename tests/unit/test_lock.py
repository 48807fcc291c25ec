"""The line before a repository: order, modes, no writer starvation, its cost (5.4, 5.6, design 5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.repository import MAX_HOLDERS, Lock
from controller.api.repository_use import LockMode
from controller.api.repositorylock import RepositoryLock
from controller.decisions.lock import (
    Claim,
    Line,
    compatible,
    fence_tokens,
    grant,
    job_claim,
    person_claim,
    with_waiting,
)
from controller.decisions.order import candidate
from tests.unit.builders import START, at, job
from tests.unit.lock_builders import S, X, claim, holder, lock


def served(line: Line, *claims: Claim) -> str:
    """Names of those that may start, asked in the order given."""
    return "".join(each.name for each in claims if line.may_grant(each))


def test_compatible() -> None:
    """5.4: any number of Shared ones, or one Exclusive."""
    assert compatible((), X) and compatible((), S)
    assert compatible((holder("a", 1, S), holder("b", 2, S)), S)
    assert not compatible((holder("a", 1, S),), X)
    assert not compatible((holder("a", 1, X),), S) and not compatible((holder("a", 1, X),), X)


@pytest.mark.parametrize(
    ("modes", "granted"),
    [
        ((X, X), "a"),
        ((S, S, S), "abc"),
        ((S, X, S), "a"),  # the writer in the middle is not overtaken
        ((X, S, S), "a"),
        ((S, S, X, S, X), "ab"),
    ],
)
def test_those_in_front_that_fit_are_granted_together(modes: tuple[LockMode, ...], granted: str) -> None:
    """5.4: strictly in order, without starving the writer."""
    claims = [claim(name, n, mode) for n, (name, mode) in enumerate(zip("abcde", modes, strict=False))]
    assert served(Line(lock()), *claims) == granted


def test_recorded_holders_and_grants_on_their_way_count() -> None:
    """5.4: a grant that is not recorded yet holds like a recorded one; recorded later, it counts once."""
    assert served(Line(lock(holder("h", 1, X))), claim("a", 2, S)) == ""
    assert served(Line(lock(holder("h", 1, S))), claim("a", 2, S), claim("b", 3, X)) == "a"
    on_its_way = claim("g", 1, S)
    assert served(Line(lock(), granted=[on_its_way]), claim("a", 2, X)) == ""
    both = Line(lock(holder("g", 1, S)), granted=[on_its_way])
    assert served(both, claim("a", 2, S)) == "a" and both.finish() == (claim("a", 2, S),)


def test_nothing_is_granted_while_the_record_is_absent() -> None:
    """1.3: a wiped status is rebuilt first."""
    line = Line(None, people=[claim("p", 1, S, person=True)])
    assert served(line, claim("a", 2, S)) == "" and line.finish() == ()


def test_people_stand_in_line_among_the_jobs() -> None:
    """5.4: by the same order; one that has to wait closes the repository for the jobs behind."""
    people = [claim("p", 2, S, person=True), claim("q", 4, X, person=True)]
    line = Line(lock(), people=people)
    assert served(line, claim("a", 1, S), claim("b", 3, S), claim("c", 5, S)) == "ab"
    assert [each.name for each in line.finish()] == ["a", "p", "b"]
    assert line.closed


def test_people_behind_the_last_candidate_are_served_at_the_end() -> None:
    """5.4: also where no job wants the repository."""
    line = Line(lock(), people=[claim("p", 9, S, person=True), claim("q", 10, S, person=True)])
    assert served(line, claim("a", 1, S)) == "a"
    assert [each.name for each in line.finish()] == ["a", "p", "q"]
    held = Line(lock(holder("p", 1, S, person=True)), people=[claim("p", 1, S, person=True)])
    assert held.finish() == ()


def test_one_without_a_slot_keeps_its_place() -> None:
    """5.4: an Exclusive one that waits for a slot is not overtaken, a Shared one lets Shared ones pass."""
    line = Line(lock())
    line.stand(claim("a", 1, S))
    assert served(line, claim("b", 2, S)) == "b"
    assert not line.may_grant(claim("c", 3, X))
    alone = Line(lock())
    alone.stand(claim("a", 1, X))
    assert served(alone, claim("b", 2, S)) == ""


def test_a_grant_that_was_recorded_and_not_used_may_be_used() -> None:
    """5.4: after a crash between grant and admission; not for another attempt, not for a fenced one."""
    granted = claim("a", 1, X)
    assert Line(lock(holder("a", 3))).may_grant(granted)
    assert not Line(lock(holder("a", 3, attempt="a.0"))).may_grant(granted)
    assert not Line(lock(holder("a", 3, fenced_at=START))).may_grant(granted)
    assert not Line(lock(holder("a", 3, S, attempt="a.0"))).may_grant(claim("a", 1, S))


def test_asking_out_of_order_is_a_defect() -> None:
    """5.4: an order that nobody keeps is none."""
    line = Line(lock())
    line.may_grant(claim("b", 2, S))
    with pytest.raises(ValueError, match="in their order"):
        line.may_grant(claim("a", 1, S))


def test_at_most_so_many_share() -> None:
    """1.2: the schema's bound is kept by waiting, not by a refused write."""
    line = Line(lock(*(holder(f"h{n}", n + 1, S) for n in range(MAX_HOLDERS - 1))))
    assert served(line, claim("a", 1, S), claim("b", 2, S)) == "a"


def test_a_closed_repository_reads_no_more_claims() -> None:
    """5.4: a hand-over does not cost more with 100,000 who wait behind."""
    read = 0

    def people() -> Iterator[Claim]:
        nonlocal read
        for n in range(100_000):
            read += 1
            yield claim(f"p{n}", n, X, person=True)

    line = Line(lock(), people=people())
    assert served(line, *(claim(f"j{n}", 200_000 + n) for n in range(5))) == ""
    line.finish()
    assert read <= 2


def test_each_grant_takes_the_next_token() -> None:
    """5.4: tokens only grow; who holds already keeps its own; what does not fit any more is not forced."""
    before = lock(holder("h", 4, S), token=7)
    after = grant(before, [claim("b", 2, S), claim("a", 1, S), claim("h", 0, S)], at(9))
    assert [(h.claim, h.token, h.attempt) for h in after.holders] == [("h", 4, "h.1"), ("a", 8, "a.1"), ("b", 9, "b.1")]
    assert after.token == 9 and after.holders[1].granted_at == at(9) and after.holders[1].uid == "uid-a"
    assert grant(after, [claim("c", 3, X)], at(9)) is after
    assert grant(lock(), [claim("p", 3, X, person=True)], at(9)).holders[0].attempt == ""


def test_the_fence_lists_those_that_may_push() -> None:
    """5.5: no fenced one, nor one that carries the token of a fenced one."""
    held = lock(holder("a", 3, S), holder("b", 1, S), holder("c", 2, S, fenced_at=START), holder("d", 2, S))
    assert fence_tokens(held, lambda _: True) == (1, 3)
    assert fence_tokens(held, lambda each: each.claim != "b") == (3,)


def test_the_first_ten_that_wait() -> None:
    """5.6: read only so far; unchanged, it is the same object."""
    claims = [claim(f"c{n}", n, S) for n in range(30)]
    told = with_waiting(lock(holder("c1", 1, S)), claims)
    assert [each.claim for each in told.waiting] == ["c0", *(f"c{n}" for n in range(2, 11))]
    assert with_waiting(told, claims) is told


def test_claims_of_people_and_jobs_have_one_order() -> None:
    """5.4: people's with priority 0, by sequence."""
    meta = {"name": "mine", "namespace": "default", "uid": "u", "creationTimestamp": START, "resourceVersion": "5"}
    made = RepositoryLock.model_validate(
        {"metadata": meta, "spec": {"repository": "shop", "holder": {"name": "eve"}, "mode": "Shared"}}
    )
    person = person_claim(made, 5)
    assert person.person and (person.uid, person.name, person.mode, person.attempt) == ("u", "mine", S, "")

    def of(name: str, sequence: int, priority: int) -> Claim:
        return job_claim(candidate(job(name).priority(priority).build(), sequence), f"uid-{name}", name, X, f"{name}.1")

    line = sorted([of("low", 1, -1), of("late", 6, 0), person, of("early", 4, 0), of("urgent", 9, 1)])
    assert [each.name for each in line] == ["urgent", "early", "mine", "late", "low"]
    assert not line[0].person and line[0].job


MODES = st.lists(st.tuples(st.sampled_from([S, X]), st.booleans(), st.sampled_from(["ask", "stand", "skip"])))


@given(MODES, st.lists(st.sampled_from([S, X]), max_size=3))
def test_nobody_is_granted_past_one_that_has_to_wait(
    waiting: list[tuple[LockMode, bool, str]], held: list[LockMode]
) -> None:
    """5.4: for any line: modes hold, and behind one that waits in vain nothing that excludes it is granted."""
    record: Lock = lock()
    for n, mode in enumerate(held):
        record = grant(record, [claim(f"h{n}", n, mode)], START)
    claims = [claim(f"c{n}", n, mode, person=person) for n, (mode, person, _) in enumerate(waiting)]
    asked = {each.uid: how for each, (_, person, how) in zip(claims, waiting, strict=True) if not person}
    line = Line(record, people=[each for each in claims if each.person])
    for each in claims:
        if asked.get(each.uid) == "ask":
            line.may_grant(each)
        elif asked.get(each.uid) == "stand":
            line.stand(each)
    granted = set(line.finish())
    after = grant(record, granted, START)
    assert len(after.holders) == len(record.holders) + len(granted)
    assert all(compatible([o for o in after.holders if o is not h], h.mode) for h in after.holders)
    for n, each in enumerate(claims):
        if each in granted or asked.get(each.uid) == "skip":
            continue
        behind = [other for other in claims[n + 1 :] if other in granted]
        assert not behind or (asked.get(each.uid) == "stand" and compatible(behind, each.mode)), (each, behind)
