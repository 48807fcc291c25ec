"""Join a cluster: wait for its API server, read everything once, and bind the state directory to it (design 9)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from controller.api.batchjob import BatchJob
from controller.decisions import status as step
from controller.decisions.binding import Identity, Mismatch, mismatch
from controller.errors import Terminal, Transient, Waiting
from controller.executors.base import AttemptId
from controller.kube.client import Api
from controller.kube.store import Store
from controller.kube.sync import sync
from controller.recovery.binding import (
    IDENTITY,
    NEWER,
    adopt_requested,
    adopted,
    new_identity,
    read_identity,
    set_identity_aside,
    state_id_of_attempts,
    unreadable_directory,
    write_identity,
)
from controller.settings import Settings
from controller.telemetry.health import Health
from controller.telemetry.metrics import Metrics

AGAIN_SECONDS = 0.5  # between two tries while the API server is away, and two looks for `holdfast adopt`
NOT_ADOPTABLE = (NEWER, "StateDirectory")  # reasons that `holdfast adopt` does not settle
LIST_AGAIN_SECONDS = 15.0  # between two LISTs while the directory is not bound

_log = structlog.get_logger("controller.join")


@dataclass(frozen=True, slots=True)
class Joined:
    """The result: who we are, the monotonic moment at which the LIST was in the store, and its CPU time in seconds."""

    identity: Identity
    listed_at: float
    list_cpu_seconds: float


async def join(
    api: Api, settings: Settings, store: Store, kinds: Iterable[str], metrics: Metrics, health: Health
) -> Joined:
    """LIST every kind into `store` and bind the state directory; waits as long as it takes.

    Raises:
        OlderEtcd: etcd was replaced while we waited; the next start finds out and degrades.
    """
    kinds, told = tuple(kinds), ""
    while True:
        try:
            cpu = time.process_time()
            versions = await sync(api, store, kinds)
            listed_at, cpu = time.monotonic(), time.process_time() - cpu
            cluster = await api.cluster_uid()
        except (Transient, Waiting) as error:
            told = _tell(told, health, "Unreachable", error.message)
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        found = _bind(settings, store, cluster, max(versions.values()))
        if isinstance(found, Identity):
            metrics.bound.set(1)
            metrics.set_degraded(None)
            health.readiness("binding", None)
            return Joined(found, listed_at, cpu)
        metrics.set_degraded(found.reason)
        told = _tell(told, health, found.reason, found.message)
        await _until_changed(settings, adoptable=found.reason not in NOT_ADOPTABLE)


async def _until_changed(settings: Settings, *, adoptable: bool) -> None:
    """Wait for a person, for the file system to be mounted, or long enough that the cluster may tell something else."""
    before = _appearance(settings)
    for _ in range(int(LIST_AGAIN_SECONDS / AGAIN_SECONDS)):
        await asyncio.sleep(AGAIN_SECONDS)
        if (adoptable and adopt_requested(settings.home)) or _appearance(settings) != before:
            return


def _appearance(settings: Settings) -> list[tuple[int, ...]]:
    """Which identity.json and which directories of attempts are there now, and who may read them."""
    return [_look_of(path) for path in (settings.home / IDENTITY, settings.runs, settings.operations)]


def _look_of(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid


def _bind(settings: Settings, store: Store, cluster: str, listed: int) -> Identity | Mismatch:
    if (unreadable := unreadable_directory(settings.runs, settings.operations)) is not None:
        return unreadable
    recorded, why = _compare(settings, store, cluster, listed)
    asked = adopt_requested(settings.home)
    if why is not None and (not asked or why.reason == NEWER):
        return why
    try:
        if recorded is None or why is not None:
            recorded = _bind_anew(settings, recorded, why, cluster, listed)
        if asked:
            adopted(settings.home)
            _log.warning("the state directory was adopted", state_id=recorded.state_id, cluster=cluster)
    except OSError as error:
        where = error.filename or settings.home
        return Mismatch("StateDirectory", f"{where}: {error.strerror or error}; it must be writable to be bound")
    return recorded


def _compare(settings: Settings, store: Store, cluster: str, listed: int) -> tuple[Identity | None, Mismatch | None]:
    try:
        recorded = read_identity(settings.home)
    except Terminal as damage:
        return None, Mismatch(damage.reason, damage.message)
    own, foreign = _unfinished(store, recorded.state_id if recorded else "")
    return recorded, mismatch(recorded, cluster, listed, foreign, own, _directories(settings))


def _bind_anew(
    settings: Settings, recorded: Identity | None, why: Mismatch | None, cluster: str, listed: int
) -> Identity:
    """Raises OSError; interrupted anywhere, the next try goes on with it."""
    if recorded is None and why is not None and (aside := set_identity_aside(settings.home, why.message)) is not None:
        _log.warning("the damaged file was set aside", path=str(aside))
    state_id = recorded.state_id if recorded else _known_state_id(settings, cluster)
    made = new_identity(cluster, listed, state_id)
    write_identity(settings.home, made)
    return made


def _known_state_id(settings: Settings, cluster: str) -> str | None:
    """Attempts of a cluster alone belong to none of its controllers: all of them go by the same name."""
    if "Process" not in settings.enabled_executors:
        return cluster
    return state_id_of_attempts(settings.runs)


def _unfinished(store: Store, state_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Jobs with an attempt under way: those started under the state directory `state_id`, and the others."""
    own: list[str] = []
    foreign: list[str] = []
    for key, job in store.items("BatchJob"):
        active = step.active(job.status) if isinstance(job, BatchJob) else None
        if active is not None and active.state_id:
            (own if active.state_id == state_id else foreign).append(f"{key.namespace}/{key.name}")
    return tuple(own), tuple(foreign)


def _directories(settings: Settings) -> int | None:
    """How many run directories there are, None where the directory that holds them is missing."""
    if not settings.runs.is_dir():
        return None
    count = 0
    for path in settings.runs.iterdir():
        try:
            AttemptId.parse(path.name)
        except ValueError:
            continue
        count += 1
    return count


def _tell(told: str, health: Health, reason: str, message: str) -> str:
    health.readiness("binding", lambda: f"{reason}: {message}")
    if told != message:
        _log.warning("degraded: nothing is started, stopped or removed", reason=reason, message=message)
    return message
