"""What an operation is told: one JSON argument, without any secret, made by the controller and read by the operation.

Credentials travel apart from it, as environment variables. Only the standard library may be imported here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from controller.repositories.names import BadName


@dataclass(frozen=True, slots=True)
class Order:
    """Of every operation.

    Args:
        id: `<uid>.<number>` of its attempt.
        repository: directory of the Repository.
        result: file that the outcome goes to.
        lock_seconds: for this long it waits for an operation that works on the repository alone.
    """

    operation: ClassVar[str]
    id: str
    repository: str
    result: str
    lock_seconds: float = field(default=60.0, kw_only=True)

    def to_json(self) -> str:
        """The argument."""
        return json.dumps({"operation": self.operation, **asdict(self)})


@dataclass(frozen=True, slots=True)
class _RemoteOrder(Order):
    """Of an operation that talks to the remote.

    Args:
        url: of the remote.
        schemes: comma-separated, the allowed ones.
        branch: the one that the result names a commit of, or that is published.
        stall_seconds: a connection over which next to nothing comes for this long is given up.
    """

    url: str
    schemes: str
    branch: str
    stall_seconds: int


@dataclass(frozen=True, slots=True)
class Clone(_RemoteOrder):
    """Make the mirror."""

    operation: ClassVar[str] = "clone"


@dataclass(frozen=True, slots=True)
class Fetch(_RemoteOrder):
    """Bring `refs/upstream/*` and tags up to date."""

    operation: ClassVar[str] = "fetch"


@dataclass(frozen=True, slots=True)
class Publish(_RemoteOrder):
    """Push `commit` to `branch` of the remote.

    Args:
        patience_seconds: until then, since its begin, a remote that is away is asked again.
    """

    operation: ClassVar[str] = "publish"
    commit: str
    patience_seconds: float


@dataclass(frozen=True, slots=True)
class Checkout(_RemoteOrder):
    """Make a job's checkout of `commit` in a Pod; `repository` is not used, `branch` is the ref that was asked for.

    Args:
        target: directory to be made.
        deadline_seconds: run time after which it gives up.
        author_name, author_email: of commits in the checkout; empty: what the job's own git configuration says.
        origin: bare repository to be made beside it that takes the job's pushes; empty: `origin` is the remote.
        kept: `target` outlives the Pod and belongs to attempts that go on in each other's work: one that is there is
            complete, and stays as it is.
        resumes: it has to be there.
    """

    operation: ClassVar[str] = "checkout"
    commit: str
    target: str
    deadline_seconds: float
    author_name: str
    author_email: str
    origin: str = ""
    kept: bool = False
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class PublishPushed(_RemoteOrder):
    """Push what a job in a Pod has pushed to `branch` of its `origin` to the remote; `repository` is not used.

    Args:
        origin: the bare repository that took the job's pushes; nothing of it is trusted.
        token: fencing token of the job's lock, "" without one.
        patience_seconds: for this long a remote that is away is asked again.
        deadline_seconds: run time after which it gives up.
    """

    operation: ClassVar[str] = "publish-pushed"
    origin: str
    token: str
    patience_seconds: float
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Verify(Order):
    """Look at the mirror after a stop that was not clean."""

    operation: ClassVar[str] = "verify"
    branch: str


@dataclass(frozen=True, slots=True)
class Prepare(Order):
    """Run a command in a checkout of `commit` and keep it as the base `key`; it follows on the command line."""

    operation: ClassVar[str] = "prepare"
    commit: str
    key: str


@dataclass(frozen=True, slots=True)
class Workspace(Order):
    """Make a job's checkout.

    Args:
        target: directory to be made.
        ref: branch, tag or commit id.
        commit: what `ref` was resolved to; empty: it is resolved by the operation.
        key: base to copy; empty: the plain checkout.
        author_name, author_email: of commits in the workspace; empty: what the job's own git configuration says.
        durable: all of it is on the disk before it is in place: a later boot may go on in it.
    """

    operation: ClassVar[str] = "workspace"
    target: str
    ref: str
    commit: str
    key: str
    author_name: str
    author_email: str
    durable: bool = False


_ORDERS: Mapping[str, type[Order]] = MappingProxyType(
    {one.operation: one for one in (Clone, Fetch, Publish, Checkout, PublishPushed, Verify, Prepare, Workspace)}
)


def parse_order(text: str) -> Order:
    """Inverse of `to_json`; raises BadName for anything else."""
    value: Any = json.loads(text)
    kind = _ORDERS.get(value.pop("operation", ""))
    if kind is None:
        raise BadName("the order names no operation")
    try:
        return kind(**value)
    except TypeError as error:
        raise BadName(f"the order is not one of {kind.operation}: {error}") from error
