"""A push that passed the hook before its token was refused: nobody is next before it is over (5.4, 5.5)."""

from __future__ import annotations

from tests.integration.controller.repositories import CLAIMS, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


def test_a_branch_that_a_push_has_locked(controller: RunningController, repositories: Repositories) -> None:
    """5.5: git holds `<ref>.lock` from before the hook until the ref has changed, however long the push is stopped."""
    repositories.ready(push="Mirror")
    repositories.claim("old")
    entry = repositories.held_by("old")[0]
    lock = repositories.mirror(controller) / "refs" / "heads" / "main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    repositories.claim("next")
    repositories.claim_phase("next", "Waiting")
    repositories.jobs.patch("old", {"forceRelease": entry["uid"]}, CLAIMS)
    repositories.held_by()
    told = {"PushInFlight"}
    soon(lambda: told <= {event["reason"] for event in repositories.jobs.events("shop")}, "people are told")
    assert repositories.holders() == []
    lock.unlink()
    assert repositories.held_by("next")[0]["token"] > entry["token"]
