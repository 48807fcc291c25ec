"""Where archives are kept: a directory, or any address of fsspec (requirement 7.10).

Promises: under its final name an archive is whole or not there. On a disk it is replaced atomically; elsewhere it is
uploaded under a temporary name, read back, and moved (object stores copy whole objects only). Every call blocks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from controller.errors import Terminal, Transient
from controller.files.atomic import copy_atomic, is_temp_name, temp_name

CHUNK = 1024**2


def open_place(address: str) -> tuple[Any, str, bool]:
    """File system, path in it, and whether it is this machine's disk.

    Raises:
        Terminal: no such file system, or what it needs is not installed.
    """
    from fsspec.core import url_to_fs  # late: a start must not wait for what a Snapshot needs

    if "::" in address:
        raise Terminal("BadAddress", f"{address}: chained addresses of fsspec are not taken; name one file system")
    try:
        system, path = url_to_fs(address)
    except (ValueError, ImportError) as error:
        text = f"{address}: {error}; a path, or an address whose fsspec package is installed (as s3fs for s3://)"
        raise Terminal("BadAddress", text) from error
    return system, str(path), is_local(address)


def is_local(address: str) -> bool:
    """Whether `address` names this machine's disk, without opening anything."""
    return "://" not in address or address.startswith(("file://", "local://"))


def put(source: Path, sha256: str, address: str) -> None:
    """Bring the file `source`, whose checksum is `sha256`, to `address`, in one step as seen from there.

    What a killed controller left of the same archive goes first: nobody else writes under its name.

    Raises:
        Terminal: the address cannot be used.
        Transient: what is there is not what was sent.
        OSError: as the file system says, for example without space.
    """
    system, path, local = open_place(address)
    _remove_unfinished(system, path)
    if local:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy_atomic(source, path)
        return
    temp = temp_name(path)
    parent = system._parent(path)
    if parent:
        system.makedirs(parent, exist_ok=True)
    try:
        system.put_file(str(source), temp)
        if _sha256(system, temp) != sha256:
            raise Transient("UploadDamaged", f"{address}: what arrived is not what was sent")
        if system.exists(path):
            system.rm_file(path)
        system.mv(temp, path)
    finally:
        if system.exists(temp):
            system.rm_file(temp)
    if system.size(path) != source.stat().st_size:
        raise Transient("UploadDamaged", f"{address}: what arrived is not what was sent")


def _remove_unfinished(system: Any, path: str) -> None:
    parent, _, name = path.rpartition("/")
    system.invalidate_cache(parent)
    try:
        beside = system.ls(parent, detail=False)
    except FileNotFoundError:
        return
    for each in beside:
        leaf = each.rpartition("/")[2]
        if leaf.startswith(f"{name}.") and is_temp_name(leaf):
            system.rm_file(each)


def fetch(address: str, directory: Path) -> Path:
    """The archive as a local file: itself where it is on this machine, else a copy in `directory`.

    Raises:
        Terminal: it is not there, or cannot be read.
    """
    system, path, local = open_place(address)
    try:
        if local:
            if not Path(path).is_file():
                raise FileNotFoundError(path)
            return Path(path)
        target = directory / "archive"
        system.get_file(path, str(target))
    except FileNotFoundError as error:
        raise Terminal("NoArchive", f"there is no archive {address}") from error
    except OSError as error:
        raise Terminal("ArchiveUnreadable", f"{address}: {error.strerror or error}") from error
    return target


def remove(address: str) -> None:
    """Remove an archive; one that is gone already is no error. Raises Terminal, OSError."""
    system, path, _ = open_place(address)
    if system.exists(path):
        system.rm_file(path)


def checksum(address: str) -> str | None:
    """sha256 of what is at `address`, None where nothing is. Raises Terminal, OSError."""
    system, path, _ = open_place(address)
    return _sha256(system, path) if system.exists(path) else None


def _sha256(system: Any, path: str) -> str:
    digest = hashlib.sha256()
    with system.open(path, "rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()
