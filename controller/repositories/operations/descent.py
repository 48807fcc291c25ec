"""Proof that a commit descends from another one, out of objects that nobody vouches for (issue 4: nothing is forced).

git believes what a pack says its objects are called, so its own walk can be told a lie by whoever wrote the pack. Here
a chain of parents is looked for in what git says, and then each commit of it is hashed: what a chain of ids says by
the ids themselves cannot be forged. Standard library only.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence

from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git
from controller.repositories.results import Reason


def check_descent(git: Git, commit: str, ancestor: str) -> None:
    """Prove it.

    Args:
        git: in a repository that has both.

    Raises:
        Failed: it is not so, whatever git says.
    """
    chain = _chain(_parents(git, commit, ancestor), commit, ancestor)
    if chain is None:
        raise _forged(commit, ancestor)
    contents = _contents(git, chain[:-1])
    for child, parent in itertools.pairwise(chain):
        content = next(contents, b"")
        if _name_of(content, child) != child or parent not in _parents_in(content):
            raise _forged(commit, ancestor)


def _forged(commit: str, ancestor: str) -> Failed:
    text = f"the objects of the job's origin are not what they are called: {commit[:12]} is not proved to contain"
    return Failed(Reason.CORRUPT, f"{text} {ancestor[:12]}; nothing was published")


def _parents(git: Git, commit: str, ancestor: str) -> Mapping[str, Sequence[str]]:
    lines = git.run("rev-list", "--topo-order", "--parents", commit, f"^{ancestor}").splitlines()
    return {words[0]: words[1:] for words in map(str.split, lines)}


def _chain(parents: Mapping[str, Sequence[str]], commit: str, ancestor: str) -> list[str] | None:
    """From `commit` to `ancestor`, both included; None where there is none."""
    child_of, left = {commit: ""}, [commit]
    while left:
        one = left.pop()
        for parent in parents.get(one, ()):
            if parent not in child_of:
                child_of[parent] = one
                left.append(parent)
    if ancestor not in child_of:
        return None
    chain = [ancestor]
    while child_of[chain[-1]]:
        chain.append(child_of[chain[-1]])
    return chain[::-1]


def _contents(git: Git, commits: Sequence[str]) -> Iterator[bytes]:
    given = "".join(f"{commit}\n" for commit in commits)
    rest = git.run("cat-file", "--batch", given=given).encode("utf-8", "surrogateescape")
    while rest:
        head, _, rest = rest.partition(b"\n")
        size = int(head.rpartition(b" ")[2]) if b" commit " in head else 0
        yield rest[:size]
        rest = rest[size + 1 :]


def _name_of(content: bytes, like: str) -> str:
    algorithm = hashlib.sha256 if len(like) == 64 else hashlib.sha1  # git's own names; nothing else could be compared
    return algorithm(b"commit %d\0" % len(content) + content).hexdigest()


def _parents_in(content: bytes) -> list[str]:
    lines = content.partition(b"\n\n")[0].split(b"\n")
    return [line[7:].decode("ascii", "replace") for line in lines if line.startswith(b"parent ")]
