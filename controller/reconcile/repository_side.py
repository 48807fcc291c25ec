"""Puts together what works on repositories: the book, operations, mirrors, and the reconcilers of its kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.executors.base import Executor
from controller.reconcile.batches import BatchReconciler
from controller.reconcile.claims import ClaimReconciler
from controller.reconcile.job_repositories import JobRepositories
from controller.reconcile.operations import Operations
from controller.reconcile.parts import Parts
from controller.reconcile.remotes import Remotes
from controller.reconcile.repositories import RepositoryReconciler
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.workers import Reconcile
from controller.repositories.places import Places
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class RepositorySide:
    """What the composition root needs of it.

    Args:
        jobs: for the reconciler of jobs.
        reconcilers: by kind of key.
    """

    book: RepositoryBook
    operations: Operations
    jobs: JobRepositories
    reconcilers: Mapping[str, Reconcile]


def repository_side(parts: Parts, book: RepositoryBook, executor: Executor, settings: Settings) -> RepositorySide:
    """Put it together.

    Args:
        executor: of operations only.
    """
    operations = Operations(executor, Places(settings.home), parts.queue)
    remotes = Remotes(parts.api, settings.git_schemes.split(","))
    jobs = JobRepositories(parts, book, operations, remotes)
    repositories = RepositoryReconciler(parts, book, operations, remotes, settings.max_transfers)
    claims = ClaimReconciler(parts)
    batches = BatchReconciler(parts, operations)
    reconcilers = {
        "Repository": repositories.reconcile,
        "RepositoryLock": claims.reconcile,
        "JobBatch": batches.reconcile,
    }
    return RepositorySide(book, operations, jobs, reconcilers)
