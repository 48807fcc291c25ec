"""Worlds for the crash tests: each has a plane and a preloaded controller of its own; one run at a time in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.crash.cluster import Cluster
from tests.crash.controllers import Preloaded
from tests.crash.scenario import World

LANES = min(2, os.cpu_count() or 1)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[World]]:
    """As many worlds as runs go side by side."""
    with ExitStack() as stack:
        made = []
        for _ in range(LANES):
            cluster = stack.enter_context(Cluster())
            made.append(World(cluster, stack.enter_context(Preloaded()), tmp_path_factory.mktemp("runs")))
        yield made
