"""Workspaces and prepared bases: what a job finds, and how it gets on from there (requirements 5.3, 5.7)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from controller.repositories import cleanup, facts, refs, requests
from controller.repositories.places import base_key
from controller.repositories.results import Reason
from tests.integration.repositories.homes import Home, failed_as, git


def test_a_branch(home: Home) -> None:
    """5.3: the branch is checked out, clean, with origin = the mirror; a job pulls, pushes, and pulls again."""
    home.clone()
    home.grant(1)
    workspace = home.workspace(author=("Job", "job@example.com"))
    assert (workspace / "src/code.py").read_text() == "print('second')\n"
    assert git(workspace, "status", "--porcelain=v1", "-b").stdout == "## main...upstream/main\n"
    assert git(workspace, "remote", "get-url", "origin").stdout.strip() == str(home.mirror)
    assert git(workspace, "config", "user.name").stdout == "Job\n"
    assert git(workspace, "rev-parse", "origin/main", "upstream/topic/one", "v1.0^{commit}").stdout
    git(workspace, "pull", "-q")
    commit = home.job_commit(workspace, "new")
    assert git(workspace, "push", check=False, HOLDFAST_LOCK_TOKEN="1").returncode == 0
    second = home.workspace("job.2")
    assert git(second, "rev-parse", "HEAD", "origin/main").stdout.split() == [commit, commit]
    assert git(second, "status", "-sb").stdout == "## main...origin/main\n"
    git(second, "pull", "-q")
    made = facts.read_workspace(second)
    assert made is not None and (made.commit, made.ref, made.method) == (commit, "main", "Checkout")
    assert facts.survived(made)


@pytest.mark.parametrize("ref", ["light", "v1.0", "commit"])
def test_a_tag_or_a_commit(home: Home, ref: str) -> None:
    """5.3: a detached HEAD."""
    home.clone()
    first = git(home.upstream.work, "rev-parse", "light").stdout.strip()
    workspace = home.workspace(ref=first if ref == "commit" else ref)
    assert git(workspace, "rev-parse", "HEAD").stdout.strip() == first
    assert git(workspace, "symbolic-ref", "HEAD", check=False).returncode != 0
    assert git(workspace, "status", "--porcelain").stdout == ""


def test_the_commit_that_was_decided(home: Home) -> None:
    """5.7: the branch may have moved since: the job gets what was recorded, on its branch."""
    home.clone()
    decided = home.upstream.head()
    home.upstream.commit({"later": "1\n"})
    home.fetch()
    workspace = home.workspace(ref="main", commit=decided)
    assert git(workspace, "rev-parse", "HEAD", "main").stdout.split() == [decided, decided]


def test_a_branch_with_an_odd_name(home: Home) -> None:
    """5.3: slashes, dots and plus signs."""
    home.clone()
    home.upstream.commit({"x": "1"}, branch="fix/a+b.c@d/1")
    home.fetch()
    workspace = home.workspace(ref="fix/a+b.c@d/1")
    assert git(workspace, "status", "-sb").stdout.startswith("## fix/a+b.c@d/1...upstream/")


@pytest.mark.parametrize(("ref", "commit"), [("absent", ""), ("0" * 40, ""), ("main", "0" * 40), ("f" * 64, "")])
def test_what_is_not_there(home: Home, ref: str, commit: str) -> None:
    """5.2: a ref or commit that the mirror does not have; also an id that is no commit."""
    home.clone()
    failed_as(home.perform(requests.workspace, "job.1", ref, commit), Reason.REF_NOT_FOUND)
    blob = git(home.mirror, "rev-parse", "refs/upstream/main:README").stdout.strip()
    failed_as(home.perform(requests.workspace, "job.1", blob), Reason.REF_NOT_FOUND, blob)
    assert not home.places.workspace("job.1").exists() and home.half_made() == []


def test_without_a_mirror(home: Home) -> None:
    """5.2: what depends on a mirror waits with a reason."""
    failed_as(home.perform(requests.workspace, "job.1", "main"), Reason.NO_MIRROR)


def test_made_twice(home: Home) -> None:
    """2.6: one that is in place is left alone with what the job did in it; one of another boot is made anew."""
    home.clone()
    workspace = home.workspace()
    (workspace / "job.txt").write_text("work")
    home.workspace()
    assert (workspace / "job.txt").exists()
    path = workspace / ".git" / "holdfast.json"
    path.write_text(path.read_text().replace(facts.boot_id(), "another-boot"))
    home.workspace()
    assert not (workspace / "job.txt").exists() and git(workspace, "status", "--porcelain").stdout == ""
    path.write_text("{torn")
    home.workspace()


def test_submodules(home: Home) -> None:
    """Issue 4: refused with a clear reason."""
    commit = home.upstream.head()
    git(home.upstream.work, "update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/lib")
    git(home.upstream.work, "commit", "-q", "-m", "submodule")
    git(home.upstream.work, "push", "-q", "origin", "HEAD:main")
    home.clone()
    failed_as(home.perform(requests.workspace, "job.1", "main"), Reason.SUBMODULES_UNSUPPORTED, "vendor/lib")
    assert home.perform(requests.workspace, "job.1", "v1.0").succeeded


def test_lfs(home: Home) -> None:
    """Issue 4: refused with a clear reason, instead of pointers in the place of files."""
    home.upstream.commit({"assets/.gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    home.clone()
    failed_as(home.perform(requests.workspace, "job.1", "main"), Reason.LFS_UNSUPPORTED, "assets/.gitattributes")
    failed_as(
        home.perform(requests.prepare, home.upstream.head(), base_key(home.upstream.head(), ["true"]), ["true"]),
        Reason.LFS_UNSUPPORTED,
    )


PREPARE = ["sh", "-c", "mkdir -p deps && date +%N >deps/built; chmod 500 deps; env >.env.txt; echo done"]


def test_a_prepared_base(home: Home) -> None:
    """5.1, 5.7: the command runs once; what it leaves is in every workspace, each has its own copy."""
    commit = home.clone().commit
    key = base_key(commit, PREPARE)
    for _ in range(2):
        assert home.perform(requests.prepare, commit, key, PREPARE).succeeded
    one, two = (home.workspace(f"job.{number}", key=key) for number in (1, 2))
    assert (one / "deps/built").read_text() == (two / "deps/built").read_text() != ""
    (one / "README").write_text("mine")
    assert (two / "README").read_text() == "first\n"
    assert git(two, "status", "-sb").stdout.splitlines() == ["## main...upstream/main", "?? .env.txt", "?? deps/"]
    home.grant(3)
    home.job_commit(two, "more")
    assert home.push(two, "main", token=3).returncode == 0
    made = facts.read_workspace(one)
    assert made is not None and made.key == key and made.method in ("Copy", "Reflink")
    assert [found.name for found in cleanup.list_bases(home.places, "default", "shop")] == [key]
    cleanup.remove_workspace(home.places, "job.1")
    assert cleanup.remove_base(home.places, "default", "shop", key)
    assert not one.exists() and cleanup.list_bases(home.places, "default", "shop") == []
    failed_as(home.perform(requests.workspace, "job.3", "main", key=key), Reason.PREPARATION_FAILED, key)


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        (["sh", "-c", "exit 7"], 7, "exit code 7"),
        (["/no/such"], None, "/no/such"),
        (["sh", "-c", "kill -9 $$"], None, "signal 9"),
    ],
)
def test_a_preparation_that_fails(home: Home, command: list[str], code: int | None, word: str) -> None:
    """5.2: nothing half-prepared is in place."""
    commit = home.clone().commit
    result = home.perform(requests.prepare, commit, base_key(commit, command), command)
    failed_as(result, Reason.PREPARATION_FAILED, word)
    assert result.exit_code == code
    assert cleanup.list_bases(home.places, "default", "shop") == [] and home.half_made() == []


def test_what_a_preparation_leaves_running(home: Home) -> None:
    """5.2: nothing changes a base after it is in place; also a process in a session of its own is ended."""
    commit = home.clone().commit
    script = (
        "setsid sh -c 'echo $$ >pid; while :; do date +%N >>grows; sleep 0.05; done' & while ! [ -s grows ]; do :; done"
    )
    key = base_key(commit, ["sh", "-c", script])
    assert home.perform(requests.prepare, commit, key, ["sh", "-c", script]).succeeded
    base = home.places.base("default", "shop", key)
    assert not Path(f"/proc/{(base / 'pid').read_text().strip()}").exists()


def test_a_preparation_gets_no_credentials(home: Home) -> None:
    """3.7: the user's command sees nothing of the remote's Secret, whoever hands it over."""
    commit = home.clone().commit
    target = home.target()
    command = ["sh", "-c", "env >env.txt"]
    request = requests.prepare(target, commit, base_key(commit, command), command)
    object.__setattr__(request, "secret_env", {"HOLDFAST_GIT_TOKEN": "s3cret-token"})
    output, _ = home.start(request).communicate(timeout=60)
    text = (home.places.base("default", "shop", base_key(commit, command)) / "env.txt").read_text()
    assert "PATH=" in text and "s3cret-token" not in text + output


def test_a_base_in_use_is_not_removed(home: Home) -> None:
    """7.6: cleanup never takes what something alive uses."""
    import fcntl

    commit = home.clone().commit
    key = base_key(commit, ["true"])
    home.perform(requests.prepare, commit, key, ["true"])
    fd = os.open(home.places.base("default", "shop", key), os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert not cleanup.remove_base(home.places, "default", "shop", key)
    os.close(fd)
    assert cleanup.remove_base(home.places, "default", "shop", key)
    assert cleanup.remove_base(home.places, "default", "shop", key)


def test_a_damaged_base_is_made_again(home: Home) -> None:
    """5.2: a base without its facts was never complete."""
    commit = home.clone().commit
    key = base_key(commit, ["true"])
    home.perform(requests.prepare, commit, key, ["true"])
    (home.places.base("default", "shop", key) / ".git/holdfast.json").write_text("")
    failed_as(home.perform(requests.workspace, "job.1", "main", key=key), Reason.PREPARATION_FAILED)
    assert home.perform(requests.prepare, commit, key, ["true"]).succeeded
    home.workspace(key=key)


def test_leftovers(home: Home) -> None:
    """7.6: what crashed operations left goes when it is old; what runs, what is young and what is in use stays."""
    home.clone()
    workspace = home.workspace()
    home.grant(1)
    old = [home.places.workspaces / ".making.job.9.repo-uid.77", home.repository / ".making.mirror.repo-uid.78"]
    living = home.repository / "bases" / ".making.key.repo-uid.79"
    trash = home.repository / ".removing.0123456789abcdef"
    for path in (*old, living, trash):
        (path / "deep" / "er").mkdir(parents=True)
        (path / "deep").chmod(0o500)
    now = workspace.stat().st_mtime
    assert cleanup.clean_leftovers(home.places, {"repo-uid.79"}, now=now + 60) == [trash]
    removed = cleanup.clean_leftovers(home.places, {"repo-uid.79"}, now=now + 1000)
    assert sorted(removed) == sorted(old) and living.exists()
    assert cleanup.list_repositories(home.places) == [("default", "shop")]
    assert [found.name for found in cleanup.list_workspaces(home.places)] == ["job.1"]
    git(workspace, "status")
    cleanup.remove_repository(home.places, "default", "shop")
    assert cleanup.list_repositories(home.places) == []


def test_hooks_of_the_repository_or_the_machine_do_not_run(home: Home, tmp_path: Path) -> None:
    """3.7: nothing of the repository's content is executed by an operation."""
    home.clone()
    for place in (home.mirror / "hooks",):
        for name in ("post-checkout", "post-update", "pre-push"):
            (place / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
            (place / name).chmod(0o700)
    home.upstream.commit({".gitattributes": "*.py filter=x\n"})
    home.fetch()
    home.workspace()
    assert home.perform(requests.publish, home.remote, "main", home.upstream.head()).succeeded
    assert not (tmp_path / "ran").exists()


def test_a_read_ref_of_a_pushed_branch_is_what_a_workspace_has(home: Home) -> None:
    """5.1: the controller's file reads and the operation agree."""
    home.clone()
    for number, ref in enumerate(("main", "topic/one", "light", "v1.0"), 1):
        workspace = home.workspace(f"job.{number}", ref)
        assert git(workspace, "rev-parse", "HEAD").stdout.strip() == refs.read_ref(home.mirror, ref)


def test_cp_is_not_gnu(home: Home, tmp_path: Path) -> None:
    """5.3: where cp(1) is another one the copy is made without it."""
    commit = home.clone().commit
    key = base_key(commit, ["true"])
    home.perform(requests.prepare, commit, key, ["true"])
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "cp").write_text("#!/bin/sh\necho 'BusyBox'\nexit 1\n")
    (tools / "cp").chmod(0o700)
    target = home.target()
    request = requests.workspace(target, "job.1", "main", key=key)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    subprocess.run(request.argv, env=env, check=True, timeout=60, capture_output=True)
    assert git(home.places.workspace("job.1"), "status", "--porcelain").stdout == ""
