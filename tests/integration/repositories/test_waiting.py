"""What shares the mirror waits for what works on it alone, as long as its own deadline says (5.2, issue 4)."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from controller.repositories import requests
from controller.repositories.places import LOCK, base_key
from controller.repositories.results import Reason
from tests.integration.repositories.homes import LIMIT_SECONDS, Home, failed_as

COMMIT = "a" * 40


@contextmanager
def alone(home: Home) -> Iterator[int]:
    """Somebody works on the Repository alone; the descriptor that says so."""
    fd = os.open(home.repository / LOCK, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def test_how_long_it_waits(home: Home) -> None:
    """5.2: a long Verify or Clone is no failure of who waits for it; those two have nobody's time to lose."""
    target, remote = replace(home.target(), deadline_seconds=3600.0), home.remote
    for request, seconds in (
        (requests.workspace(target, "job.1", "main"), 1800.0),
        (requests.publish(target, remote, "main", COMMIT), 1800.0),
        (requests.fetch(target, remote, "main"), 1800.0),
        (requests.prepare(target, COMMIT, base_key(COMMIT, ("true",)), ["true"]), 1800.0),
        (requests.verify(target, "main"), 60.0),
        (requests.clone(target, remote, "main"), 60.0),
    ):
        order = json.loads(next(word for word in request.argv if word.startswith("{")))
        assert order["lock_seconds"] == seconds, order["operation"]


@pytest.mark.parametrize("ends", [True, False])
def test_the_wait_ends(home: Home, ends: bool) -> None:
    """It goes on when the other one is done; and says Busy where that takes longer than it may wait."""
    home.clone()
    target = replace(home.target(), deadline_seconds=60.0 if ends else 0.4)
    request = requests.workspace(target, "job.1", "main")
    with alone(home) as fd:
        child = home.start(request)
        if ends:
            threading.Timer(0.5, fcntl.flock, (fd, fcntl.LOCK_UN)).start()
        child.communicate(timeout=LIMIT_SECONDS)
    result = requests.outcome(target.places, target.operation, child.returncode)
    assert result is not None
    if ends:
        assert result.succeeded, result
    else:
        failed_as(result, Reason.BUSY, str(home.repository))
