"""Reading refs of a mirror from its files, without git: cheap enough for the controller's event loop.

Packed refs carry the commit that a tag stands for (`^…`), so every operation packs them before it ends. A ref file
holds an object id and a newline, is replaced by rename and wins over the packed one (gitrepository-layout(5)).
Only the standard library may be imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from controller.files.trees import walk
from controller.repositories.names import check_ref, is_commit

HEADS = "refs/heads/"  # what jobs push
UPSTREAM = "refs/upstream/"  # what the remote has
TAGS = "refs/tags/"
PACKED = "packed-refs"


def read_ref(mirror: Path, ref: str) -> str | None:
    """The commit that jobs get for `ref`: a pushed branch, else the remote's, else a tag, else a whole commit id.

    Whether the object of a commit id is in the mirror is not looked at: who checks it out finds out.

    Returns:
        None where the mirror has none of these.

    Raises:
        BadName: `ref` cannot be a ref.
        OSError: the mirror cannot be read; FileNotFoundError where there is none.
    """
    check_ref(ref)
    # Prefix by prefix: a remote's branch that is loose must not win over a pushed one that is packed.
    found = next((commit for prefix in (HEADS, UPSTREAM, TAGS) if (commit := _ref(mirror, prefix + ref))), None)
    if found is None and is_commit(ref):
        return ref
    return found


def read_head(mirror: Path, branch: str, prefix: str = HEADS) -> str | None:
    """The commit of a branch under one prefix only; raises as `read_ref`."""
    return _ref(mirror, prefix + check_ref(branch))


def list_refs(mirror: Path, prefix: str) -> dict[str, str]:
    """All refs under `prefix`, by the rest of their names; tags stand for themselves, not for what they point to.

    Raises:
        OSError: the mirror cannot be read.
    """
    packed = {}
    loose = dict(_walk_loose(mirror, prefix))
    for line in _packed(mirror).splitlines():
        commit, _, name = line.partition(b" ")
        if name.startswith(prefix.encode()) and is_commit(commit.decode("ascii", "replace")):
            packed[name.decode("utf-8", "surrogateescape")[len(prefix) :]] = commit.decode("ascii")
    return dict(sorted({**packed, **loose}.items()))


def ref_files(mirror: Path, prefix: str) -> list[str]:
    """Names of all files below a directory of refs, without the prefix; lock files too. Raises OSError."""
    root = mirror / prefix.rstrip("/")
    found = []
    for names, entry in walk(root, _fail):  # git removes directories of refs that became empty: that is no failure
        if not entry.is_dir(follow_symlinks=False):
            found.append("/".join([*names[1:], entry.name]))
    return found


def _fail(error: OSError) -> None:
    raise error


def _walk_loose(mirror: Path, prefix: str) -> Iterator[tuple[str, str]]:
    for name in ref_files(mirror, prefix):
        commit = None if name.endswith(".lock") else _loose(mirror, prefix + name)
        if commit is not None:
            yield name, commit


def _ref(mirror: Path, name: str) -> str | None:
    """A loose tag stands for its tag object: it is taken only once it is packed, with the commit that it means."""
    loose = None if name.startswith(TAGS) else _loose(mirror, name)
    # A loose ref may have been packed between the two looks; it is in what is read after.
    return loose or _find(_packed(mirror), name)


def _loose(mirror: Path, name: str) -> str | None:
    """None also for what is no object id: a symbolic ref, a file that a power cut left empty, a directory."""
    try:
        text = (mirror / name).read_bytes().decode("ascii", "replace").strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return text if is_commit(text) else None


def _packed(mirror: Path) -> bytes:
    try:
        return (mirror / PACKED).read_bytes()
    except FileNotFoundError:
        os.stat(mirror / "HEAD")  # no packed refs is no error, no mirror is one
        return b""


def _find(packed: bytes, name: str) -> str | None:
    """Searched as bytes: with 100,000 refs parsing every line would hold up the event loop."""
    wanted = b" " + os.fsencode(name) + b"\n"
    at = packed.find(wanted)
    if at < 0:
        return None
    after = at + len(wanted)
    if packed[after : after + 1] == b"^":
        commit = packed[after + 1 : packed.find(b"\n", after)]
    else:
        commit = packed[packed.rfind(b"\n", 0, at) + 1 : at]
    text = commit.decode("ascii", "replace")
    return text if is_commit(text) else None
