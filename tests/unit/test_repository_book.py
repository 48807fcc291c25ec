"""The book of the repositories on the real store, scheduler and work queue: order, grants on their way (5.4, 5.6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.api.keys import Key
from tests.unit.builders import at
from tests.unit.repository_bench import COMMIT, SHOP, Bench, holder, job_claim_spec


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.call(made.task.cancel)
    made.loop.close()


def test_a_job_without_its_claim_keeps_its_place(bench: Bench) -> None:
    """5.4: who is in front is served first, also where making its claim takes longer than making the next one's."""
    bench.repository()
    bench.job("first")
    bench.job("second")
    bench.claim_of("second")
    assert bench.pending() == []
    bench.claim_of("first")
    assert bench.pending() == ["claim-first"]


def test_shared_behind_an_unmade_exclusive_claim_waits(bench: Bench) -> None:
    """5.4: no Shared one slips past a writer whose claim is being made; beside another Shared one it may."""
    bench.repository()
    bench.job("writer")
    bench.job("reader", "Shared")
    bench.claim_of("reader", "Shared")
    assert bench.pending() == []
    bench.delete("BatchJob", "writer", {"command": ["true"], "repository": {"name": "shop"}})
    assert bench.pending() == ["claim-reader"]


def test_people_are_served_in_creation_order(bench: Bench) -> None:
    """5.4, issue 4: a claim whose place is looked up holds back the later ones, of people and of jobs."""
    bench.repository()
    bench.person("ann", None)
    bench.person("bob", 60)
    bench.job("job")
    bench.claim_of("job")
    assert bench.pending() == []
    bench.person("ann", 50)
    assert bench.pending() == ["ann"]


@pytest.mark.parametrize("gone", ["claim", "repository"])
def test_a_grant_that_cannot_be_recorded_gives_its_slot_back(bench: Bench, gone: str) -> None:
    """2.3, 5.4: a claim or Repository deleted between grant and record keeps no slot."""
    bench.repository()
    bench.job("job")
    bench.claim_of("job")
    assert bench.scheduler.granted("uid-job")
    if gone == "claim":
        bench.delete("RepositoryLock", "claim-job", job_claim_spec("job"))
    else:
        bench.delete("Repository", "shop", {"url": "https://example.org/shop.git"})
    assert not bench.scheduler.granted("uid-job")
    assert bench.pending() == []
    if gone == "claim":
        bench.claim_of("job")
    else:
        bench.repository()
    assert bench.pending() == ["claim-job"]


def test_a_released_grant_that_was_not_used_is_asked_for_again(bench: Bench) -> None:
    """5.6: the grant of an earlier controller was released while this one gave the job its slot."""
    bench.repository({"token": 3, "holders": [holder("claim-job", 3, "uid-job.1")]})
    bench.job("job")
    bench.claim_of("job")
    assert bench.scheduler.granted("uid-job")
    assert bench.pending() == []
    bench.repository({"token": 3, "holders": []})
    assert bench.pending() == ["claim-job"]


def test_a_grant_that_is_given_back_is_taken_back(bench: Bench) -> None:
    """5.4, 2.4: a job that was granted the lock and then suspended does not keep others waiting for a look at it."""
    bench.repository({"token": 3, "holders": [holder("claim-job", 3, "uid-job.1")]})
    bench.job("job")
    bench.claim_of("job")
    bench.woken("Repository")
    spec = {"command": ["true"], "repository": {"name": "shop"}, "suspend": True}
    bench.tell("BatchJob", "job", spec)
    assert bench.woken("Repository") == {"shop"}


@pytest.mark.parametrize(
    ("state", "published", "code", "fetched"),
    [
        ("Succeeded", COMMIT, 0, False),
        ("Succeeded", "", 0, True),  # it pushed nothing
        ("Lost", "", None, False),  # nobody knows
        ("Canceled", "", 0, False),  # while it was published
        ("Failed", "", 1, True),
        ("Running", COMMIT, None, True),
    ],
)
def test_what_a_pod_has_published_is_fetched_first(
    bench: Bench, state: str, published: str, code: int | None, fetched: bool
) -> None:
    """5.1, 5.5: the next job does not begin at what the mirror had before; derived from the record of the first."""
    attempt = {"id": "uid-first.1", "number": 1, "state": state, "executor": "Pod", "exitCode": code}
    changed = {"type": "Running", "status": "False", "reason": "R", "lastTransitionTime": at(5).isoformat()}
    status = {"attempt": attempt, "repository": {"published": published}, "conditions": [changed]}
    spec = {"command": ["true"], "repository": {"name": "shop", "push": "Upstream"}, "suspend": True}
    bench.repository(push="Upstream", refreshed=5)
    bench.tell("BatchJob", "first", spec, status)
    bench.job("next")
    bench.claim_of("next")
    assert bench.pending() == (["claim-next"] if fetched else [])
    assert (bench.book.missed(SHOP) is None) is fetched
    if not fetched:
        why = bench.book.why("uid-next")
        assert why is not None and why[0] == "Fetching" and "shop" in bench.woken("Repository")
        bench.repository(push="Upstream", refreshed=6)
        assert bench.pending() == ["claim-next"]


def test_more_push_than_the_repository_allows(bench: Bench) -> None:
    """Issue 4, push policy: it is told why, and nobody behind it waits for it."""
    bench.repository(push="Mirror")
    bench.job("publisher", push="Upstream")
    bench.job("other", push="Mirror")
    bench.claim_of("other")
    assert (bench.book.why("uid-publisher") or ("",))[0] == "PushNotAllowed"
    assert bench.pending() == ["claim-other"]


def batch_of(bench: Bench, phase: str, finished: float) -> None:
    want = bench.book.want("uid-late") or bench.book.want("uid-early")
    assert want is not None
    name = bench.book.batch(want)
    assert name is not None
    spec = {"repository": "shop", "commit": COMMIT, "prepare": {"command": ["make"]}}
    bench.tell("JobBatch", name, spec, {"phase": phase, "finishedAt": at(finished).isoformat(), "reason": "Failed"})


def test_a_failed_preparation_fails_those_who_waited_for_it(bench: Bench) -> None:
    """5.7: it lasts for the jobs that met it; who comes later wants it anew."""
    bench.repository(prepare={"command": ["make"]})
    bench.job("early", created=0)
    batch_of(bench, "Failed", finished=100)
    bench.job("late", created=200)
    assert (bench.book.why("uid-early") or ("",))[0] == "PreparationFailed"
    assert (bench.book.why("uid-late") or ("",))[0] == "Preparing"


def test_batches_are_woken_by_their_repository(bench: Bench) -> None:
    """5.2, 5.7: what waited for the mirror is prepared once it is ready."""
    bench.repository(ready=False, prepare={"command": ["make"]})
    bench.job("early")
    batch_of(bench, "Pending", finished=0)
    bench.woken("JobBatch")
    bench.repository(ready=True, prepare={"command": ["make"]})
    assert len(bench.woken("JobBatch")) == 1


def test_a_job_that_was_edited_needs_another_claim(bench: Bench) -> None:
    """5.4: a claim is of one repository and mode; a job that waits may still be given another."""
    bench.repository({"token": 1, "holders": [holder("else", 1)]})
    bench.job("job")
    bench.claim_of("job")
    bench.woken("RepositoryLock")
    bench.job("job", "Shared")
    assert bench.book.claim_of("uid-job.1") is None
    assert bench.woken("RepositoryLock") == {"claim-job"}
    bench.repository({"token": 1})
    assert bench.pending() == []


def test_a_claim_is_woken_when_its_attempt_is_over(bench: Bench) -> None:
    """5.6: also one whose lock was taken away before: no holder entry goes that would wake it, and it is spent."""
    spec = {"command": ["true"], "repository": {"name": "shop"}, "retry": {"limit": 1}}
    attempt = {"id": "uid-job.1", "number": 1, "state": "Running"}
    bench.repository({"token": 1})
    bench.tell("BatchJob", "job", spec, {"attempt": attempt})
    bench.claim_of("job")
    bench.woken("RepositoryLock")
    bench.tell("BatchJob", "job", spec, {"attempt": attempt | {"state": "Failed"}})
    assert bench.woken("RepositoryLock") == {"claim-job"}


def test_who_claims_is_looked_up_by_key(bench: Bench) -> None:
    """5.6: the claims themselves are the waiting queue: none of another repository, none twice."""
    bench.repository()
    bench.job("job")
    bench.claim_of("job")
    bench.claim_of("job")
    assert bench.pending() == ["claim-job"]
    assert bench.scheduler.owner("uid-job") == Key("BatchJob", "default", "job")
