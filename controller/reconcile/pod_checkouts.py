"""Workspaces of jobs that run as Pods: each Pod makes its own, of the commit that was recorded for its attempt.

The commit is recorded with the admission, so an attempt is never given another one. Credentials are references to the
Repository's Secret: the controller does not read them for this (requirement 3.7, design 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.api.batchjob import BatchJob
from controller.api.repository import Repository
from controller.api.units import duration_seconds
from controller.decisions import status as step
from controller.decisions.executors import POD, chosen, executor_of, not_in_pods
from controller.decisions.inputs import Step, StepState
from controller.errors import Terminal, Waiting
from controller.executors.base import AttemptId, LaunchSpec, PodRequest, PodSetup
from controller.reconcile.parts import Parts
from controller.reconcile.pod_pushes import origin_of, publish_setup
from controller.reconcile.remotes import Remotes
from controller.reconcile.repository_book import RepositoryBook
from controller.repositories.credentials import secret_references
from controller.repositories.names import BadName, check_label, check_ref, check_url
from controller.repositories.orders import Checkout
from controller.repositories.requests import STALL_SECONDS
from controller.repositories.results import Reason

AUTHOR = ("Holdfast", "holdfast@localhost")  # of commits in a workspace whose job sets no identity of its own
MOUNT = "/workspace"
COMMIT = "commit"  # among what an attempt carries
_MESSAGE = "/dev/termination-log"
_PROGRAM = ("python3", "-P", "-m", "controller.repositories.operations.pod")


class PodCheckouts:
    """Called by what works on a job's repository, with the job's key held."""

    def __init__(self, parts: Parts, book: RepositoryBook, remotes: Remotes) -> None:
        self._parts = parts
        self._book = book
        self._remotes = remotes

    def never(self, job: BatchJob) -> tuple[str, str] | None:
        """Why the job can never start as a Pod, with the repository that it names: (reason, message), or None."""
        use = job.spec.repository
        if use is None or chosen(job.spec, self._parts.host) != POD:
            return None
        repository = self._book.declared((job.metadata.namespace, use.name))
        return not_in_pods(repository.spec) if repository is not None else None

    def commit(self, job: BatchJob) -> str | None:
        """What the job's ref stands for now, "" where it is not there; None: its workspace is made on this host."""
        if job.spec.repository is None or chosen(job.spec, self._parts.host) != POD:
            return None
        used = job.status.repository
        if job.status.resume_from is not None and used is not None and used.commit:
            return used.commit  # of the workspace that it goes on in
        name = (job.metadata.namespace, job.spec.repository.name)
        repository = self._book.declared(name)
        if repository is None:
            return ""
        return self._book.commit(name, job.spec.repository.ref or repository.spec.branch) or ""

    async def step(self, job: BatchJob, attempt: AttemptId, *, begun: bool) -> Step | None:
        """The workspace as the decision sees it: the Pod makes it, or says why not; None: it is made on this host.

        Args:
            begun: there is a Job of the attempt, or there was.
        """
        if job.spec.repository is None or executor_of(job, attempt.number, self._parts.host) != POD:
            return None
        commit = job.status.repository.commit if job.status.repository is not None else ""
        if begun and not commit:  # the status was wiped
            commit = (await self._parts.executor.annotations(attempt) or {}).get(COMMIT, "")
        if commit:
            return Step(StepState.DONE, commit=commit)
        ref = job.spec.repository.ref or "of spec.branch"
        text = f"the remote has no branch or tag {ref}: correct the ref, or push it"
        return Step(StepState.FAILED, Reason.REF_NOT_FOUND.value, text)

    def complete(self, spec: LaunchSpec, pod: PodRequest, job: BatchJob) -> tuple[LaunchSpec, str]:
        """`spec` with the container that makes the workspace, and the workspace's directory.

        Raises:
            Waiting: the Repository is gone.
            Terminal: git must not be told its URL.
        """
        use = job.spec.repository
        assert use is not None
        repository = self._book.declared((job.metadata.namespace, use.name))
        if repository is None:
            raise Waiting("RepositoryNotFound", f"there is no Repository {use.name}", 5.0)
        commit = job.status.repository.commit if job.status.repository is not None else ""
        order = _order(repository, use.ref or repository.spec.branch, commit, spec.attempt, self._remotes.schemes)
        active = step.active(job.status)
        order = replace(order, origin=origin_of(MOUNT, use.push))
        if pod.claim is not None:
            order = replace(order, kept=True, resumes=active is not None and active.resumed_from is not None)
        setup = _setup(repository, order, self._parts.host.workspace_image)
        publish = publish_setup(setup, order, _PROGRAM, active.lock_token if active is not None else None)
        annotations = {**spec.annotations, COMMIT: commit}
        return replace(spec, pod=replace(pod, setup=setup, publish=publish), annotations=annotations), order.target


def _order(repository: Repository, ref: str, commit: str, attempt: AttemptId, schemes: Sequence[str]) -> Checkout:
    """What the Pod is told; the directory is below the mount, because git trusts only those that its user owns."""
    reachable = [scheme for scheme in schemes if scheme != "file"]  # a Pod has no files of this host
    try:
        return Checkout(
            id=str(attempt),
            repository=MOUNT,
            result=_MESSAGE,
            url=check_url(repository.spec.url, reachable),
            schemes=",".join(reachable),
            branch=check_ref(ref),
            stall_seconds=STALL_SECONDS,
            commit=commit,
            target=f"{MOUNT}/{check_label(repository.metadata.name, 'Repository')}",
            deadline_seconds=duration_seconds(repository.spec.operation_deadline),
            author_name=AUTHOR[0],
            author_email=AUTHOR[1],
        )
    except BadName as error:
        raise Terminal(Reason.URL_REFUSED.value, str(error)) from error


def _setup(repository: Repository, order: Checkout, image: str) -> PodSetup:
    secret = repository.spec.credentials_ref.name if repository.spec.credentials_ref is not None else ""
    keys = secret_references(order.url) if secret else {}
    return PodSetup(image, (*_PROGRAM, order.to_json()), MOUNT, secret, keys)
