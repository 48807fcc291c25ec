"""Bring the store to what the API server holds: the first LIST, and the re-check of what a watch does not tell.

A watch that was cut tells no deletions (design 2). An object missing from a LIST goes only if the version stored of it
is not newer than the LIST; a LIST older than what was seen before means an older etcd, and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from controller.api.keys import Key
from controller.kube.client import LIST_RESTARTS, Api
from controller.kube.errors import Expired, NotFound, OlderEtcd
from controller.kube.store import Change, Store

MANY = 200  # stale objects from which on one LIST is cheaper than a GET for each
FETCHES = 8  # at once

_log = structlog.get_logger("controller.kube.sync")

Seen = dict[Key, tuple[str, int]]  # uid and version
Tell = Callable[[Change], None]


async def sync(api: Api, store: Store, kinds: Iterable[str]) -> dict[str, int]:
    """LIST every kind into the store; Synced (design 2) is when this returns.

    Returns:
        The version of each kind's LIST.

    Raises:
        OlderEtcd: a LIST is older than what was seen of its kind before.
        Transient: the API server did not answer, or does not serve the kind.
    """
    return {kind: await _sync_kind(api, store, kind, lambda _: None) for kind in kinds}


async def recheck(api: Api, store: Store, kind: str, tell: Tell) -> None:
    """Compare the store with a metadata-only LIST: drop what is gone, fetch what is newer there.

    Args:
        tell: called with each deletion and update that no event had told, in the step that stores it: nobody else will
            tell of it, whatever fails after it.

    Raises:
        OlderEtcd, Transient: as `sync`.
    """
    held = store.versions(kind)
    seen, version = await _list(api, store, kind, None)
    _drop_missing(store, kind, held, seen, version, tell)
    stored = store.versions(kind)
    stale = [key for key, (_, newest) in seen.items() if newest > stored.get(key, ("", -1))[1]]
    if len(stale) > MANY:
        await _sync_kind(api, store, kind, tell)
        return
    limit = asyncio.Semaphore(FETCHES)

    async def fetch(key: Key) -> None:
        async with limit:
            try:
                _take(store, kind, await api.get(kind, key.namespace, key.name), tell)
            except NotFound:
                return  # deleted since: an event or the next re-check tells

    # All of them to their end: no fetch of a read that failed may come in the middle of the next one.
    for result in await asyncio.gather(*(fetch(key) for key in stale), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _sync_kind(api: Api, store: Store, kind: str, tell: Tell) -> int:
    held = store.versions(kind)
    seen, version = await _list(api, store, kind, tell)
    _drop_missing(store, kind, held, seen, version, tell)
    return version


def _take(store: Store, kind: str, raw: dict[str, Any], tell: Tell) -> None:
    change = store.update(kind, raw)
    if change is not None:
        tell(change)


async def _list(api: Api, store: Store, kind: str, tell: Tell | None) -> tuple[Seen, int]:
    """LIST page by page, so that never all raw objects are in memory; full objects go into the store at once.

    Args:
        tell: of what is newer than in the store; None: only metadata is read, and nothing stored.
    """
    floor = store.highest_version(kind)
    for restarts in range(LIST_RESTARTS):
        seen: Seen = {}
        version = 0
        try:
            async for page in api.pages(kind, metadata_only=tell is None):
                version = page.resource_version
                _check_age(kind, version, floor)
                for raw in page.items:
                    meta = raw["metadata"]
                    key = Key(kind, meta.get("namespace", ""), meta["name"])
                    seen[key] = (meta["uid"], int(meta["resourceVersion"]))
                    if tell is not None:
                        _take(store, kind, raw, tell)
                await asyncio.sleep(0)  # a page takes 30 ms: let others have the loop
        except Expired:
            if restarts == LIST_RESTARTS - 1:
                raise
            continue
        store.saw(kind, version)
        return seen, version
    raise AssertionError("unreachable")


def _check_age(kind: str, version: int, floor: int) -> None:
    if version < floor:
        message = (
            f"a LIST of {kind} has resourceVersion {version}, but {floor} was seen before: etcd was replaced or "
            "restored from a backup; look at it, then run `holdfast adopt`"
        )
        raise OlderEtcd("OlderEtcd", message)


def _drop_missing(store: Store, kind: str, held: Seen, seen: Seen, version: int, tell: Tell) -> None:
    """Remove what was held before the LIST began and is not in it, unless it was written after the LIST's version."""
    now = store.versions(kind)
    for key, (uid, _) in held.items():
        listed = seen.get(key)
        if listed is not None and listed[0] == uid:
            continue
        current = now.get(key)
        if current is None or current[0] != uid or current[1] > version:
            continue
        change = store.remove(key, uid)
        if change is not None:
            tell(change)
            _log.info("deletion found by a re-check", kind=kind, namespace=key.namespace, name=key.name)
