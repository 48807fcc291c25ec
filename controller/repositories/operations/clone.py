"""clone: make the mirror in a temporary directory and put it in place by one rename (requirements 5.1, 5.2).

Pushes of jobs in mirrors that were set aside as corrupt are brought over where their objects are sound.
Standard library only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from controller.files.atomic import write_durable
from controller.repositories import refs
from controller.repositories.facts import MIRROR_FACTS, MirrorFacts, format_facts
from controller.repositories.fence import install_hook
from controller.repositories.operations import git as calls
from controller.repositories.operations.durable import put_in_place
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git, Secrets
from controller.repositories.operations.mirror import (
    FETCH_HEADS,
    FETCH_TAGS,
    branch_commit,
    configure,
    locked,
    size_of,
    sound_mirror,
)
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.rescue import rescue
from controller.repositories.orders import Clone
from controller.repositories.places import MIRROR
from controller.repositories.results import Reason
from controller.repositories.trees import making, remove_made


def clone(order: Clone, secrets: Secrets) -> Outcome:
    """Make the mirror; one that is there already is left as it is.

    Raises:
        Failed, BadName, OSError: there is no mirror then, and nothing half-made.
    """
    repository = Path(order.repository)
    with locked(repository, order.lock_seconds, alone=True):
        remove_made(repository, "mirror")
        if (repository / MIRROR).exists():
            return _known(order, repository)
        with making(repository, "mirror", order.id) as directory:
            git = calls.remote(directory, order.url, order.schemes.split(","), order.stall_seconds, secrets)
            head = _ask(git, order.url)
            _fill(git, order.url, head, repository / MIRROR)
            rescued = rescue(repository, calls.local(directory))
            _finish(order, directory, head)
            put_in_place(directory, repository / MIRROR, durable=True)
        rescued.forget()
        outcome = _known(order, repository)
    return Outcome(**{**outcome.facts(), "rescued": rescued.saved, "lost": rescued.lost})


@dataclass(frozen=True, slots=True)
class _Head:
    """What the remote says about itself."""

    branch: str
    object_format: str


def _ask(git: Git, url: str) -> _Head:
    """One round trip that tells object format, default branch, and whether there is anything at all."""
    lines = git.run("ls-remote", "--symref", "--", url).splitlines()
    objects = [line.split("\t") for line in lines if not line.startswith("ref: ")]
    if not any(name.startswith(refs.HEADS) for _, name in objects):
        raise Failed(Reason.EMPTY_REPOSITORY, "the remote has no branches yet: push a first commit")
    symbolic = [line[5:].split("\t")[0] for line in lines if line.startswith("ref: ") and line.endswith("\tHEAD")]
    branch = symbolic[0].removeprefix(refs.HEADS) if symbolic else ""
    return _Head(branch, "sha256" if len(objects[0][0]) == 64 else "sha1")


def _fill(git: Git, url: str, head: _Head, final: Path) -> None:
    git.run("init", "--quiet", "--bare", "--template=", f"--object-format={head.object_format}", ".")
    configure(git, url, final / "hooks")
    # Kept as the one pack that it comes in, however small.
    whole = git.with_options({"fetch.unpackLimit": "1"})
    whole.run("fetch", "--progress", "--no-write-fetch-head", "--no-tags", "--", "origin", FETCH_HEADS, FETCH_TAGS)
    if head.branch:
        git.run("symbolic-ref", "HEAD", refs.HEADS + head.branch)
    git.run("pack-refs", "--all")
    git.run("fsck", "--connectivity-only", "--no-dangling", "--no-progress")


def _finish(order: Clone, directory: Path, head: _Head) -> None:
    install_hook(directory)
    facts = MirrorFacts(order.id, order.url, head.object_format, head.branch, time.time())
    write_durable(str(directory / MIRROR_FACTS), format_facts(facts))


def _known(order: Clone, repository: Path) -> Outcome:
    mirror, facts = sound_mirror(repository, order.url)
    return Outcome(
        commit=branch_commit(mirror, order.branch),
        size_bytes=size_of(mirror),
        object_format=facts.object_format,
        default_branch=facts.default_branch,
    )
