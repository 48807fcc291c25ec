"""Outputs of Pods in a real object store (requirement 4.2): whole or absent, and nothing else waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from controller.errors import HoldfastError, Terminal, Transient, Waiting
from controller.executors.base import AttemptId
from controller.executors.pod.collector import Collector
from controller.executors.pod.executor import PodExecutor
from controller.executors.pod.place import OutputPlace
from controller.files.remote import CALL_SECONDS
from controller.files.remote_calls import cancel_calls
from controller.files.spool import Position, Spool
from controller.kube.client import Api
from controller.kube.workloads import Workloads
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.object_store import ObjectStore
from tests.running_plane import RunningPlane

TEXT = b"printed\n"
NOBODYS_LABEL = "holdfast.dev/of-no-job"  # other tests may have left Jobs of attempts on this API server


@pytest.fixture(autouse=True)
def credentials(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from s3fs import S3FileSystem

    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    yield
    cancel_calls()


@pytest.fixture
async def workloads(plane: RunningPlane) -> AsyncIterator[Workloads]:
    async with await Api.connect(plane.kubeconfig, Metrics(), timeout_seconds=20) as api:
        made = Workloads(api, NOBODYS_LABEL)
        await made.fill()
        yield made
        await made.close()


def printed(place: OutputPlace) -> AttemptId:
    """An attempt whose output was taken over as a whole."""
    attempt = AttemptId(str(uuid4()), 1)
    spool = Spool(place.directory(attempt))
    spool.open()
    spool.append(TEXT, Position())
    spool.complete()
    spool.close()
    return attempt


class Outputs:
    """A collector of outputs that are kept in a bucket."""

    def __init__(self, directory: Path, bucket: str, workloads: Workloads) -> None:
        self.place = OutputPlace(directory / "output", f"s3://{bucket}/out", "")
        self.collector = Collector(workloads, self.place, lambda _: None)

    async def finish(self, attempt: AttemptId) -> HoldfastError | None:
        try:
            await self.collector.finish(attempt, None, None)
        except (Transient, Waiting, Terminal) as error:
            return error
        return None

    async def is_finished(self, attempt: AttemptId) -> bool:
        return await self.finish(attempt) is None


async def test_brought_whole_and_removed(object_store: ObjectStore, workloads: Workloads, tmp_path: Path) -> None:
    """4.2: once; the copy here goes; deleting the job removes it there."""
    bucket = object_store.bucket()
    outputs = Outputs(tmp_path, bucket, workloads)
    attempt = printed(outputs.place)
    await eventually(lambda: outputs.is_finished(attempt))
    assert object_store.objects(bucket)[f"out/{attempt}/output.log"].read_bytes() == TEXT
    assert not outputs.place.directory(attempt).exists() and outputs.place.is_kept(attempt)
    assert await outputs.finish(attempt) is None
    assert outputs.place.attempts_elsewhere() == [attempt]
    for _ in range(2):
        outputs.place.remove(attempt)
    assert not object_store.objects(bucket) and not outputs.place.has(attempt)
    await outputs.collector.close()


async def test_a_missing_bucket_is_said_and_heals(
    object_store: ObjectStore, workloads: Workloads, tmp_path: Path
) -> None:
    """4.2: with the setting; nothing is lost, nor taken for kept."""
    outputs = Outputs(tmp_path, "made-later", workloads)
    attempt = printed(outputs.place)

    async def refused() -> bool:
        error = await outputs.finish(attempt)
        assert isinstance(error, Transient), error
        assert error.reason == "OutputNotKept" and error.message.startswith("HOLDFAST_POD_OUTPUT: s3://made-later/")
        return True

    await eventually(refused)
    (object_store.buckets / "made-later").mkdir()
    await eventually(lambda: outputs.is_finished(attempt))
    assert outputs.place.is_kept(attempt)
    await outputs.collector.close()


async def test_a_silent_store_holds_up_nothing_else(
    object_store: ObjectStore, workloads: Workloads, tmp_path: Path
) -> None:
    """4.2, 9.4: neither workers nor the threads that wait for disks; when it speaks again all are brought."""
    bucket = object_store.bucket()
    outputs = Outputs(tmp_path, bucket, workloads)
    attempts = [printed(outputs.place) for _ in range(40)]
    object_store.freeze()
    began = time.monotonic()
    errors = await asyncio.gather(*map(outputs.finish, attempts))
    assert {getattr(each, "reason", None) for each in errors} == {
        "OutputOnItsWay"
    } and time.monotonic() - began < CALL_SECONDS
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), CALL_SECONDS) == 1
    object_store.thaw()
    for attempt in attempts:
        await eventually(lambda: outputs.is_finished(attempt), 120)  # noqa: B023  awaited in this turn
    assert len(object_store.objects(bucket)) == len(attempts)
    await outputs.collector.close()


@contextmanager
def silent(store: ObjectStore) -> Iterator[None]:
    store.freeze()
    yield
    store.thaw()


async def test_a_start_does_not_wait_for_a_silent_store(
    object_store: ObjectStore, workloads: Workloads, tmp_path: Path
) -> None:
    """7.3: what is kept there is told later, so that outputs of deleted jobs go all the same."""
    bucket = object_store.bucket()
    place = OutputPlace(tmp_path / "output", f"s3://{bucket}/out", "")
    attempt, here = printed(place), printed(place)
    place.keep(attempt)
    woken: list[AttemptId] = []
    executor = PodExecutor(workloads, place, lambda _: None, remove_pods=True)
    executor.subscribe(woken.append)
    with silent(object_store):
        began = time.monotonic()
        assert await executor.list_attempts() == [here]
        assert time.monotonic() - began < CALL_SECONDS and not woken
    await eventually(lambda: woken == [attempt], 120)
    assert set(await executor.list_attempts()) == {attempt, here}
    await executor.close()


async def test_a_stop_ends_what_is_on_its_way(object_store: ObjectStore, workloads: Workloads, tmp_path: Path) -> None:
    """7.9: and the next start begins anew."""
    outputs = Outputs(tmp_path, object_store.bucket(), workloads)
    attempt = printed(outputs.place)
    object_store.freeze()
    error = await outputs.finish(attempt)
    assert isinstance(error, Waiting) and error.retry_after is not None
    began = time.monotonic()
    cancel_calls()
    await outputs.collector.close()
    assert time.monotonic() - began < CALL_SECONDS and outputs.place.directory(attempt).is_dir()
