"""Kubernetes Events: what a person sees with `kubectl describe`. Best effort; a job never waits for one.

One Event object per (object, type, reason): a repetition raises its count and renews its message. Its name follows
from these, so a restarted controller goes on with the same one. What does not fit the bounds is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import structlog

from controller.api.keys import API_VERSION
from controller.api.kind import Kind
from controller.errors import HoldfastError
from controller.kube.client import Api
from controller.kube.errors import AlreadyExists, NotFound, Unreachable
from controller.telemetry.metrics import Metrics

MAX_PENDING = 5000
MAX_KNOWN = 4096  # objects whose budget and Events whose count are remembered
BURST_PER_OBJECT = 25  # then one in REFILL_SECONDS: client-go's spam filter
REFILL_SECONDS = 300.0
POSTS_PER_SECOND = 200.0  # two for each of 100 jobs a second
SENDERS = 4
AGAIN_SECONDS = 2.0  # while the API server is away
MAX_MESSAGE = 1024  # the API server refuses more
COMPONENT = "holdfast"

EventType = Literal["Normal", "Warning"]

_log = structlog.get_logger("controller.kube.events")


class Reference(NamedTuple):
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def to(cls, found: Kind) -> Reference:
        """An object of ours."""
        return cls(API_VERSION, *found.key, found.metadata.uid)


class _Topic(NamedTuple):
    about: Reference
    type: EventType
    reason: str

    def event_name(self) -> str:
        text = "\n".join((self.about.uid, self.type, self.reason))
        return f"{self.about.name[:200]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class _Pending:
    message: str
    first: datetime
    last: datetime
    times: int = 1


class Recorder:
    """See the module.

    Args:
        now: wall clock in UTC, for the timestamps.
        monotonic: seconds, for the budgets.
    """

    def __init__(
        self,
        api: Api,
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._now = now
        self._monotonic = monotonic
        self._pending: OrderedDict[_Topic, _Pending] = OrderedDict()
        self._counts: OrderedDict[_Topic, int] = OrderedDict()  # as they are in the cluster
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # uid -> (tokens, when)
        self._sending: set[_Topic] = set()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._next_post = 0.0

    def start(self) -> None:
        """Begin to send; before it, what is recorded waits."""
        self._tasks = [asyncio.create_task(self._send(), name=f"events-{n}") for n in range(SENDERS)]

    def record(self, about: Reference, type_: EventType, reason: str, message: str) -> None:
        """Say something about an object; returns at once and raises nothing.

        Args:
            reason: CamelCase, from a small set: repetitions of one reason are one Event with a count.
        """
        topic, now = _Topic(about, type_, reason), self._now()
        message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
        known = self._pending.get(topic)
        if known is not None:
            known.message, known.last, known.times = message, now, known.times + 1
            self._metrics.events.labels("aggregated").inc()
        elif len(self._pending) >= MAX_PENDING or not self._afford(about.uid):
            self._metrics.events.labels("dropped").inc()
        else:
            self._pending[topic] = _Pending(message, now, now)
            self._more.set()
            self._idle.clear()

    async def flush(self, timeout_seconds: float) -> bool:
        """Send what waits, at most `timeout_seconds`, then end; returns whether all was sent. For the stop."""
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), timeout_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        left = len(self._pending)
        self._metrics.events.labels("dropped").inc(left)
        return left == 0

    def _afford(self, uid: str) -> bool:
        now = self._monotonic()
        tokens, when = self._budgets.pop(uid, (float(BURST_PER_OBJECT), now))
        tokens = min(float(BURST_PER_OBJECT), tokens + (now - when) / REFILL_SECONDS)
        self._budgets[uid] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._budgets) > MAX_KNOWN:
            self._budgets.popitem(last=False)
        return tokens >= 1

    async def _send(self) -> None:
        while True:
            await self._more.wait()
            topic = next((waiting for waiting in self._pending if waiting not in self._sending), None)
            if topic is None:
                self._more.clear()
                continue
            pending = self._pending.pop(topic)
            self._sending.add(topic)
            try:
                await self._pace()
                await self._post(topic, pending)
            except Unreachable:
                self._put_back(topic, pending)
                await asyncio.sleep(AGAIN_SECONDS)
            except HoldfastError as error:
                self._metrics.events.labels("failed").inc()
                _log.warning("Event not written", reason=error.reason, error=error.message)
            except asyncio.CancelledError:
                self._put_back(topic, pending)
                raise
            finally:
                self._sending.discard(topic)
                if self._pending:
                    self._more.set()
                elif not self._sending:
                    self._idle.set()

    def _put_back(self, topic: _Topic, pending: _Pending) -> None:
        newer = self._pending.get(topic)
        if newer is not None:
            newer.first, newer.times = pending.first, newer.times + pending.times
        else:
            self._pending[topic] = pending

    async def _pace(self) -> None:
        now = self._monotonic()
        self._next_post = max(self._next_post, now) + 1 / POSTS_PER_SECOND
        if self._next_post - now > 0.05:
            await asyncio.sleep(self._next_post - now)

    async def _post(self, topic: _Topic, pending: _Pending) -> None:
        count = self._counts.pop(topic, 0)
        if count == 0:
            try:
                await self._api.create("Event", topic.about.namespace, _body(topic, pending))
            except AlreadyExists:  # of an earlier controller, or forgotten here
                count = await self._count_there(topic)
        if count:
            try:
                await self._raise(topic, pending, count + pending.times)
            except NotFound:  # Events live one hour
                await self._api.create("Event", topic.about.namespace, _body(topic, pending))
                count = 0
        self._metrics.events.labels("posted").inc()
        self._counts[topic] = count + pending.times
        if len(self._counts) > MAX_KNOWN:
            self._counts.popitem(last=False)

    async def _count_there(self, topic: _Topic) -> int:
        with contextlib.suppress(NotFound):
            found = await self._api.get("Event", topic.about.namespace, topic.event_name())
            return int(found.get("count") or 1)
        return 1

    async def _raise(self, topic: _Topic, pending: _Pending, count: int) -> None:
        body = {"count": count, "message": pending.message, "lastTimestamp": _seconds(pending.last)}
        await self._api.patch("Event", topic.about.namespace, topic.event_name(), body)


def _body(topic: _Topic, pending: _Pending) -> dict[str, Any]:
    about = topic.about
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": topic.event_name(), "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": topic.type,
        "reason": topic.reason,
        "message": pending.message,
        "count": pending.times,
        "firstTimestamp": _seconds(pending.first),
        "lastTimestamp": _seconds(pending.last),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
    }


def _seconds(moment: datetime) -> str:
    """metav1.Time, which has whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
