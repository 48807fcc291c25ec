"""Does this state directory belong to this cluster? Every way in which it may not (design 9)."""

from __future__ import annotations

import pytest

from controller.decisions.binding import Identity, mismatch

ME = Identity("state-1", "cluster-1", 500)
JOBS = ("default/a", "default/b")


@pytest.mark.parametrize(
    ("recorded", "cluster", "version", "foreign", "own", "directories", "reason"),
    [
        (None, "cluster-1", 1, (), (), None, None),  # the first start ever
        (None, "cluster-1", 1, (), (), 0, None),
        (None, "cluster-1", 900, JOBS, (), None, "EmptyStateDirectory"),  # the file system is not mounted
        (None, "cluster-1", 900, (), (), 3, "EmptyStateDirectory"),  # whose are these?
        (ME, "cluster-1", 500, (), JOBS, 2, None),  # every start after it
        (ME, "cluster-1", 501, (), (), 0, None),
        (ME, "cluster-1", 501, (), (), None, None),  # nothing ran, so nothing is missed
        (ME, "cluster-1", 501, JOBS, (), 2, None),  # theirs are Unknown, ours go on
        (ME, "cluster-2", 900, (), (), 2, "OtherCluster"),
        (ME, "cluster-1", 499, (), (), 2, "OlderBackup"),
        (ME, "cluster-1", 501, (), JOBS, None, "MissingRunDirectories"),
        (ME, "cluster-1", 501, (), JOBS, 0, None),  # the directory is there: each attempt is judged by itself
    ],
)
def test_binding(
    recorded: Identity | None,
    cluster: str,
    version: int,
    foreign: tuple[str, ...],
    own: tuple[str, ...],
    directories: int | None,
    reason: str | None,
) -> None:
    """7.5, design 9: what does not fit starts degraded, and the message names the way out."""
    found = mismatch(recorded, cluster, version, foreign, own, directories)
    assert (found.reason if found else None) == reason
    if found is not None:
        assert "holdfast adopt" in found.message
