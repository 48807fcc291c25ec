"""Bases: complete checkouts of one commit that workspaces are copied from, plain or prepared (requirements 5.3, 5.7).

Whoever copies one holds a shared flock on its directory; whoever removes one needs it alone. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from controller.repositories.facts import Damaged, read_workspace
from controller.repositories.operations.checkout import check_out, facts_of, name_refs, sign
from controller.repositories.operations.durable import put_in_place
from controller.repositories.operations.mirror import locked
from controller.repositories.orders import Order
from controller.repositories.places import BASES
from controller.repositories.trees import making, remove, remove_made


def is_made(base: Path) -> bool:
    """Whether a base is there; what is damaged is removed and counts as missing. Raises OSError."""
    try:
        if read_workspace(base) is not None:
            return True
    except Damaged:
        pass
    if base.exists():
        remove(base)
    return False


def make(mirror: Path, key: str, commit: str, object_format: str, order: Order, work: Callable[[Path], None]) -> None:
    """Make the base `key` and put it in place; where somebody else was faster, his stays.

    Args:
        order: of the operation that makes it.
        work: done in the checkout before it is put in place.

    Raises:
        Failed, OSError: there is no base then; whatever `work` raises.
    """
    bases = mirror.parent / BASES
    bases.mkdir(mode=0o700, exist_ok=True)
    with making(bases, key, order.id) as directory:
        with locked(mirror.parent, order.lock_seconds, alone=False):
            check_out(mirror, directory, commit, object_format)
            name_refs(mirror, directory, copied=False, author=("", ""))
        work(directory)
        (directory / ".git" / "index.lock").unlink(missing_ok=True)
        sign(directory, facts_of(order.id, "", commit, key, "Checkout"))
        try:
            put_in_place(directory, bases / key, durable=True)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def remove_half_made(mirror: Path, key: str) -> None:
    """What killed operations left of the base `key`; the caller knows that none of them is alive."""
    remove_made(mirror.parent / BASES, key)


@contextlib.contextmanager
def in_use(base: Path) -> Iterator[None]:
    """While this is held nobody removes the base.

    Raises:
        FileNotFoundError: it is gone.
    """
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_ino != os.stat(base).st_ino:
            raise FileNotFoundError(errno.ENOENT, "it was removed meanwhile", str(base))
        yield
    finally:
        os.close(fd)
