"""Pushes of jobs that run as Pods: declared with the attempt, published by its own Pod, seen by its executor (5.5).

The commit is not known to the controller before it is published, and the mirror has it only once that was fetched:
`decisions/pushed.py` says since when.
"""

from __future__ import annotations

from controller.api.repository_use import Push
from controller.decisions.inputs import Step, StepState
from controller.decisions.observed import COMMIT_UNKNOWN, Evidence, Observation
from controller.executors.base import PodSetup
from controller.executors.pod.published import KILLED
from controller.repositories.orders import Checkout, PublishPushed
from controller.repositories.requests import PATIENT_SHARE
from controller.repositories.results import Reason

ORIGIN = ".origin.git"  # beside the checkout: no Repository has a name like that
_SCRATCH = "/tmp"


def origin_of(mount: str, push: Push) -> str:
    """The directory that takes the command's pushes, "" where they go nowhere."""
    return f"{mount}/{ORIGIN}" if push is Push.UPSTREAM else ""


def publish_setup(setup: PodSetup, order: Checkout, program: tuple[str, ...], token: int | None) -> PodSetup | None:
    """What publishes the pushes to the `origin` of a checkout, None where it has none.

    Args:
        setup: of what makes that checkout: image and credentials are the same.
        program: in front of the order.
        token: fencing token of the attempt's lock.
    """
    if not order.origin:
        return None
    publish = PublishPushed(
        id=order.id,
        repository=_SCRATCH,
        result=order.result,
        url=order.url,
        schemes=order.schemes,
        branch=order.branch,
        stall_seconds=order.stall_seconds,
        origin=order.origin,
        token=str(token) if token is not None else "",
        patience_seconds=order.deadline_seconds * PATIENT_SHARE,
        deadline_seconds=order.deadline_seconds,
    )
    argv = (*program, publish.to_json())
    return PodSetup(setup.image, argv, setup.mount_path, setup.secret, setup.secret_env)


def publication_step(found: Observation | None) -> Step | None:
    """The publication as the decision sees it; None: there is nothing to publish, or not yet."""
    published = found.publication if found is not None else None
    if found is None or published is None:
        return None
    if found.evidence is not Evidence.ENDED:
        return Step(StepState.WORKING, message=published.message)
    if published.reason == COMMIT_UNKNOWN:
        return Step(StepState.DONE, COMMIT_UNKNOWN, published.message)
    if published.succeeded:
        return Step(StepState.DONE, message=published.message, commit=published.commit) if published.commit else None
    reason = published.reason or KILLED
    known = Reason(reason) if reason in set(Reason) else None
    final = known is not None and not known.repeating_can_help
    return Step(StepState.FAILED, reason, published.message or "it ended without saying why", final)
