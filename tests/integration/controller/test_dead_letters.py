"""Dead letters: callbacks that were given up outlive their jobs, and what people do to them then (6.1, 6.3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.api.keys import API_VERSION
from controller.api.model import format_time
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, MERGE, Jobs, Object, uid_of
from tests.integration.controller.running_controller import ROOT, RunningController
from tests.integration.controller.sinks import CALLBACKS, SECRET, SETTINGS, Sink, callbacks, deliveries, hook
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

DELAYED = 'holdfast_workqueue_depth{state="delayed"}'


@pytest.fixture
def controller(other_controller: OtherController) -> RunningController:
    """One that may reach this machine."""
    made = other_controller(SETTINGS)
    made.start()
    return made


def dead(jobs: Jobs, job: str = "one") -> Object:
    """Wait for the one dead letter of a job, until its job is no longer its owner; returns it."""

    def look() -> Object | None:
        there = callbacks(jobs, job)
        assert [each.get("status", {}).get("phase") for each in there] == ["Failed"], there
        assert "ownerReferences" not in there[0]["metadata"], there
        return there[0]

    return soon(look, f"the callback of {job} is a dead letter") or {}


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def reasons(jobs: Jobs, *names: str) -> set[str]:
    """Those of the Events about these objects."""
    return {event["reason"] for name in names for event in jobs.events(name)}


def collected(jobs: Jobs) -> None:
    """Wait until the garbage collector has seen all that was deleted before."""
    owner = jobs.config_map("owner")
    whose = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid_of(owner)}
    url = f"/api/v1/namespaces/{jobs.namespace}/configmaps"
    body = {"metadata": {"name": "owned", "ownerReferences": [whose]}}
    assert jobs.http.post(url, json=body).is_success
    assert jobs.http.delete(f"{url}/owner").is_success
    soon(lambda: jobs.http.get(f"{url}/owned").status_code == 404, "what is owned goes with its owner")


def change(jobs: Jobs, plural: str, name: str, part: str, body: Object) -> None:
    """A merge patch as somebody with all rights makes it; `part` is "" or "/status"."""
    url = f"{GROUP}/{jobs.namespace}/{plural}/{name}{part}"
    answer = jobs.http.patch(url, content=json.dumps(body), headers=MERGE)
    assert answer.is_success, answer.text


def redeliver_failed(plane: RunningPlane, jobs: Jobs) -> str:
    """`holdfast callbacks redeliver --failed`."""
    argv = [sys.executable, "-m", "controller.cli.main", "callbacks", "redeliver", "--failed", "-n", jobs.namespace]
    env = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def releases(plane: RunningPlane, name: str) -> int:
    """How often the controller wrote the object itself, not its status."""
    return sum(
        line.get("objectRef", {}).get("name") == name
        and line["verb"] == "patch"
        and "subresource" not in line["objectRef"]
        and line["userAgent"].startswith("holdfast-controller/")
        for line in plane.audit()
    )


def test_a_dead_letter_outlives_its_job(
    controller: RunningController, jobs: Jobs, sink: Sink, plane: RunningPlane
) -> None:
    """6.3: the time to live waits for it, and it is sent again when job and controller are long gone."""
    sink.code = 500
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink, schedule=["1s"])], ttlAfterFinished="1s")
    soon(lambda: not jobs.exists("one"), "the job is deleted")
    letter = dead(jobs)
    soon(lambda: "CallbackFailed" in reasons(jobs, "one", name_of(letter)), "an Event tells it")
    controller.restart()
    collected(jobs)
    assert name_of(dead(jobs)) == name_of(letter)
    sink.code = 204
    assert "is sent again" in redeliver_failed(plane, jobs)
    soon(lambda: sink.events == ["Succeeded"], "it is delivered")
    assert set(sink.tries) == {letter["spec"]["id"]} and len(sink.tries) == 3
    soon(lambda: callbacks(jobs)[0]["status"]["phase"] == "Delivered", "it is recorded")
    assert "CallbackDropped" not in reasons(jobs, "one", name_of(letter))
    assert releases(plane, name_of(letter)) == 1
    controller.restart()
    assert len(sink.tries) == 3 and len(callbacks(jobs)) == 1


def test_one_that_was_recorded_but_not_released(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.3: the controller died in between, or was one that did not know it: the next pass does it; others' owner
    references stay."""
    sink.code = 410
    jobs.secret("hook", key=SECRET)
    job = jobs.create("one", callbacks=[hook(sink)])
    letter = dead(jobs)
    controller.kill()
    other = jobs.config_map("other")
    owners: list[dict[str, Any]] = [
        {"apiVersion": API_VERSION, "kind": "BatchJob", "name": "one", "uid": uid_of(job), "controller": True},
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": uid_of(other), "blockOwnerDeletion": True},
    ]
    change(jobs, CALLBACKS, name_of(letter), "", {"metadata": {"ownerReferences": owners}})
    controller.start()
    soon(lambda: callbacks(jobs)[0]["metadata"]["ownerReferences"] == owners[1:], "it is released")


def test_a_job_that_is_deleted_drops_what_is_pending_only(
    controller: RunningController, jobs: Jobs, sink: Sink
) -> None:
    """6.3: by kubectl; what had been given up before stays, and a new job of that name is another one."""
    sink.code = 410
    jobs.secret("hook", key=SECRET)
    uses = [hook(sink), hook(sink, name="later", secretRef={"name": "missing", "key": "key"})]
    jobs.create("one", callbacks=uses)
    states = [("Succeeded", "Failed"), ("Succeeded", "Pending")]
    soon(lambda: deliveries(jobs, "one") == states, "one is given up, one waits for its Secret")
    jobs.delete("one")
    soon(lambda: "CallbackDropped" in {event["reason"] for event in jobs.events("one")}, "it is told")
    letter = dead(jobs)
    sink.code = 204
    jobs.create("one", callbacks=[hook(sink)])
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "the new one is told")
    assert name_of(letter) in {name_of(each) for each in callbacks(jobs)} and len(callbacks(jobs)) == 2
    assert len(set(sink.tries)) == 2
    jobs.patch(name_of(letter), {"redeliver": 1}, CALLBACKS)
    soon(lambda: sink.events == ["Succeeded", "Succeeded"], "the old one is told too")
    soon(lambda: {each["status"]["phase"] for each in callbacks(jobs)} == {"Delivered"}, "both are recorded")


def test_a_job_learns_of_a_delivery_that_it_missed(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.1: the controller died after the redelivery was recorded, before the job's summary was."""
    sink.code = 410
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink)])
    letter = dead(jobs)
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Failed")], "the job says so")
    missed = jobs.get("one")["status"]["deliveries"]
    sink.code = 204
    jobs.patch(name_of(letter), {"redeliver": 1}, CALLBACKS)
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "the job says so")
    controller.kill()
    change(jobs, "batchjobs", "one", "/status", {"status": {"deliveries": missed}})
    controller.start()
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "it says so again")
    assert len(sink.tries) == 2


def test_a_wiped_job_knows_its_dead_letter(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """1.3, 6.1: it is found by its id, whoever owns it; nothing is sent again, nothing is in the way."""
    sink.code = 410
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink)])
    dead(jobs)
    jobs.wipe("one")
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Failed")], "it is known again")
    assert len(sink.tries) == 1 and len(callbacks(jobs)) == 1


def test_it_goes_after_thirty_days(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.3: without its job too; nobody is told that it was dropped."""
    sink.code = 410
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink)])
    letter = dead(jobs)
    jobs.delete("one")
    collected(jobs)
    old = format_time(datetime.now(UTC) - timedelta(days=30, minutes=1))
    change(jobs, CALLBACKS, name_of(letter), "/status", {"status": {"finishedAt": old}})
    soon(lambda: callbacks(jobs) == [], "it is removed")
    assert "CallbackDropped" not in {event["reason"] for event in jobs.events("one")}


def test_a_namespace_takes_all_of_them(
    controller: RunningController, jobs: Jobs, sink: Sink, plane: RunningPlane
) -> None:
    """Faults: dead letters, pending ones and those being sent go with their namespace, which is not held up."""
    sink.code = 410
    before = controller.metric(DELAYED)
    plane.run_kubectl("create", "namespace", name := f"{jobs.namespace}-gone")
    there = Jobs(jobs.http, name)
    there.secret("hook", key=SECRET)
    there.create("dead", callbacks=[hook(sink)])
    dead(there, "dead")
    sink.code = 503
    there.create("tried", callbacks=[hook(sink)])
    there.create("blocked", callbacks=[hook(sink, secretRef={"name": "missing", "key": "key"})])
    soon(lambda: len(callbacks(there)) == 3, "all are there")
    plane.run_kubectl("delete", "namespace", name, "--timeout=150s", timeout=180)
    phases = [f'holdfast_callbacks{{phase="{phase}"}}' for phase in ("Pending", "Delivering", "Failed")]
    soon(lambda: [controller.metric(each) for each in phases] == [0, 0, 0], "the controller has none left")
    soon(lambda: controller.metric(DELAYED) <= before, "and waits for none")
    assert controller.healthz()[0] == 200
