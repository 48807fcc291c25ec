"""Whether this controller acts or stands by (requirement 10.5). On one host the lock of the state directory decides.

Who stands by reads and watches everything, so that missing rights show at once, serves metrics and health, and writes
nothing but its try for the Lease. The take-over reads everything anew: what the leader before wrote last is seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from controller.api.names import KINDS
from controller.app.foundation import Foundation
from controller.errors import Transient, Waiting
from controller.kube.client import Api
from controller.kube.lease import Lease
from controller.kube.sync import sync
from controller.kube.watch import run_watch

CONNECTIONS = 2  # of the Lease alone: no other call delays a renewal
AGAIN_SECONDS = 5.0  # after a LIST that failed

_log = structlog.get_logger("controller.leadership")


@asynccontextmanager
async def candidacy(base: Foundation, api: Api) -> AsyncIterator[Lease | None]:
    """Our candidacy for the Lease, None where there is no election; the writes of `api` are guarded by it.

    The Lease is released at the end: whatever writes has to be stopped before.

    Raises:
        Terminal: no kubeconfig can be read.
    """
    settings = base.settings
    if not settings.leader_election:
        base.metrics.leading.set(1)
        yield None
        return
    limit = settings.call_seconds
    connecting = Api.connect(
        settings.kubeconfig, base.metrics, timeout_seconds=limit, connections=CONNECTIONS, version=base.agent
    )
    async with await connecting as own:
        lease = Lease(own, settings.namespace, settings.lease_name, base.identity, settings.lease_seconds, limit)
        api.guard = lease.check
        try:
            yield lease
        finally:
            base.metrics.leading.set(0)
            await lease.release()


async def stand_by(base: Foundation, api: Api, lease: Lease, install_signals: Callable[[], None]) -> float:
    """Wait until we lead; returns after how many seconds.

    Raises:
        Exception: the watch was refused for long: the process has to be started anew.
    """
    began, stop = time.monotonic(), asyncio.Event()
    warm = asyncio.create_task(_keep_warm(base, api, stop, install_signals), name="standby")
    wait = asyncio.create_task(lease.acquire(), name="acquire")
    try:
        await asyncio.wait({warm, wait}, return_when=asyncio.FIRST_COMPLETED)
        if warm.done():
            warm.result()
        base.metrics.leading.set(1)
        return time.monotonic() - began
    finally:
        stop.set()
        wait.cancel()
        await asyncio.gather(warm, wait, return_exceptions=True)


async def _keep_warm(base: Foundation, api: Api, stop: asyncio.Event, install_signals: Callable[[], None]) -> None:
    """Have the store follow the cluster until `stop` is set."""

    def tell(kind: str, type_: str, raw: dict[str, Any]) -> None:
        if type_ == "DELETED":
            base.store.delete(kind, raw)
        else:
            base.store.update(kind, raw)

    while not stop.is_set():
        try:
            await sync(api, base.store, KINDS)
            break
        except (Transient, Waiting) as error:
            _log.warning("the cluster cannot be read", reason=error.reason, error=error.message)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
    if not stop.is_set():
        await run_watch(
            base.settings.kubeconfig,
            tell,
            stop,
            namespaces=base.namespaces,
            kinds=KINDS,
            install_signals=install_signals,
            metrics=base.metrics,
            version=base.agent,
        )
