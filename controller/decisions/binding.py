"""Does this state directory belong to this cluster? (design 9)

Behind another cluster, an older backup or an empty mount every BatchJob or run directory looks ownerless; acting on
that view would stop and remove what is alive. So the controller starts degraded until a person says `holdfast adopt`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What a state directory remembers.

    Args:
        state_id: made once, names this directory in the status of every attempt.
        cluster: uid of the namespace kube-system of the cluster that it belongs to.
        highest_version: highest resourceVersion seen of that cluster.
    """

    state_id: str
    cluster: str
    highest_version: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why the directory is not bound: `reason` for the condition and metric, `message` for a person."""

    reason: str
    message: str


def mismatch(
    recorded: Identity | None,
    cluster: str,
    listed_version: int,
    foreign: tuple[str, ...],
    own: tuple[str, ...],
    directories: int | None,
) -> Mismatch | None:
    """Why nothing may be started or removed, None where directory and cluster belong together.

    Args:
        recorded: what the directory remembers; None for a directory that is new, or empty by mistake.
        cluster: uid of kube-system as the API server tells now.
        listed_version: resourceVersion of the LIST just taken.
        foreign: BatchJobs with unfinished attempts that name another state directory.
        own: BatchJobs with unfinished attempts that name this one.
        directories: how many run directories there are; None where the directory of all of them is missing.
    """
    way_out = "If this is right, run `holdfast adopt`."
    if recorded is None:
        if foreign:
            jobs = ", ".join(foreign[:3])
            text = f"the state directory is new, but {len(foreign)} unfinished jobs name another one ({jobs}): is its"
            return Mismatch("EmptyStateDirectory", f"{text} file system mounted? {way_out}")
        if directories:
            text = f"{directories} run directories, but no identity.json: whose are they?"
            return Mismatch("EmptyStateDirectory", f"{text} {way_out}")
        return None
    if recorded.cluster != cluster:
        text = f"the state directory belongs to cluster {recorded.cluster}, the API server is that of {cluster}."
        return Mismatch("OtherCluster", f"{text} {way_out}")
    if listed_version < recorded.highest_version:
        text = f"the API server is at version {listed_version}, but {recorded.highest_version} was seen before:"
        return Mismatch("OlderBackup", f"{text} was etcd restored from a backup? {way_out}")
    if directories is None and own:
        jobs = ", ".join(own[:3])
        text = f"the run directories are missing, but {len(own)} unfinished jobs were started here ({jobs}):"
        return Mismatch("MissingRunDirectories", f"{text} is their file system mounted? {way_out}")
    return None
