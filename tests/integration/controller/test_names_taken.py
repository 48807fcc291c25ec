"""Somebody else has the name that a job needs: it is said, keeps nothing else waiting, and heals (requirement 1.1)."""

from __future__ import annotations

import pytest

from controller.api.callback_use import CallbackEvent
from controller.decisions.outbox import callback_name, delivery_id
from controller.decisions.preparation import batch_name
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, Jobs, Object, condition_of, uid_of
from tests.integration.controller.repositories import BATCHES, CLAIMS, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.sinks import CALLBACKS, SECRET, SETTINGS, Sink, deliveries, hook
from tests.integration.controller.waits import soon
from tests.integration.repositories.homes import git


@pytest.fixture
def controller(other_controller: OtherController) -> RunningController:
    """One that may reach this machine."""
    made = other_controller(SETTINGS)
    made.start()
    return made


def waits_for_name(jobs: Jobs, job: str, taken: str) -> None:
    """Wait until condition and Event of a job that cannot start say whose name is taken."""

    def said() -> bool:
        told: Object = condition_of(jobs.get(job), "Admitted") or {}
        assert told.get("reason") == "NameTaken" and taken in told["message"], told
        return [each["reason"] for each in jobs.events(job)].count("NameTaken") == 1

    soon(said, "the job says so")


def foreign_callback(jobs: Jobs, name: str) -> None:
    """A Callback that waits for a Secret, for ever."""
    spec = {
        "job": {"name": "somebody", "uid": "1"},
        "callback": "theirs",
        "event": "Succeeded",
        "id": "msg_theirs",
        "url": "https://hooks.example.org/x",
        "secretRef": {"name": "missing", "key": "key"},
        "payload": "{}",
    }
    jobs.make(CALLBACKS, "Callback", name, spec=spec)


def test_the_name_of_a_callback(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.1: the job ends, its other callbacks arrive; this one does when the name is free."""
    jobs.secret("hook", key=SECRET)
    uses = [hook(sink, events=["Started", "Succeeded"]), hook(sink, name="free")]
    uid = uid_of(jobs.create("one", callbacks=uses, suspend=True))
    name = callback_name("one", delivery_id(uid, 1, "hook", CallbackEvent.STARTED))
    foreign_callback(jobs, name)
    jobs.patch("one", {"suspend": False})
    jobs.finished("one", "Succeeded")
    soon(lambda: sink.events == ["Succeeded"], "the other one arrives")
    told = soon(lambda: [each for each in jobs.events("one") if each["reason"] == "NameTaken"], "it is said")
    assert name in told[0]["message"] and told[0]["type"] == "Warning"
    assert ("Started", "Pending") in deliveries(jobs, "one")
    jobs.http.delete(f"{GROUP}/{jobs.namespace}/{CALLBACKS}/{name}")
    done = [("Started", "Delivered"), ("Succeeded", "Delivered"), ("Succeeded", "Delivered")]
    soon(lambda: deliveries(jobs, "one") == done, "all are delivered")
    assert sorted(sink.events) == ["Started", "Succeeded", "Succeeded"]


def test_the_name_of_a_claim(controller: RunningController, repositories: Repositories) -> None:
    """5.4: the job waits for its lock with this reason, and starts when the name is free."""
    jobs = repositories.jobs
    repositories.ready()
    with controller.standing_still():  # else it may have made its own claim before the foreign one
        name = f"one-{uid_of(repositories.job('one', 'true'))[:8]}-1"
        repositories.claim(name, repository="elsewhere")
    waits_for_name(jobs, "one", f"RepositoryLock {name}")
    repositories.delete(CLAIMS, name)
    jobs.finished("one", "Succeeded")


def test_the_name_of_a_preparation(controller: RunningController, repositories: Repositories) -> None:
    """5.7: another preparation under this name is not taken for the one that is needed."""
    jobs, command = repositories.jobs, ["/bin/sh", "-c", "echo ours >prepared"]
    remote = repositories.ready(prepare={"command": command})
    commit = git(remote.bare, "rev-parse", "main").stdout.strip()
    name = batch_name("shop", commit, command)
    theirs = {
        "repository": "shop",
        "commit": commit,
        "prepare": {"command": ["/bin/sh", "-c", "echo theirs >prepared"]},
    }
    jobs.make(BATCHES, "JobBatch", name, spec=theirs)
    repositories.job("one", "grep ours prepared")
    waits_for_name(jobs, "one", f"JobBatch {name}")
    repositories.delete(BATCHES, name)
    jobs.finished("one", "Succeeded")
