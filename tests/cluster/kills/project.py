"""The repository of the random kills: a remote on this machine that Pods reach, and that moves on all the while."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.kills.cases import COMMIT_FILE, REPOSITORY
from tests.integration.controller.jobs import Jobs
from tests.integration.repositories.homes import Upstream
from tests.integration.repositories.servers import Web, serve

MOVES = 0.2  # of all rounds


@dataclass
class Project:
    """See the module.

    Args:
        contents: of COMMIT_FILE, by commit.
    """

    upstream: Upstream
    url: str
    contents: dict[str, str] = field(default_factory=dict)

    def declare(self, jobs: Jobs) -> None:
        """The Repository, which is fetched often."""
        spec = {"url": self.url, "refreshInterval": "5s"}
        jobs.make("repositories", "Repository", REPOSITORY, spec=spec)

    def move(self) -> None:
        """One commit more."""
        text = str(len(self.contents) + 1)
        self.contents[self.upstream.commit({COMMIT_FILE: text})] = text

    def move_sometimes(self, choose: random.Random) -> None:
        """In some of the rounds."""
        if choose.random() < MOVES:
            self.move()


@contextlib.contextmanager
def serving(directory: Path, address: str) -> Iterator[Project]:
    """A remote in `directory`, served at an address of this machine until the end of the block."""
    upstream = Upstream.make(directory / REPOSITORY)
    with serve(Web(directory), address) as web:
        made = Project(upstream, f"{web.url}/{REPOSITORY}/remote.git")
        made.move()
        yield made
