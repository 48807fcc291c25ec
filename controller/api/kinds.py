"""The kinds of our group, each with its model: what CRDs, store and first LIST are made from."""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.api.callback import Callback
from controller.api.jobbatch import JobBatch
from controller.api.jobqueue import JobQueue
from controller.api.kind import Kind
from controller.api.names import KINDS, WRITTEN
from controller.api.recoveryreport import RecoveryReport
from controller.api.repository import Repository
from controller.api.repositorylock import RepositoryLock
from controller.api.snapshot import Snapshot

MODELS: dict[str, type[Kind]] = {
    model.names.kind: model for model in (JobQueue, Repository, RepositoryLock, JobBatch, Callback, Snapshot, BatchJob)
}

DECLARED: dict[str, type[Kind]] = MODELS | {model.names.kind: model for model in (RecoveryReport,)}
"""All that have a CRD: those that are followed, and those that are only written."""

if tuple(MODELS) != KINDS or tuple(DECLARED) != (*KINDS, *WRITTEN):
    raise ImportError(
        f"controller.api.names knows the kinds {(*KINDS, *WRITTEN)}, there are models of {tuple(DECLARED)}"
    )
