"""Where the API server is and who we are there, as the official client reads it: one place for client and watch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import config as official_config
from kubernetes.aio.client.configuration import Configuration

from controller.errors import Terminal

_official: Any = official_config  # not annotated


async def load(kubeconfig: Path | None) -> Configuration:
    """Read a kubeconfig, or the usual places where it is None: KUBECONFIG, ~/.kube/config, the service account.

    Raises:
        Terminal: there is none, or it cannot be read.
    """
    configuration = Configuration()
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    try:
        if kubeconfig is None and in_pod:
            _official.load_incluster_config(client_configuration=configuration)
        else:
            path = str(kubeconfig) if kubeconfig is not None else None
            await _official.load_kube_config(config_file=path, client_configuration=configuration, persist_config=False)
    except (_official.ConfigException, OSError) as error:
        where = kubeconfig if kubeconfig is not None else "KUBECONFIG, ~/.kube/config or the service account"
        message = f"no access to a cluster by {where}: {error}; set HOLDFAST_KUBECONFIG or run `holdfast up`"
        raise Terminal("NoKubeconfig", message) from error
    return configuration


def tune(configuration: Configuration, connections: int) -> None:
    """Set what a long-lived client wants: its number of connections, no cookies, proxies only where they can apply.

    Proxies are taken from the environment except for loopback, which client-go leaves out too (net/http's
    ProxyFromEnvironment).
    """
    host = urlsplit(configuration.host).hostname or ""
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    configuration.connection_pool_maxsize = connections
    configuration.client_session_kwargs = {"cookie_jar": aiohttp.DummyCookieJar(), "trust_env": not loopback}
