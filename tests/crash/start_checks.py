"""What accidents leave before the starts that are killed, and what must be true of it in the end (7.6, 7.10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from controller.errors import HoldfastError
from controller.executors.process.rundir import RunDir
from controller.reconcile.operations import OWNER_UID
from controller.recovery.archive import read
from controller.repositories.places import Places
from tests.crash.cluster import Cluster, Object

_RECORDED = {
    "BatchJob": ("phase", "losses", "failures", "reason"),
    "JobQueue": ("running", "pending"),
    "Repository": ("phase",),
    "RepositoryLock": ("phase",),
    "Snapshot": ("phase",),
}


def litter(home: Path) -> Iterator[Path]:
    """What killed writers leave, and an outcome whose operation is gone."""
    yield home / f"identity.json.tmp.{uuid4().hex[:16]}"
    yield home / "quarantine" / f"exit.json.tmp.{uuid4().hex[:16]}"
    yield Places(home).result(f"{uuid4()}.1")
    yield home / "spool" / "packed"


def operations_of(home: Path, uid: str) -> list[Path]:
    """Run directories of the operations on a Repository."""
    found = []
    for path in home.glob("operations/[!.]*"):
        record = RunDir(str(path)).read_attempt()
        if record is not None and record.annotations.get(OWNER_UID) == uid:
            found.append(path)
    return found


def wrong_snapshot(snapshot: Object, directory: Path) -> Iterator[str]:
    """7.10: it was taken once, and what was recorded of its archive is what can be read of it."""
    status = snapshot.get("status", {})
    if status.get("phase") != "Complete":
        yield f"the Snapshot is {status.get('phase')}: {status.get('message')}"
        return
    files = sorted(map(str, directory.iterdir()))
    if files != [status["location"]]:
        yield f"{directory} holds {files}, not only {status['location']}"
    try:
        manifest = read.verify(Path(status["location"]))
    except (HoldfastError, OSError) as error:
        yield f"the archive cannot be read: {error}"
        return
    counted = sum(count for _, count in manifest.counts)
    if (manifest.id, counted) != (status["archiveId"], status["total"]):
        yield f"the archive is {manifest.id} with {counted} objects, recorded is {status}"


def final(cluster: Cluster, namespace: str) -> Object:
    """What is recorded when all is over, without what differs from run to run."""
    of = {kind: cluster.all(namespace, kind) for kind in _RECORDED}
    states = {
        f"{kind} {name}": {field: each.get("status", {}).get(field) or None for field in _RECORDED[kind]}
        for kind, objects in of.items()
        for name, each in objects.items()
    }
    told = {
        f"Callback of {each['spec']['job']['name']} {each['spec']['event']}": each["status"]["phase"]
        for each in cluster.all(namespace, "Callback").values()
    }
    return states | told
