"""Takes over what Pods print while they print it, so that it outlives them (requirements 3.2, 4.2).

Followed from the start of the command (`follower`): what a kubelet rotates away or removes with a Pod is here by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from controller.errors import Transient, Waiting
from controller.executors.base import NOT_KEPT, AttemptId
from controller.executors.pod.cluster import Cluster
from controller.executors.pod.follower import Follower
from controller.executors.pod.passes import mark_gap
from controller.executors.pod.place import OutputPlace
from controller.executors.pod.views import PodView
from controller.files.remote_calls import apart
from controller.files.spool import Spool

FINISH_SECONDS = 15.0  # for the rest of an output once its command is over
BRING_SECONDS = 1.0  # that a worker waits for one that is brought elsewhere
BRING_AGAIN_SECONDS = 5.0  # until its next look

_log = structlog.get_logger("controller.output")


class Collector:
    """See the module.

    Args:
        too_much: called when an attempt printed more than its limit.
    """

    def __init__(self, cluster: Cluster, place: OutputPlace, too_much: Callable[[AttemptId], None]) -> None:
        self._cluster = cluster
        self._place = place
        self._too_much = too_much
        self._followers: dict[AttemptId, Follower] = {}
        self._tasks: dict[AttemptId, asyncio.Task[None]] = {}
        self._bringing: dict[AttemptId, asyncio.Task[None]] = {}

    def follow(self, attempt: AttemptId, pod: PodView, limit: int | None) -> asyncio.Task[None]:
        """Begin to take over the output of a Pod whose command has begun; nothing where that is under way."""
        task = self._tasks.get(attempt)
        if task is None:
            follower = Follower(self._cluster, attempt, pod, limit, self._place.directory(attempt), self._too_much)
            task = asyncio.create_task(follower.run(), name=f"output {attempt}")
            self._followers[attempt], self._tasks[attempt] = follower, task
            task.add_done_callback(partial(self._done, attempt))
        return task

    def _done(self, attempt: AttemptId, task: asyncio.Task[None]) -> None:
        if self._tasks.get(attempt) is task:
            del self._tasks[attempt], self._followers[attempt]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("output is not taken over for now", attempt=str(attempt), error=str(error))

    async def forget(self, attempt: AttemptId) -> None:
        """Nobody wants the output any more."""
        self._followers.pop(attempt, None)
        tasks = [found for one in (self._tasks, self._bringing) if (found := one.pop(attempt, None)) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self, attempt: AttemptId) -> None:
        """Its kubelet has nothing more of it: what was taken over is all there will be."""
        self._followers.pop(attempt, None)
        task = self._tasks.pop(attempt, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def finish(self, attempt: AttemptId, pod: PodView | None, limit: int | None) -> None:
        """Have all of the output of an attempt that is over where it is kept.

        Args:
            pod: None where it is gone.

        Raises:
            Transient: it cannot be read or written now.
            Waiting: it is on its way to another machine, apart from the workers, however many are.
        """
        if not self._place.elsewhere:
            return await self._finish(attempt, pod, limit)
        task = self._bringing.get(attempt)
        if task is None:
            task = asyncio.create_task(self._finish(attempt, pod, limit), name=f"keep output {attempt}")
            self._bringing[attempt] = task
        await asyncio.wait({task}, timeout=BRING_SECONDS)
        if not task.done():
            text = f"the output of {attempt} is on its way to {self._place.location(attempt)}"
            raise Waiting("OutputOnItsWay", text, BRING_AGAIN_SECONDS)
        if self._bringing.get(attempt) is task:
            del self._bringing[attempt]
        return task.result()

    async def _finish(self, attempt: AttemptId, pod: PodView | None, limit: int | None) -> None:
        blocking = apart if self._place.elsewhere else asyncio.to_thread
        try:
            if await blocking(self._place.is_kept, attempt):
                return
            if pod is not None or attempt in self._tasks:
                await self._rest(attempt, pod, limit)
            else:
                await asyncio.to_thread(self._close, attempt)
            await blocking(self._place.keep, attempt)
        except OSError as error:
            text = f"{error.filename or self._place.location(attempt)}: {error.strerror or error}"
            raise Transient(NOT_KEPT, text) from error

    async def _rest(self, attempt: AttemptId, pod: PodView | None, limit: int | None) -> None:
        task = self._tasks.get(attempt)
        if task is None and pod is not None:
            task = self.follow(attempt, pod, limit)
        if task is None:
            return
        follower = self._followers[attempt]
        follower.hurry(pod)
        done, _ = await asyncio.wait({task}, timeout=FINISH_SECONDS)
        if not done:
            why = f": {follower.refused}" if follower.refused else ""
            what = follower.trouble or f"the log of {attempt} cannot be read to its end{why}"
            raise Transient(NOT_KEPT, f"{what}; its Pod stays until then, or until somebody deletes it")
        task.result()

    def _close(self, attempt: AttemptId) -> None:
        """The Pod is gone: what was not read is lost."""
        directory = self._place.directory(attempt)
        if not directory.is_dir():
            return
        spool = Spool(directory)
        spool.open()
        try:
            if not spool.position.complete:
                mark_gap(spool)
                spool.complete()
        finally:
            spool.close()

    async def close(self) -> None:
        """Stop following; the next start goes on."""
        tasks = [*self._tasks.values(), *self._bringing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
