"""The cluster of a test run, for every directory of tests: made once, when the first test asks for it.

HOLDFAST_TEST_NODE names the directory of a node that is up already (`hack/cluster up --dir D`) and stays up;
`--context` names a cluster of the user's own, which must have the images of `hack/cluster archives DIR`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.settings import Settings
from hack.image.build import image_name
from hack.node import images
from hack.node.layout import Node
from hack.node.needs import find_helm
from tests.cluster.running_node import Cluster, down, make_directory, run_module, up
from tests.needs import lack, need_root
from tests.running_plane import find_binaries

BUILD_SECONDS = 1800.0


def say(message: str) -> None:
    """Progress, shown by pytest beside a failing test."""
    print(f"node: {message}", file=sys.stderr)


@pytest.fixture(scope="session")
def node_directory() -> Iterator[Path]:
    """Where nodes of this test run have their directories; what is left there at the end is ended."""
    need_root()
    if sys.platform != "linux":
        lack("this needs Linux")
    directory = make_directory()
    yield directory
    for path in directory.glob("*/node.json"):
        down(path.parent)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster that runs Pods, with the images of hack/node/images.py."""
    kubectl = find_binaries(say).kubectl
    cache = tmp_path_factory.mktemp("kubectl")
    context = request.config.getoption("--context")
    if context is not None:
        return Cluster(_extract(kubectl, context, cache / "kubeconfig"), kubectl, cache, None)
    given = os.environ.get("HOLDFAST_TEST_NODE")
    directory = Path(given) if given else request.getfixturevalue("node_directory") / "node"
    node = up(directory)
    return Cluster(node.home.kubeconfig, kubectl, cache, node)


@pytest.fixture(scope="session")
def operator_archive() -> Path:
    """The operator's image as it is in this checkout, as an archive."""
    need_root()
    done = run_module("hack.image", limit_seconds=BUILD_SECONDS)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def operator_image(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """Name of the operator's image as it is in this checkout; the cluster has it.

    On a cluster of the user's own HOLDFAST_TEST_IMAGE names it.
    """
    if cluster.node is None:
        return os.environ.get("HOLDFAST_TEST_IMAGE") or pytest.skip("HOLDFAST_TEST_IMAGE is not set")
    path: Path = request.getfixturevalue("operator_archive")
    images.load(cluster.node, path)
    return image_name(path)


@pytest.fixture(scope="session")
def helm() -> Path:
    """The real helm, from the same cache as the other binaries."""
    return find_helm(Settings().cache, say)


def _extract(kubectl: Path, context: str, path: Path) -> Path:
    """A kubeconfig of one context alone, so that no test can reach another cluster."""
    argv = [kubectl, "config", "view", "--raw", "--flatten", "--minify", f"--context={context}"]
    path.touch(0o600)
    path.write_text(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout)
    return path


@pytest.fixture(scope="session")
def node(cluster: Cluster) -> Node:
    """The node on this machine, for tests that look at it or kill parts of it; they bring it up again."""
    if cluster.node is None:
        pytest.skip("a cluster of the user's own: nothing in it is killed")
    return cluster.node
