"""The watch: kopf embedded, reduced to telling events (design 2). kopf itself writes nothing to the cluster.

Promises: every event of every kind reaches `on_event`, through disconnects, 410s and restarts of the API server;
deletions that happened while no watch was open are not told (that is what `sync.recheck` is for, and what `on_list`
announces). A lasting refusal or 5xx ends `run_watch` with the error: the process exits non-zero and is restarted.

Only `on.event` and `on.login` are used, in a registry of our own: the other handlers of kopf write annotations, add
finalizers or keep a task for each object.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import kopf

from controller.api.keys import GROUP, VERSION
from controller.errors import Transient
from controller.kube.ending import Generators, of_kopf, pass_on, tasks_end
from controller.kube.kinds import SERVED
from controller.kube.session import Sessions
from controller.telemetry.metrics import Metrics

LISTED = "LISTED"  # type of an event that comes from a LIST, not from a change
PAGE = 500  # objects per page of kopf's LIST: all at once would be 200 MB of dicts at 10,000 objects
PATIENCE = (1, 1, 2, 3, *[5] * 60)  # seconds between tries: five minutes of 403 or 5xx are lasting
QUIET_SECONDS = 30.0

OnEvent = Callable[[str, str, dict[str, Any]], None]


async def run_watch(
    kubeconfig: Path | None,
    on_event: OnEvent,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    namespaces: Sequence[str] | None = None,
    *,
    kinds: Iterable[str],
    on_list: Callable[[str], None] | None = None,
    on_listed: Callable[[str], None] | None = None,
    install_signals: Callable[[], None] | None = None,
    metrics: Metrics | None = None,
    version: str = "unknown",
    patience: Sequence[float] = PATIENCE,
) -> None:
    """Tell events until `stop` is set.

    Args:
        kubeconfig: as `config.load` takes it.
        on_event: called in the event loop with kind, type (LISTED, ADDED, MODIFIED, DELETED) and the raw object, per
            object in order; it must neither wait nor raise (kopf logs what is raised and goes on).
        ready: set once the watches of all kinds are open.
        namespaces: only these; None: the whole cluster.
        kinds: that are watched.
        on_list: called with the kind when a LIST of it has begun anew: deletions may have been missed before it.
        on_listed: called with the kind when that LIST begins to arrive: of which version it is is settled.
        install_signals: kopf takes SIGINT and SIGTERM for itself; called right after that to take them back.
        patience: seconds between the tries of a request that is refused or answered with 5xx; after them it is lasting.

    Raises:
        Exception: what kopf ended with: a lasting 403 or 5xx, an unknown error in a watch.
        Transient: kopf ended by itself, without an error, or will never open one of the watches.
    """
    kinds = tuple(kinds)
    generators = Generators()
    sessions = Sessions(kubeconfig, kinds, ready, on_list, on_listed, metrics, version)
    _quieten()
    kopf_stop = asyncio.Event()
    passing_on = asyncio.create_task(pass_on(stop, kopf_stop), name="watch-stop")
    try:
        tasks = await kopf.spawn_tasks(
            registry=_registry(kinds, on_event, sessions, metrics),
            settings=_settings(patience),
            standalone=True,
            clusterwide=namespaces is None,
            namespaces=namespaces or (),
            stop_flag=kopf_stop,
            identity="holdfast",  # type: ignore[arg-type]  # unused without peering; the default asks the host for names
        )
        if install_signals is not None:
            install_signals()  # nothing was awaited since kopf took them: no signal can have been lost
        guard = asyncio.create_task(sessions.opening.guard(), name="watch-opening")
        with generators:
            await kopf.run_tasks([*tasks, guard], ignored=_Foreign())
    finally:
        passing_on.cancel()
        await tasks_end()
        await generators.aclose()
        await sessions.close()
    if not stop.is_set():
        raise Transient("WatchEnded", "the watch ended by itself; the controller has to be restarted")


def _registry(
    kinds: Iterable[str], on_event: OnEvent, sessions: Sessions, metrics: Metrics | None
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="login")(sessions.login)
    for kind in kinds:
        kopf.on.event(GROUP, VERSION, SERVED[kind].plural, id=kind, registry=registry)(_teller(kind, on_event, metrics))
    return registry


def _teller(kind: str, on_event: OnEvent, metrics: Metrics | None) -> Any:
    async def tell(event: Any, **_: Any) -> None:  # a coroutine: kopf runs plain functions in threads
        what = event["type"] or LISTED
        if metrics is not None:
            metrics.watch_events.labels(kind, what).inc()
        on_event(kind, what, event["object"])

    return tell


def _settings(patience: Sequence[float]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # the CRDs are served before we start, and stay
    settings.process.ultimate_exiting_timeout = None  # ours to decide
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.05  # seconds a task per object outlives its last event
    settings.watching.inactivity_timeout = 70
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = PAGE
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = patience
    settings.persistence.finalizer = f"{GROUP}/never-on-any-object"  # kopf removes what equals this
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    return settings


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-handled state: nothing of ours asks for a difference, and the default copies each object."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Keeps no progress: the handlers of on.event have none."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


class _Foreign(Collection[Any]):
    """The tasks that are not kopf's. When it ends, it cancels all tasks that are not in what it is told to ignore,
    and by default that is every task younger than itself, also those of reconciles in work and of the HTTP server."""

    def __contains__(self, task: object) -> bool:
        return not of_kopf(task)

    def __iter__(self) -> Iterator[Any]:
        return (task for task in asyncio.all_tasks() if task in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _OncePer(logging.Filter):
    """Lets one record per source line pass in QUIET_SECONDS: kopf logs each of its tries as an error."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[int, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last.get(record.lineno, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        self._last[record.lineno] = now
        return True


def _quieten() -> None:
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf.activities.authentication").setLevel(logging.WARNING)
    tries = logging.getLogger("kopf._cogs.clients.api")
    if not any(isinstance(known, _OncePer) for known in tries.filters):
        tries.addFilter(_OncePer())
