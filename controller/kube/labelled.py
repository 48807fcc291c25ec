"""A view of the objects of one foreign kind that carry our label: LIST, then watch.

Not by kopf, which selects by label only after it was sent everything: a cluster has many Pods that are none of ours.
Promises: what changes is told, deletions included, also those that happened while no watch was open; the view is only
ever late. What must not be late is looked up (`Workloads.look`).
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import structlog

from controller.errors import HoldfastError
from controller.kube.client import Api
from controller.kube.errors import Expired
from controller.kube.kinds import SERVED
from controller.kube.streams import Streams

Object = dict[str, Any]
Name = tuple[str, str]  # namespace, name

SERVER_SECONDS = 300  # a watch is begun anew after this
REMEMBERED = 512  # last states of deleted objects
IDLE_SECONDS = 90.0  # bookmarks come about once a minute: silence for longer is a broken connection
AGAIN_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # between tries while the API server is away

_log = structlog.get_logger("controller.watch")


class LabelledView:
    """See the module.

    Args:
        label: that they all carry; its value groups them.
        tell: called in the event loop with the label's value of an object that was added, changed or deleted.
    """

    def __init__(self, api: Api, streams: Streams, kind: str, label: str, tell: Callable[[str], None]) -> None:
        self._api = api
        self._streams = streams
        self._kind = kind
        self._label = label
        self._tell = tell
        self._version = 0
        self._objects: dict[Name, Object] = {}
        self._groups: dict[str, set[Name]] = {}
        self._last: OrderedDict[str, Object] = OrderedDict()

    def groups(self) -> list[str]:
        """The values of the label that objects have."""
        return list(self._groups)

    def of(self, value: str) -> list[Object]:
        """The objects whose label has this value."""
        return [self._objects[name] for name in self._groups.get(value, ())]

    def last_of(self, value: str) -> Object | None:
        """The last state of the object of this value that was deleted last; only of the newest deletions."""
        return self._last.get(value)

    async def fill(self) -> None:
        """LIST; tells what differs from what was known. Raises Transient, Waiting."""
        listing = await self._api.list(self._kind, label_selector=self._label)
        self._version = listing.resource_version
        there = {_name(item) for item in listing.items}
        for name in [name for name in self._objects if name not in there]:
            self._drop(name, self._version)
        for item in listing.items:
            self.put(item)

    async def run(self) -> None:
        """Follow until cancelled; whatever fails is tried again."""
        failures = 0
        while True:
            try:
                if self._version == 0:
                    await self.fill()
                await self._watch()
                failures = 0
            except HoldfastError as error:
                self._version = 0  # deletions may be missed: begin with a LIST
                log = _log.info if isinstance(error, Expired) else _log.warning
                log("a watch broke off", kind=self._kind, reason=error.reason, error=error.message)
                await asyncio.sleep(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])
                failures += 1

    def put(self, item: Object) -> None:
        """Take a newer state of an object, told by the watch or by the answer to a write."""
        name, before = _name(item), self._objects.get(_name(item))
        if before is not None and _version(before) >= _version(item):
            return
        item["metadata"].pop("managedFields", None)
        value, old = self._value(item), self._value(before or item)
        if before is not None and old != value:  # somebody changed the label
            self._leave(name, old)
        self._objects[name] = item
        self._groups.setdefault(value, set()).add(name)
        for each in {value, old}:
            self._tell(each)

    def _leave(self, name: Name, value: str) -> None:
        self._groups[value].discard(name)
        if not self._groups[value]:
            del self._groups[value]

    def _drop(self, name: Name, version: int) -> None:
        before = self._objects.get(name)
        if before is None or _version(before) > version:
            return
        value = self._value(before)
        del self._objects[name]
        self._leave(name, value)
        self._last[value] = before
        self._last.move_to_end(value)
        while len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        self._tell(value)

    def _value(self, item: Object) -> str:
        return str((item["metadata"].get("labels") or {}).get(self._label, ""))

    async def _watch(self) -> None:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": self._label,
            "resourceVersion": str(self._version),
            "timeoutSeconds": str(SERVER_SECONDS),
        }
        path = f"{SERVED[self._kind].path(self._api.scope)}?{urlencode(query)}"
        rest = b""
        async for data in self._streams.stream("watch", self._kind, path, IDLE_SECONDS):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._event(json.loads(line))

    def _event(self, event: Object) -> None:
        item, kind = event["object"], event["type"]
        if kind == "ERROR":
            raise Expired("Expired", f"watch of {self._kind}: {item.get('message')}")
        self._version = max(self._version, _version(item))
        if kind == "DELETED":
            self.put(item)  # its last state tells how it ended
            self._drop(_name(item), _version(item))
        elif kind != "BOOKMARK":
            self.put(item)


def _name(item: Object) -> Name:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _version(item: Object) -> int:
    return int(item["metadata"]["resourceVersion"])
