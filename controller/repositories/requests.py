"""What the controller asks an executor for, one function per operation: argv, environment, limits. Pure.

A request carries no secret but in `secret_env`. Its outcome is read by `outcome` once the attempt is over.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from controller.repositories.names import check_ref, check_url
from controller.repositories.orders import Clone, Fetch, Order, Prepare, Publish, Verify, Workspace
from controller.repositories.places import Places
from controller.repositories.results import Result, read_result

OPERATION = "holdfast.dev/operation"
REPOSITORY = "holdfast.dev/repository"
STALL_SECONDS = 60
LOCK_SHARE = 0.5  # of its deadline, for which an operation that shares the mirror waits for one that does not
PATIENT_SHARE = 0.8  # of its deadline, for which a publication asks again for a remote that is away
SCHEMES = ("https", "http", "ssh")
_PROGRAM = Path(__file__).with_name("operations") / "run.py"
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """What an operation is about, and who it is.

    Args:
        places: of this state directory.
        namespace, name: of the Repository.
        operation: `<uid>.<number>` of its attempt; never reused.
        deadline_seconds: run time after which the executor stops it.
    """

    places: Places
    namespace: str
    name: str
    operation: str
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Remote:
    """The remote and how it is reached.

    Args:
        url: of the Repository.
        schemes: allowed ones.
        secrets: from `credentials.secret_environment`; may hold the controller's proxy variables too
            (`https_proxy`, `no_proxy`, …, `GIT_SSL_CAINFO`).
        stall_seconds: a transfer of less than 1 kB/s for this long is given up.
    """

    url: str
    schemes: Sequence[str] = SCHEMES
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    stall_seconds: int = STALL_SECONDS


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a LaunchSpec.

    Args:
        argv, secret_env, annotations: as there.
        deadline_seconds, grace_seconds, output_bytes: of its limits.
    """

    argv: tuple[str, ...]
    annotations: Mapping[str, str]
    deadline_seconds: float
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace_seconds: float = 5.0
    output_bytes: int = 64 * 1024**2


def clone(target: Target, remote: Remote, branch: str) -> Request:
    """Make the mirror; idempotent. Raises BadName for a URL or branch that git must not see."""
    return _request(target, Clone(*_at_remote(target, remote, branch)), remote.secrets)


def fetch(target: Target, remote: Remote, branch: str) -> Request:
    """Bring the mirror up to date. Raises BadName."""
    return _request(target, Fetch(*_at_remote(target, remote, branch)), remote.secrets)


def verify(target: Target, branch: str) -> Request:
    """After a stop that was not clean. Raises BadName."""
    return _request(target, Verify(*_common(target), check_ref(branch)))


def publish(target: Target, remote: Remote, branch: str, commit: str) -> Request:
    """Push one commit upstream: only while the fence still has the token of who made it. Raises BadName."""
    patience = target.deadline_seconds * PATIENT_SHARE
    return _request(target, Publish(*_at_remote(target, remote, branch), commit, patience), remote.secrets)


def prepare(target: Target, commit: str, key: str, command: Sequence[str]) -> Request:
    """Make the base `key` (`places.base_key(commit, command)`). Raises BadName."""
    target.places.base(target.namespace, target.name, key)
    return _request(target, Prepare(*_common(target), commit, key), command=command)


def workspace(
    target: Target,
    attempt: str,
    ref: str,
    commit: str = "",
    key: str = "",
    author: tuple[str, str] = ("", ""),
    *,
    durable: bool = False,
) -> Request:
    """Make the workspace of `attempt`.

    Args:
        attempt: `<job uid>.<number>`; `places.workspace(attempt)` is there when it succeeded.
        ref: branch, tag or whole commit id.
        commit: what it stands for; empty: what it stands for when the operation runs.
        key: prepared base to copy; empty: none.
        author: name and e-mail address for commits; empty ones: the job's own git configuration.
        durable: it survives a power cut whole, for a job that may go on in it.

    Raises:
        BadName: `ref` or `attempt` cannot be one.
    """
    directory = str(target.places.workspace(attempt))
    return _request(target, Workspace(*_common(target), directory, check_ref(ref), commit, key, *author, durable))


def outcome(places: Places, operation: str, exit_code: int | None) -> Result | None:
    """What the operation said; None where it was stopped or killed before: then the attempt's end says why.

    Raises:
        OSError: the result is there and cannot be read.
    """
    return read_result(places.result(operation), exit_code)


def _common(target: Target) -> tuple[str, str, str]:
    repository = target.places.repository(target.namespace, target.name)
    return target.operation, str(repository), str(target.places.result(target.operation))


def _at_remote(target: Target, remote: Remote, branch: str) -> tuple[str, str, str, str, str, str, int]:
    url, schemes = check_url(remote.url, remote.schemes), ",".join(remote.schemes)
    return *_common(target), url, schemes, check_ref(branch), remote.stall_seconds


def _request(
    target: Target, order: Order, secrets: Mapping[str, str] = _NOTHING, command: Sequence[str] = ()
) -> Request:
    if not isinstance(order, Clone | Verify):  # those wait for all others; the Repository has them tried again
        order = replace(order, lock_seconds=target.deadline_seconds * LOCK_SHARE)
    argv = [sys.executable, "-I", "-S", str(_PROGRAM), order.to_json(), *(["--", *command] if command else [])]
    annotations = {OPERATION: order.operation, REPOSITORY: f"{target.namespace}/{target.name}"}
    return Request(tuple(argv), annotations, target.deadline_seconds, dict(secrets))
