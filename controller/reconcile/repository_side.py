"""Puts together what works on repositories: operations, remotes, and what the reconciler of jobs needs of them."""

from __future__ import annotations

from dataclasses import dataclass

from controller.executors.base import Executor
from controller.reconcile.job_repositories import JobRepositories
from controller.reconcile.operations import Operations
from controller.reconcile.parts import Parts
from controller.reconcile.remotes import Remotes
from controller.reconcile.repository_book import RepositoryBook
from controller.repositories.places import Places
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class RepositorySide:
    """What the reconcilers of jobs, repositories and batches need besides their parts.

    Args:
        jobs: for the reconciler of jobs.
        max_transfers: operations on git remotes at once on this host.
    """

    book: RepositoryBook
    operations: Operations
    remotes: Remotes
    jobs: JobRepositories
    max_transfers: int


def repository_side(parts: Parts, book: RepositoryBook, executor: Executor, settings: Settings) -> RepositorySide:
    """Put it together.

    Args:
        executor: of operations only.
    """
    operations = Operations(executor, Places(settings.home), parts.queue, parts.metrics.integrity.set_aside)
    remotes = Remotes(parts.api, settings.git_schemes.split(","))
    jobs = JobRepositories(parts, book, operations, remotes)
    return RepositorySide(book, operations, remotes, jobs, settings.max_transfers)
