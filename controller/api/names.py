"""The names of our kinds. Without pydantic: the command line needs them and must not wait for the models.

A new kind: its name in KINDS here, its model in `controller.api.kinds`; CRD, paths, store, watch and metrics follow.
One that is only written for people to read stands in WRITTEN: it has a CRD and paths, but a start does not wait for it.
"""

from __future__ import annotations

from typing import NamedTuple

# In the order in which they are read at a start: a job is judged with its queue and its repository known.
KINDS = ("JobQueue", "Repository", "RepositoryLock", "JobBatch", "Callback", "Snapshot", "BatchJob")
WRITTEN = ("RecoveryReport",)


class Names(NamedTuple):
    """spec.names of a CRD: what is not given follows from the kind, as kubebuilder and kubectl form it."""

    kind: str
    short: tuple[str, ...] = ()

    @property
    def singular(self) -> str:
        """What `kubectl get` takes for one object."""
        return self.kind.lower()

    @property
    def plural(self) -> str:
        """Names the collection in URLs."""
        name = self.singular
        if name.endswith("y"):
            return f"{name[:-1]}ies"
        return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"

    @property
    def list_kind(self) -> str:
        """The kind of a LIST's answer."""
        return f"{self.kind}List"
