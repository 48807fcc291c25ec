"""A Repository for the contract tests, and what each executor needs to run a command in a workspace of it.

Where the workspace comes from and who publishes is not part of the protocol; that the same command works in it is.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from controller.executors.base import PodSetup
from controller.repositories.orders import Checkout, PublishPushed
from controller.repositories.places import Places
from controller.repositories.refs import read_head
from controller.repositories.requests import Remote, publish
from tests.integration.repositories.homes import NAME, Home, Upstream, git
from tests.integration.repositories.servers import Web, serve

PROGRAM = ("python3", "-P", "-m", "controller.repositories.operations.pod")
MOUNT, MESSAGE = f"/{NAME}", "/dev/termination-log"
ORIGIN, TARGET = f"{MOUNT}/.origin.git", f"{MOUNT}/{NAME}"


@dataclass(frozen=True)
class OnHost:
    """With a mirror on this host, and operations."""

    home: Home

    @classmethod
    def make(cls, directory: Path) -> OnHost:
        """One commit at the remote, and its mirror."""
        upstream = _remote(directory)
        home = Home(Places(directory / "home"), upstream, Remote(f"file://{upstream.bare}", ("file",)))
        home.clone()
        home.grant(1)
        return cls(home)

    def workspace(self, attempt: str) -> Path:
        """Made by an operation."""
        return self.home.workspace(attempt, author=("Job", "job@example.com"))

    def publish(self) -> str:
        """By an operation, once the attempt has succeeded; what the remote has then."""
        head = read_head(self.home.mirror, "main")
        assert head is not None
        assert self.home.perform(publish, self.home.remote, "main", head).succeeded
        return at_remote(self.home.upstream)


class InPods:
    """With a git server on this machine, which Pods reach at `address`."""

    def __init__(self, directory: Path, address: str) -> None:
        self.upstream = _remote(directory)
        self._open = ExitStack()
        web = self._open.enter_context(serve(Web(self.upstream.bare.parent), address))
        self._url = f"{web.url}/{self.upstream.bare.name}"

    def setups(self, attempt: str, image: str) -> tuple[PodSetup, PodSetup]:
        """What makes the workspace, and what publishes."""
        remote = (self._url, "http", "main", 20)
        head, of_commits = at_remote(self.upstream), ("Job", "job@example.com")
        checkout = Checkout(attempt, MOUNT, MESSAGE, *remote, head, TARGET, 60.0, *of_commits, ORIGIN)
        pushed = PublishPushed(attempt, "/tmp", MESSAGE, *remote, ORIGIN, "1", 20.0, 60.0)
        before, after = (PodSetup(image, (*PROGRAM, order.to_json()), MOUNT) for order in (checkout, pushed))
        return before, after

    def close(self) -> None:
        """End the server."""
        self._open.close()


def at_remote(upstream: Upstream) -> str:
    """The commit of its branch main."""
    return git(upstream.bare, "rev-parse", "main").stdout.strip()


def _remote(directory: Path) -> Upstream:
    made = Upstream.make(directory / "upstream")
    made.commit({"file": "one\n"})
    return made
