"""The chart, installed once for all tests of it, on a node of its own whose audit log tells what it calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.cli.access import load
from hack.image.build import image_name
from hack.node import images
from tests.cluster.fixtures import say
from tests.cluster.namespaces import a_namespace
from tests.cluster.release import CHART, NAME, Release
from tests.cluster.running_node import Cluster, up
from tests.integration.controller.jobs import Jobs
from tests.running_plane import find_binaries

SETTINGS = {
    "HOLDFAST_CALLBACK_ALLOW_CIDRS": "10.200.0.0/16",
    "HOLDFAST_CALLBACK_PORTS": "1-65535",
    "HOLDFAST_SNAPSHOT_SCHEDULE": "* * * * *",
    "HOLDFAST_SNAPSHOT_KEEP": 1,
}


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest, helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A node without anything on it; the one of the other tests has had controllers."""
    if request.config.getoption("--context") is not None:
        pytest.skip("needs the audit log of a node of this machine")
    node = up(request.getfixturevalue("node_directory") / "chart")
    cache = tmp_path_factory.mktemp("kubectl")
    return Release(helm, Cluster(node.home.kubeconfig, find_binaries(say).kubectl, cache, node), node)


@pytest.fixture(scope="session")
def installed(release: Release, operator_archive: Path) -> Release:
    """`helm install` into the empty cluster, with one command."""
    images.load(release.node, operator_archive)
    repository, tag = image_name(operator_archive).rsplit(":")
    image = f"image.repository={repository},image.tag={tag},image.pullPolicy=Never"
    values = [f"--set-json=settings={json.dumps(SETTINGS)}", f"--set={image}"]
    release.run("install", NAME, str(CHART), "--create-namespace", *values, "--wait", "--timeout=150s")
    return release


@contextmanager
def users_jobs(cluster: Cluster) -> Iterator[Jobs]:
    """BatchJobs of a namespace that is not the operator's."""
    access = load(cluster.kubeconfig)
    tls: Any = access.tls or True
    with (
        a_namespace(cluster) as namespace,
        httpx.Client(
            base_url=access.server, verify=tls, headers=dict(access.headers), timeout=60, trust_env=False
        ) as http,
    ):
        yield Jobs(http, namespace)
