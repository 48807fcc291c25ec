"""The fence of a mirror: the tokens of those who hold the lock and may push, and the hook that asks for them (5.5).

`fence` is one text file, so that it is replaced as a whole: `max <largest token ever>`, then one token a line. The hook
reads it in the state `prepared`, when the refs are locked. It binds jobs that behave: one with our uid could bypass it.
Only the standard library may be imported here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from controller.files.atomic import fsync_directory, write_atomic
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
    """The fence in the directory of a Repository; raises OSError where it is there and cannot be read."""
    try:
        return _parse((repository / FENCE).read_bytes())
    except FileNotFoundError:
        return Fence()


def write_fence(repository: Path, pushers: Iterable[int], max_token: int = 0) -> Fence:
    """Make exactly `pushers` the tokens that may push; durable when it returns, nothing is written without a change.

    A push that passed the hook before this moment may still be about to change its refs, which it holds locked: see
    `locked_refs` before a lock is given on without proof that its holder is dead.

    Args:
        repository: its directory; made where it is missing.
        pushers: tokens of all current holders that may push.
        max_token: largest token ever given as far as the caller knows; the file's own never shrinks.

    Returns:
        What the file says now.

    Raises:
        OSError: the old content stays.
    """
    tokens = frozenset(pushers)
    known = read_fence(repository)
    fence = Fence(tokens, max(known.max_token, max_token, *tokens, 0))
    if fence == known and (repository / FENCE).exists():
        return fence
    repository.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"max {fence.max_token}", *(str(token) for token in sorted(tokens))]
    write_atomic(repository / FENCE, "".join(f"{line}\n" for line in lines).encode("ascii"))
    return fence


def locked_refs(mirror: Path) -> list[str]:
    """Branches that a push holds locked at this moment: it may have passed the fence already.

    After the fence was closed to a holder that is not proved dead, its branches are safe once they are not listed here;
    one of a stopped process stays until it is continued or killed. Raises OSError.
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
    text = data.decode("ascii", "replace")
    numbers = [int(word) for word in re.findall(r"\d{1,18}", text)]
    if re.fullmatch(r"max \d{1,18}\n(\d{1,18}\n)*", text) is None:
        return Fence(max_token=max(numbers, default=0), damaged=True)
    return Fence(frozenset(numbers[1:]), numbers[0])
