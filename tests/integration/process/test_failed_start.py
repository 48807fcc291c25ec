"""A start that fails is told to whoever asked for it, once, and wakes nobody."""

from __future__ import annotations

import pytest

from controller.errors import Transient
from tests.integration.process.attempts import Host, until


async def test_failed_start_wakes_nobody(host: Host) -> None:
    """Issue "no hot retry": the end of a supervisor that could not start its command is no reason to look again."""
    spec = host.shell("true")
    host.runs.rmdir()
    with pytest.raises(Transient, match="No such file"):
        await host.executor.launch(spec)
    host.runs.mkdir(mode=0o700)
    good = host.shell("true")
    await host.finish(good)
    await until(lambda: host.woken, what="the wake-up of the attempt that ran")
    assert host.woken == [good.attempt]
    await host.executor.launch(spec)
    assert (await host.end(spec)).exit is not None
