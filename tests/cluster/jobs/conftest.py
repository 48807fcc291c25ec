"""One controller of jobs as Pods for the tests of this directory; it is gone before others use the cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.cli.access import load
from hack.node.layout import Node
from tests.cluster.jobs.shop import TOKEN
from tests.cluster.namespaces import serve_kinds
from tests.cluster.running_node import Cluster
from tests.integration.controller.conftest import assert_no_defect
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.repositories.homes import Upstream
from tests.integration.repositories.servers import Web, serve


@pytest.fixture(scope="package")
def pods_controller(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RunningController]:
    """A controller of jobs as Pods, on this machine, with the node's cluster."""
    serve_kinds(cluster)
    directory = tmp_path_factory.mktemp("pods-controller")
    settings = {
        "HOLDFAST_EXECUTORS": "Pod",
        "HOLDFAST_POD_OUTPUT": str(directory / "kept"),
        "HOLDFAST_START_TIMEOUT_SECONDS": "12",
        "HOLDFAST_GIT_SCHEMES": "http,ssh",
    }
    if cluster.node is not None or "HOLDFAST_TEST_IMAGE" in os.environ:
        settings["HOLDFAST_WORKSPACE_IMAGE"] = request.getfixturevalue("operator_image")
    made = RunningController(directory, cluster.kubeconfig, settings)
    yield made
    made.stop()


@pytest.fixture
def controller(pods_controller: RunningController) -> Iterator[RunningController]:
    since = pods_controller.log_size()
    pods_controller.ensure()
    yield pods_controller
    assert_no_defect(pods_controller, since)


@pytest.fixture
def web(tmp_path: Path, node: Node) -> Iterator[Web]:
    """A git server on this machine that Pods reach and that wants a password."""
    with serve(Web(tmp_path, token=TOKEN), node.host_address) as made:
        yield made


@pytest.fixture
def shop(web: Web, jobs: Jobs, tmp_path: Path, controller: RunningController) -> Upstream:
    """A Repository on that server that is ready, with one commit; jobs may push upstream."""
    made = Upstream.make(tmp_path / "shop")
    made.commit({"file": "one\n"})
    jobs.secret("remote", token=f"{TOKEN}\n")
    repositories = Repositories(jobs, tmp_path)
    spec = {"credentialsRef": {"name": "remote"}, "refreshInterval": "1h", "push": "Upstream"}
    repositories.declare("shop", f"{web.url}/shop/remote.git", **spec)
    repositories.wait("shop", "Ready")
    return made


@pytest.fixture(scope="package")
def http(cluster: Cluster) -> Iterator[httpx.Client]:
    """Plain HTTP to the node's API server as its administrator."""
    access = load(cluster.kubeconfig)
    with httpx.Client(
        base_url=access.server, verify=access.tls or True, headers=dict(access.headers), timeout=60, trust_env=False
    ) as made:
        yield made


@pytest.fixture
def jobs(http: httpx.Client, namespace: str) -> Jobs:
    return Jobs(http, namespace)
