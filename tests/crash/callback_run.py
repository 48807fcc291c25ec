"""A run of jobs with callbacks: whatever instant the controller dies at, the receiver is told everything (6.1-6.3).

One receiver answers 410: that delivery is a dead letter, which stays Failed and is not sent again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.crash.cases import Case
from tests.crash.cluster import Object
from tests.crash.controllers import Controller
from tests.crash.receiver import GONE, HOOK, SECRET, SETTINGS, Receiver
from tests.crash.scenario import Result, Run

DEAD = "dead"
KINDS = ("success", "seven", "retry", DEAD)
EVENTS = {
    "success": [("Started", 1), ("Succeeded", 1)],
    "seven": [("Started", 1), ("Failed", 1)],
    "retry": [("Started", 1), ("Retrying", 1), ("Started", 2), ("Succeeded", 2)],
    DEAD: [("Succeeded", 1)],
}


class CallbackRun(Run):
    """See the module."""

    _receiver: Receiver
    _settled: dict[str, int]  # tries of each dead letter when its job first said that it is one

    def _case(self, kind: str, name: str, ledgers: Path) -> Case:
        if not hasattr(self, "_receiver"):
            self._receiver, self._settled = Receiver(), {}
        made = super()._case("success" if kind == DEAD else kind, name, ledgers)
        use = self._receiver.use(sorted({event for event, _ in EVENTS[kind]}), GONE if kind == DEAD else "")
        return replace(made, kind=kind, spec={**made.spec, "callbacks": [use]})

    def play(self) -> Result:
        try:
            return super().play()
        finally:
            self._receiver.close()

    def _settings(self) -> dict[str, str]:
        return SETTINGS

    def _declare(self) -> None:
        super()._declare()
        self._world.cluster.secret(self._name, HOOK, key=SECRET)

    def _look(self, jobs: dict[str, Object]) -> None:
        super()._look(jobs)
        note_dead_letters(jobs, self._receiver, self._settled)

    def _quiet(self) -> bool:
        jobs = self._world.cluster.jobs(self._name)
        return super()._quiet() and not any(undelivered(job) for job in jobs.values())

    def _conclude(self, controller: Controller, status: int | None, finished: bool) -> None:
        super()._conclude(controller, status, finished)
        jobs = self._world.cluster.jobs(self._name)
        for case in self.facts.cases:
            found = self._wrong(case, jobs.get(case.name, {}))
            self.facts.violations += [f"{case.name}: {text}" for text in found]
        letters = self._world.cluster.all(self._name, "Callback")
        note_dead_letters(jobs, self._receiver, self._settled)
        self.facts.violations += wrong_dead_letters(letters, self._receiver, self._settled, 1, len(self._kills))
        known = {each["id"] for job in jobs.values() for each in deliveries(job)}
        self.facts.violations += [f"{id_}: nobody recorded it" for _, id_ in self._receiver.taken if id_ not in known]
        again = len(self._receiver.taken) - len({id_ for _, id_ in self._receiver.taken})
        if again:
            print(f"callbacks: {again} of {len(self._receiver.taken)} arrived again", file=sys.stderr, flush=True)

    def _wrong(self, case: Case, job: Object) -> Iterator[str]:
        """6.1: what happened is recorded, all of it arrived, in its order, with the id that was recorded."""
        told = [(each["event"], each["attempt"]) for each in deliveries(job)]
        if told != EVENTS[case.kind]:
            yield f"deliveries {told}, expected {EVENTS[case.kind]}"
        yield from wrong_deliveries(job, "Failed" if case.kind == DEAD else "Delivered")
        first: dict[str, None] = dict.fromkeys(id_ for name, id_ in self._receiver.taken if name == case.name)
        if [*first] != [each["id"] for each in deliveries(job) if case.kind != DEAD]:
            yield f"arrived as {[*first]}, recorded are {json.dumps(deliveries(job))}"


def deliveries(job: Object) -> list[Object]:
    """What a job recorded of its callbacks."""
    return list(job.get("status", {}).get("deliveries", ()))


def undelivered(job: Object) -> list[str]:
    """Events that are neither delivered nor given up."""
    return [each["event"] for each in deliveries(job) if each["state"] not in ("Delivered", "Failed")]


def wrong_deliveries(job: Object, state: str) -> Iterator[str]:
    """Deliveries that did not end as they should."""
    wrong = [f"{each['event']} is {each['state']}" for each in deliveries(job) if each["state"] != state]
    if wrong:
        yield f"not {state}: {', '.join(wrong)}"


def note_dead_letters(jobs: dict[str, Object], receiver: Receiver, settled: dict[str, int]) -> None:
    """From the moment that a job says so nothing may be sent of it any more (requirement 6.3)."""
    for job in jobs.values():
        for each in deliveries(job):
            if each["state"] == "Failed":
                settled.setdefault(each["id"], receiver.tried[each["id"]])


def wrong_dead_letters(
    letters: dict[str, Object], receiver: Receiver, settled: dict[str, int], expected: int, again: int
) -> Iterator[str]:
    """6.3: a dead letter stays Failed, and is not sent again; a crash between the try and its record repeats that.

    Args:
        letters: all Callbacks.
        expected: so many dead letters there are.
        again: so often may each have been repeated.
    """
    failed = {one["spec"]["id"]: one for one in letters.values() if one.get("status", {}).get("phase") == "Failed"}
    if {*failed} != {*settled} or len(failed) != expected:
        yield f"dead letters {sorted(failed)}, jobs say {sorted(settled)}, expected are {expected}"
    for id_, tries in settled.items():
        if receiver.tried[id_] != tries:
            yield f"{id_} was sent {receiver.tried[id_] - tries} times after it was a dead letter"
        if tries > 1 + again:
            yield f"{id_} was sent {tries} times with at most {again} crashes"
    for id_, one in failed.items():
        if one["metadata"].get("ownerReferences"):
            yield f"{id_}: the dead letter goes with its job: {one['metadata']['ownerReferences']}"
