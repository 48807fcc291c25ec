"""Where everything of a repository lies under HOLDFAST_HOME; no other module joins these paths.

    repositories/<namespace>/<name>/   mirror.git, fence, bases/<key>, .corrupt.<n>, operation.lock, checked, suspect
    workspaces/<job uid>.<attempt>/    a job's own checkout
    checkpoints/<job uid>.<attempt>/   what a job saves to be resumed with, see repositories/checkpoints.py
    operations/<uid>.<n>/              run directories of the executor that runs git
    results/<uid>.<n>.json             what such an operation has to say

A name that begins with a dot is half-made (`.making.…`), half-removed (`.removing.…`) or set aside (`.corrupt.…`):
never in use. Only the standard library may be imported here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.repositories.names import check_attempt, check_key, check_label

MIRROR = "mirror.git"
BASES = "bases"
FENCE = "fence"
LOCK = "operation.lock"
CHECKED = "checked"  # the boot in which an operation on the mirror last succeeded
SUSPECT = "suspect"  # an operation found the mirror damaged: it is verified, each object of it, before it is used again
CORRUPT = ".corrupt."
MAKING = ".making."
REMOVING = ".removing."
PLAIN_KEY = "checkout"  # of a base that is a checkout and nothing else


@dataclass(frozen=True, slots=True)
class Places:
    """Paths by name. Each method raises BadName for what could not name a directory."""

    home: Path

    @property
    def operations(self) -> Path:
        """Run directories of operations."""
        return self.home / "operations"

    @property
    def repositories(self) -> Path:
        """One directory per namespace, in it one per Repository."""
        return self.home / "repositories"

    @property
    def workspaces(self) -> Path:
        """One directory per attempt of a job."""
        return self.home / "workspaces"

    @property
    def checkpoints(self) -> Path:
        """One directory per attempt that may be resumed."""
        return self.home / "checkpoints"

    @property
    def results(self) -> Path:
        """One file per operation."""
        return self.home / "results"

    def repository(self, namespace: str, name: str) -> Path:
        """All of one Repository."""
        return self.repositories / check_label(namespace, "namespace") / check_label(name, "Repository")

    def mirror(self, namespace: str, name: str) -> Path:
        """Its bare mirror; where this path exists, it was complete when it was put there."""
        return self.repository(namespace, name) / MIRROR

    def base(self, namespace: str, name: str, key: str) -> Path:
        """A prepared checkout that workspaces are copied from."""
        return self.repository(namespace, name) / BASES / check_key(key)

    def workspace(self, attempt: str) -> Path:
        """The checkout of one attempt, `<job uid>.<number>`."""
        return self.workspaces / check_attempt(attempt, "attempt")

    def checkpoint(self, attempt: str) -> Path:
        """What the attempts save and find again that go on with what `attempt` began."""
        return self.checkpoints / check_attempt(attempt, "attempt")

    def result(self, operation: str) -> Path:
        """Where an operation, `<uid>.<number>`, leaves its result."""
        return self.results / f"{check_attempt(operation, 'operation')}.json"


def base_key(commit: str, command: Sequence[str]) -> str:
    """Names the base of one commit and one prepare command; an empty command: the plain checkout."""
    if not command:
        return check_key(f"{commit}-{PLAIN_KEY}")
    digest = hashlib.sha256(json.dumps(list(command)).encode("ascii")).hexdigest()
    return check_key(f"{commit}-{digest[:12]}")
