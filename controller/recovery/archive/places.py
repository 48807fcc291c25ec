"""Where archives are kept: a directory, or any address of fsspec (requirement 7.10).

Promises: under its final name an archive is whole or not there. On a disk it is replaced atomically; elsewhere it is
uploaded under a temporary name, read back, and copied to its own in one step. Every call blocks.
"""

from __future__ import annotations

import glob
from pathlib import Path

from controller.errors import Terminal
from controller.files.atomic import copy_atomic, is_temp_name
from controller.files.remote import Remote, is_remote


def is_local(address: str) -> bool:
    """Whether `address` names this machine's disk, without opening anything."""
    return not is_remote(address)


def put(source: Path, sha256: str, address: str) -> None:
    """Bring the file `source`, whose checksum is `sha256`, to `address`, in one step as seen from there.

    What a killed controller left of the same archive goes first: nobody else writes under its name.

    Raises:
        Terminal: the address cannot be used.
        Transient: what is there is not what was sent, or the other side refuses it or does not answer.
        OSError: as the disk says, for example without space.
    """
    if not is_local(address):
        Remote(address).put_checked(source, sha256)
        return
    path = _path(address)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in path.parent.glob(f"{glob.escape(path.name)}.tmp.*"):
        if is_temp_name(left.name):
            left.unlink(missing_ok=True)
    copy_atomic(source, path)


def fetch(address: str, directory: Path) -> Path:
    """The archive as a local file: itself where it is on this machine, else a copy in `directory`.

    Raises:
        Terminal: it is not there, or cannot be read.
        Transient: the other side refuses it or does not answer.
    """
    target = _path(address) if is_local(address) else directory / "archive"
    try:
        if not is_local(address):
            Remote(address).get(target)
        elif not target.is_file():
            raise FileNotFoundError(target)
    except FileNotFoundError as error:
        raise Terminal("NoArchive", f"there is no archive {address}") from error
    except OSError as error:
        raise Terminal("ArchiveUnreadable", f"{address}: {error.strerror or error}") from error
    return target


def remove(address: str) -> None:
    """Remove an archive; one that is gone already is no error. Raises Terminal, Transient, OSError."""
    if is_local(address):
        _path(address).unlink(missing_ok=True)
    else:
        Remote(address).remove()


def _path(address: str) -> Path:
    return Path(address.removeprefix("file://").removeprefix("local://"))
