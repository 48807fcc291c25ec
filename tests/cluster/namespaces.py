"""What a test with real Pods needs of the cluster first: our kinds, and a namespace that takes Pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from hack.node.layout import CHECKOUT
from tests.cluster.running_node import Cluster
from tests.eventually import eventually_sync


def serve_kinds(cluster: Cluster) -> None:
    """Apply crds/ and wait until they are served."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CHECKOUT / 'crds'}")
    cluster.kubectl(
        "wait", "--for=condition=Established", f"--filename={CHECKOUT / 'crds'}", "--timeout=120s", timeout=150
    )


@contextmanager
def a_namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace, ready for Pods; it is deleted afterwards, without waiting."""
    name = f"test-{uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    account = ("get", "serviceaccount", "default", f"--namespace={name}")
    eventually_sync(
        lambda: cluster.kubectl(*account, check=False).returncode == 0, 120, "the namespace's service account"
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
