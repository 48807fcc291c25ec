"""What publishes trusts nothing that a job left in its workspace (requirements 3.7, 5.5)."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.repositories.homes import Home, git, git_environment
from tests.integration.repositories.pod_program import place_of
from tests.integration.repositories.pod_pushing import Pod, a_pod, told
from tests.integration.repositories.servers import Web, serve


@pytest.fixture
def pod(home: Home) -> Iterator[Pod]:
    with a_pod(home) as made:
        yield made


EVIL = """
[core]
\tsshCommand = {mark}
\tfsmonitor = {mark}
\thooksPath = {hooks}
\tpager = {mark}
\talternateRefsCommand = {mark}
\tgitProxy = {mark}
\taskPass = {mark}
[credential]
\thelper = !{mark}
[http]
\tproxy = http://127.0.0.1:9
[url "{elsewhere}"]
\tinsteadOf = {url}
\tpushInsteadOf = {url}
[remote "origin"]
\turl = {elsewhere}
\treceivepack = {mark}
\tuploadpack = {mark}
\tpartialclonefilter = blob:none
\tpromisor = true
[uploadpack]
\tpackObjectsHook = {mark}
[include]
\tpath = {hooks}/included
"""
HOOKS = ("pre-push", "reference-transaction", "post-update", "pre-receive", "update", "post-checkout", "pre-auto-gc")


def test_an_evil_workspace_runs_nothing_and_gets_nothing(pod: Pod, tmp_path: Path) -> None:
    """3.7: configuration and hooks in checkout and origin are only files; the push goes where it should."""
    mark, hooks = tmp_path / "mark", tmp_path / "hooks"
    mark.write_text(f"#!/bin/sh\n(id; env; cat /proc/$PPID/environ) >>{tmp_path}/ran\n")
    mark.chmod(0o755)
    hooks.mkdir()
    with serve(Web(tmp_path)) as elsewhere:
        commit = pod.commit()
        pod.push()
        text = EVIL.format(mark=mark, hooks=hooks, elsewhere=elsewhere.url, url=pod.web.url)
        for config, place in (
            (pod.origin / "config", pod.origin / "hooks"),
            (pod.checkout / ".git/config", pod.checkout / ".git/hooks"),
        ):
            with config.open("a") as file:
                file.write(text)
            for directory in (place, hooks):
                directory.mkdir(exist_ok=True)
                for name in HOOKS:
                    shutil.copy(mark, directory / name)
        (place_of(pod.home) / "tmp" / "kept.gitconfig").write_text(text)
        ran = pod.publish()
        assert told(ran) == ("Succeeded", commit), ran.output
        assert pod.at_remote() == commit
        assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
        assert not elsewhere.passwords


def a_link(pod: Pod) -> None:
    (pod.origin / "refs" / "heads" / "main").unlink()
    (pod.origin / "refs" / "heads" / "main").symlink_to("/proc/self/environ")


def a_pipe(pod: Pod) -> None:
    os.mkfifo(pod.origin / "objects" / "pipe")


def other_objects(pod: Pod) -> None:
    (pod.origin / "objects" / "info" / "alternates").write_text("/proc/1/root\n")


def another_place(pod: Pod) -> None:
    pod.origin.rename(pod.origin.parent / "moved")
    pod.origin.symlink_to(pod.origin.parent / "moved")


def no_commit(pod: Pod) -> None:
    (pod.origin / "refs" / "heads" / "main").write_text("f" * 40 + "\n")


def an_option(pod: Pod) -> None:
    (pod.origin / "refs" / "heads" / "main").write_text("--receive-pack=id\n")


def nothing_at_all(pod: Pod) -> None:
    shutil.rmtree(pod.origin)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (a_link, "Corrupt"),
        (a_pipe, "Corrupt"),
        (other_objects, "Corrupt"),
        (another_place, "Corrupt"),
        (no_commit, "RefNotFound"),
        (an_option, "Succeeded"),  # that is no commit: nothing was pushed
        (nothing_at_all, "StateDirectoryFailed"),
    ],
)
def test_what_git_does_not_leave_behind_is_not_read(pod: Pod, spoil: Callable[[Pod], None], reason: str) -> None:
    """3.7: no link is followed, no pipe waited for, nothing is pushed."""
    before = pod.at_remote()
    pod.commit()
    pod.push()
    spoil(pod)
    ran = pod.publish()
    assert told(ran) == (reason, ""), ran.output
    assert pod.at_remote() == before


def test_objects_with_wrong_names_force_nothing(pod: Pod) -> None:
    """Issue 4: a commit that only seems to descend from the remote's would take back what others have pushed."""
    tip = git(pod.checkout, "rev-parse", "HEAD").stdout.strip()
    old = git(pod.checkout, "rev-parse", "HEAD~1").stdout.strip()
    git(pod.checkout, "reset", "-q", "--hard", old)
    pod.commit()
    git(pod.checkout, "push", "-q", "origin", "HEAD:main")  # the job's origin has no such branch yet
    for pack in list((pod.origin / "objects" / "pack").glob("*.pack")):
        moved = pack.rename(pod.origin / pack.name)
        with moved.open("rb") as file:
            argv = ["git", "unpack-objects", "-q"]
            subprocess.run(argv, cwd=pod.origin, env=git_environment(), stdin=file, check=True, timeout=60)
        moved.unlink()
    for index in list((pod.origin / "objects" / "pack").iterdir()):
        index.unlink()
    content = git(pod.origin, "cat-file", "commit", old).stdout
    head, _, rest = content.partition("\n")
    lie = f"{head}\nparent {tip}\n{rest[rest.index('author') :]}".encode()
    loose = pod.origin / "objects" / old[:2] / old[2:]
    loose.unlink()
    loose.write_bytes(zlib.compress(b"commit %d\0" % len(lie) + lie))
    said = git(pod.origin, "merge-base", "--is-ancestor", tip, "main", check=False)
    assert said.returncode == 0, "git believes it"
    ran = pod.publish()
    assert (ran.code, told(ran)[0]) == (1, "Corrupt"), ran.output
    assert pod.at_remote() == tip
