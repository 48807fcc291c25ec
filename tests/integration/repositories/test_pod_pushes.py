"""Pushes of a job in a Pod: to its own `origin` as on a host, then to the remote by who trusts nothing of it (5.5)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.repositories.homes import Home, git
from tests.integration.repositories.pod_program import TOKEN
from tests.integration.repositories.pod_pushing import Pod, a_pod, told
from tests.integration.repositories.servers import Web

FENCE = Path(__file__).resolve().parents[3] / "hack" / "hooks" / "fence"


@pytest.fixture
def pod(home: Home) -> Iterator[Pod]:
    with a_pod(home) as made:
        yield made


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
