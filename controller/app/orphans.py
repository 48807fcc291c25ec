"""The table of the sorts of orphans: a new one is a class in `recovery` and a row here."""

from __future__ import annotations

from controller.app.works import Works
from controller.recovery.attempt_orphans import RunDirectoryOrphans, StrayProcesses, TempFiles
from controller.recovery.orphans import Sweeper
from controller.recovery.repository_orphans import BaseOrphans, MirrorOrphans, OperationOrphans, ResultOrphans
from controller.recovery.workspace_orphans import checkpoint_orphans, workspace_orphans
from controller.settings import Settings


def sweeper(works: Works, settings: Settings) -> Sweeper:
    """What looks for all of them."""
    parts, operations = works.parts, works.sides.repositories.operations
    step = works.recovery.sweep
    sorts = (
        RunDirectoryOrphans(parts, works.orphans, works.ownerless.attempts),
        StrayProcesses(parts, settings.runs),
        OperationOrphans(parts, operations),
        workspace_orphans(parts, operations.places, settings.keep_failed_workspaces_seconds),
        checkpoint_orphans(parts, operations.places, settings.keep_failed_workspaces_seconds),
        BaseOrphans(parts, operations),
        MirrorOrphans(parts, operations),
        ResultOrphans(operations),
        TempFiles(settings.home, lambda: {str(operation) for operation in operations.all()}),
    )
    return Sweeper(
        sorts, parts.metrics, parts.account, parts.audit, works.ownerless.asks, settings.orphan_grace_seconds, step
    )
