"""A push that passed the hook before its token was refused: nobody is next before it is over (5.4, 5.5)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.repositories import fence
from tests.integration.controller.repositories import CLAIMS, REPOSITORIES, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon
from tests.integration.repositories.homes import git, git_environment


@contextmanager
def stopped_push(mirror: Path, workspace: Path, token: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real push of a holder, which stands still behind the hook; it is gone afterwards."""
    git(workspace.parent, "clone", "-q", str(mirror), str(workspace))
    git(workspace, "fetch", "-q", "origin", "refs/upstream/main")
    git(workspace, "checkout", "-q", "-b", "main", "FETCH_HEAD")
    git(workspace, "commit", "--allow-empty", "-qm", "late")
    hook = mirror / fence.HOOK_NAME
    hook.write_text(f'{fence.HOOK.read_text()}\n[ "$token" = {token} ] && kill -STOP $PPID && sleep 0.2\nexit 0\n')
    argv = ["git", "push", "-q", "origin", "HEAD:main"]
    environment = git_environment(HOLDFAST_LOCK_TOKEN=str(token))
    push = subprocess.Popen(argv, cwd=workspace, env=environment, start_new_session=True)
    try:
        soon(lambda: "T" in _states(push.pid), "the push stands still")
        yield push
    finally:
        if push.poll() is None:
            os.killpg(push.pid, signal.SIGKILL)
            push.wait(60)


def _states(group: int) -> str:
    """Process states of a process group."""
    argv = ["ps", "-o", "state=", "-g", str(group)]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


@pytest.mark.parametrize("end", ["it is continued", "it is killed"])
def test_a_branch_that_a_push_has_locked(
    controller: RunningController, repositories: Repositories, tmp_path: Path, end: str
) -> None:
    """5.4, 5.5: however long the push is stopped and whatever becomes of the controller; a killed one is over at once,
    also where git left its lock file."""
    repositories.ready(push="Mirror")
    mirror = repositories.mirror(controller)
    repositories.claim("old")
    entry = repositories.held_by("old")[0]
    with stopped_push(mirror, tmp_path / "workspace", entry["token"]) as push:
        assert fence.locked_refs(mirror) == ["main"]
        repositories.claim("next")
        repositories.claim_phase("next", "Waiting")
        repositories.jobs.patch("old", {"forceRelease": entry["uid"]}, CLAIMS)
        told = {"PushInFlight"}
        soon(lambda: told <= {event["reason"] for event in repositories.jobs.events("shop")}, "people are told")
        repositories.wait("shop", "LockSound", "Unknown", "PushInFlight")
        controller.restart()
        repositories.claim("third")
        soon(lambda: len(repositories.lock().get("waiting", [])) == 2, "the new process has looked at the line")
        assert repositories.holders() == []
        repositories.wait("shop", "LockSound", "Unknown", "PushInFlight")
        os.killpg(push.pid, signal.SIGCONT if end == "it is continued" else signal.SIGKILL)
        push.wait(60)
        assert repositories.held_by("next")[0]["token"] > entry["token"]
    repositories.wait("shop", "LockSound", "True", plural=REPOSITORIES)
    assert fence.locked_refs(mirror) == ([] if end == "it is continued" else ["main"])
    pushed = git(mirror, "rev-parse", "-q", "--verify", "refs/heads/main", check=False).returncode == 0
    assert pushed is (end == "it is continued"), "what was let go on was done before anybody was next"
