"""Files at an address of fsspec: an object store as s3://bucket/path, or whatever else is installed (7.10, 4.2).

Promises: `put` makes a file whole or leaves none; every call ends within a limit, also where the other side takes the
connection and says nothing; what goes wrong says at which address, why and what to do, and shows no credential. Every
call blocks: `remote_calls` has threads for it. What a scheme needs is imported by the first address that asks for it
(`holdfast[s3]`: s3fs).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import structlog

from controller.errors import Terminal, Transient
from controller.files.atomic import is_temp_name, temp_name
from controller.files.remote_calls import result_of
from controller.files.remote_errors import clean, failures, is_no_bucket, told

CALL_SECONDS = 30.0  # of one that moves no content
BYTES_PER_SECOND = 256 * 1024  # of one that does, at the slowest
CONNECT_SECONDS, READ_SECONDS = 5, 20  # of one request
PART_BYTES = 8 * 1024**2  # of a larger file are in memory at once, twice
PARTS = 9_000  # S3 takes 10,000
WHOLE = frozenset({"s3", "s3a"})  # an object appears when all of it has arrived, also of an upload in parts

_log = structlog.get_logger("controller.remote")


def is_remote(address: str) -> bool:
    """Whether `address` names no directory or file of this machine, without opening anything."""
    return "://" in address and not address.startswith(("file://", "local://"))


def wrong_address(address: str) -> str | None:
    """Why an address is not taken, whatever is installed; None where it is."""
    if "::" in address:
        return "chained addresses are not taken: name one file system"
    if "@" in address.partition("://")[2].partition("/")[0]:
        return "credentials in an address are not taken: they belong into the environment (AWS_ACCESS_KEY_ID, …)"
    return None


class Remote:
    """One file, or a directory of them, at an address.

    Args:
        address: with a scheme; nothing is opened yet.

    Raises:
        Terminal: no such file system, what it needs is not installed, or credentials in the address.
    """

    def __init__(self, address: str) -> None:
        from fsspec.core import url_to_fs  # late: a start must not wait for what only some need

        self.address = address
        self._scheme = address.partition("://")[0]
        if (wrong := wrong_address(address)) is not None:
            raise Terminal("BadAddress", f"{clean(address)}: {wrong}")
        try:
            self._system, path = url_to_fs(address, **_options(self._scheme))
        except (ValueError, ImportError) as error:
            text = f"{address}: {error}; a path, or an address whose fsspec package is installed"
            raise Terminal("BadAddress", f"{text} (for s3:// the extra holdfast[s3])") from error
        self._path = str(path)

    def size(self) -> int | None:
        """Bytes of the file, None where there is none. Raises Transient, Terminal."""
        return self._size(self._path)

    def put(self, source: Path) -> None:
        """Bring a file here, whole or not at all. What a killed process left of the same goes first.

        Raises:
            Transient, Terminal: as the other side says; OSError: `source` cannot be read.
        """
        if self._scheme not in WHOLE:
            self._put_beside(source, None)
            return
        size = source.stat().st_size
        if size > PART_BYTES:
            self._abort_uploads()
        self._send(source, self._path, size)
        self._check_size(size)

    def put_checked(self, source: Path, sha256: str) -> None:
        """As `put`, but it gets its name only when what was read back has this checksum.

        Raises:
            Transient, Terminal: as the other side says; OSError: `source` cannot be read.
        """
        self._put_beside(source, sha256)

    def get(self, target: Path) -> None:
        """Copy the file to `target`.

        Raises:
            FileNotFoundError: it is not there. Transient, Terminal: as the other side says.
        """
        size = self.size()
        if size is None:
            raise FileNotFoundError(self.address)
        self._call("get_file", self._path, str(target), seconds=_seconds(size))

    def read_from(self, offset: int, target: IO[bytes]) -> None:
        """Append what is in the file from `offset` on to `target`; raises as `get`."""
        size = self.size()
        if size is None:
            raise FileNotFoundError(self.address)
        for data in self._pieces(self._path, offset, size):
            target.write(data)

    def sha256(self) -> str | None:
        """Of the file, None where there is none. Raises Transient, Terminal."""
        size = self.size()
        return None if size is None else self._sha256(self._path, size)

    def remove(self) -> None:
        """Remove the file; one that is gone already is no error. Raises Transient, Terminal."""
        self._remove(self._path)

    def names(self) -> list[str]:
        """What is in the directory, empty where there is none. Raises Transient, Terminal."""
        return self._names(self._path)

    def remove_tree(self) -> None:
        """Remove the directory with all that is in it. Raises Transient, Terminal."""
        for path in self._call("find", self._path):
            self._remove(path)
        if self._scheme not in WHOLE:
            with contextlib.suppress(FileNotFoundError):
                self._call("rmdir", self._path)

    # --- inside

    def _put_beside(self, source: Path, sha256: str | None) -> None:
        """Under a temporary name first; an object store copies it to its own then, which it does as a whole."""
        size, temp = source.stat().st_size, temp_name(self._path)
        self._remove_unfinished()
        if self._scheme not in WHOLE:
            self._call("makedirs", self._parent, exist_ok=True)
        try:
            self._send(source, temp, size)
            if sha256 is not None and self._sha256(temp, size) != sha256:
                raise Transient("UploadDamaged", f"{self.address}: what arrived is not what was sent")
            self._move(temp, size)
        except Transient as error:
            if error.reason not in ("Stopping", "Unreachable"):  # then the next try removes it
                with contextlib.suppress(Transient, Terminal):
                    self._remove(temp)
            raise
        self._check_size(size)

    def _send(self, source: Path, path: str, size: int) -> None:
        parts = {"chunksize": max(PART_BYTES, size // PARTS)} if self._scheme in WHOLE else {}
        self._call("put_file", str(source), path, seconds=_seconds(size), **parts)

    def _move(self, temp: str, size: int) -> None:
        if not self._system.async_impl:
            self._remove(self._path)
            self._call("mv", temp, self._path)
            return
        self._call("cp_file", temp, self._path, seconds=_seconds(size))
        self._remove(temp)

    def _check_size(self, size: int) -> None:
        if self.size() != size:
            raise Transient("UploadDamaged", f"{self.address}: what arrived is not what was sent")

    def _size(self, path: str) -> int | None:
        try:
            found = self._call("info", path)
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def _sha256(self, path: str, size: int) -> str:
        digest = hashlib.sha256()
        for data in self._pieces(path, 0, size):
            digest.update(data)
        return digest.hexdigest()

    def _pieces(self, path: str, at: int, size: int) -> Iterator[bytes]:
        limit = _seconds(PART_BYTES)
        while at < size:
            data = bytes(self._call("cat_file", path, start=at, end=min(size, at + PART_BYTES), seconds=limit))
            if not data:
                return
            yield data
            at += len(data)

    def _names(self, path: str) -> list[str]:
        try:
            found = self._call("ls", path, detail=False)
        except FileNotFoundError:
            return []
        return [str(entry).rstrip("/").rpartition("/")[2] for entry in found]

    @property
    def _parent(self) -> str:
        return str(self._system._parent(self._path))

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._call("rm_file", path)

    def _remove_unfinished(self) -> None:
        """Nobody else writes under names that are made from this one."""
        name = self._path.rpartition("/")[2]
        for leaf in self._names(self._parent):
            if leaf.startswith(f"{name}.") and is_temp_name(leaf):
                self._remove(f"{self._parent}/{leaf}")
        self._abort_uploads()

    def _abort_uploads(self) -> None:
        """Uploads in parts that a killed process began: nobody sees them, and they cost until they are aborted."""
        if self._scheme not in WHOLE:
            return
        bucket, key, _ = self._system.split_path(self._path)
        try:
            uploads = self._call("call_s3", "list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads") or ()
        except Transient as error:
            if error.reason not in ("AccessRefused", "RemoteFailed"):
                raise
            _log.warning("unfinished uploads are not looked for", address=self.address, error=error.message)
            return
        for upload in uploads:
            if upload["Key"] == key or is_temp_name(upload["Key"].removeprefix(key)):
                self._call("abort_mpu", bucket, upload["Key"], upload["UploadId"])

    def _call(self, name: str, *args: Any, seconds: float = CALL_SECONDS, **kwargs: Any) -> Any:
        """Raises FileNotFoundError where the file is not there; a bucket that is not there is another matter."""
        system = self._system
        try:
            if not system.async_impl:
                return getattr(system, name)(*args, **kwargs)
            future = asyncio.run_coroutine_threadsafe(getattr(system, f"_{name}")(*args, **kwargs), system.loop)
            return result_of(future, seconds)
        except FileNotFoundError as error:
            if is_no_bucket(error):
                raise told(self.address, error, seconds) from error
            raise
        except failures() as error:
            # What comes next begins with the credentials that are there then.
            type(system).clear_instance_cache()
            raise told(self.address, error, seconds) from error


def _seconds(size: int) -> float:
    return CALL_SECONDS + size / BYTES_PER_SECOND


def _options(scheme: str) -> dict[str, Any]:
    """Nothing that is listed is remembered: others write there too."""
    if scheme not in WHOLE:
        return {"use_listings_cache": False}
    return {
        "use_listings_cache": False,
        "default_block_size": PART_BYTES,
        "max_concurrency": 2,
        "config_kwargs": {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS},
    }
