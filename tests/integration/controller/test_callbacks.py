"""Callbacks end to end: the job's end, its delivery, restarts in between, and what people do to both (6.1-6.3)."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.api.model import format_time
from controller.decisions.delivery import place_of
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, Jobs, uid_of
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.sinks import CALLBACKS, SECRET, SETTINGS, Sink, callbacks, deliveries, hook
from tests.integration.controller.waits import soon


@pytest.fixture
def controller(other_controller: OtherController) -> RunningController:
    """One that may reach this machine."""
    made = other_controller({**SETTINGS, "HOLDFAST_MAX_RUNNING": "12"})
    made.start()
    return made


def test_start_and_end_are_told_in_order(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.1, 6.2: verified by the official library, and the job says that they were delivered."""
    jobs.secret("hook", key=SECRET)
    jobs.shell("one", "sleep 0.5", callbacks=[hook(sink, events=["Started", "Succeeded"])])
    done = [("Started", "Delivered"), ("Succeeded", "Delivered")]
    soon(lambda: deliveries(jobs, "one") == done, "both are delivered")
    assert sink.events == ["Started", "Succeeded"]
    assert len(set(sink.tries)) == 2
    assert {each["status"]["phase"] for each in callbacks(jobs)} == {"Delivered"}


def test_an_end_during_an_outage_of_both_sides(
    controller: RunningController, jobs: Jobs, sink: Sink, tmp_path: Path
) -> None:
    """6.1, 6.3: the job ends while the controller is dead, the receiver is down when it comes back."""
    jobs.secret("hook", key=SECRET)
    job = jobs.shell("one", f"{until(tmp_path)}; exit 7", callbacks=[hook(sink)])
    jobs.running("one")
    controller.kill()
    (tmp_path / "go").touch()
    soon((controller.runs / f"{uid_of(job)}.1" / "exit.json").exists, "it has ended")
    sink.code = 503
    controller.start()
    soon(lambda: len(sink.tries) >= 2, "it is tried")
    controller.kill()
    sink.code = 204
    controller.start()
    soon(lambda: deliveries(jobs, "one") == [("Failed", "Delivered")], "it is delivered")
    assert len(set(sink.tries)) == 1, "always the same id"
    assert sink.events == ["Failed"]


def test_a_secret_that_comes_later(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.2: it waits with a reason, and goes on when it appears."""
    jobs.create("one", callbacks=[hook(sink)])
    told = {"SecretNotFound"}
    soon(lambda: told <= {e["reason"] for c in callbacks(jobs) for e in jobs.events(c["metadata"]["name"])}, "it waits")
    assert sink.tries == []
    jobs.secret("hook", key=SECRET)
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "it is delivered")


def test_the_time_to_live_waits(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.1: the object stays until its end was delivered."""
    sink.code = 500
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink, schedule=["1s"] * 32)], ttlAfterFinished="1s")
    soon(lambda: len(sink.tries) >= 3, "it was tried for longer than it lives")
    assert jobs.exists("one")
    sink.code = 200
    soon(lambda: not jobs.exists("one"), "it is deleted")
    assert sink.events == ["Succeeded"]


def test_an_address_that_is_not_allowed(other_controller: OtherController, jobs: Jobs, sink: Sink) -> None:
    """6.4: loopback is refused by default; nothing is connected to, and the job's entry says Failed."""
    other_controller({"HOLDFAST_CALLBACK_PORTS": "1-65535"}).start()
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink, schedule=["1s"])])
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Failed")], "it is given up")
    assert sink.tries == []
    (dead,) = callbacks(jobs)
    assert dead["status"]["lastAttempt"]["reason"] == "AddressRefused"


def test_people_send_again_and_drop(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.3: a dead letter is sent again with its id; one that a person deleted is not made again."""
    sink.code = 500
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink, schedule=[])])
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Failed")], "it is given up")
    (dead,) = callbacks(jobs)
    sink.code = 204
    jobs.patch(dead["metadata"]["name"], {"redeliver": 1}, CALLBACKS)
    soon(lambda: sink.events == ["Succeeded"], "it is sent again")
    assert len(set(sink.tries)) == 1
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "the job says so")
    sink.code = 503
    jobs.create("two", callbacks=[hook(sink, schedule=["1h"])])
    soon(
        lambda: [c.get("status", {}).get("attempts") for c in callbacks(jobs, "two")] == [1], "it is tried again later"
    )
    (name,) = (c["metadata"]["name"] for c in callbacks(jobs, "two"))
    jobs.http.delete(f"{GROUP}/{jobs.namespace}/{CALLBACKS}/{name}")
    soon(lambda: deliveries(jobs, "two") == [("Succeeded", "Failed")], "it was dropped")
    assert callbacks(jobs, "two") == []
    soon(lambda: "CallbackDropped" in {event["reason"] for event in jobs.events("two")}, "an Event tells it")


def test_a_wiped_status_tells_nothing_twice(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """1.3, 6.1: ids follow from what is told, so what is recorded anew is the same delivery."""
    jobs.secret("hook", key=SECRET)
    jobs.create("one", callbacks=[hook(sink)])
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "it is delivered")
    jobs.wipe("one")
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "it is known again")
    assert len(sink.tries) == 1, json.dumps(callbacks(jobs))


def test_what_fell_due_in_an_outage_is_spread(
    controller: RunningController, jobs: Jobs, sink: Sink, tmp_path: Path
) -> None:
    """6.3: count and next time survive the restart; the tries do not all come at once.

    All jobs end in one moment, so that none is tried again before each was tried.
    """
    sink.code = 404  # a receiver that works: its circuit stays closed
    jobs.secret("hook", key=SECRET)
    names = [f"job-{number}" for number in range(12)]
    for name in names:
        jobs.shell(name, until(tmp_path), callbacks=[hook(sink, schedule=["30s", "1h"])])
    for name in names:
        jobs.running(name)
    (tmp_path / "go").touch()
    soon(lambda: [each.get("status", {}).get("attempts") for each in callbacks(jobs)] == [1] * 12, "each was tried")
    controller.kill()
    before = {each["spec"]["id"]: each["status"] for each in callbacks(jobs)}
    last = max(each["nextAttemptAt"] for each in before.values())
    soon(lambda: format_time(datetime.now(UTC)) > format_time(_moment(last) + timedelta(seconds=8)), "all are overdue")
    sink.code = 204
    tried, began = len(sink.tries), time.time()
    controller.start()
    soon(lambda: all(deliveries(jobs, name) == [("Succeeded", "Delivered")] for name in names), "all are delivered")
    assert sorted(sink.tries[tried:]) == sorted(before)
    assert {each["status"]["attempts"] for each in callbacks(jobs)} == {2}
    waited = {id_: at - began for id_, at in zip(sink.tries[tried:], sink.times[tried:], strict=True)}
    early = {id_: seconds for id_, seconds in waited.items() if seconds < 8 * place_of(id_)}
    assert not early, "over as long as the outage was, at most a minute: none before its own place in it"


def until(directory: Path) -> str:
    """Shell: wait for the file `go`."""
    return f"until [ -e {directory}/go ]; do sleep 0.1; done"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
