"""The part about repositories: six jobs on two of them, one of which holds a lock while everything is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demonstration import upstream, upstream_proof
from demonstration.stage import Stage, wait_for
from demonstration.upstream import DOCS, SHOP, Upstream
from demonstration.upstream_proof import Line, Outage

HOLDER = "add-discounts"  # holds the lock of SHOP, Exclusive, when the controller is killed
NEXT = "release"  # waits for it


class Sharing:
    """Set up with the rest, then asked at each step of the story. `say` tells a step in plain words."""

    def __init__(self, stage: Stage, root: Path, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._say = say
        self._began = time.time()
        self._killed = self._back = 0.0
        self._tokens: list[int] = []
        self._given: Upstream = upstream.make(root)

    def manifests(self) -> list[dict[str, Any]]:
        """To be applied with the other jobs."""
        return self._given.manifests()

    def working(self) -> bool:
        """Whether the readers are done, HOLDER has pushed once, and NEXT waits for the lock."""
        if not self._given.signed("pushed", HOLDER):
            return False
        lock = self._lock()
        waits = [each["claim"].startswith(f"{NEXT}-") for each in lock.get("waiting", [])]
        return waits == [True] and len(lock["holders"]) == 1

    def show(self) -> None:
        """Who holds what right before the outage."""
        self._say(f"holdfast locks {SHOP}")
        for line in self._stage.holdfast("locks", SHOP).splitlines():
            self._say(f"  {line}")

    def killed(self) -> None:
        """Everything was killed. A review comes in: HOLDER goes on, and pushes to the mirror with its token."""
        self._killed = time.time()
        self._given.review(1)
        wait_for(
            lambda: len(self._given.signed("pushed", HOLDER)) == 2, 60, f"{HOLDER} pushed what it made of a review"
        )
        self._say(f"{HOLDER} got a review and pushed to the mirror with its token, while nobody watched.")

    def back(self) -> None:
        """All is back: the same job holds the lock by the same token."""
        self._back = time.time()
        self._tokens.append(self._token())
        self._say(f"{HOLDER} holds {SHOP} by token {self._tokens[-1]}, before it was {self._tokens[0]}.")

    def before(self) -> None:
        """Right before the kills."""
        self._tokens.append(self._token())

    def go_on(self) -> None:
        """The last review: HOLDER ends, what it pushed is published, NEXT gets the lock."""
        self._given.review(2)

    def judge(self, jobs: dict[str, Any]) -> tuple[list[Line], list[str]]:
        """The lines of the table, and what is wrong with the repositories as a whole."""
        logs = {name: self._given.log(name) for name in (SHOP, DOCS)}
        before, back = self._tokens
        outage = Outage(before, back, self._given.signed("pushed", HOLDER), self._killed, self._back)
        batches = json.loads(self._stage.kubectl("get", "jobbatches", "-o", "json"))["items"]
        told = upstream_proof.lines(jobs, self._given.signed(), logs)
        # A lock is free a moment after the end of the job that held it is recorded.
        locks = wait_for(self._free_locks, 60, "no lock is held any more")
        wrong = upstream_proof.whole(logs, outage, self._given.prepared(), batches, locks)
        for commit, subject in logs[SHOP]:
            self._say(f"upstream {SHOP}: {commit[:8]} {subject}")
        return told, wrong

    def table(self, told: list[Line]) -> Any:
        """For people."""
        return upstream_proof.table(told, self._began)

    def _free_locks(self) -> list[dict[str, Any]]:
        """As `holdfast locks` has them; none where not all are free."""
        found: list[dict[str, Any]] = json.loads(self._stage.holdfast("locks", "-o", "json"))
        return [] if any(lock["holders"] or lock["waiting"] for lock in found) else found

    def _token(self) -> int:
        """Of the only holder, which is HOLDER's claim; 0 where it is not."""
        holders = self._lock()["holders"]
        ours = len(holders) == 1 and holders[0]["claim"].startswith(f"{HOLDER}-")
        return int(holders[0]["token"]) if ours else 0

    def _lock(self) -> dict[str, Any]:
        """What is recorded of the lock of SHOP."""
        status = json.loads(self._stage.kubectl("get", "repository", SHOP, "-o", "json"))["status"]
        return {"holders": [], **status["lock"]}
