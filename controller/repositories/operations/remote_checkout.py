"""checkout: a job's own checkout straight from the remote, where there is no mirror to borrow from: in a Pod (issue 7).

`origin` is the remote; nothing of its credentials stays behind. Put in place by one rename. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from controller.files.trees import remove_tree
from controller.repositories import refs
from controller.repositories.names import check_ref, is_commit
from controller.repositories.operations import git as calls
from controller.repositories.operations.checkout import check_out_files, check_supported, quoted, user_config
from controller.repositories.operations.durable import put_in_place
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git, Secrets
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.stale import remove_stale
from controller.repositories.orders import Checkout
from controller.repositories.results import Reason
from controller.repositories.trees import making, remove_made

_CONFIG = """\
[gc]
\tauto = 0
[push]
\tdefault = current
[remote "origin"]
\turl = {url}
\tfetch = +refs/heads/*:refs/remotes/origin/*
"""
_TRACKS = '[branch "{branch}"]\n\tremote = origin\n\tmerge = refs/heads/{branch}\n'
_REFS = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")


def checkout(order: Checkout, secrets: Secrets) -> Outcome:
    """Make it; one that an earlier try has put in place is made anew, since nobody has worked in it yet.

    One that is kept beyond the Pod stays: it got its name when it was complete, and an attempt may have worked in it.

    Raises:
        Failed, BadName, OSError: there is no checkout then.
    """
    if (kept := kept_checkout(order)) is not None:
        return kept
    target = Path(order.target)
    with making(target.parent, target.name, order.id) as directory:
        object_format = "sha256" if len(order.commit) == 64 else "sha1"
        local = calls.local(directory)
        local.run("init", "--quiet", "--template=", f"--object-format={object_format}", ".")
        config = _CONFIG.format(url=quoted(order.url)) + user_config((order.author_name, order.author_email))
        with (directory / ".git" / "config").open("a") as file:
            file.write(config)
        remote = calls.remote(directory, order.url, order.schemes.split(","), order.stall_seconds, secrets)
        fetch_commit(remote, "origin", order.commit, _REFS)
        check_supported(local, order.commit)
        check_out_files(local, order.commit)
        _name_branch(local, order)
        remove_tree(target)
        put_in_place(directory, target, durable=order.kept)
    return Outcome(commit=order.commit, method="Checkout", object_format=object_format)


def kept_checkout(order: Checkout) -> Outcome | None:
    """The outcome where one that is kept beyond the Pod is there; None where it is to be made. git is not run in it.

    Raises:
        Failed: there is no such commit, or the attempt goes on in a checkout that is not there.
        BadName, OSError: so too.
    """
    check_ref(order.branch)
    if not is_commit(order.commit):
        raise Failed(Reason.REF_NOT_FOUND, f"{order.commit!r} is no commit id")
    target = Path(order.target)
    if order.kept:
        for name in filter(None, (target.name, Path(order.origin).name)):
            remove_made(target.parent, name)
        if target.is_dir():
            remove_stale(target / ".git")  # nobody else works in it: its attempts are proved over
            return Outcome(commit=order.commit, method="Kept")
    if order.resumes:
        raise Failed(Reason.NOTHING_TO_RESUME, f"there is no checkout of the lost attempt in its claim ({target})")
    return None


def fetch_commit(git: Git, source: str, commit: str, refspecs: Sequence[str]) -> None:
    """All branches and tags, as on a host; then the commit itself, where none of them leads to it any more.

    Args:
        source: the remote, by its name or its URL.
        refspecs: where branches and tags go.

    Raises:
        Failed: the commit is not there.
    """
    whole = git.with_options({"fetch.unpackLimit": "1"})
    whole.run("fetch", "--progress", "--no-write-fetch-head", "--no-tags", "--", source, *refspecs)
    if git.call("cat-file", "-e", f"{commit}^{{commit}}")[0] == 0:
        return
    status, _, errors = git.call("fetch", "--no-write-fetch-head", "--no-tags", "--", source, commit)
    if status != 0:
        said = (errors.strip().splitlines() or [""])[-1][:200]
        text = f"no branch or tag of the remote leads to commit {commit[:12]} any more, and it does not give it: {said}"
        raise Failed(Reason.REF_NOT_FOUND, text)


def _name_branch(git: Git, order: Checkout) -> None:
    """Make HEAD the branch, at the commit that is checked out; a tag or commit leaves it detached."""
    if git.call("rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{order.branch}")[0] != 0:
        return
    git.run("update-ref", "--no-deref", refs.HEADS + order.branch, order.commit)
    git.run("symbolic-ref", "HEAD", refs.HEADS + order.branch)
    with (git.directory / ".git" / "config").open("a") as file:
        file.write(_TRACKS.format(branch=order.branch))
