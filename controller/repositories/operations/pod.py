"""Entry of the containers that make a job's checkout and publish its pushes: `python -m … <order>` (issue 7, item 2).

What they have to say goes to the container's termination message, which the kubelet puts into the Pod's status: one
JSON object with reason, message and commit, never a secret; a checkout that was made needs none. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import MutableMapping, Sequence
from types import FrameType

from controller.files.atomic import write_all
from controller.repositories.names import BadName
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Secrets
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.run import attempt
from controller.repositories.orders import Checkout, PublishPushed, parse_order
from controller.repositories.results import EXIT_FAILED, Reason

_MESSAGE_LENGTH = 500  # the kubelet keeps 4096 bytes of a termination message
_ONE_LINE = ("HOLDFAST_GIT_TOKEN", "HOLDFAST_GIT_USERNAME")


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0, or EXIT_FAILED with the reason in the termination message."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _end)  # the first process of a container is ended by nothing that it does not handle
    secrets = take_secrets(os.environ)
    order = parse_order(arguments[0])
    if not isinstance(order, Checkout | PublishPushed):
        raise BadName(f"{order.operation} is not done in a Pod")
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(max(1, int(order.deadline_seconds)))
    fenced = os.environ.get("HOLDFAST_FENCED", "") if isinstance(order, PublishPushed) else ""
    outcome = Outcome(Reason.STALE_TOKEN, fenced) if fenced else attempt(order, (), secrets)
    signal.alarm(0)
    message = secrets.redact(outcome.message)
    print(f"{outcome.reason}: {message or outcome.commit}", flush=True)
    done = outcome.reason is Reason.SUCCEEDED
    if not (done and isinstance(order, Checkout)):
        said = {"reason": outcome.reason.value, "message": message[:_MESSAGE_LENGTH], "commit": outcome.commit}
        _say(order.result, said)
    return 0 if done else EXIT_FAILED


def take_secrets(environment: MutableMapping[str, str]) -> Secrets:
    """The credentials as on a host: a newline at the end is of the Secret's file, not of the value."""
    for name in _ONE_LINE:
        if name in environment:
            environment[name] = environment[name].strip()
    return Secrets.take(environment)


def _say(path: str, said: dict[str, str]) -> None:
    """The kubelet has mounted the file: it can be written, not replaced."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, json.dumps(said).encode("ascii"))
    finally:
        os.close(fd)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise Failed(Reason.REMOTE_UNREACHABLE, "it was not done within spec.operationDeadline of the Repository")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
