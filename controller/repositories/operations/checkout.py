"""A checkout that borrows the mirror's objects: what a workspace and a base begin as (requirement 5.3).

`origin` is the mirror's pushed branches, `upstream` (the same mirror) what the remote has. `origin/X` is at first what
jobs get for X; a branch that nobody pushed yet is pulled from `upstream` and pushed to `origin`.
Standard library only.
"""

from __future__ import annotations

import time
from pathlib import Path

from controller.files.atomic import write_durable
from controller.repositories import refs
from controller.repositories.facts import WORKSPACE_FACTS, WorkspaceFacts, boot_id, format_facts
from controller.repositories.objects import has_object
from controller.repositories.operations import git as calls
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git
from controller.repositories.results import Reason

_CONFIG = """\
[gc]
\tauto = 0
[maintenance]
\tauto = false
[push]
\tdefault = current
[remote]
\tpushDefault = origin
[remote "origin"]
\turl = {mirror}
\tfetch = +refs/heads/*:refs/remotes/origin/*
[remote "upstream"]
\turl = {mirror}
\tfetch = +refs/upstream/*:refs/remotes/upstream/*
"""
_COPY_CONFIG = """\
[core]
\tcheckStat = minimal
\ttrustctime = false
"""  # a copy has other inodes and ctimes: git must not read every file again because of them
_WORKERS = {"checkout.workers": "0", "checkout.thresholdForParallelism": "100"}


def check_there(git: Git, commit: str) -> None:
    """Look for the commit itself.

    Args:
        git: in the mirror.

    Raises:
        Failed: it is not there, which of one that the mirror names itself means that the mirror is damaged.
    """
    status, kind, errors = git.call("cat-file", "-t", commit)
    if status != 0 and (_names(git.directory, commit) or has_object(git.directory, commit)):
        raise Failed(Reason.CORRUPT, f"the mirror is damaged: commit {commit} cannot be read ({errors.strip()[:300]})")
    if status != 0 or kind.strip() != "commit":
        raise Failed(Reason.REF_NOT_FOUND, f"the remote has no branch or tag that leads to {commit}: push one")


def _names(mirror: Path, commit: str) -> bool:
    return any(commit in refs.list_refs(mirror, each).values() for each in (refs.HEADS, refs.UPSTREAM, refs.TAGS))


def check_supported(git: Git, commit: str) -> None:
    """Look at the whole tree for what a checkout would silently leave out.

    Args:
        git: in the mirror.

    Raises:
        Failed: it has submodules, or files that git-lfs keeps elsewhere; or the mirror is damaged.
    """
    entries = git.run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
    modules = [entry.partition("\t")[2] for entry in entries if entry.startswith("160000 ")]
    if modules:
        what = ", ".join(modules[:3]) + (" …" if len(modules) > 3 else "")
        raise Failed(Reason.SUBMODULES_UNSUPPORTED, f"commit {commit[:12]} has submodules ({what}): not supported")
    attributes = [entry for entry in entries if entry.endswith(("\t.gitattributes", "/.gitattributes"))]
    for entry in attributes:
        if "filter=lfs" in git.run("cat-file", "blob", entry.split()[2]):
            path = entry.partition("\t")[2]
            raise Failed(Reason.LFS_UNSUPPORTED, f"{path} in commit {commit[:12]} uses git-lfs: not supported")


def check_out(mirror: Path, directory: Path, commit: str, object_format: str) -> None:
    """Make a checkout of `commit` with a detached HEAD in an empty directory.

    Raises:
        Failed, OSError: the directory is half-made.
    """
    git = calls.local(directory)
    git.run("init", "--quiet", "--template=", f"--object-format={object_format}", ".")
    home = directory / ".git"
    alternates = home / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{mirror / 'objects'}\n")
    with (home / "config").open("a") as file:
        file.write(_CONFIG.format(mirror=quoted(str(mirror))))
    check_out_files(git, commit)


def check_out_files(git: Git, commit: str) -> None:
    """The files of a commit, with a detached HEAD; raises Failed."""
    (git.directory / ".git" / "HEAD").write_text(f"{commit}\n")
    git.with_options(_WORKERS).run("reset", "--quiet", "--hard", commit)


def name_refs(mirror: Path, directory: Path, *, copied: bool, author: tuple[str, str]) -> None:
    """Give a checkout the refs that the mirror has now, and an author.

    Args:
        copied: its files were copied, with their times.
        author: name and e-mail address; empty ones leave it to the job's own configuration.
    """
    pushed, upstream = refs.list_refs(mirror, refs.HEADS), refs.list_refs(mirror, refs.UPSTREAM)
    lines = [f"{commit} refs/remotes/origin/{name}" for name, commit in {**upstream, **pushed}.items()]
    lines += [f"{commit} refs/remotes/upstream/{name}" for name, commit in upstream.items()]
    lines += [f"{commit} refs/tags/{name}" for name, commit in refs.list_refs(mirror, refs.TAGS).items()]
    text = "".join(f"{line}\n" for line in lines)
    (directory / ".git" / refs.PACKED).write_text(text, encoding="utf-8", errors="surrogateescape")
    with (directory / ".git" / "config").open("a") as file:
        file.write((_COPY_CONFIG if copied else "") + user_config(author))


def user_config(author: tuple[str, str]) -> str:
    """Configuration of name and e-mail address; nothing where one is empty."""
    return f"[user]\n\tname = {quoted(author[0])}\n\temail = {quoted(author[1])}\n" if all(author) else ""


def switch_to_branch(mirror: Path, directory: Path, branch: str, commit: str) -> None:
    """Make HEAD the branch, at the commit that is checked out already; it tracks where its commits come from."""
    home = directory / ".git"
    (home / "refs" / "heads" / branch).parent.mkdir(parents=True, exist_ok=True)
    (home / "refs" / "heads" / branch).write_text(f"{commit}\n")
    (home / "HEAD").write_text(f"ref: {refs.HEADS}{branch}\n")
    pushed = refs.read_head(mirror, branch) is not None
    source = ("origin", refs.HEADS) if pushed else ("upstream", refs.UPSTREAM)
    with (home / "config").open("a") as file:
        file.write(f'[branch "{branch}"]\n\tremote = {source[0]}\n\tmerge = {source[1]}{branch}\n')


def sign(directory: Path, facts: WorkspaceFacts) -> None:
    """Write what it is into a checkout, as the last step before it gets its name; raises OSError."""
    path = directory / ".git" / WORKSPACE_FACTS
    path.unlink(missing_ok=True)
    write_durable(str(path), format_facts(facts))


def facts_of(operation: str, ref: str, commit: str, key: str, method: str) -> WorkspaceFacts:
    """Facts with this boot and time."""
    return WorkspaceFacts(operation, ref, commit, key, method, boot_id(), time.time())


def quoted(value: str) -> str:
    """git-config(1), Syntax: a value with its special characters escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
