"""Pushes of a job in a Pod: to its own `origin` as on a host, then to the remote by who trusts nothing of it (5.5)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.repositories.orders import Checkout, PublishPushed
from tests.integration.repositories.homes import Home, git, git_environment
from tests.integration.repositories.pod_program import TOKEN, Ran, perform, place_of
from tests.integration.repositories.servers import Web, serve

FENCE = Path(__file__).resolve().parents[3] / "hack" / "hooks" / "fence"


@dataclass
class Pod:
    """The volume of a job's Pod, and the remote."""

    home: Home
    web: Web
    checkout: Path
    origin: Path

    def make(self, **more: bool) -> Ran:
        """As the container does that runs before the command."""
        message, url = str(place_of(self.home) / "termination-log"), f"{self.web.url}/remote.git"
        order = Checkout(
            "job.1", str(self.checkout.parent), message, url, "http", "main", 5, self.home.upstream.head(),
            str(self.checkout), 50.0, "J", "j@x", str(self.origin), **more,
        )  # fmt: skip
        return perform(self.home, order)

    def publish(self, *, branch: str = "main", token: str = "7", patience: float = 1.0, **change: Any) -> Ran:
        """As the container does that follows the command."""
        message, url = str(place_of(self.home) / "termination-log"), f"{self.web.url}/remote.git"
        order = PublishPushed(
            "job.1", "/nowhere", message, url, "http", branch, 5, str(self.origin), token, patience, 50.0
        )
        return perform(self.home, order, **change)

    def commit(self, name: str = "job") -> str:
        return self.home.job_commit(self.checkout, name)

    def push(self, *refspecs: str) -> None:
        git(self.checkout, "push", "-q", "origin", *(refspecs or ("HEAD",)))

    def at_remote(self, branch: str = "main") -> str:
        found = git(self.home.upstream.bare, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", check=False)
        return found.stdout.strip()


@pytest.fixture
def pod(home: Home) -> Iterator[Pod]:
    """One whose init container has ended; the command has not begun."""
    with serve(Web(home.upstream.bare.parent, token=TOKEN)) as web:
        place = place_of(home)
        made = Pod(home, web, place / "shop", place / ".origin.git")
        for _ in range(2):  # made again it is made anew
            ran = made.make()
            assert (ran.code, ran.said) == (0, ""), ran.output
        yield made
        assert not [path for path in (place / "tmp").iterdir() if not path.name.startswith("kept")]


def told(ran: Ran) -> tuple[str, str]:
    """Reason and commit of the termination message."""
    said = json.loads(ran.said)
    return said["reason"], said["commit"]


def test_the_checkout_is_that_of_a_host(pod: Pod) -> None:
    """5.3, 4.1: branch, remotes and what `git push origin HEAD` means; nothing of the credentials."""
    head = pod.home.upstream.head()
    assert git(pod.checkout, "rev-parse", "HEAD", "main", "origin/main", "upstream/main").stdout.split() == [head] * 4
    assert git(pod.checkout, "status", "--porcelain=v1", "-b").stdout == "## main...upstream/main\n"
    assert git(pod.checkout, "remote", "get-url", "origin").stdout.strip() == str(pod.origin)
    assert git(pod.checkout, "rev-parse", "v1.0^{commit}", "origin/topic/one").stdout
    everything = b"".join(p.read_bytes() for p in pod.origin.parent.rglob("*") if p.is_file())
    assert TOKEN.encode() not in everything
    assert sorted(path.name for path in pod.origin.parent.iterdir()) == [
        ".origin.git",
        "shop",
        "termination-log",
        "tmp",
    ]
    pod.commit()
    pod.push()
    git(pod.checkout, "reset", "-q", "--hard", "HEAD~1")
    pod.commit("other")
    assert git(pod.checkout, "push", "-q", "--force", "origin", "HEAD", check=False).returncode != 0


def test_published(pod: Pod) -> None:
    """5.5: the branch that the job asked for, and no other; however often it is asked for."""
    commit = pod.commit()
    pod.push("HEAD", "HEAD:side")
    for _ in range(2):
        ran = pod.publish()
        assert (ran.code, told(ran)) == (0, ("Succeeded", commit)), ran.output
    assert pod.at_remote() == commit and pod.at_remote("side") == ""
    ran = pod.publish(branch="side")
    assert told(ran) == ("Succeeded", commit) and pod.at_remote("side") == commit


def test_what_a_lost_attempt_pushed_is_published_by_the_one_that_resumes_it(pod: Pod) -> None:
    """3.5, 5.5: on a claim checkout and origin stay as they are; one without the other is made anew."""
    commit = pod.commit()
    pod.push()
    assert pod.make(kept=True, resumes=True).code == 0
    assert git(pod.checkout, "rev-parse", "HEAD").stdout.strip() == commit
    assert told(pod.publish()) == ("Succeeded", commit)
    shutil.rmtree(pod.checkout)
    ran = pod.make(kept=True, resumes=True)
    assert told(ran)[0] == "NothingToResume", ran.output
    assert pod.make(kept=True).code == 0
    recorded = pod.home.upstream.head()  # what an attempt was admitted with is what it gets
    assert git(pod.checkout, "rev-parse", "HEAD", "origin/main").stdout.split() == [recorded, commit]


def test_nothing_was_pushed(pod: Pod) -> None:
    """5.5: that is a success, as on a host."""
    assert told(pod.publish()) == ("Succeeded", "")
    pod.push()
    assert told(pod.publish()) == ("Succeeded", "")
    pod.commit()
    pod.push("HEAD:side")
    assert told(pod.publish()) == ("Succeeded", "")


def test_not_a_fast_forward(pod: Pod) -> None:
    """Issue 4: refused, visible, nothing forced."""
    pod.commit()
    pod.push()
    theirs = pod.home.upstream.commit({"theirs": "1\n"})
    ran = pod.publish()
    assert (ran.code, told(ran)[0]) == (1, "NonFastForward"), ran.output
    assert pod.at_remote() == theirs


def test_published_before_and_built_upon(pod: Pod) -> None:
    """Issue 4: what an earlier try could not tell is found below what others pushed after it."""
    commit = pod.commit()
    pod.push()
    assert pod.publish().code == 0
    git(pod.home.upstream.work, "pull", "-q", "--ff-only", "origin", "main")
    later = pod.home.upstream.commit({"later": "1\n"})
    ran = pod.publish()
    assert told(ran) == ("Succeeded", commit) and later[:12] in ran.said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda web: setattr(web, "token", "other"), "AuthenticationFailed"),
        (lambda web: setattr(web, "url", "http://127.0.0.1:9"), "RemoteUnreachable"),
        (lambda web: setattr(web, "url", "ext::sh -c id"), "UrlRefused"),
    ],
)
def test_failures(pod: Pod, change: Callable[[Web], None], reason: str) -> None:
    """Issue 4: each says why."""
    pod.commit()
    pod.push()
    change(pod.web)
    ran = pod.publish(token="")
    assert (ran.code, told(ran)[0]) == (1, reason), ran.output


def test_the_remote_says_no(pod: Pod) -> None:
    """Issue 4: a protected branch is not one that moved on."""
    pod.commit()
    pod.push()
    hook = pod.home.upstream.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    ran = pod.publish()
    assert told(ran)[0] == "RemoteRejected" and "main is protected" in ran.output


def test_the_token_reaches_a_remote_that_asks_for_it(pod: Pod) -> None:
    """5.5: hack/hooks/fence at the remote refuses who was overtaken; one without the hook is not bothered."""
    bare = pod.home.upstream.bare
    git(bare, "config", "receive.advertisePushOptions", "true")
    (bare / "hooks").mkdir(exist_ok=True)
    for name in ("pre-receive", "reference-transaction", "post-receive"):
        shutil.copy(FENCE, bare / "hooks" / name)
    pod.commit()
    pod.push()
    assert pod.publish(token="8").code == 0
    commit = pod.commit("more")
    pod.push()
    ran = pod.publish(token="7")
    assert told(ran)[0] == "RemoteRejected" and "lock token 7 is over" in ran.output
    assert told(pod.publish(token="9")) == ("Succeeded", commit)


def test_who_is_fenced_publishes_nothing(pod: Pod) -> None:
    """5.5: the lock was taken away while the command ran."""
    before = pod.at_remote()
    pod.commit()
    pod.push()
    ran = pod.publish(HOLDFAST_FENCED="its lock was taken away")
    assert (ran.code, told(ran)) == (1, ("StaleToken", "")) and "taken away" in ran.said
    assert pod.at_remote() == before


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
