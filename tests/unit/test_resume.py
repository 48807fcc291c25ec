"""Resume: what is decided between the loss of an attempt and the end of the chain that goes on from it (3.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.api.batchjob import DecisionAction
from controller.api.batchjob_status import AttemptState, BatchJobStatus, Phase
from controller.api.conditions import find
from controller.decisions import status as step
from controller.decisions.ask import ANSWERS, UNPROVED, ask
from controller.decisions.inputs import Host
from controller.decisions.job import counters, decide
from controller.decisions.observed import Observation
from controller.decisions.plan import Launch, Void
from tests.unit.builders import (
    ABSENT,
    GONE,
    HOST,
    NOW,
    UNKNOWN,
    JobBuilder,
    alive,
    at,
    ended,
    job,
    never_started,
    seen,
)
from tests.unit.resuming import LOST_TOO, THERE, UNREAD, after, granted, lost, resuming

# --- from the loss to the next attempt


def test_a_chain_is_recorded() -> None:
    """3.5: each attempt names the one that it goes on from, and the one that began it; the wish is spent by it."""
    now = job().on_lost("Resume", limit=5).running().build()
    chain = []
    for number in (1, 2, 3):
        now, plan = after(now, seen(GONE))
        assert (now.status.resume_from, now.status.losses) == (number, number)
        assert "it is resumed" in plan.notes[0].message
        now, plan = after(now, granted(number, left=THERE))
        assert plan.actions == (Launch(number + 1),) and now.status.resume_from is None
        assert now.status.attempt is not None
        chain.append((now.status.attempt.resumed_from, now.status.attempt.origin))
        now, _ = after(now, seen(alive()))
    assert chain == [(1, 1), (2, 1), (3, 1)]
    resumed = find(now.status.conditions, "Resumed")
    assert resumed is not None and resumed.status == "True" and "from attempt 3" in resumed.message


@pytest.mark.parametrize(
    ("found", "spec", "resumes"),
    [
        (GONE, {"onLost": "Resume"}, True),
        (ended(143, reason="Stopped"), {"onLost": "Resume"}, True),
        (ended(None, reason="Evicted"), {"onLost": "Resume"}, True),
        (GONE, {"onLost": "Restart"}, False),
        (ended(7), {"onLost": "Resume", "retry": {"limit": 3}}, False),
        (ended(143, reason="Suspended"), {"onLost": "Resume"}, False),
    ],
)
def test_only_a_loss_is_resumed(found: Observation, spec: dict[str, object], resumes: bool) -> None:
    """3.5: a failed attempt is repeated, and a suspended one goes on, in a clean workspace."""
    declared = job().running().with_spec(**spec).build()
    now, _ = after(declared, seen(found))
    assert (now.status.resume_from is not None) is resumes
    later = decide(now, granted(), HOST, at(100))
    assert later.status.attempt is not None
    assert later.status.attempt.resumed_from == (1 if resumes else None)


def test_a_loss_before_the_command_began_left_nothing() -> None:
    """3.5: it counts as a loss; the next attempt goes on where this one was to go on, or begins anew."""
    early = replace(ended(None, reason="Evicted"), began=False, started_at=None)
    now, plan = after(job().on_lost("Resume", limit=5).running().build(), seen(early))
    assert (now.status.resume_from, now.status.losses) == (None, 1)
    assert "it is started again" in plan.notes[0].message
    now, plan = after(resuming(number=3, source=2), seen(early))
    assert (now.status.resume_from, now.status.losses) == (2, 1)
    assert "it is resumed" in plan.notes[0].message


def test_a_clean_attempt_after_a_resumed_one_says_so() -> None:
    """3.5: what failed after it was resumed is repeated from the start, in a workspace of its own."""
    running = resuming(AttemptState.RUNNING)
    running = running.model_copy(update={"spec": job().on_lost("Resume").retry(1).build().spec})
    running = running.model_copy(
        update={"status": step.mark(running, running.status, NOW, ("Resumed", "True", "Resumed", ""))}
    )
    now, _ = after(running, seen(ended(1)))
    plan = decide(now, granted(3), HOST, at(100))
    assert plan.status.attempt is not None
    assert (plan.status.attempt.number, step.origin(plan.status.attempt)) == (4, 4)
    resumed = find(plan.status.conditions, "Resumed")
    assert resumed is not None and resumed.reason == "BegunAnew"


@pytest.mark.parametrize("policy", ["Resume", "Restart"])
def test_losses_have_a_limit(policy: str) -> None:
    """3.5: lossLimit counts for Resume as for Restart."""
    now, _ = after(job().running().on_lost(policy, limit=1).with_status(losses=1).build(), seen(GONE))
    assert (now.status.phase, now.status.reason, now.status.resume_from) == (Phase.FAILED, "LossLimitExceeded", None)


def test_a_person_decides() -> None:
    """7.7: Manual asks, names resume, and goes on or begins anew as it is told."""
    asked, _ = after(job().running().on_lost("Manual").build(), seen(GONE))
    question = find(asked.status.conditions, "NeedsDecision")
    assert question is not None and "`holdfast decide -n default a resume`" in question.message
    for action, source in (("Resume", 1), ("Restart", None)):
        spec = job().on_lost("Manual").decision(1, action).build().spec
        now, plan = after(asked.model_copy(update={"spec": spec}), granted())
        assert (now.status.resume_from, now.status.decided) == (source, 1)
        assert plan.notes[0].reason == "Decided"
        now, _ = after(now, granted(left=THERE))
        assert now.status.attempt is not None and now.status.attempt.resumed_from == source


def test_nothing_is_resumed_while_nothing_is_proved() -> None:
    """3.3: the lost one may live, and two must never work in one workspace: the answer waits for evidence."""
    declared = job().running().on_lost("Manual").decision(1, "Resume").build()
    now, plan = after(declared, seen(UNKNOWN))
    assert not plan.actions and step.active(now.status) is not None and now.status.decided == 0
    question = find(now.status.conditions, "NeedsDecision")
    assert question is not None and "Resume waits until it is proved over" in question.message
    assert " resume`" not in question.message and "Restart, Fail or Cleanup" in question.message
    now, _ = after(now, seen(GONE))
    now, _ = after(now, granted())
    assert now.status.resume_from == 1


def test_every_answer_is_named() -> None:
    """7.7: the question has a command for each possible answer."""
    declared = job().build()
    assert set(ANSWERS) == set(DecisionAction)
    for answers in (tuple(ANSWERS), UNPROVED):
        text = ask(declared, 1, "it was lost", answers)
        for action in DecisionAction:
            assert (f"a {action.value.lower()}`" in text) is (action in answers)


# --- what cannot be resumed


def test_what_is_gone_is_begun_anew() -> None:
    """3.5: said in a condition and an Event, then a clean attempt; nothing waits for what cannot come back."""
    now, plan = after(lost().build(), granted(left=LOST_TOO))
    assert (now.status.phase, now.status.resume_from) == (Phase.QUEUED, None)
    assert plan.notes[0].reason == "NothingToResume" and plan.notes[0].warning
    told = find(now.status.conditions, "Resumed")
    assert told is not None and told.status == "False" and "/x" in told.message
    now, _ = after(now, granted())
    assert now.status.attempt is not None
    assert (now.status.attempt.number, now.status.attempt.resumed_from, now.status.attempt.origin) == (2, None, None)


@pytest.mark.parametrize(
    ("host", "word"),
    [
        (Host("other", "box"), "state directory"),
        (Host("state-1", "box", default_executor="Pod", executors=frozenset({"Pod"})), "Pod"),
    ],
)
def test_what_is_elsewhere_is_begun_anew(host: Host, word: str) -> None:
    """3.5: what another executor or state directory has is not here."""
    declared = lost().with_spec(pod={"image": "busybox"}).build()
    now, plan = after(declared, granted(), host)
    assert now.status.resume_from is None and word in plan.notes[0].message


POD_HOST = Host("state-1", "box", default_executor="Pod", executors=frozenset({"Pod"}))


def in_pod(policy: str = "Manual", **pod: str) -> JobBuilder:
    """Attempt 1 was lost in a Pod, and the next one is to go on from it."""
    builder = lost(policy).with_spec(pod={"image": "busybox", **pod})
    return builder.with_status(attempt=builder.status["attempt"] | {"executor": "Pod", "stateId": ""})


def test_a_pod_keeps_its_work_in_a_claim_only() -> None:
    """3.5, 4.2: without one there is nothing to resume, also where a person asks for it."""
    now, plan = after(in_pod().build(), granted(), POD_HOST)
    assert now.status.resume_from is None and "spec.pod.workspaceClaim" in plan.notes[0].message
    now, plan = after(in_pod(workspaceClaim="kept").build(), granted(), POD_HOST)
    assert plan.actions == (Launch(2),) and now.status.attempt is not None
    assert (now.status.attempt.resumed_from, now.status.attempt.origin) == (1, 1)


def test_a_pod_that_finds_nothing_in_its_claim() -> None:
    """3.5: only its container could look: it never began, costs no retry, and the next one begins anew."""
    starting, _ = after(in_pod(workspaceClaim="kept").build(), granted(), POD_HOST)
    look = seen(never_started("NothingToResume", "there is no checkout"), known=(1, 2))
    now, plan = after(starting, look, POD_HOST)
    assert (now.status.phase, now.status.resume_from, now.status.failures) == (Phase.QUEUED, None, 0)
    told = find(now.status.conditions, "Resumed")
    assert told is not None and told.reason == "NothingToResume" and "there is no checkout" in plan.notes[0].message
    plan = decide(now, granted(2), POD_HOST, at(100))
    assert plan.status.attempt is not None and step.origin(plan.status.attempt) == 3


def test_what_vanishes_before_the_launch_is_not_launched_into() -> None:
    """3.5: the attempt is closed, and the next look says that there is nothing to resume."""
    now, plan = after(resuming(), seen(ABSENT, left=LOST_TOO))
    assert plan.actions == (Void(3, "nothing to resume: its workspace is gone (/x)"),)
    now, _ = after(now, seen(never_started()))
    assert (now.status.resume_from, now.status.losses) == (2, 0)


def test_what_cannot_be_read_waits() -> None:
    """Design 1: missing is not proof."""
    _, plan = after(resuming(), seen(ABSENT, left=UNREAD))
    assert not plan.actions and plan.wake_after is not None
    told = find(plan.status.conditions, "Running")
    assert told is not None and told.reason == "StateUnreadable"
    now, plan = after(lost().build(), granted(left=UNREAD, blocked=("StateUnreadable", UNREAD.message)))
    assert (now.status.phase, now.status.reason, now.status.resume_from) == (Phase.QUEUED, "StateUnreadable", 1)


# --- what a crash or a person takes away in between


@pytest.mark.parametrize("wished", [lambda spec: spec, lambda spec: spec | {"suspend": True}])
def test_an_attempt_that_never_began_leaves_the_wish(wished: object) -> None:
    """2.6, 3.5: it has touched nothing, so the next one goes on from the same; also over a suspend."""
    declared = resuming()
    spec = declared.spec.model_copy(update=wished({}))  # type: ignore[operator]
    now, _ = after(declared.model_copy(update={"spec": spec}), seen(never_started()))
    assert now.status.resume_from == 2
    now = now.model_copy(update={"spec": declared.spec})
    plan = decide(now, granted(3, left=THERE), HOST, at(100))
    assert plan.status.attempt is not None
    assert (plan.status.attempt.number, plan.status.attempt.resumed_from, plan.status.attempt.origin) == (4, 2, 1)


def test_a_wiped_status_comes_back_with_the_chain() -> None:
    """1.3: from what the attempt carries; what was tampered with is no chain."""
    declared = resuming(AttemptState.RUNNING)
    look = seen(alive(), known=(1, 2, 3), annotations=counters(declared.status))
    now, _ = after(declared.model_copy(update={"status": BatchJobStatus()}), look)
    assert now.status.attempt is not None
    assert (now.status.attempt.number, now.status.attempt.resumed_from, now.status.attempt.origin) == (3, 2, 1)
    for bad in (
        {"resumedFrom": "3", "origin": "1"},
        {"resumedFrom": "1", "origin": "2"},
        {"origin": "0"},
        {"origin": "1"},
    ):
        now, _ = after(job().build(), seen(alive(), known=(1, 2, 3), annotations=bad))
        assert now.status.attempt is not None and step.origin(now.status.attempt) == 3


def test_a_status_wiped_before_the_launch_is_lost_and_resumed_again() -> None:
    """1.3: only the lost attempt has a record then; the same number and the same origin come out."""
    wiped = job().on_lost("Resume").build()
    now, _ = after(wiped, replace(seen(known=(1,)), attempt=GONE))
    now, plan = after(now, granted(left=THERE))
    assert plan.actions == (Launch(2),) and now.status.attempt is not None and now.status.attempt.origin == 1
