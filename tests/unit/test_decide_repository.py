"""What a repository adds to the decision about a job (5.3-5.5): lock, workspace, publication, each state by a row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, Phase
from controller.api.conditions import find
from controller.decisions.inputs import Observed, RepositoryView, Step, StepState
from controller.decisions.job import decide
from controller.decisions.observed import Evidence, ExitRecord, Observation, Publication
from controller.decisions.plan import Fence, Launch, MakeWorkspace, Publish, Stop, StopPublishing, Void
from tests.unit.builders import HOST, job

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORKING = Step(StepState.WORKING)
MADE = Step(StepState.DONE, commit="a" * 40)
ENDED = Observation(Evidence.ENDED, ExitRecord(0, None, "", "", NOW), started_at=NOW)


def with_repository() -> BatchJob:
    return job("one").with_spec(repository={"name": "shop", "push": "Upstream"}).build()


def admitted() -> BatchJob:
    """A job whose attempt 1 is recorded as Starting with token 7."""
    waiting = with_repository()
    plan = decide(waiting, Observed(granted=True, repository=RepositoryView(True, 7)), HOST, NOW)
    assert plan.actions == ()
    return waiting.model_copy(update={"status": plan.status})


def starting(view: RepositoryView, evidence: Evidence = Evidence.ABSENT) -> Observed:
    return Observed(attempt=Observation(evidence), repository=view)


def running() -> BatchJob:
    made = admitted()
    alive = Observation(Evidence.ALIVE, started_at=NOW, supervised=True)
    later = NOW.replace(minute=1)
    plan = decide(made, Observed(attempt=alive, repository=RepositoryView(True, 7, True, "", MADE)), HOST, later)
    return made.model_copy(update={"status": plan.status})


def test_the_lock_is_recorded_before_the_admission() -> None:
    """Design 5: Repository first, BatchJob second."""
    waiting = with_repository()
    plan = decide(waiting, Observed(granted=True, repository=RepositoryView(True, None)), HOST, NOW)
    assert plan.status is waiting.status
    status = admitted().status
    assert status.attempt is not None and status.attempt.lock_token == 7
    granted = find(status.conditions, "LockGranted")
    assert granted is not None and granted.status == "True"


@pytest.mark.parametrize(
    ("holds", "workspace", "actions"),
    [
        (True, Step(StepState.ABSENT), (MakeWorkspace(1),)),
        (True, WORKING, ()),
        (True, Step(StepState.UNKNOWN, message="?"), ()),
        (True, MADE, (Launch(1),)),
        (None, MADE, ()),
    ],
)
def test_the_workspace_is_made_before_the_launch(
    holds: bool | None, workspace: Step, actions: tuple[object, ...]
) -> None:
    """5.3, 5.4: and without a record of the lock nothing is begun."""
    plan = decide(admitted(), starting(RepositoryView(True, 7, holds, "", workspace)), HOST, NOW)
    assert plan.actions == actions
    assert plan.wake_after is not None


def test_a_lock_that_was_taken_away_before_the_start_ends_the_attempt() -> None:
    """5.4: it is voided, costs nothing, and the job stands in line again."""
    made = admitted()
    view = RepositoryView(True, 7, False, "", MADE)
    plan = decide(made, starting(view), HOST, NOW)
    assert [type(action) for action in plan.actions] == [Void]
    over = decide(made, starting(view, Evidence.NEVER_STARTED), HOST, NOW)
    assert over.status.attempt is not None and over.status.attempt.state is AttemptState.NEVER_STARTED
    assert over.status.phase is Phase.QUEUED and over.status.failures == 0


@pytest.mark.parametrize("final", [True, False])
def test_a_workspace_that_cannot_be_made_fails_the_attempt(final: bool) -> None:
    """5.3: with the operation's own reason."""
    made, failed = admitted(), Step(StepState.FAILED, "RefNotFound", "no such ref", final)
    view = RepositoryView(True, 7, True, "", failed)
    assert [type(action) for action in decide(made, starting(view), HOST, NOW).actions] == [Void]
    over = decide(made, starting(view, Evidence.NEVER_STARTED), HOST, NOW)
    assert over.status.phase is Phase.FAILED and over.status.reason == "RefNotFound"


def test_the_commit_is_recorded_with_running() -> None:
    """5.3: no write of its own."""
    used = running().status.repository
    assert used is not None and used.commit == "a" * 40


def test_a_running_job_is_told_that_its_lock_was_taken() -> None:
    """5.4: once; it runs on."""
    made = running()
    alive = Observation(Evidence.ALIVE, started_at=NOW, supervised=True)
    seen = Observed(attempt=alive, repository=RepositoryView(True, 7, False, "", MADE))
    plan = decide(made, seen, HOST, NOW.replace(minute=2))
    told = find(plan.status.conditions, "LockGranted")
    assert told is not None and (told.status, told.reason) == ("False", "TakenAway")
    assert [note.reason for note in plan.notes] == ["LockTaken"] and plan.actions == ()
    again = decide(made.model_copy(update={"status": plan.status}), seen, HOST, NOW.replace(minute=3))
    assert again.status == plan.status and again.notes == ()


def test_success_waits_for_its_publication() -> None:
    """5.5: published while the lock is held; what could not be published is no success."""
    made, view = running(), RepositoryView(True, 7, True, "", MADE, Step(StepState.ABSENT))
    first = decide(made, Observed(attempt=ENDED, repository=view), HOST, NOW)
    assert first.actions == (Publish(1),) and first.status.phase is Phase.RUNNING
    made = made.model_copy(update={"status": first.status})
    under_way = decide(made, Observed(attempt=ENDED, repository=replace(view, publication=WORKING)), HOST, NOW)
    assert under_way.status == first.status and under_way.actions == ()
    published = Step(StepState.DONE, commit="b" * 40)
    done = decide(made, Observed(attempt=ENDED, repository=replace(view, publication=published)), HOST, NOW)
    assert done.status.phase is Phase.SUCCEEDED
    assert done.status.repository is not None and done.status.repository.published == "b" * 40
    refused = Step(StepState.FAILED, "NonFastForward", "the remote moved on", final=True)
    over = decide(made, Observed(attempt=ENDED, repository=replace(view, publication=refused)), HOST, NOW)
    assert over.status.phase is Phase.FAILED and over.status.reason == "NonFastForward"


def test_a_cancel_ends_the_publication() -> None:
    """2.4, 5.5: a remote that is away must not hold a job that nobody wants any more."""
    view = RepositoryView(True, 7, True, "", MADE, WORKING)
    made = running()
    made = made.model_copy(update={"spec": made.spec.model_copy(update={"cancel": True})})
    plan = decide(made, Observed(attempt=ENDED, repository=view), HOST, NOW)
    assert plan.actions == (StopPublishing(1),)
    stopped = Step(StepState.FAILED, "NotNeeded", "stopped")
    over = decide(made, Observed(attempt=ENDED, repository=replace(view, publication=stopped)), HOST, NOW)
    assert over.status.phase is Phase.CANCELED
    done = replace(view, publication=Step(StepState.DONE, commit="b" * 40))
    assert decide(made, Observed(attempt=ENDED, repository=done), HOST, NOW).status.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(("reason", "published"), [("OperationKilled", "Unknown"), ("NotPublished", "False")])
def test_a_publication_that_is_cut_off_is_told(reason: str, published: str) -> None:
    """4.2: the command has succeeded, its Pod was ended; the remote may have it or not."""
    view = RepositoryView(True, 7, True, "", MADE, Step(StepState.FAILED, reason, "cut off"))
    evicted = replace(ENDED, exit=ExitRecord(0, None, "Evicted", "the node is full", NOW))
    status = decide(running(), Observed(attempt=evicted, repository=view), HOST, NOW).status
    told = find(status.conditions, "Published")
    assert status.history == () and status.attempt is not None and status.attempt.state is AttemptState.LOST
    assert "cut off" in status.attempt.message and told is not None and told.status == published


MENDED = [("Busy", "another operation works on it"), ("DiskFull", "no space left"), ("StateDirectoryFailed", "EIO")]


@pytest.mark.parametrize(("reason", "message"), MENDED)
def test_a_workspace_that_waiting_can_mend_is_made_again(reason: str, message: str) -> None:
    """5.2, 8.3: after its pause, said meanwhile; nothing of the job has failed, and a stop ends it."""
    made, waits = admitted(), Step(StepState.FAILED, reason, message, pause=3.0)
    view = RepositoryView(True, 7, True, "", waits)
    plan = decide(made, starting(view), HOST, NOW)
    told = find(plan.status.conditions, "Running")
    assert plan.actions == () and plan.wake_after == 3.0 and plan.status.phase is Phase.STARTING
    assert told is not None and (told.status, told.reason) == ("False", reason) and message in told.message
    made = made.model_copy(update={"status": plan.status})
    again = decide(made, starting(replace(view, workspace=replace(waits, pause=0.0))), HOST, NOW)
    assert again.actions == (MakeWorkspace(1),) and again.status == plan.status
    stopped = made.model_copy(update={"spec": made.spec.model_copy(update={"suspend": True})})
    assert [type(action) for action in decide(stopped, starting(view), HOST, NOW).actions] == [Void]
    over = decide(made, starting(view, Evidence.NEVER_STARTED), HOST, NOW)
    assert over.status.phase is Phase.QUEUED and over.status.failures == 0


@pytest.mark.parametrize(("reason", "message"), MENDED)
def test_a_publication_that_waiting_can_mend_is_begun_again(reason: str, message: str) -> None:
    """5.2, 5.5, 8.3: the command has succeeded; that another operation is long, or the disk full, fails no job."""
    waits = Step(StepState.FAILED, reason, message, pause=60.0)
    made, view = running(), RepositoryView(True, 7, True, "", MADE, waits)
    plan = decide(made, Observed(attempt=ENDED, repository=view), HOST, NOW)
    told = find(plan.status.conditions, "Published")
    assert plan.actions == () and plan.wake_after is not None and plan.status.phase is Phase.RUNNING
    assert told is not None and (told.status, told.reason) == ("Unknown", reason) and message in told.message
    due = Observed(attempt=ENDED, repository=replace(view, publication=replace(waits, pause=0.0)))
    assert decide(made, due, HOST, NOW).actions == (Publish(1),)
    lost = Observed(attempt=ENDED, repository=replace(view, holds=False))
    assert decide(made, lost, HOST, NOW).status.reason == "StaleToken"


@pytest.mark.parametrize("waits", [Step(StepState.ABSENT), Step(StepState.FAILED, "DiskFull", "full", pause=9.0)])
def test_nothing_is_published_while_the_repository_is_not_ready(waits: Step) -> None:
    """5.2: it waits, and says so, whatever is known of its lock; a cancel or its deadline ends that."""
    made, view = running(), RepositoryView(True, 7, False, "", MADE, waits, not_ready="shop is being verified")
    seen = Observed(attempt=ENDED, repository=view)
    plan = decide(made, seen, HOST, NOW)
    told = find(plan.status.conditions, "Published")
    assert plan.actions == () and plan.wake_after is not None and plan.status.phase is Phase.RUNNING
    assert told is not None and (told.status, told.reason) == ("Unknown", "RepositoryNotReady")
    for change, end in (
        ({"suspend": True}, (Phase.RUNNING, "")),  # its command has succeeded: it must not run again
        ({"cancel": True}, (Phase.CANCELED, "Canceled")),
        ({"active_deadline": "1s"}, (Phase.FAILED, "ActiveDeadlineExceeded")),
    ):
        wanted = made.model_copy(update={"spec": made.spec.model_copy(update=change)})
        after = decide(wanted, seen, HOST, NOW.replace(year=2027)).status
        assert (after.phase, after.reason) == end


def test_a_pod_that_could_not_publish_has_failed() -> None:
    """5.5: its own Pod tried; there is nothing to begin again."""
    made = running()
    assert made.status.attempt is not None
    in_pod = made.status.attempt.model_copy(update={"executor": "Pod"})
    made = made.model_copy(update={"status": made.status.model_copy(update={"attempt": in_pod})})
    view = RepositoryView(True, 7, True, "", MADE, Step(StepState.FAILED, "DiskFull", "no space left"))
    assert decide(made, Observed(attempt=ENDED, repository=view), HOST, NOW).status.reason == "DiskFull"


def test_a_wiped_status_is_rebuilt_before_its_publication_is_asked_for() -> None:
    """1.3, 5.5: a success that was to be published does not become one without it."""
    found = Observed(attempt=ENDED, known=(1,), annotations={"lockToken": "7"}, repository=RepositoryView(True, 7))
    plan = decide(with_repository(), found, HOST, NOW)
    assert plan.actions == () and plan.wake_after == 0.0 and plan.status.phase is Phase.RUNNING
    assert plan.status.attempt is not None and plan.status.attempt.lock_token == 7


def test_nothing_is_published_without_the_lock() -> None:
    """5.5: fenced by the controller too, and while there is no record of the lock nothing is decided."""
    made, view = running(), RepositoryView(True, 7, False, "", MADE, Step(StepState.ABSENT))
    over = decide(made, Observed(attempt=ENDED, repository=view), HOST, NOW)
    assert over.status.phase is Phase.FAILED and over.status.reason == "StaleToken"
    unknown = decide(made, Observed(attempt=ENDED, repository=replace(view, holds=None)), HOST, NOW)
    assert unknown.actions == () and unknown.status.phase is Phase.RUNNING and unknown.wake_after is not None


def test_nothing_to_publish() -> None:
    """5.5: a job that pushed nothing has succeeded."""
    view = RepositoryView(True, 7, True, "", MADE, None)
    plan = decide(running(), Observed(attempt=ENDED, repository=view), HOST, NOW)
    assert plan.status.phase is Phase.SUCCEEDED


def test_a_pod_that_publishes_says_so_and_is_stopped_by_a_cancel_only() -> None:
    """2.4, 5.5: told once, as on a host; the command has succeeded, so nothing is suspended any more."""
    made = running()
    made = made.model_copy(update={"spec": made.spec.model_copy(update={"suspend": True})})
    alive = Observation(Evidence.ALIVE, started_at=NOW, supervised=True, publication=Publication())
    seen = Observed(attempt=alive, repository=RepositoryView(True, 7, True, "", MADE, replace(WORKING, message="why")))
    plan = decide(made, seen, HOST, NOW.replace(minute=2))
    told = find(plan.status.conditions, "Published")
    assert plan.actions == () and told is not None and (told.status, told.reason) == ("Unknown", "Publishing")
    assert told.message.endswith("is published upstream (why)")
    made = made.model_copy(update={"status": plan.status})
    assert decide(made, seen, HOST, NOW.replace(minute=3)).status == plan.status
    canceled = made.model_copy(update={"spec": made.spec.model_copy(update={"cancel": True})})
    assert decide(canceled, seen, HOST, NOW.replace(minute=3)).actions == (Stop(1, "Canceled", 30.0),)
    suspended = decide(made, replace(seen, attempt=replace(alive, publication=None)), HOST, NOW.replace(minute=3))
    assert suspended.actions == (Stop(1, "Suspended", 30.0),)


def test_a_pod_whose_lock_was_taken_is_kept_from_publishing() -> None:
    """5.4, 5.5: asked for until it is so; on a host the mirror refuses it, and who holds the lock is let be."""
    alive = Observation(Evidence.ALIVE, started_at=NOW, supervised=True, executor="Pod")
    view = RepositoryView(True, 7, False, "", MADE)
    for _ in range(2):
        made = running()
        plan = decide(made, Observed(attempt=alive, repository=view), HOST, NOW.replace(minute=2))
        assert [type(action) for action in plan.actions] == [Fence]
        made = made.model_copy(update={"status": plan.status})
    for found, holds in ((replace(alive, fenced=True), False), (replace(alive, executor="Process"), False)):
        seen = Observed(attempt=found, repository=replace(view, holds=holds))
        assert decide(made, seen, HOST, NOW.replace(minute=3)).actions == ()
    for known in (True, None):
        seen = Observed(attempt=alive, repository=replace(view, holds=known))
        assert decide(made, seen, HOST, NOW.replace(minute=3)).actions == ()


def test_the_commit_of_a_pod_is_recorded_with_its_admission() -> None:
    """Issue 7.2, 2.6: before anything is made; one that is not there takes the place of an earlier attempt's."""
    waiting = with_repository()
    for commit in ("b" * 40, ""):
        view = RepositoryView(True, 7, commit=commit)
        plan = decide(waiting, Observed(granted=True, repository=view), HOST, NOW)
        assert plan.actions == ()
        assert plan.status.repository is not None and plan.status.repository.commit == commit
        assert plan.status.attempt is not None and plan.status.attempt.state is AttemptState.STARTING


@pytest.mark.parametrize(("carried", "commit"), [("b" * 40, "b" * 40), ("--evil", None), ("", None)])
def test_the_commit_of_a_wiped_status_is_what_the_attempt_carries(carried: str, commit: str | None) -> None:
    """1.3: unless somebody changed it to what is none."""
    found = Observed(
        attempt=Observation(Evidence.ALIVE, started_at=NOW, supervised=True),
        known=(1,),
        annotations={"commit": carried, "lockToken": "7"},
        repository=RepositoryView(True, 7),
    )
    used = decide(with_repository(), found, HOST, NOW).status.repository
    assert (used.commit if used is not None else None) == commit
