"""The fence of a mirror: the tokens of those who hold the lock and may push, and the hook that asks for them (5.5).

`fence` is one text file, so that it is replaced as a whole:

    version 2
    max <largest token ever>
    <token>                     of each holder that may push
    sum <CRC-32 of all before>  in the letters a to p: who looks for the largest number finds none in it

The hook reads it in the state `prepared`, when the refs are locked, and looks for a line that is its token; it minds no
other line. Version 1 had neither the first nor the last one. Every later version ends in the same checksum, so that a
newer one is told from a damaged one. It binds jobs that behave: one with our uid could bypass it.
Only the standard library may be imported here.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from controller.files.atomic import fsync_directory, write_atomic
from controller.files.versions import NewerVersion, known
from controller.repositories.places import FENCE
from controller.repositories.refs import HEADS, ref_files

HOOK = Path(__file__).with_name("reference-transaction.sh")
HOOK_NAME = "hooks/reference-transaction"
_HOOK_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Fence:
    """What the file says.

    Args:
        tokens: of holders that may push.
        max_token: the largest one ever written; 0 where there was none.
        damaged: the file is not as it was written; `max_token` is the largest number in it all the same.
    """

    tokens: frozenset[int] = frozenset()
    max_token: int = 0
    damaged: bool = False


def read_fence(repository: Path) -> Fence:
    """The fence in the directory of a Repository.

    Raises:
        OSError: it is there and cannot be read, or a newer version of Holdfast wrote it.
    """
    try:
        return _parse((repository / FENCE).read_bytes())
    except FileNotFoundError:
        return Fence()
    except NewerVersion as error:
        raise OSError(errno.EPROTONOSUPPORT, str(error), str(repository / FENCE)) from error


def write_fence(repository: Path, pushers: Iterable[int], max_token: int = 0) -> Fence:
    """Make exactly `pushers` the tokens that may push; durable when it returns, nothing is written without a change.

    A push that passed the hook before this moment may still be about to change its refs, which it holds locked: see
    `pushes.branches_in_flight` before a lock is given on without proof that its holder is dead.

    Args:
        repository: its directory; made where it is missing.
        pushers: tokens of all current holders that may push.
        max_token: largest token ever given as far as the caller knows; the file's own never shrinks.

    Returns:
        What the file says now.

    Raises:
        OSError: the old content stays; a newer version's is not overwritten.
    """
    tokens = frozenset(pushers)
    before = read_fence(repository)
    fence = Fence(tokens, max(before.max_token, max_token, *tokens, 0))
    if fence != before or not (repository / FENCE).exists():
        _put(repository, fence)
    return fence


def rewrite_fence(repository: Path) -> None:
    """Write what the file says once more: that it can be written is proved by writing only. Raises as `write_fence`."""
    _put(repository, read_fence(repository))


def _put(repository: Path, fence: Fence) -> None:
    repository.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"version {known(FENCE)}", f"max {fence.max_token}", *(str(token) for token in sorted(fence.tokens))]
    write_atomic(repository / FENCE, sealed("".join(f"{line}\n" for line in lines).encode("ascii")))


def sealed(content: bytes) -> bytes:
    """`content`, which ends with a newline, and the line with its checksum."""
    letters = "".join(chr(ord("a") + int(digit, 16)) for digit in f"{zlib.crc32(content):08x}")
    return b"%ssum %s\n" % (content, letters.encode("ascii"))


def locked_refs(mirror: Path) -> list[str]:
    """Branches that a push holds locked at this moment, or that a killed one left so: it may have passed the fence.

    One of a stopped process stays until it is continued or killed. Raises OSError.
    """
    return sorted(name.removesuffix(".lock") for name in ref_files(mirror, HEADS) if name.endswith(".lock"))


def hook_is_installed(mirror: Path) -> bool:
    """Whether the mirror's hook is ours and can be executed; raises OSError where it cannot be read."""
    path = mirror / HOOK_NAME
    try:
        return path.read_bytes() == HOOK.read_bytes() and os.access(path, os.X_OK)
    except FileNotFoundError:
        return False


def install_hook(mirror: Path) -> None:
    """Put the hook in place, or back; raises OSError."""
    if hook_is_installed(mirror):
        return
    (mirror / HOOK_NAME).parent.mkdir(mode=0o700, exist_ok=True)
    write_atomic(mirror / HOOK_NAME, HOOK.read_bytes(), _HOOK_MODE)
    fsync_directory(str(mirror))


def _parse(data: bytes) -> Fence:
    version = re.match(rb"version (\d{1,9})\n", data)
    whole, _, _ = data.rpartition(b"sum ")
    sound = version is None or data == sealed(whole)
    if version is not None and sound and int(version[1]) > known(FENCE):
        raise NewerVersion(int(version[1]), known(FENCE))
    if version is not None:
        data = (whole if sound else data)[version.end() :]
    text = data.decode("ascii", "replace")
    numbers = [int(word) for word in re.findall(r"\d{1,18}", text)]
    if not sound or re.fullmatch(r"max \d{1,18}\n(\d{1,18}\n)*", text) is None:
        return Fence(max_token=max(numbers, default=0), damaged=True)
    return Fence(frozenset(numbers[1:]), numbers[0])
