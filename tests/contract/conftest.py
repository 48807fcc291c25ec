"""The fixture of the contract tests: one subject per executor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.namespaces import a_namespace, serve_kinds
from tests.cluster.running_node import Cluster
from tests.contract.pod_subject import PodSubject, connect
from tests.contract.subjects import ProcessSubject, Subject

PROCESS, POD = pytest.param("process", id="process"), pytest.param("pod", id="pod", marks=pytest.mark.cluster)


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
            pods = PodSubject(api, namespace, tmp_path)
            await pods.start()
            yield pods
            await pods.close()
