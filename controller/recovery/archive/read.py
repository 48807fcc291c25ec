"""Read an archive, in two passes: `verify` compares every checksum of it, then `objects` gives what is in it.

Nothing is extracted to a disk, and names in the archive are compared with those of its manifest, never used as paths.
Every call blocks: call it in a thread where an event loop runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zstandard

from controller.errors import Terminal
from controller.recovery.archive.manifest import (
    AUDIT,
    MAX_BYTES,
    NAME,
    TRAILER_BYTES,
    Manifest,
    Part,
    damaged,
    parse,
    trailer,
    unique_names,
)

CHUNK = 256 * 1024
MAX_WINDOW = 2**27  # bytes; what zstandard itself refuses to exceed without being told


class _Frame(io.RawIOBase):
    """The content of the one zstandard frame that a file is but for its trailer; one that ends early is an error."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file = file
        self._where = where
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            if self._decompressor.eof:
                return 0
            data = self._file.read(CHUNK)
            if not data:
                raise damaged(self._where, "it is cut off")
            self._rest = self._decompressor.decompress(data)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextmanager
def _tar(path: Path, where: str) -> Iterator[tuple[tarfile.TarFile, IO[bytes]]]:
    try:
        with path.open("rb") as raw:
            content = io.BufferedReader(_Frame(raw, where), CHUNK)
            with tarfile.open(fileobj=content, mode="r|") as tar:
                yield tar, content
    except zstandard.ZstdError as error:
        raise damaged(where, f"it cannot be decompressed ({error})") from error
    except (tarfile.TarError, EOFError) as error:
        raise damaged(where, f"it is no whole archive ({error})") from error
    except OSError as error:
        raise Terminal("ArchiveUnreadable", f"{where}: {error.strerror or error}") from error


def read_manifest(path: Path, where: str = "") -> Manifest:
    """The manifest alone; nothing else is looked at.

    Raises:
        Terminal: newer format, damaged, or not readable.
    """
    where = where or str(path)
    with _tar(path, where) as (tar, _):
        return _manifest(tar, where)


def _manifest(tar: tarfile.TarFile, where: str) -> Manifest:
    member = tar.next()
    if member is None or member.name != NAME or not member.isreg() or member.size > MAX_BYTES:
        raise damaged(where, f"it does not begin with {NAME}: it is no archive of Holdfast, or damaged")
    manifest = parse(_open(tar, member).read(), where)
    if not unique_names(manifest.parts):
        raise damaged(where, "its manifest names a part twice")
    return manifest


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file


def _parts(tar: tarfile.TarFile, manifest: Manifest, where: str) -> Iterator[tuple[Part, IO[bytes]]]:
    for part in manifest.parts:
        member = tar.next()
        if member is None or not member.isreg() or (member.name, member.size) != (part.name, part.bytes):
            raise damaged(where, f"its part {part.name} is missing or not of {part.bytes} bytes")
        yield part, _open(tar, member)
    if tar.next() is not None:
        raise damaged(where, "it has more parts than its manifest names")


def verify(path: Path, where: str = "") -> Manifest:
    """Compare every checksum, size and count; returns the manifest.

    Args:
        path: a local file.
        where: what to call it in messages.

    Raises:
        Terminal: damaged, of a newer format, or not readable; the message names the part.
    """
    where = where or str(path)
    read_manifest(path, where)  # a newer format may end in another way
    _check_whole(path, where)
    with _tar(path, where) as (tar, content):
        manifest = _manifest(tar, where)
        for part, file in _parts(tar, manifest, where):
            digest, lines = hashlib.sha256(), 0
            while data := file.read(CHUNK):
                digest.update(data)
                lines += data.count(b"\n")
            if digest.hexdigest() != part.sha256:
                raise damaged(where, f"the checksum of its part {part.name} is another one")
            if part.kind and lines != part.count:
                raise damaged(where, f"its part {part.name} has {lines} objects, its manifest says {part.count}")
        while content.read(CHUNK):
            pass  # to the checksum of the frame
    return manifest


def _check_whole(path: Path, where: str) -> None:
    """Compare the checksum of the file itself: also what decompresses to the same is not to differ by a bit."""
    digest = hashlib.sha256()
    left = path.stat().st_size - TRAILER_BYTES
    with path.open("rb") as file:
        while left > 0 and (data := file.read(min(CHUNK, left))):
            digest.update(data)
            left -= len(data)
        if file.read() != trailer(digest.digest()):
            raise damaged(where, "it was changed or cut off: its checksum is another one")


def objects(path: Path, where: str = "", only: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and object, one after the other, of an archive that was verified.

    Args:
        path: a local file.
        where: what to call it in messages.
        only: this kind alone, so that the lines of the others are not parsed; None: all of them.

    Raises:
        Terminal: it is not as it was any more.
    """
    where = where or str(path)
    with _tar(path, where) as (tar, _):
        manifest = _manifest(tar, where)
        for part, file in _parts(tar, manifest, where):
            for line in file if part.kind and only in (None, part.kind) else ():
                yield part.kind, _object(line, part, where)


def extract_audit(path: Path, directory: Path, where: str = "") -> list[str]:
    """Write the files of the audit journal into `directory`, which is made; returns their names.

    Raises:
        Terminal: the archive is not as it was, or a file is there already or cannot be written.
    """
    where, names = where or str(path), []
    with _tar(path, where) as (tar, _):
        for part, file in _parts(tar, _manifest(tar, where), where):
            if not part.name.startswith(AUDIT):
                continue
            name = part.name.removeprefix(AUDIT)  # the manifest's pattern allows no separators
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (directory / name).open("xb") as target:
                while data := file.read(CHUNK):
                    target.write(data)
            names.append(name)
    return names


def _object(line: bytes, part: Part, where: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
        if item["kind"] == part.kind and isinstance(item["metadata"]["name"], str) and item["metadata"]["uid"]:
            return dict(item)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise damaged(where, f"its part {part.name} has a line that is no {part.kind}")
