"""Take a Snapshot: read all kinds at one version, spool, pack, verify, put in place.

Promises: every kind is read at the version of the first LIST (all kinds are in one etcd, whose revision that is), so
the archive is one instant over all of them; one page is in memory at a time; the event loop waits for no disk; each
Snapshot has a spool of its own, so that what is packed, verified and put in place is never what another one wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from controller.api.names import KINDS, WRITTEN
from controller.decisions.snapshot import NotTaken, Taken
from controller.errors import HoldfastError, Terminal
from controller.files.remote_calls import apart
from controller.kube.client import LIST_RESTARTS, Api
from controller.kube.errors import Expired
from controller.recovery.archive import places, read, write
from controller.recovery.archive.manifest import AUDIT, FORMAT, Manifest, Part

CONSISTENCY = "all kinds at one resourceVersion"


@dataclass(frozen=True, slots=True)
class Order:
    """One archive to be made.

    Args:
        uid: of the Snapshot; names its spool.
        snapshot: `namespace/name` of the Snapshot, for the manifest.
        location: where it goes.
        field: what said so, for messages.
        audit: directory of the audit journal, None to leave it out.
    """

    uid: str
    snapshot: str
    location: str
    field: str = ""
    audit: Path | None = None


class Taker:
    """Takes Snapshots, each once at a time.

    Args:
        spool: directory for files on their way, in one of its own for each Snapshot; what a killed controller left in
            it is removed at the next take.
        version: of this distribution.
    """

    def __init__(self, api: Api, spool: Path, version: str, now: Callable[[], datetime]) -> None:
        self._api = api
        self._spool = spool
        self._version = version
        self._now = now
        self._flying: set[str] = set()  # uids of those that are being taken

    async def take(self, order: Order) -> Taken | NotTaken:
        """Make the archive; whatever the world does wrong is told by NotTaken."""
        spool = self._spool / order.uid
        self._flying.add(order.uid)
        try:
            await asyncio.to_thread(self._clear)
            return await self._take(order, spool)
        except HoldfastError as error:
            return NotTaken(error.reason, error.message, final=isinstance(error, Terminal))
        except OSError as error:
            text = f"{error.filename or order.location}: {error.strerror or error}"
            return NotTaken("NotWritten", text, final=False)
        finally:
            self._flying.discard(order.uid)
            await asyncio.to_thread(self._remove, spool)

    def _clear(self) -> None:
        """Remove what belongs to none that is being taken."""
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._spool.iterdir():
            if path.name in self._flying:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _remove(self, spool: Path) -> None:
        shutil.rmtree(spool, ignore_errors=True)
        with contextlib.suppress(OSError):  # another one is in it, or it was never there
            self._spool.rmdir()

    async def _take(self, order: Order, spool: Path) -> Taken:
        cluster = await self._api.cluster_uid()
        taken_at = self._now()
        kinds, version = await self._read(spool)
        files = [kind.path for kind in kinds]
        parts = [kind.close() for kind in kinds]
        for part, path in await asyncio.to_thread(_audit, order.audit, spool):
            parts.append(part)
            files.append(path)
        manifest = Manifest(
            format=FORMAT,
            controller=self._version,
            cluster=cluster,
            snapshot=order.snapshot,
            taken_at=taken_at,
            resource_version=str(version),
            consistency=CONSISTENCY,
            namespaces=tuple(sorted({name for kind in kinds for name in kind.namespaces})),
            parts=tuple(parts),
        )
        blocking = asyncio.to_thread if places.is_local(order.location) else apart
        size, sha256 = await blocking(_publish, manifest, files, order, spool)
        return Taken(manifest.counts, size, sha256, manifest.id, str(version))

    async def _read(self, spool: Path) -> tuple[list[write.SpooledKind], int]:
        for restarts in range(LIST_RESTARTS):
            await asyncio.to_thread(_make_anew, spool)
            kinds: list[write.SpooledKind] = []
            version = 0
            try:
                for kind in (*KINDS, *WRITTEN):
                    kinds.append(write.SpooledKind(spool, kind))
                    version = await self._read_kind(kinds[-1], version)
            except Expired:
                if restarts == LIST_RESTARTS - 1:
                    raise
                continue
            finally:
                for spooled in kinds:
                    spooled.flush()
            return kinds, version
        raise AssertionError("unreachable")

    async def _read_kind(self, kind: write.SpooledKind, version: int) -> int:
        """Spool one kind at `version`, or at the newest one for 0; returns the version."""
        pages = self._api.pages(kind.kind, resource_version=version) if version else self._api.pages(kind.kind)
        async for page in pages:
            version = version or page.resource_version
            await asyncio.to_thread(kind.add, page.items)
        return version


def _make_anew(spool: Path) -> None:
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(mode=0o700, parents=True)


def _audit(directory: Path | None, spool: Path) -> list[tuple[Part, Path]]:
    """Files of the audit journal; one that is rotated away meanwhile is left out."""
    found = []
    for path in sorted(directory.iterdir()) if directory is not None and directory.is_dir() else ():
        if path.is_file() and path.name[0].isalnum():
            target = spool / f"audit-{path.name}"
            try:
                found.append((write.spool_file(path, target, f"{AUDIT}{path.name}"), target))
            except FileNotFoundError:
                continue
    return found


def _publish(manifest: Manifest, files: list[Path], order: Order, spool: Path) -> tuple[int, str]:
    packed = spool / "packed"
    size, sha256 = write.pack(packed, manifest, files)
    read.verify(packed, order.location)  # what was written can be read: a disk that lies is found now, not in need
    try:
        places.put(packed, sha256, order.location)
    except HoldfastError as error:
        raise type(error)(error.reason, f"{order.field}: {error.message}") from error
    return size, sha256
