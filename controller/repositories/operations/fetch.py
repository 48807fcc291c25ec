"""fetch: bring `refs/upstream/*` and tags up to date, then let pushed branches follow where nothing can be lost (5.1).

Branches of jobs are never pruned and never forced. Standard library only.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from controller.repositories import refs
from controller.repositories.fence import read_fence
from controller.repositories.operations import git as calls
from controller.repositories.operations.durable import sync_file_system
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git, Secrets
from controller.repositories.operations.mirror import (
    FETCH_HEADS,
    FETCH_TAGS,
    branch_commit,
    locked,
    size_of,
    sound_mirror,
)
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.stale import remove_stale
from controller.repositories.orders import Fetch
from controller.repositories.results import Reason

_MANY_PACKS = 50


def fetch(order: Fetch, secrets: Secrets) -> Outcome:
    """Fetch; what a killed one left is removed first.

    Raises:
        Failed, BadName, OSError: refs that were fetched already stay, each of them whole.
    """
    repository = Path(order.repository)
    with locked(repository, order.lock_seconds, alone=False):
        mirror, facts = sound_mirror(repository, order.url)
        _raise_if_full(mirror)
        remove_stale(mirror)
        git = calls.local(mirror)
        before = _snapshot(mirror)
        pull(calls.remote(mirror, order.url, order.schemes.split(","), order.stall_seconds, secrets))
        branches = _follow(git, may_move=not read_fence(repository).tokens)
        git.run("pack-refs", "--all")
        _pack(git)
        sync_file_system(mirror)
        if not refs.list_refs(mirror, refs.UPSTREAM):
            raise Failed(Reason.EMPTY_REPOSITORY, "the remote has no branches any more")
        return Outcome(
            commit=branch_commit(mirror, order.branch),
            size_bytes=size_of(mirror),
            object_format=facts.object_format,
            default_branch=facts.default_branch,
            changed_refs=len({name for name, _ in before ^ _snapshot(mirror)}),
            fast_forwarded=branches.fast_forwarded,
            diverged=branches.diverged,
        )


def pull(git: Git) -> None:
    """Make `refs/upstream/*` and tags what the remote has; raises Failed."""
    git.run(
        *("fetch", "--progress", "--no-write-fetch-head", "--no-tags", "--prune", "--force"),
        *("--", "origin", FETCH_HEADS, FETCH_TAGS),
    )


@dataclass(frozen=True, slots=True)
class _Branches:
    fast_forwarded: tuple[str, ...]
    diverged: tuple[str, ...]


def _follow(git: Git, *, may_move: bool) -> _Branches:
    """Fast-forward pushed branches to upstream; while somebody may push, they are his."""
    mirror = git.directory
    pushed, upstream = refs.list_refs(mirror, refs.HEADS), refs.list_refs(mirror, refs.UPSTREAM)
    moves, diverged = [], []
    for branch, ours in pushed.items():
        theirs = upstream.get(branch, ours)
        if theirs == ours or _contains(git, ours, theirs):
            continue
        if not _contains(git, theirs, ours):
            diverged.append(branch)
        elif may_move:
            moves.append((branch, theirs, ours))
    if moves:
        # With the old value: a push in this very moment wins.
        lines = [f"update {refs.HEADS}{branch} {new} {old}" for branch, new, old in moves]
        git.run("update-ref", "--stdin", given="\n".join([*lines, ""]))
    return _Branches(tuple(branch for branch, _, _ in moves), tuple(diverged))


def _contains(git: Git, commit: str, other: str) -> bool:
    return git.call("merge-base", "--is-ancestor", other, commit)[0] == 0


def _pack(git: Git) -> None:
    """Many small packs make everything slow; this one keeps every object, reachable or not."""
    packs = [name for name in os.listdir(git.directory / "objects" / "pack") if name.endswith(".pack")]
    if len(packs) >= _MANY_PACKS:
        git.run("repack", "--geometric=2", "-d", "--quiet")


def _snapshot(mirror: Path) -> set[tuple[str, str]]:
    return {
        (prefix + name, commit)
        for prefix in (refs.UPSTREAM, refs.TAGS)
        for name, commit in refs.list_refs(mirror, prefix).items()
    }


def _raise_if_full(mirror: Path) -> None:
    """git on a full disk says many things; asked first, it is told in one word."""
    room = os.statvfs(mirror)
    if room.f_bavail * room.f_frsize < 65536:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(mirror))
