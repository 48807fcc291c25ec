"""The success criteria of a recovery, as one table (issue 6; requirements 2.1, 3.2, 3.3, 5.4, 5.7, 6.1, 7.1-7.6).

One story is told (`recovered`); each row of the table judges one thing about its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest

from tests.e2e.recovered import ORPHANS, PROCESSES, QUEUED, SETTINGS, Story, counts
from tests.integration.controller.conftest import assert_no_defect, delete_all_jobs
from tests.integration.controller.jobs import GROUP, Jobs
from tests.integration.controller.reports import phases
from tests.integration.controller.running_controller import RunningController, same_process
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

WITHIN_SECONDS = 60.0


@pytest.fixture(scope="module")
def story(plane: RunningPlane, plane_http: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Told once, for all rows."""
    delete_all_jobs(plane_http)
    namespace, directory = f"criteria-{uuid4().hex[:6]}", tmp_path_factory.mktemp("criteria")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    plane_http.post("/api/v1/namespaces", json=body).raise_for_status()
    made = Story(RunningController(directory, plane.kubeconfig, SETTINGS), Jobs(plane_http, namespace), directory)
    try:
        made.tell()
        yield made
    finally:
        made.end()
        delete_all_jobs(plane_http)
        plane_http.delete(f"{GROUP}/{namespace}/repositories")
        plane_http.delete(f"/api/v1/namespaces/{namespace}")
    assert_no_defect(made.controller)


def queue_in_order(story: Story) -> None:
    """2.1: 105 queued jobs return in their order."""
    assert len(story.before.order) == QUEUED and story.order() == story.before.order
    assert counts(story.after.whole)["recovered"] >= QUEUED


def job_reattached(story: Story) -> None:
    """3.3: the same process runs on as the first attempt, after an outage of half a minute and three starts."""
    assert story.before.recorder is not None and same_process(story.before.recorder)
    assert story.jobs.get("prints")["status"]["attempt"]["number"] == 1
    assert counts(story.after.degraded)["reattached"] == counts(story.after.whole)["reattached"] == 2


def output_kept(story: Story) -> None:
    """3.2: what it printed before the crash is there, and what it printed during the outage."""
    lines = story.after.output.decode().splitlines()
    assert story.after.output.startswith(story.before.output)
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert len(lines) > len(story.before.output.splitlines()) + 20


def lock_kept(story: Story) -> None:
    """5.4: the holder is the same by claim and token; who waits still waits."""
    (holder,) = story.repositories.holders()
    assert (holder["uid"], holder["token"]) == (story.before.holder["uid"], story.before.holder["token"])
    assert story.jobs.get("waits")["status"]["phase"] == "Queued"


def batch_kept(story: Story) -> None:
    """5.7: no second preparation."""
    assert len(story.before.batches) == 1 and story.batches() == story.before.batches


def callback_kept(story: Story) -> None:
    """6.1: it is delivered once the receiver works, with the id that was recorded."""
    story.receiver.open = True
    soon(lambda: story.receiver.taken, "it is delivered")
    assert set(story.receiver.taken) == {story.before.delivery}


def orphans_stopped(story: Story) -> None:
    """7.6: 36 processes of 3 attempts without an owner were found and stopped."""
    assert story.before.processes >= len(ORPHANS) * PROCESSES == 36
    found = {each["kind"]: each["count"] for each in counts(story.after.degraded)["orphans"]}
    assert found.get("process", 0) >= len(ORPHANS)
    assert not any((story.controller.runs / f"{uid}.1").exists() for uid in story.before.orphans.values())


def memory_reported(story: Story) -> None:
    """7.1, 7.6: what they had used is reported."""
    assert counts(story.after.degraded)["memoryReclaimedBytes"] > 0


def startup_log_complete(story: Story) -> None:
    """7.1: every start is in the log, newest first."""
    log = story.startup_log()
    starts = [story.after.whole, story.after.aborted, story.after.degraded]
    assert log[:3] == [each["metadata"]["name"] for each in starts]


def one_failure_leaves_the_rest(story: Story) -> None:
    """7.3: the locks could not be looked at; attempts were, and a new job ran to its end."""
    told = phases(story.after.degraded)
    assert (told["integrity"], told["locks"]) == ("Done", "Failed")
    assert "Failed" not in (told["attempts"], told["queue"], told["callbacks"])
    assert story.after.while_degraded["status"]["phase"] == "Succeeded"


def corrupt_file_quarantined(story: Story) -> None:
    """7.5: it is counted, reported and set aside with its reason."""
    assert any("garbage" in name for name in story.quarantined())
    assert counts(story.after.degraded)["corrupt"] >= 1


def second_crash(story: Story) -> None:
    """7.2: the start that was killed in its recovery is marked, and the next one did the work again."""
    assert story.after.aborted["status"]["result"] == "Aborted"
    assert set(phases(story.after.whole).values()) == {"Done"}


def in_time(story: Story) -> None:
    """Issue 6: all of it under 60 s."""
    assert story.after.seconds < WITHIN_SECONDS


def nobody_is_needed(story: Story) -> None:
    """7.7: nothing is left for a person."""
    assert counts(story.after.whole)["needingDecision"] == 0
    assert story.after.whole["status"].get("recommendedActions", []) == []


def everything_goes_on(story: Story) -> None:
    """Last: what ran ends, who waited for the lock gets it, the line moves."""
    story.let_go()
    story.jobs.patch("line", {"paused": False, "concurrency": 8}, "jobqueues")
    for name in ("prints", "holds", "waits", f"queued-{QUEUED - 1:03d}"):
        story.jobs.finished(name, "Succeeded")


CRITERIA: tuple[Callable[[Story], None], ...] = (
    queue_in_order,
    job_reattached,
    output_kept,
    lock_kept,
    batch_kept,
    orphans_stopped,
    memory_reported,
    startup_log_complete,
    one_failure_leaves_the_rest,
    corrupt_file_quarantined,
    second_crash,
    in_time,
    nobody_is_needed,
    callback_kept,
    everything_goes_on,
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.__name__)
def test_recovery(story: Story, criterion: Callable[[Story], None]) -> None:
    """The table above."""
    criterion(story)
