"""Worlds for the crash tests: each has a plane and a preloaded controller of its own; one run at a time in each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.crash.cluster import Cluster
from tests.crash.controllers import Preloaded
from tests.crash.scenario import World

LANES = 1 + min(2, os.cpu_count() or 1)  # a run waits half of its time


@pytest.fixture(scope="module")
def worlds() -> Iterator[list[World]]:
    """As many worlds as runs go side by side."""
    with ExitStack() as stack:
        made = []
        for _ in range(LANES):
            cluster = stack.enter_context(Cluster())
            made.append(World(cluster, stack.enter_context(Preloaded()), stack.enter_context(_directory())))
        yield made


@contextmanager
def _directory() -> Iterator[Path]:
    """Not pytest's own: hours of runs outlive what it keeps. What a violation left stays to be looked at."""
    path = Path(tempfile.mkdtemp(prefix="holdfast-crash-"))
    yield path
    if not any(path.iterdir()):
        path.rmdir()
