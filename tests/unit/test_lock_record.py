"""A lock record that was wiped or damaged (1.3, 5.4, design 5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.conditions import Condition, find
from controller.api.repository import Holder
from controller.decisions.lock import Line, compatible, fence_tokens
from controller.decisions.lock_record import Healed, Source, Trace, heal, rebuild, sound
from tests.unit.builders import START, at
from tests.unit.lock_builders import S, X, claim, holder, lock


def trace(name: str, token: int, mode: Any = X, attempt: str | None = None, **more: Any) -> Trace:
    return Trace(f"uid-{name}", name, mode, token, f"{name}.1" if attempt is None else attempt, **more)


def built(*sources: tuple[Trace, ...] | None, fence: int | None = 0, alive: tuple[str, ...] = ()) -> Healed:
    named = [Source(f"source {n}", traces, "EIO") for n, traces in enumerate(sources)]
    return rebuild(named, fence, alive, at(7))


def held(healed: Healed) -> list[tuple[str, int]]:
    assert healed.lock is not None
    return [(each.claim, each.token) for each in healed.lock.holders]


def test_while_a_source_cannot_be_read_nothing_is_granted() -> None:
    """1.3, 5.4: any of them, the fence file too."""
    for healed in (built((), None), built((), fence=None)):
        assert healed.lock is None and healed.reason == "SourceUnreadable" and "read" in healed.message
        assert not Line(healed.lock).may_grant(claim("a", 1))


def test_a_new_repository_has_a_new_lock() -> None:
    """5.4"""
    healed = built((), ())
    assert healed.lock is not None and (healed.lock.token, healed.lock.holders) == (0, ())


def test_holders_from_every_source_once() -> None:
    """1.3: the same grant is known by its token, whoever tells of it; its token is larger than all seen."""
    directories = (trace("a", 4, S), trace("b", 5, S, attempt="b.1"))
    jobs = (trace("a", 4, S), trace("old", 2, X, over=True))
    claims = (trace("a", 4, S, attempt="", granted_at=at(1)), trace("p", 6, S, attempt=""))
    healed = built(directories, jobs, claims, fence=9)
    assert held(healed) == [("a", 4), ("b", 5), ("p", 6)]
    assert healed.lock is not None and healed.lock.token == 10
    assert healed.lock.holders[0].granted_at == at(1) and healed.lock.holders[0].attempt == "a.1"
    assert healed.lock.holders[2].attempt == ""


def test_the_fence_remembers_tokens_of_those_who_hold() -> None:
    """5.4: it proves nobody's end."""
    assert held(built((trace("a", 4),), fence=4)) == [("a", 4)]


def test_what_one_source_proves_over_is_over() -> None:
    """5.4: an exit record, or a claim recorded as released, against a status that lags behind."""
    healed = built((trace("a", 4, over=True),), (trace("a", 4),), (trace("p", 3, attempt=""),))
    assert held(healed) == [("p", 3)] and healed.lock is not None and healed.lock.token == 5
    assert held(built((trace("a", 4),), (), (trace("a", 4, attempt="", over=True),))) == []
    assert held(built((trace("a", 4),), (), (trace("a", 3, attempt="", over=True),))) == [("a", 4)]


def test_what_a_source_does_not_know_comes_from_another() -> None:
    """1.3: without any claim the attempt is the name; the stronger mode counts."""
    unnamed = Trace("", "", S, 4, "a.1")
    assert built((unnamed,)).lock.holders == (Holder(claim="", uid="a.1", mode=S, token=4, attempt="a.1"),)  # type: ignore[union-attr]
    healed = built((unnamed,), (), (trace("a", 4, X, attempt="", fenced=True),))
    assert healed.lock is not None
    (only,) = healed.lock.holders
    assert (only.uid, only.claim, only.mode, only.fenced_at) == ("uid-a", "a", X, at(7))


def test_two_that_exclude_each_other_are_both_kept_and_one_pushes() -> None:
    """5.4: the living one; else the one of the newest grant."""
    traces = (trace("a", 4), trace("b", 5))
    for alive, pushes in (((), 5), (("a.1",), 4), (("a.1", "b.1"), 5)):
        healed = built(traces, alive=alive)
        assert held(healed) == [("a", 4), ("b", 5)] and healed.conflict and healed.reason == "Conflict"
        assert healed.lock is not None and fence_tokens(healed.lock, lambda _: True) == (pushes,)


def test_one_token_of_two_attempts() -> None:
    """5.4: damage; both are kept."""
    assert held(built((trace("a", 4), trace("b", 4)))) == [("a", 4), ("b", 4)]


def test_a_sound_record_is_left_alone() -> None:
    """10.1: no write for what needs nothing."""
    for record in (lock(), lock(holder("a", 3)), lock(holder("a", 3, S), holder("b", 4, S), token=9)):
        assert heal(record, (), record.token, START) == Healed(record)
        assert heal(record, (), 0, START).lock is record


def test_a_damaged_record_heals_and_says_so() -> None:
    """5.4: duplicates, tokens that were lost, holders that exclude each other."""
    twice = heal(lock(holder("a", 3), holder("a", 5)), (), 0, START)
    assert held(twice) == [("a", 5)] and twice.reason == "Healed" and "twice" in twice.message
    assert [heal(lock(holder("a", 3), token=1), (), floor, START).lock.token for floor in (0, 8)] == [3, 8]  # type: ignore[union-attr]
    mixed = heal(lock(holder("w", 9), holder("a", 3, S), holder("b", 4, S)), ("a.1",), 9, at(5))
    assert [h.fenced_at for h in mixed.lock.holders] == [at(5), None, None]  # type: ignore[union-attr]
    assert mixed.conflict and all(note.warning for note in mixed.notes)
    again = heal(mixed.lock, ("a.1",), 9, at(6))  # type: ignore[arg-type]
    assert again.lock is mixed.lock and again.conflict and not again.reason


HOLDERS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 9), st.sampled_from([S, X]), st.booleans()))


@given(HOLDERS, st.integers(0, 12), st.sets(st.sampled_from(["a.1", "b.1"])), st.integers(0, 12))
def test_any_record_becomes_sound(
    rows: list[tuple[str, int, Any, bool]], token: int, alive: set[str], floor: int
) -> None:
    """5.4: nobody is dropped, at most one side pushes, tokens never fall, and the second look changes nothing."""
    record = lock(*(holder(n, t, m, fenced_at=START if f else None) for n, t, m, f in rows), token=token)
    healed = heal(record, alive, floor, at(5))
    assert healed.lock is not None
    assert {each.uid for each in healed.lock.holders} == {each.uid for each in record.holders}
    assert healed.lock.token >= max(token, floor, *(t for _, t, _, _ in rows), 0)
    pushing = [each for each in healed.lock.holders if each.fenced_at is None]
    assert all(compatible([o for o in pushing if o is not each], each.mode) for each in pushing)
    assert heal(healed.lock, alive, floor, at(6)).lock is healed.lock


@pytest.mark.parametrize(
    ("healed", "status"),
    [
        (Healed(None, reason="SourceUnreadable", message="m"), "Unknown"),
        (Healed(lock(), reason="Conflict", message="m", conflict=True), "False"),
        (Healed(lock(), reason="Healed", message="m"), "True"),
    ],
)
def test_the_condition_says_what_was_wrong(healed: Healed, status: str) -> None:
    """5.4: and a sound record closes it."""
    told = sound((), healed, 2, at(1))
    found = find(told, "LockSound")
    assert found is not None and (found.status, found.reason, found.message) == (status, healed.reason, "m")
    after = find(sound(told, Healed(lock()), 2, at(2)), "LockSound")
    assert after is not None and after.status == "True"
    assert sound((), Healed(lock()), 2, at(2)) == ()
    conflict: tuple[Condition, ...] = sound(told, Healed(lock(), conflict=True), 2, at(2))
    assert conflict == told
