"""A job's Pod after its workspace was made, for tests of what it pushes and what is published of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.repositories.orders import Checkout, PublishPushed
from tests.integration.repositories.homes import Home, git
from tests.integration.repositories.pod_program import TOKEN, Ran, perform, place_of
from tests.integration.repositories.servers import Web, serve

STALL = 30  # seconds for which the server, which is a thread of the test, may stand still


@dataclass
class Pod:
    """The volume of a job's Pod, and the remote."""

    home: Home
    web: Web
    checkout: Path
    origin: Path

    def make(self, **more: bool) -> Ran:
        """As the container does that runs before the command."""
        message, url = str(place_of(self.home) / "termination-log"), f"{self.web.url}/remote.git"
        order = Checkout(
            "job.1", str(self.checkout.parent), message, url, "http", "main", STALL, self.home.upstream.head(),
            str(self.checkout), 50.0, "J", "j@x", str(self.origin), **more,
        )  # fmt: skip
        return perform(self.home, order)

    def publish(self, *, branch: str = "main", token: str = "7", patience: float = 1.0, **change: Any) -> Ran:
        """As the container does that follows the command."""
        message, url = str(place_of(self.home) / "termination-log"), f"{self.web.url}/remote.git"
        order = PublishPushed(
            "job.1", "/nowhere", message, url, "http", branch, STALL, str(self.origin), token, patience, 50.0
        )
        return perform(self.home, order, **change)

    def commit(self, name: str = "job") -> str:
        return self.home.job_commit(self.checkout, name)

    def push(self, *refspecs: str) -> None:
        git(self.checkout, "push", "-q", "origin", *(refspecs or ("HEAD",)))

    def at_remote(self, branch: str = "main") -> str:
        found = git(self.home.upstream.bare, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", check=False)
        return found.stdout.strip()


def told(ran: Ran) -> tuple[str, str]:
    """Reason and commit of the termination message."""
    said = json.loads(ran.said)
    return said["reason"], said["commit"]


@contextmanager
def a_pod(home: Home) -> Iterator[Pod]:
    """One whose init container has ended; the command has not begun."""
    with serve(Web(home.upstream.bare.parent, token=TOKEN)) as web:
        place = place_of(home)
        made = Pod(home, web, place / "shop", place / ".origin.git")
        for _ in range(2):  # made again it is made anew
            ran = made.make()
            assert (ran.code, ran.said) == (0, ""), ran.output
        yield made
        assert not [path for path in (place / "tmp").iterdir() if not path.name.startswith("kept")]
