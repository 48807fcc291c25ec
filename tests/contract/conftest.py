"""The fixture of the contract tests: one subject per executor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hack.node.layout import Node
from tests.cluster.namespaces import a_namespace, serve_kinds
from tests.cluster.running_node import Cluster
from tests.contract.pod_subject import PodSubject, connect
from tests.contract.subjects import ProcessSubject, Subject

PROCESS, POD = pytest.param("process", id="process"), pytest.param("pod", id="pod", marks=pytest.mark.cluster)


def _git(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An image with git and the program that makes workspaces, and where Pods reach this machine."""
    node: Node = request.getfixturevalue("node")
    return request.getfixturevalue("operator_image"), node.host_address


@pytest.fixture(params=[PROCESS, POD])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """An executor with nothing in it."""
    if request.param == "process":
        made = ProcessSubject(tmp_path)
        yield made
        await made.close()
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    serve_kinds(cluster)
    with a_namespace(cluster) as namespace:
        async with await connect(cluster.kubeconfig) as api:
            pods = PodSubject(api, namespace, tmp_path, lambda: _git(request))
            await pods.start()
            yield pods
            await pods.close()
