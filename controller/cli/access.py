"""Where the API server is and who we are there, read from a kubeconfig.

The official package costs 0.8 s to import, more than everything else in a command together. So what a plain kubeconfig
holds (certificates, a token) is read here; everything else that one can hold (login plugins, several files, proxies)
is left to the official package.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.cli import places
from controller.errors import Terminal

_CLUSTER_KEYS = {"server", "certificate-authority", "certificate-authority-data"}
_USER_KEYS = {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token"}
_WAYS = "start a local one with `holdfast up`, or set HOLDFAST_KUBECONFIG or KUBECONFIG"


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and our credentials for it.

    Args:
        server: URL.
        namespace: of the context.
        headers: that authenticate, if any.
        tls: None for plain http.
        source: the kubeconfig, for messages.
    """

    server: str
    namespace: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    source: str = ""


def load(kubeconfig: Path | None = None, context: str | None = None) -> Access:
    """Read the kubeconfig.

    Args:
        kubeconfig: a file named by the user; None: the usual places (see `places.kubeconfigs`).
        context: name of a context in it; None: its current one.

    Raises:
        Terminal: there is none, or it cannot be read, or it has no such context.
    """
    paths = [kubeconfig] if kubeconfig is not None else places.kubeconfigs()
    if len(paths) > 1 or (kubeconfig is None and not paths[0].exists() and "KUBERNETES_SERVICE_HOST" in os.environ):
        return _official(paths, context)
    path = paths[0]
    config = _parse(path)
    chosen = _named(config, "contexts", "context", context or config.get("current-context") or "", path)
    cluster = _named(config, "clusters", "cluster", str(chosen.get("cluster")), path)
    user = _named(config, "users", "user", str(chosen.get("user")), path) if chosen.get("user") else {}
    if not (cluster.keys() <= _CLUSTER_KEYS and user.keys() <= _USER_KEYS):
        return _official(paths, context)
    token = user.get("token")
    return Access(
        server=str(cluster.get("server", "")),
        namespace=str(chosen.get("namespace") or "default"),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        tls=_tls(cluster, user, path) if str(cluster.get("server", "")).startswith("https:") else None,
        source=str(path),
    )


def _parse(path: Path) -> dict[str, Any]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        config = yaml.load(path.read_bytes(), Loader=loader)
    except FileNotFoundError as error:
        raise Terminal("NoKubeconfig", f"no cluster to talk to: {path} does not exist; {_WAYS}") from error
    except OSError as error:
        raise Terminal("NoKubeconfig", f"kubeconfig {path} cannot be read: {error.strerror}; {_WAYS}") from error
    except yaml.YAMLError as error:
        raise Terminal("BadKubeconfig", f"kubeconfig {path} is not YAML; repair it, or {_WAYS}") from error
    if not isinstance(config, dict):
        raise Terminal("BadKubeconfig", f"kubeconfig {path} is empty; {_WAYS}")
    return config


def _named(config: dict[str, Any], plural: str, singular: str, name: str, path: Path) -> dict[str, Any]:
    entries = {entry.get("name"): entry.get(singular) or {} for entry in config.get(plural) or ()}
    if name in entries:
        return dict(entries[name])
    known = ", ".join(sorted(str(key) for key in entries)) or "none"
    raise Terminal("BadKubeconfig", f"kubeconfig {path} has no {singular} named {name!r}; it has {known}")


def _tls(cluster: dict[str, Any], user: dict[str, Any], path: Path) -> ssl.SSLContext:
    try:
        authority = _content(cluster, "certificate-authority", path)
        context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
        certificate, key = (_content(user, name, path) for name in ("client-certificate", "client-key"))
        if certificate and key:
            _load_chain(context, certificate, key)
    except (OSError, ValueError) as error:
        raise Terminal("BadKubeconfig", f"kubeconfig {path}: its certificates cannot be used: {error}") from error
    return context


def _content(section: dict[str, Any], name: str, path: Path) -> bytes | None:
    """PEM given inline or as a file, whose path counts from the kubeconfig's directory."""
    if section.get(f"{name}-data"):
        return base64.b64decode(section[f"{name}-data"])
    if section.get(name):
        return (path.parent / str(section[name])).read_bytes()
    return None


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads keys from files only: one of ours alone (0600), gone before anything else happens."""
    with tempfile.NamedTemporaryFile(prefix="holdfast-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def _official(paths: list[Path], context: str | None) -> Access:
    """The way for everything else: the official package reads it, we use what it found."""
    from kubernetes import client
    from kubernetes import config as official

    config: Any = official  # not annotated
    configuration: Any = client.Configuration()
    namespace = "default"
    try:
        if not any(path.exists() for path in paths):
            config.load_incluster_config(client_configuration=configuration)
        else:
            merged = os.pathsep.join(str(path) for path in paths)
            config.load_kube_config(merged, context, client_configuration=configuration, persist_config=False)
            contexts, active = config.list_kube_config_contexts(merged)
            chosen = next((item for item in contexts if item["name"] == context), active)
            namespace = chosen["context"].get("namespace") or "default"
    except (official.ConfigException, OSError) as error:
        raise Terminal("BadKubeconfig", f"kubeconfig {', '.join(map(str, paths))}: {error}; {_WAYS}") from error
    headers = {
        setting["key"]: setting["value"]
        for setting in configuration.auth_settings().values()
        if setting["in"] == "header" and setting["value"]
    }
    return Access(configuration.host, namespace, headers, _official_tls(configuration), str(paths[0]))


def _official_tls(configuration: Any) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
