"""Write an archive: parts are spooled to files one after the other, then packed behind their manifest.

Spooled because the manifest, which goes first, has the checksum of each part: nothing is held in memory but one page.
Every call blocks on the disk: call it in a thread.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import zstandard

from controller.recovery.archive.manifest import NAME, OBJECTS, Manifest, Part, trailer

LEVEL = 3  # zstandard's default: 300 MB/s and a tenth of the size
CHUNK = 1024**2
NOT_KEPT = ("managedFields", "selfLink")


class SpooledKind:
    """The part of one kind, page by page.

    Args:
        directory: of the spool; the file is new.
    """

    def __init__(self, directory: Path, kind: str) -> None:
        self.kind = kind
        self.path = directory / f"{kind}.jsonl"
        self.count = 0
        self.namespaces: set[str] = set()
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._file: IO[bytes] = self.path.open("xb")

    def add(self, items: Iterable[dict[str, Any]]) -> None:
        """Append the objects of one page; raises OSError."""
        lines = []
        for item in items:
            lines.append(line_of(self.kind, item))
            self.namespaces.add(item["metadata"].get("namespace", ""))
        data = b"".join(lines)
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)
        self.count += len(lines)

    def close(self) -> Part:
        """The part, complete; raises OSError."""
        self._file.close()
        name = f"{OBJECTS}{self.kind}.jsonl"
        return Part(name=name, kind=self.kind, count=self.count, bytes=self._bytes, sha256=self._hash.hexdigest())

    def flush(self) -> None:
        """Close the file; nothing is added any more. Raises OSError."""
        self._file.close()


def line_of(kind: str, item: dict[str, Any]) -> bytes:
    """One object as one line: as the API server told it, less who wrote which field."""
    meta = {name: value for name, value in item["metadata"].items() if name not in NOT_KEPT}
    body = {"kind": kind, "metadata": meta, "spec": item.get("spec") or {}}
    if item.get("status"):
        body["status"] = item["status"]
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def spool_file(source: Path, target: Path, name: str) -> Part:
    """Copy a file that may still be written to, as far as it is written now, as part `name`; raises OSError."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("xb") as writing:
        left = source.stat().st_size
        while left > 0 and (data := reading.read(min(CHUNK, left))):
            writing.write(data)
            digest.update(data)
            size += len(data)
            left -= len(data)
    return Part(name=name, bytes=size, sha256=digest.hexdigest())


def pack(target: Path, manifest: Manifest, files: Sequence[Path]) -> tuple[int, str]:
    """Write the archive; returns its size in bytes and its sha256.

    Args:
        target: a new file.
        files: of the manifest's parts, in their order.

    Raises:
        OSError: as a full disk.
    """
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with (
        target.open("xb") as raw,
        compressor.stream_writer(raw, closefd=False) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        body = json.dumps(manifest.to_json(), indent=1).encode() + b"\n"
        tar.addfile(_member(NAME, len(body), manifest), io.BytesIO(body))
        for part, path in zip(manifest.parts, files, strict=True):
            with path.open("rb") as file:
                tar.addfile(_member(part.name, part.bytes, manifest), file)
    whole = bytes.fromhex(file_sha256(target))
    with target.open("ab") as end:
        end.write(trailer(whole))
    return target.stat().st_size, file_sha256(target)


def file_sha256(path: Path) -> str:
    """Checksum of a whole file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _member(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(manifest.taken_at.timestamp())
    return info
