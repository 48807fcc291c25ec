"""The fence file, and the hook that asks for it when a job pushes (requirement 5.5)."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from controller.repositories import fence, pushes, refs
from controller.repositories.fence import Fence, read_fence, write_fence
from tests.eventually import eventually_sync
from tests.integration.repositories.homes import LIMIT_SECONDS, Home, git, git_environment


def test_the_largest_token_never_shrinks(tmp_path: Path) -> None:
    """5.4: tokens only grow, also where nobody holds the lock any more."""
    assert read_fence(tmp_path) == Fence()
    assert write_fence(tmp_path, [3, 7]) == Fence(frozenset({3, 7}), 7)
    assert write_fence(tmp_path, []) == Fence(frozenset(), 7)
    assert write_fence(tmp_path, [5], max_token=6) == Fence(frozenset({5}), 7)
    assert write_fence(tmp_path, [5], max_token=12) == read_fence(tmp_path) == Fence(frozenset({5}), 12)


def test_nothing_is_written_without_a_change(tmp_path: Path) -> None:
    """10.1: the fence is looked at before every launch."""
    write_fence(tmp_path, [1])
    before = (tmp_path / "fence").stat()
    write_fence(tmp_path, [1])
    assert (tmp_path / "fence").stat().st_ino == before.st_ino


@pytest.mark.parametrize("content", [b"", b"max\n", b"\xff\xfe", b"max 41\n4", b"max 41\n12\nrm -rf\n", b"{}"])
def test_a_damaged_fence(tmp_path: Path, content: bytes) -> None:
    """7.5: it lets nobody push, says that it is damaged, and keeps the largest number that it shows."""
    (tmp_path / "fence").write_bytes(content)
    seen = read_fence(tmp_path)
    assert seen.damaged and not seen.tokens and seen.max_token == (41 if b"41" in content else 0)
    mended = write_fence(tmp_path, [50])
    assert mended == read_fence(tmp_path) == Fence(frozenset({50}), 50)


@pytest.fixture
def pushing(home: Home) -> tuple[Home, Path]:
    """A job's workspace with a commit that it has not pushed."""
    home.clone()
    workspace = home.workspace()
    home.job_commit(workspace, "new")
    return home, workspace


def test_only_a_holder_pushes(pushing: tuple[Home, Path]) -> None:
    """5.5: none, an old and an invented token are refused with a message that says why; the holder's is accepted."""
    home, workspace = pushing
    assert "not there yet" in home.push(workspace, "main").stderr
    home.grant(1)
    home.grant(2)
    assert "carries no lock token" in home.push(workspace, "main", token=None).stderr
    for token in ("1", "02", "2 ", "", "x", "max", "2\n1", "*"):
        done = git(workspace, "push", "origin", "main", check=False, HOLDFAST_LOCK_TOKEN=token)
        assert done.returncode != 0 and "holdfast: " in done.stderr, (token, done.stderr)
        assert refs.read_head(home.mirror, "main") is None
    assert home.push(workspace, "main", token=2).returncode == 0
    assert refs.read_head(home.mirror, "main") == git(workspace, "rev-parse", "HEAD").stdout.strip()


def test_all_holders_of_a_shared_lock_push(pushing: tuple[Home, Path]) -> None:
    """5.4: every current holder, each with its own token."""
    home, workspace = pushing
    home.grant(4, 5, 6)
    for token in (4, 5, 6):
        assert home.push(workspace, f"main:shared-{token}", token=token).returncode == 0
    home.grant(5)
    assert home.push(workspace, "main:late", token=4).returncode != 0


@pytest.mark.parametrize("ref", ["refs/upstream/main", "refs/upstream/new", "refs/tags/new", "refs/notes/x"])
def test_jobs_push_branches_only(pushing: tuple[Home, Path], ref: str) -> None:
    """5.5: what the remote has is never written by a job, whatever its token."""
    home, workspace = pushing
    home.grant(1)
    before = git(home.mirror, "for-each-ref", "refs/upstream", "refs/tags").stdout
    done = home.push(workspace, f"+main:{ref}")
    assert done.returncode != 0 and "jobs push branches" in done.stderr
    assert git(home.mirror, "for-each-ref", "refs/upstream", "refs/tags").stdout == before


def test_a_push_to_head(pushing: tuple[Home, Path]) -> None:
    """5.5: git makes a branch called HEAD of it, which would stand in everybody's way."""
    home, workspace = pushing
    home.grant(1)
    for _ in range(2):
        assert "cannot be called HEAD" in home.push(workspace, "main:HEAD").stderr
        assert home.push(workspace, "main").returncode == 0
    assert list(refs.list_refs(home.mirror, refs.HEADS)) == ["main"]
    assert git(home.mirror, "symbolic-ref", "HEAD").stdout.strip() == "refs/heads/main"


def test_nothing_pushed_is_lost(pushing: tuple[Home, Path]) -> None:
    """5.5: a branch of the mirror is neither deleted nor forced, also by a holder."""
    home, workspace = pushing
    home.grant(1)
    assert home.push(workspace, "main").returncode == 0
    pushed = refs.read_head(home.mirror, "main")
    git(workspace, "commit", "-q", "--amend", "-m", "other")
    for arguments in (("--force", "main"), ("--delete", "main"), ("+HEAD:main",)):
        assert home.push(workspace, *arguments).returncode != 0
    assert refs.read_head(home.mirror, "main") == pushed


def test_a_jobs_own_configuration_does_not_lead_around(pushing: tuple[Home, Path], tmp_path: Path) -> None:
    """5.5: a user with hooks of his own does not switch ours off without knowing."""
    home, workspace = pushing
    home.grant(2)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {tmp_path}\n")
    done = home.push(workspace, "main", token=1, GIT_CONFIG_GLOBAL=str(config))
    assert done.returncode != 0 and "lock token 1" in done.stderr


def test_the_hook_is_put_back(pushing: tuple[Home, Path]) -> None:
    """5.5: every operation looks at the hook; the controller can look too."""
    home, workspace = pushing
    hook = home.mirror / fence.HOOK_NAME
    for spoil in (lambda: hook.write_text("#!/bin/sh\nexit 0\n"), lambda: hook.chmod(0o600), hook.unlink):
        spoil()
        assert not fence.hook_is_installed(home.mirror)
        home.fetch()
        assert fence.hook_is_installed(home.mirror)
    home.grant(2)
    assert home.push(workspace, "main", token=1).returncode != 0


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_hook_in_other_shells(home: Home, shell: str) -> None:
    """5.5: /bin/sh is another program on another machine."""
    home.clone()
    home.grant(7)
    command = ["busybox", "sh"] if shell == "busybox" else [shell]
    if subprocess.run(["sh", "-c", f"command -v {shell}"], check=False, capture_output=True).returncode != 0:
        pytest.skip(f"{shell} is not installed")
    for token, status in (("7", 0), ("8", 1)):
        done = subprocess.run(
            [*command, str(home.mirror / fence.HOOK_NAME), "prepared"],
            input=f"{'0' * 40} {'1' * 40} refs/heads/main\n",
            env=git_environment(HOLDFAST_LOCK_TOKEN=token),
            check=False,
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == status, done.stderr


def test_concurrent_pushes(home: Home) -> None:
    """5.4, 5.5: holders of a shared lock that push at once: each push is whole or refused, the mirror stays sound."""
    home.clone()
    home.grant(*range(1, 9))
    places = [home.workspace(f"job-{number}.1") for number in range(1, 9)]
    commits = [home.job_commit(place, f"file-{number}") for number, place in enumerate(places, 1)]
    ends: dict[int, int] = {}

    def push(number: int) -> None:
        refspecs = ("main", f"main:own-{number}")
        ends[number] = home.push(places[number - 1], *refspecs, token=number).returncode

    threads = [threading.Thread(target=push, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    heads = refs.list_refs(home.mirror, refs.HEADS)
    assert heads["main"] in commits
    assert {f"own-{number}": commits[number - 1] for number in range(1, 9)}.items() <= heads.items()
    assert sum(status == 0 for status in ends.values()) <= 1
    git(home.mirror, "fsck", "--connectivity-only")


def test_a_push_that_stands_still_behind_the_check(pushing: tuple[Home, Path]) -> None:
    """5.4: a push that passed the fence and was stopped keeps its branch locked and visible: nobody else changes it."""
    home, workspace = pushing
    home.grant(1)
    hook = home.mirror / fence.HOOK_NAME
    hook.write_text(f'{fence.HOOK.read_text()}\n[ "$token" = 1 ] && kill -STOP $PPID && sleep 0.2\nexit 0\n')
    push = subprocess.Popen(
        ["git", "push", "origin", "main"],
        cwd=workspace,
        env=git_environment(HOLDFAST_LOCK_TOKEN="1"),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        # The branch is locked before the hook asks for the token: only one that stands still has passed it.
        eventually_sync(lambda: "T" in _states(push.pid), what="the stopped push")
        home.grant(2)
        assert fence.locked_refs(home.mirror) == pushes.branches_in_flight(home.mirror) == ["main"]
        second = home.workspace("second.1")
        home.job_commit(second, "other")
        assert home.push(second, "main", token=2).returncode != 0
    finally:
        os.killpg(push.pid, signal.SIGCONT)
        push.wait(60)
    assert fence.locked_refs(home.mirror) == []


def test_a_lock_file_that_a_killed_push_left(home: Home) -> None:
    """5.5: it is a push while a process works in the mirror; another user's always is: what he runs is not seen."""
    home.clone()
    left = home.mirror / "refs" / "heads" / "topic" / "main.lock"
    left.parent.mkdir(parents=True)
    left.touch()
    assert fence.locked_refs(home.mirror) == ["topic/main"]
    assert pushes.branches_in_flight(home.mirror) == []
    with subprocess.Popen(["sleep", "60"], cwd=home.mirror / "objects") as worker:
        try:
            assert pushes.branches_in_flight(home.mirror) == ["topic/main"]
        finally:
            worker.kill()
    assert pushes.branches_in_flight(home.mirror) == []
    if os.geteuid() == 0:
        os.chown(left, 12345, -1)
        assert pushes.branches_in_flight(home.mirror) == ["topic/main"]


def _states(group: int) -> str:
    """Process states of a process group."""
    done = subprocess.run(["ps", "-o", "state=", "-g", str(group)], check=False, capture_output=True, text=True)
    return done.stdout
