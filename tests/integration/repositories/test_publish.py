"""Publishing what jobs pushed: nothing forced, done once however often it is tried (issue 4, push policy)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.repositories import refs, requests
from controller.repositories.results import Reason
from tests.integration.repositories.homes import Home, failed_as, git


@pytest.fixture
def pushed(home: Home) -> tuple[Home, str]:
    """A job's commit on main in the mirror."""
    home.clone()
    home.grant(1)
    workspace = home.workspace()
    commit = home.job_commit(workspace, "job")
    assert home.push(workspace, "main").returncode == 0
    return home, commit


def at_remote(home: Home, branch: str = "main") -> str:
    """The remote's commit of a branch."""
    return git(home.upstream.bare, "rev-parse", "--verify", "-q", f"refs/heads/{branch}", check=False).stdout.strip()


def test_published(pushed: tuple[Home, str]) -> None:
    """Issue 4: the recorded commit, however often it is asked for; refs/upstream follows."""
    home, commit = pushed
    for _ in range(2):
        result = home.perform(requests.publish, home.remote, "main", commit)
        assert result.succeeded and result.commit == commit
    assert at_remote(home) == commit == refs.read_head(home.mirror, "main", refs.UPSTREAM)
    assert home.perform(requests.publish, home.remote, "brand/new", commit).succeeded
    assert at_remote(home, "brand/new") == commit


def test_not_a_fast_forward(pushed: tuple[Home, str]) -> None:
    """Issue 4: refused, visible, nothing forced."""
    home, commit = pushed
    theirs = home.upstream.commit({"theirs": "1\n"})
    failed_as(home.perform(requests.publish, home.remote, "main", commit), Reason.NON_FAST_FORWARD, "main")
    assert at_remote(home) == theirs and refs.read_head(home.mirror, "main") == commit


def test_the_way_out_of_a_refused_push(pushed: tuple[Home, str]) -> None:
    """Issue 4: later jobs begin at what was refused; the command that the message names makes the branch fit again."""
    home, commit = pushed
    theirs = home.upstream.commit({"theirs": "1\n"})
    refused = home.perform(requests.publish, home.remote, "main", commit)
    (command,) = re.findall(r"`(git pull [^`]+)`", refused.message)
    workspace = home.workspace("w2")
    assert git(workspace, "rev-parse", "HEAD").stdout.strip() == commit
    git(workspace, *command.split()[1:])
    assert home.push(workspace, "main").returncode == 0
    merged = git(workspace, "rev-parse", "HEAD").stdout.strip()
    assert home.perform(requests.publish, home.remote, "main", merged).succeeded
    assert at_remote(home) == merged
    assert set(git(workspace, "log", "-1", "--format=%P").stdout.split()) == {commit, theirs}


def test_published_before_and_built_upon(pushed: tuple[Home, str]) -> None:
    """Issue 4: a publication whose result was lost is found below what others pushed after it."""
    home, commit = pushed
    assert home.perform(requests.publish, home.remote, "main", commit).succeeded
    git(home.upstream.work, "pull", "-q", "--ff-only", "origin", "main")
    later = home.upstream.commit({"later": "1\n"})
    result = home.perform(requests.publish, home.remote, "main", commit)
    assert result.succeeded and later[:12] in result.message


def test_the_remote_says_no(pushed: tuple[Home, str]) -> None:
    """Issue 4: a protected branch is not the same as one that moved on."""
    home, commit = pushed
    hook = home.upstream.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    failed_as(home.perform(requests.publish, home.remote, "main", commit), Reason.REMOTE_REJECTED)
    assert "main is protected" in home.output


def test_a_commit_that_is_not_there(pushed: tuple[Home, str], tmp_path: Path) -> None:
    """Issue 4: only whole commit ids, only what the mirror has."""
    home, _ = pushed
    for commit in ("0" * 40, "main", "HEAD", "--all"):
        failed_as(home.perform(requests.publish, home.remote, "main", commit), Reason.REF_NOT_FOUND)
