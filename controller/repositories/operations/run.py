"""Entry of every operation: `python -I -S run.py <order> [-- command…]`; does it, leaves a result, exits 0 or not.

The last line of output is the result too. The credentials leave the environment here: only git calls that talk to the
remote get them back. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:
    # Started as a file, isolated: the package root is three directories above this one's.
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 3)))

import errno
import time
from collections.abc import Sequence
from pathlib import Path

from controller.repositories.names import BadName
from controller.repositories.operations.clone import clone
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.fetch import fetch
from controller.repositories.operations.git import Secrets
from controller.repositories.operations.mirror import suspect
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.pod_origin import checkout_from_origin
from controller.repositories.operations.prepare import prepare
from controller.repositories.operations.publish import publish
from controller.repositories.operations.publish_pushed import publish_pushed
from controller.repositories.operations.remote_checkout import checkout
from controller.repositories.operations.verify import verify
from controller.repositories.operations.workspace import workspace
from controller.repositories.orders import (
    Checkout,
    Clone,
    Fetch,
    Order,
    Prepare,
    Publish,
    PublishPushed,
    Verify,
    Workspace,
    parse_order,
)
from controller.repositories.results import EXIT_DISK_FULL, EXIT_FAILED, Reason, Result, write_result


def perform(order: Order, command: Sequence[str], secrets: Secrets) -> Outcome:
    """Do what the order says; raises Failed, BadName or OSError."""
    match order:
        case Clone():
            return clone(order, secrets)
        case Fetch():
            return fetch(order, secrets)
        case Publish():
            return publish(order, secrets)
        case Checkout():
            return checkout_from_origin(order, secrets) if order.origin else checkout(order, secrets)
        case PublishPushed():
            return publish_pushed(order, secrets)
        case Verify():
            return verify(order)
        case Prepare():
            return prepare(order, command)
        case Workspace():
            return workspace(order)
    raise BadName(f"{type(order).__name__} is no operation")


def _watched(order: Order, command: Sequence[str], secrets: Secrets) -> Outcome:
    """As `perform`; a mirror that it found damaged is marked before its end can be seen."""
    try:
        return perform(order, command, secrets)
    except Failed as failure:
        if failure.reason is Reason.CORRUPT:
            suspect(Path(order.repository))
        raise


def attempt(order: Order, command: Sequence[str], secrets: Secrets) -> Outcome:
    """As `perform`, with failures as outcomes; anything that is raised is a defect and its trace goes to the output."""
    try:
        return _watched(order, command, secrets)
    except Failed as failure:
        return failure.outcome
    except BadName as error:
        return Outcome(Reason.URL_REFUSED, str(error))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = Reason.DISK_FULL if full else Reason.STATE_DIRECTORY_FAILED
        return Outcome(reason, f"{error.filename or order.repository}: {error.strerror or error}")


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0, EXIT_DISK_FULL, or EXIT_FAILED; the result says more."""
    os.umask(0o077)
    began, clock = time.time(), time.monotonic()
    secrets = Secrets.take(os.environ)
    order = parse_order(arguments[0])
    outcome = attempt(order, arguments[2:], secrets)
    seconds = round(time.monotonic() - clock, 3)
    message = secrets.redact(outcome.message)
    result = Result(order.operation, order.id, outcome.reason, message, began, seconds, **outcome.facts())
    status = _exit_status(outcome.reason)
    try:
        write_result(Path(order.result), result)
        sys.stdout.write(result.to_bytes().decode("ascii"))
        sys.stdout.flush()
    except OSError as error:
        return EXIT_DISK_FULL if error.errno == errno.ENOSPC else status or EXIT_FAILED
    return status


def _exit_status(reason: Reason) -> int:
    if reason is Reason.SUCCEEDED:
        return 0
    return EXIT_DISK_FULL if reason is Reason.DISK_FULL else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
