"""publish-pushed: what a job in a Pod pushed to its `origin` goes to the remote, by who has the credentials (5.5).

The job could write whatever it liked into that repository: configuration, hooks, links, objects with wrong names. So
git never runs in it. Its files are looked at first, the branch is read from them as text, and git works in a repository
of its own that borrows the objects. Nothing is forced: the remote's commit is asked for, the job's is proved to descend
from it (`descent`), and the remote replaces exactly that one. Standard library only.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from controller.repositories import refs
from controller.repositories.names import check_ref
from controller.repositories.operations import git as calls
from controller.repositories.operations.descent import check_descent
from controller.repositories.operations.failures import Failed, failure_of
from controller.repositories.operations.git import Git, Secrets
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.publish import patiently
from controller.repositories.orders import PublishPushed
from controller.repositories.results import Reason
from controller.repositories.trees import making

_OVERTAKEN = 5  # times that the remote's branch may move between our look and our push
_NO_OPTIONS = "does not support push options"
_PUSHED = "refs/heads/pushed"
# Indexes beside the objects may lie; the repository that they are borrowed from is not asked for its refs.
_SUSPICIOUS = {"core.commitGraph": "false", "core.multiPackIndex": "false", "core.alternateRefsCommand": "true"}


def publish_pushed(order: PublishPushed, secrets: Secrets) -> Outcome:
    """Push it; where the job pushed nothing new to the branch, the commit of the outcome is empty.

    Raises:
        Failed: the remote did not take it, or there is nothing sound to give it.
        BadName, OSError: so too.
    """
    check_ref(order.branch)
    origin = Path(order.origin)
    _check_files(origin)
    commit = refs.read_head(origin, order.branch, refs.HEADS)
    if commit is None or commit == refs.read_head(origin, order.branch, refs.UPSTREAM):
        return Outcome(message=f"nothing new was pushed to branch {order.branch}")
    with making(Path(tempfile.gettempdir()), "publish", order.id) as directory:
        _borrow(directory, origin, commit)
        remote = calls.remote(directory, order.url, order.schemes.split(","), order.stall_seconds, secrets)
        git = remote.with_options(_SUSPICIOUS)
        message = patiently(lambda: _publish(git, order, commit), order.patience_seconds)
    return Outcome(commit=commit, message=message)


def _check_files(origin: Path) -> None:
    """Files and directories only: a link could lead anywhere, a pipe would be waited for; raises Failed, OSError."""
    for path, mode in _walk(origin):
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _spoilt(f"{path} is neither a file nor a directory")
    if (origin / "objects" / "info" / "alternates").exists():
        raise _spoilt("it borrows objects from elsewhere")


def _spoilt(what: str) -> Failed:
    return Failed(Reason.CORRUPT, f"the job's origin is not as git leaves it: {what}; nothing was published")


def _walk(top: Path) -> Iterator[tuple[str, int]]:
    left = [str(top)]
    while left:
        path = left.pop()
        mode = os.lstat(path).st_mode
        yield path, mode
        if stat.S_ISDIR(mode):
            left += [entry.path for entry in os.scandir(path)]


def _borrow(directory: Path, origin: Path, commit: str) -> None:
    """A repository of ours with the job's objects and nothing else of it; raises Failed."""
    git = calls.local(directory).with_options(_SUSPICIOUS)
    object_format = "sha256" if len(commit) == 64 else "sha1"
    git.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", ".")
    alternates = directory / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{origin / 'objects'}\n")
    if git.call("cat-file", "-e", f"{commit}^{{commit}}")[0] != 0:
        raise Failed(Reason.REF_NOT_FOUND, f"the job's origin has no commit {commit}")
    git.run("update-ref", _PUSHED, commit)  # what a fetch says that it has


def _publish(git: Git, order: PublishPushed, commit: str) -> str:
    """One try; returns what there is to say about it."""
    for left in reversed(range(_OVERTAKEN)):
        theirs = _at_remote(git, order)
        if theirs == commit:
            break
        if theirs is not None:
            if not _contains(git, commit, theirs):
                return _below(git, order, commit)
            check_descent(git, commit, theirs)
        failure = _push(git, order, commit, theirs)
        if failure is None:
            break
        if failure.reason is not Reason.NON_FAST_FORWARD or not left:
            raise failure
    return ""


def _at_remote(git: Git, order: PublishPushed) -> str | None:
    target = refs.HEADS + order.branch
    lines = (line.split("\t") for line in git.run("ls-remote", "--", order.url, target).splitlines())
    return next((words[0] for words in lines if words[1:] == [target]), None)


def _contains(git: Git, commit: str, other: str) -> bool:
    """Whether the history of `commit` is said to have `other`."""
    return git.call("merge-base", "--is-ancestor", other, commit)[0] == 0


def _below(git: Git, order: PublishPushed, commit: str) -> str:
    """Published by a try that could not say so, and built upon since; otherwise raises Failed."""
    theirs = refs.UPSTREAM + order.branch
    spec = f"+{refs.HEADS}{order.branch}:{theirs}"
    git.run("fetch", "--no-write-fetch-head", "--no-tags", "--", order.url, spec)
    tip = git.run("rev-parse", "--verify", theirs).strip()
    if not _contains(git, tip, commit):
        text = f"branch {order.branch} of the remote has commits that {commit[:12]} does not contain"
        raise Failed(Reason.NON_FAST_FORWARD, f"{text}: nothing was forced")
    return f"the remote has it already, below {tip[:12]}"


def _push(git: Git, order: PublishPushed, commit: str, theirs: str | None) -> Failed | None:
    """Why the remote did not replace `theirs`; the token of the lock goes with it where the remote takes such words."""
    token = ("-o", f"holdfast-token={order.token}") if order.token else ()
    status, output, errors = _call(git, order, commit, theirs, token)
    if status != 0 and token and _NO_OPTIONS in errors:
        status, output, errors = _call(git, order, commit, theirs, ())
    if status == 0:
        return None
    refused = [line for line in output.splitlines() if line.startswith("!")]
    return failure_of("\n".join([*refused, errors]) if refused else errors, "push")


def _call(
    git: Git, order: PublishPushed, commit: str, theirs: str | None, options: Sequence[str]
) -> tuple[int, str, str]:
    """git push with a lease on what the remote has: a descendant of it is given, so this forces nothing."""
    target = refs.HEADS + order.branch
    lease = f"--force-with-lease={target}:{theirs or ''}"
    flags = ("--porcelain", "--progress", "--no-follow-tags", lease, *options)
    return git.call("push", *flags, "--", order.url, f"{commit}:{target}")
