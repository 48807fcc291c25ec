"""Jobs and Pods of the Pod executor: a view of all that carry a label, exact looks, and the few writes.

What an executor expects (somebody was faster, it is gone already) comes back as a value, not as an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from controller.kube.client import Api
from controller.kube.errors import AlreadyExists, Conflict, NotFound
from controller.kube.kinds import SERVED
from controller.kube.labelled import LabelledView
from controller.kube.streams import Streams

Object = dict[str, Any]


class Workloads:
    """See the module.

    Args:
        label: that all of them carry, with whatever value.
    """

    def __init__(self, api: Api, label: str) -> None:
        self._api = api
        self._streams = Streams.beside(api)
        self._label = label
        self._tell: Callable[[str], None] = lambda _: None
        self._jobs = LabelledView(api, self._streams, "Job", label, self._changed)
        self._pods = LabelledView(api, self._streams, "Pod", label, self._changed)

    # --- the view

    def subscribe(self, tell: Callable[[str], None]) -> None:
        """`tell` is called with the label's value of what changed."""
        self._tell = tell

    async def fill(self) -> None:
        """Read everything once. Raises Transient, Waiting."""
        await asyncio.gather(self._jobs.fill(), self._pods.fill())

    async def run(self) -> None:
        """Keep the view up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._jobs.run())
            group.create_task(self._pods.run())

    async def close(self) -> None:
        """Close the connections of the streams."""
        await self._streams.close()

    def groups(self) -> set[str]:
        """The label's values that Jobs or Pods of the view have."""
        return {*self._jobs.groups(), *self._pods.groups()}

    def known(self, value: str) -> tuple[list[Object], list[Object]]:
        """Jobs and Pods with this value of the label, as last told."""
        return self._jobs.of(value), self._pods.of(value)

    def last_pod(self, value: str) -> Object | None:
        """The last state of a Pod that was deleted not long ago."""
        return self._pods.last_of(value)

    def _changed(self, value: str) -> None:
        self._tell(value)

    # --- exact looks

    async def look(self, namespace: str | None, value: str) -> tuple[list[Object], list[Object]]:
        """Jobs and Pods with this value of the label, read from etcd; Jobs first: one that is closed makes no Pod.

        Args:
            namespace: that they are in; None: wherever they are.

        Raises:
            Transient, Waiting: they could not be read.
        """
        selector = f"{self._label}={value}"
        jobs = await self._api.list("Job", namespace, label_selector=selector)
        pods = await self._api.list("Pod", namespace, label_selector=selector)
        if pods.items and not jobs.items:  # a launch that was still under way has arrived between the two
            jobs = await self._api.list("Job", namespace, label_selector=selector)
        return jobs.items, pods.items

    async def job(self, namespace: str, name: str) -> Object | None:
        """One Job, None where there is none. Raises Transient, Waiting."""
        try:
            return await self._api.get("Job", namespace, name)
        except NotFound as error:
            if error.names(SERVED["Job"].plural, name):
                return None
            raise

    async def warnings(self, namespace: str, uid: str) -> list[str]:
        """Messages of the Warning Events about an object, the newest last. Raises Transient, Waiting."""
        listing = await self._api.list("Event", namespace, field_selector=f"involvedObject.uid={uid},type=Warning")
        found = sorted(listing.items, key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [str(event.get("message") or "") for event in found]

    def log(
        self, namespace: str, pod: str, container: str, since: int = 0, *, follow: bool = True
    ) -> AsyncGenerator[bytes, None]:
        """A container's output, as far as the kubelet has it, and on until it ends, or the kubelet breaks off.

        Each line begins with its time. It may be silent for ever, as a container may be: how long that is waited for is
        the caller's to say. Raises as the calls do.

        Args:
            since: seconds since 1970; lines before are left out.
            follow: False: no more than the kubelet has now.
        """
        query = {"container": container, "follow": str(follow).lower(), "timestamps": "true"}
        if since > 0:
            query["sinceTime"] = datetime.fromtimestamp(since, UTC).isoformat().replace("+00:00", "Z")
        path = f"{SERVED['Pod'].path(namespace, pod, 'log')}?{urlencode(query)}"
        return self._streams.stream("log", "Pod", path, None)

    # --- writes

    async def create_job(self, namespace: str, body: Object) -> bool:
        """Create a Job; False where one of that name exists. Raises Terminal, Waiting, Transient."""
        try:
            self._jobs.put(await self._api.create("Job", namespace, body))
        except AlreadyExists:
            return False
        return True

    async def patch_job(self, namespace: str, name: str, uid: str, patch: Object) -> bool:
        """Merge into exactly this Job; False where it is gone. Raises Terminal, Waiting, Transient."""
        body = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        try:
            self._jobs.put(await self._api.patch("Job", namespace, name, body))
        except (NotFound, Conflict):
            return False
        return True

    async def patch_pod(self, namespace: str, name: str, uid: str, patch: Object) -> None:
        """Merge into exactly this Pod; nothing to do where it is gone. Raises Terminal, Waiting, Transient."""
        body = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        try:
            self._pods.put(await self._api.patch("Pod", namespace, name, body))
        except (NotFound, Conflict):
            return

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly this Job and, in the background, its Pods. Raises Waiting, Transient."""
        try:
            await self._api.delete("Job", namespace, name, uid, propagationPolicy="Background")
        except (NotFound, Conflict):
            return

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Delete exactly this Pod: TERM, grace, KILL. Raises Waiting, Transient.

        Args:
            grace_seconds: None: the Pod's own. Never 0, which would not wait for the kubelet.
        """
        options = {} if grace_seconds is None else {"gracePeriodSeconds": max(1, grace_seconds)}
        try:
            await self._api.delete("Pod", namespace, name, uid, **options)
        except (NotFound, Conflict):
            return
