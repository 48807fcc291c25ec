"""A status that the API server does not take holds nobody else up, is told, and heals (requirements 2.3, 7.3, 7.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.api.keys import GROUP as API_GROUP
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, MERGE, Jobs, Object
from tests.integration.controller.reports import Reports, phases
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
NAME = "no-status-of-that-job"
MOST = 16  # conditions that the schema takes
FAILS_SECONDS = 180.0  # a phase fails after 30 s


@pytest.fixture
def reports(plane_http: httpx.Client) -> Reports:
    return Reports(plane_http)


class Refusal:
    """A policy of the cluster that refuses every write of one job's status with 422."""

    def __init__(self, jobs: Jobs, job: str) -> None:
        self._jobs, self._job = jobs, job

    def begin(self) -> None:
        rule = {"apiGroups": [API_GROUP], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["*/status"]}
        denied = f"object.metadata.name != '{self._job}' || object.metadata.namespace != '{self._jobs.namespace}'"
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": denied, "message": "statuses of this job are frozen"}],
        }
        self._make("ValidatingAdmissionPolicy", "validatingadmissionpolicies", spec)
        binding = {"policyName": NAME, "validationActions": ["Deny"]}
        self._make("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", binding)
        soon(lambda: self._try() == 422, "the policy is in force")

    def end(self) -> None:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            self._jobs.http.delete(f"{ADMISSION}/{plural}/{NAME}")
        if self._jobs.exists(self._job):
            soon(lambda: self._try() == 200, "the policy is gone")

    def _make(self, kind: str, plural: str, spec: object) -> None:
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": NAME}, "spec": spec}
        self._jobs.http.post(f"{ADMISSION}/{plural}", json=body).raise_for_status()

    def _try(self) -> int:
        url = f"{GROUP}/{self._jobs.namespace}/batchjobs/{self._job}/status?dryRun=All"
        text = json.dumps({"status": {"reason": "Tried"}})
        return self._jobs.http.patch(url, content=text, headers=MERGE).status_code


@pytest.fixture
def refusal(jobs: Jobs) -> Iterator[Refusal]:
    made = Refusal(jobs, "frozen")
    yield made
    made.end()


def told(one: RunningController, jobs: Jobs, report: Object) -> None:
    """Report, /health, Event and log name the job and the way out."""
    whole = json.dumps(report["status"])
    assert f"BatchJob {jobs.namespace}/frozen" in whole and "statuses of this job are frozen" in whole
    assert f"holdfast describe -n {jobs.namespace} frozen" in whole
    way_out = f"kubectl edit batchjobs -n {jobs.namespace} frozen --subresource=status"
    assert way_out in whole
    recovery = one.page("/health")[1]["components"]["recovery"]
    assert recovery["state"] == "degraded" and "frozen" in recovery["message"], recovery
    events = soon(lambda: [each for each in jobs.events("frozen") if each["reason"] == "StatusRefused"], "its Event")
    assert [event["type"] for event in events] == ["Warning"] and way_out in events[0]["message"]
    lines = [line for line in one.log_lines() if line.get("reason") == "StatusRefused" and line.get("name") == "frozen"]
    assert lines and lines[0]["level"] == "warning", lines[:1]


def test_one_status_that_is_refused_for_good(
    other_controller: OtherController, jobs: Jobs, reports: Reports, refusal: Refusal, tmp_path: Path
) -> None:
    """7.3, 7.4: the others are admitted all the same; 2.3: its slot is not given away; its end is not lost (3.4)."""
    one, go = other_controller(), tmp_path / "go"
    one.start()
    jobs.queue("narrow", concurrency=1)
    jobs.shell("frozen", f"until [ -e {go} ]; do sleep 0.1; done; exit 7", queue="narrow")
    uid = jobs.running("frozen")["metadata"]["uid"]
    jobs.create("next", queue="narrow")
    jobs.phase("next", "Queued")
    one.kill()
    refusal.begin()
    go.touch()
    soon(lambda: one.run(uid).read_exit() is not None, "the job has ended")
    known = reports.names()
    one.start()
    jobs.create("elsewhere")
    jobs.finished("elsewhere", "Succeeded", FAILS_SECONDS)
    report = reports.after(known, "Degraded")
    assert phases(report)["attempts"] == "Failed"
    told(one, jobs, report)
    assert jobs.get("next")["status"]["phase"] == "Queued" and jobs.get("frozen")["status"]["phase"] == "Running"
    assert jobs.get("narrow", "jobqueues")["status"]["running"] == 1
    refusal.end()
    assert jobs.finished("frozen", "Failed")["status"]["attempt"]["exitCode"] == 7
    jobs.finished("next", "Succeeded")
    assert set(phases(reports.after(known, "Complete")).values()) == {"Done"}
    soon(lambda: one.page("/health")[1]["components"]["recovery"]["state"] == "ok", "/health says so")


def test_the_end_of_a_job_is_recorded_although_others_filled_its_conditions(
    other_controller: OtherController, jobs: Jobs, reports: Reports, tmp_path: Path
) -> None:
    """1.3, 3.4, 7.4: as many of theirs go as ours need room; nothing is refused, and the start waits for nobody."""
    one, go = other_controller(), tmp_path / "go"
    one.start()
    jobs.shell("full", f"until [ -e {go} ]; do sleep 0.1; done; exit 7")
    job = jobs.running("full")
    ours = [condition["type"] for condition in job["status"]["conditions"]]
    uid = job["metadata"]["uid"]
    one.kill()
    fill(jobs, job)
    go.touch()
    soon(lambda: one.run(uid).read_exit() is not None, "the job has ended")
    known = reports.names()
    one.start()
    ended = jobs.finished("full", "Failed")["status"]
    types = [condition["type"] for condition in ended["conditions"]]
    theirs = [each for each in types if each.startswith("Theirs")]
    assert len(types) == MOST and {*ours, "Failed", "Finished"} == set(types) - set(theirs)
    assert theirs == [f"Theirs{number}" for number in range(len(theirs))]
    assert ended["attempt"]["exitCode"] == 7
    jobs.create("other")
    jobs.finished("other", "Succeeded")
    assert set(phases(reports.after(known, "Complete")).values()) == {"Done"}
    (event,) = soon(
        lambda: [each for each in jobs.events("full") if each["reason"] == "ConditionsRemoved"], "its Event"
    )
    assert event["type"] == "Warning" and f"Theirs{MOST - len(ours) - 1}" in event["message"]


def fill(jobs: Jobs, job: Object) -> None:
    """Add conditions as somebody else does, as many as the schema takes."""
    one = {"status": "True", "reason": "Theirs", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    there = job["status"]["conditions"]
    more = [{"type": f"Theirs{number}", **one} for number in range(MOST - len(there))]
    url = f"{GROUP}/{jobs.namespace}/batchjobs/{job['metadata']['name']}/status"
    text = json.dumps({"status": {"conditions": [*there, *more]}})
    jobs.http.patch(url, content=text, headers=MERGE).raise_for_status()
