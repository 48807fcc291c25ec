"""A watch that cannot open is told, so that the controller is not deaf for ever."""

from __future__ import annotations

import asyncio

import pytest

from controller.errors import Transient
from controller.kube.watch import run_watch
from tests.running_plane import RunningPlane


async def test_kind_not_served_when_the_watch_begins(plane: RunningPlane) -> None:
    """7.3: met by the soak: an API server that has just started did not serve our kinds when kopf looked, once."""
    opened = asyncio.Event()
    unserved = ("BatchJob", "ConfigMap")  # there is no ConfigMap in our group
    watch = run_watch(plane.kubeconfig, lambda *_: None, asyncio.Event(), opened, kinds=unserved)
    with pytest.raises(Transient, match="did not serve ConfigMap"):
        await asyncio.wait_for(watch, 60)
    assert not opened.is_set()
