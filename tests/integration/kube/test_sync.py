"""The store and the real API server (design 2): the first LIST, and the re-check of what a watch does not tell."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from controller.api.keys import Key
from controller.errors import Waiting
from controller.kube.client import Api
from controller.kube.errors import OlderEtcd
from controller.kube.store import Change, ChangeType, Store
from controller.kube.sync import MANY, recheck, sync
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.integration.kube.objects import batch_job
from tests.integration.kube.users import allowed, connected
from tests.running_plane import RunningPlane


@pytest.fixture
def store(metrics: Metrics) -> Store:
    return Store(metrics)


async def rechecked(client: Api, store: Store) -> list[Change]:
    """What a re-check of the jobs tells."""
    told: list[Change] = []
    await recheck(client, store, "BatchJob", told.append)
    return told


async def may_list(api: Api) -> bool:
    """Whether the API server has noticed that we may."""
    try:
        return bool(await api.list("BatchJob"))
    except Waiting:
        return False


async def test_sync_holds_everything(client: Api, namespace: str, store: Store) -> None:
    """Design 2: Synced means that our own LIST of every kind is in the store."""
    made = await client.create("BatchJob", namespace, batch_job("a"))
    versions = await sync(client, store, ("JobQueue", "BatchJob"))
    job = store.job(Key("BatchJob", namespace, "a"))
    assert job is not None and job.metadata.uid == made["metadata"]["uid"]
    assert versions["BatchJob"] >= job.metadata.version
    assert store.highest_version("BatchJob") == versions["BatchJob"]


async def test_creation_order_is_told_by_versions_unless_edited(client: Api, namespace: str, store: Store) -> None:
    """Design 4: the version first seen is the sequence; what was edited before it was seen is told."""
    told: list[Change] = []
    store.listen(told.append)
    for name in ("a", "b", "c", "d"):
        await client.create("BatchJob", namespace, batch_job(name))
    await client.patch("BatchJob", namespace, "b", {"spec": {"priority": 5}})
    await client.patch("BatchJob", namespace, "c", {"metadata": {"labels": {"x": "y"}}})
    d = (await client.get("BatchJob", namespace, "d"))["metadata"]
    await client.patch_status("BatchJob", namespace, "d", d["uid"], d["resourceVersion"], {"phase": "Queued"})
    await sync(client, store, ("BatchJob",))
    edited = {c.key.name: c.edited_before_seen for c in told if c.key.namespace == namespace}
    # c: its one managed field entry is by the same manager, perhaps within the second of the creation
    assert edited["a"] is False and edited["b"] is True and edited["d"] is True


async def test_a_deletion_that_no_event_told_is_found(client: Api, namespace: str, store: Store) -> None:
    """Design 2: deletions are not told after an in-stream 410; the re-check finds them."""
    for name in ("stays", "goes"):
        await client.create("BatchJob", namespace, batch_job(name))
    await sync(client, store, ("BatchJob",))
    key = Key("BatchJob", namespace, "goes")
    job = store.job(key)
    assert job is not None
    await client.delete("BatchJob", namespace, "goes", job.metadata.uid)
    changes = [change for change in await rechecked(client, store) if change.key.namespace == namespace]
    assert [(change.type, change.key) for change in changes] == [(ChangeType.DELETED, key)]
    assert store.get(key) is None
    assert store.get(Key("BatchJob", namespace, "stays")) is not None


async def test_a_recreation_that_no_event_told_is_found(client: Api, namespace: str, store: Store) -> None:
    """Issue 3, faults: deleted and created again under the same name."""
    old = (await client.create("BatchJob", namespace, batch_job("a")))["metadata"]["uid"]
    await sync(client, store, ("BatchJob",))
    await client.delete("BatchJob", namespace, "a", old)
    new = (await client.create("BatchJob", namespace, batch_job("a")))["metadata"]["uid"]
    changes = [change for change in await rechecked(client, store) if change.key.namespace == namespace]
    assert [change.type for change in changes] == [ChangeType.DELETED, ChangeType.ADDED]
    job = store.job(Key("BatchJob", namespace, "a"))
    assert job is not None and job.metadata.uid == new


async def test_a_change_that_no_event_told_is_fetched(client: Api, namespace: str, store: Store) -> None:
    """Design 2: the store converges also where events were lost."""
    await client.create("BatchJob", namespace, batch_job("a"))
    await sync(client, store, ("BatchJob",))
    await client.patch("BatchJob", namespace, "a", {"spec": {"suspend": True}})
    await rechecked(client, store)
    job = store.job(Key("BatchJob", namespace, "a"))
    assert job is not None and job.spec.suspend


async def test_many_changes_that_no_event_told_are_told(client: Api, namespace: str, store: Store) -> None:
    """1.3, 2.1: also where one LIST is cheaper than a GET for each; nobody else will tell of them."""
    await sync(client, store, ("BatchJob",))
    names = {f"job-{number:03}" for number in range(MANY + 1)}
    await asyncio.gather(*(client.create("BatchJob", namespace, batch_job(name)) for name in names))
    found = {change.key.name for change in await rechecked(client, store) if change.key.namespace == namespace}
    assert found == names


async def test_what_was_stored_before_a_read_failed_is_told(
    client: Api, plane: RunningPlane, plane_http: httpx.Client, metrics: Metrics, namespace: str, store: Store
) -> None:
    """1.3, 2.1: the right to GET is missing: the deletion that the LIST had told is not lost with the read."""
    gone = (await client.create("BatchJob", namespace, batch_job("gone")))["metadata"]["uid"]
    await sync(client, store, ("BatchJob",))
    await client.delete("BatchJob", namespace, "gone", gone)
    await client.create("BatchJob", namespace, batch_job("new"))
    user, told = f"lister-{namespace}", list[Change]()
    rule = {"apiGroups": ["holdfast.dev"], "resources": ["batchjobs"], "verbs": ["list"]}
    with allowed(plane_http, user, rule):
        async with connected(plane, metrics, user=user) as api:
            await eventually(lambda: may_list(api))
            with pytest.raises(Waiting, match="cannot get"):
                await recheck(api, store, "BatchJob", told.append)
    found = [(change.type, change.key.name) for change in told if change.key.namespace == namespace]
    assert found == [(ChangeType.DELETED, "gone")]


async def test_what_was_written_after_the_list_stays(client: Api, namespace: str, store: Store) -> None:
    """Design 2: an object missing from a LIST goes only if its stored version is not newer than the LIST."""
    await sync(client, store, ("BatchJob",))
    raw = batch_job("later") | {"metadata": {"name": "later", "namespace": namespace, "uid": "u"}}
    raw["metadata"]["resourceVersion"] = str(store.highest_version("BatchJob") + 10**6)
    await sync(client, store, ("BatchJob",))
    store._highest["BatchJob"] = 0  # the LIST below is older than this object, yet not an older etcd
    store.update("BatchJob", raw)
    store._highest["BatchJob"] = 0
    assert [c for c in await rechecked(client, store) if c.key.name == "later"] == []
    assert store.get(Key("BatchJob", namespace, "later")) is not None


@pytest.mark.parametrize("how", ["sync", "recheck"])
async def test_an_older_etcd_is_noticed_and_changes_nothing(
    client: Api, namespace: str, store: Store, how: str
) -> None:
    """Design 2 and 9: a LIST below the highest version seen means an older etcd."""
    await client.create("BatchJob", namespace, batch_job("a"))
    await sync(client, store, ("BatchJob",))
    before = store.versions("BatchJob")
    store.saw("BatchJob", store.highest_version("BatchJob") + 10**9)
    with pytest.raises(OlderEtcd, match="holdfast adopt"):
        await (sync(client, store, ("BatchJob",)) if how == "sync" else rechecked(client, store))
    assert store.versions("BatchJob") == before
