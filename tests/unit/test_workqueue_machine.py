"""The work queue against a model of it, by any order of calls (design 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.reconcile.workqueue import WorkQueue
from tests.unit.builders import key
from tests.unit.clock import Clock


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls keeps the promises of the module against a simple model of them."""

    names = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.queue = WorkQueue(self.clock, jitter=lambda: 0.0)
        self.ready: set[str] = set()
        self.again: set[str] = set()
        self.work: set[str] = set()
        self.delayed: dict[str, float] = {}

    def teardown(self) -> None:
        self.run(self.queue.shut_down)
        self.loop.close()

    def run(self, call: Callable[[], object]) -> None:
        async def inside() -> None:
            call()

        self.loop.run_until_complete(inside())

    def model_add(self, name: str) -> None:
        (self.again if name in self.work else self.ready).add(name)

    @rule(name=names, priority=st.integers(0, 3))
    def add(self, name: str, priority: int) -> None:
        self.run(lambda: self.queue.add(key(name), priority))
        self.model_add(name)

    @rule(name=names, seconds=st.integers(1, 50))
    def add_after(self, name: str, seconds: int) -> None:
        self.run(lambda: self.queue.add_after(key(name), seconds))
        due = self.clock.now + seconds
        self.delayed[name] = min(due, self.delayed.get(name, due))

    @rule(name=names)
    def unschedule(self, name: str) -> None:
        self.run(lambda: self.queue.unschedule(key(name)))
        self.delayed.pop(name, None)

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds
        self.run(self.queue.release_due)
        for name in [n for n, due in self.delayed.items() if due <= self.clock.now]:
            del self.delayed[name]
            self.model_add(name)

    @precondition(lambda self: self.ready)
    @rule()
    def get(self) -> None:
        taken = self.loop.run_until_complete(asyncio.wait_for(self.queue.get(), 1))
        assert taken is not None
        assert taken.name in self.ready and taken.name not in self.work
        self.ready.remove(taken.name)
        self.work.add(taken.name)

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.work)))
        self.run(lambda: self.queue.done(key(name)))
        self.work.remove(name)
        if name in self.again:
            self.again.remove(name)
            self.ready.add(name)

    @invariant()
    def counts_agree(self) -> None:
        depth = self.queue.depth()
        assert (depth.ready, depth.delayed, depth.in_work) == (len(self.ready), len(self.delayed), len(self.work))


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
