"""Official downloads of the control plane's binaries, each checked against its published SHA-256.

Where the hosts cannot be reached this says so within seconds: building from source is the next way. A file appears
under its final name only when it is complete and its checksum is right.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from controller.errors import Terminal, Transient
from controller.local.binaries import ETCD_VERSION, KUBERNETES_VERSION

KUBERNETES_RELEASES = "https://dl.k8s.io/release"
ETCD_RELEASES = "https://github.com/etcd-io/etcd/releases/download"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}
# Name resolution has no limit of its own and may hang for long where there is no network.
REACH_SECONDS = 4.0
TIMEOUT = httpx.Timeout(30, connect=5)
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")

Say = Callable[[str], None]


def fetch(names: Sequence[str], directory: Path, say: Say) -> None:
    """Put the named binaries into `directory`.

    Raises:
        Terminal: no release for this machine's architecture.
        Transient: a host cannot be reached, or what came does not match its checksum.
    """
    machine = ARCHITECTURES.get(platform.machine())
    if machine is None:
        raise Terminal("NoRelease", f"official download: no release for {platform.machine()}")
    say("looking for the official downloads")
    places = {ETCD_RELEASES if name == "etcd" else KUBERNETES_RELEASES for name in names}
    if not any(os.environ.get(name) for name in PROXY_VARIABLES):
        unreachable = [f"{httpx.URL(url).host} ({why})" for url in sorted(places) if (why := reach(url)) is not None]
        if unreachable:
            raise Transient("Unreachable", f"official download: cannot reach {', '.join(unreachable)}")
    try:
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
            for name in names:
                if name == "etcd":
                    _etcd(client, machine, directory, say)
                else:
                    _kubernetes(client, name, machine, directory, say)
    except (httpx.HTTPError, OSError, tarfile.TarError) as error:
        raise Transient("DownloadFailed", f"official download: {error or type(error).__name__}") from error


def reach(url: str) -> str | None:
    """Why a TCP connection to the server of `url` cannot be made within the limit; None where it can."""
    outcome: list[str | None] = []
    parsed = httpx.URL(url)
    address = (parsed.host, parsed.port or 443)

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=REACH_SECONDS).close()
            outcome.append(None)
        except OSError as error:
            outcome.append(error.strerror or str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return outcome[0] if outcome else f"no answer within {REACH_SECONDS:.0f} s"


def _kubernetes(client: httpx.Client, name: str, machine: str, directory: Path, say: Say) -> None:
    url = f"{KUBERNETES_RELEASES}/v{KUBERNETES_VERSION}/bin/linux/{machine}/{name}"
    checksum = _text(client, f"{url}.sha256").split()[0]
    temporary = _temporary(directory / name)
    _download(client, url, temporary, checksum, say)
    _publish(temporary, directory / name)


def _etcd(client: httpx.Client, machine: str, directory: Path, say: Say) -> None:
    base = f"{ETCD_RELEASES}/v{ETCD_VERSION}"
    archive = f"etcd-v{ETCD_VERSION}-linux-{machine}.tar.gz"
    lines = [line.split() for line in _text(client, f"{base}/SHA256SUMS").splitlines()]
    sums = {fields[1]: fields[0] for fields in lines if len(fields) == 2}
    if archive not in sums:
        raise Transient("NoChecksum", f"official download: {base}/SHA256SUMS does not name {archive}")
    temporary = _temporary(directory / "etcd.tar.gz")
    _download(client, f"{base}/{archive}", temporary, sums[archive], say)
    binary = _temporary(directory / "etcd")
    with tarfile.open(temporary) as tar, binary.open("wb") as target:
        member = tar.extractfile(f"{archive.removesuffix('.tar.gz')}/etcd")
        if member is None:
            raise Transient("BadArchive", f"official download: {archive} holds no etcd")
        while chunk := member.read(1 << 20):
            target.write(chunk)
    temporary.unlink()
    _publish(binary, directory / "etcd")


def _text(client: httpx.Client, url: str) -> str:
    response = client.get(url)
    response.raise_for_status()
    return response.text


def _download(client: httpx.Client, url: str, target: Path, checksum: str, say: Say) -> None:
    digest = hashlib.sha256()
    done, told = 0, time.monotonic()
    say(f"downloading {url}")
    with client.stream("GET", url) as response, target.open("wb") as file:
        response.raise_for_status()
        total = int(response.headers.get("content-length", 0))
        for chunk in response.iter_bytes(1 << 20):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if time.monotonic() - told > 3:
                told = time.monotonic()
                say(f"  {done >> 20} MiB of {total >> 20 or '?'} MiB")
    if digest.hexdigest() != checksum.lower():
        target.unlink()
        raise Transient("ChecksumMismatch", f"official download: {url} does not match its published checksum")


def _temporary(final: Path) -> Path:
    return final.with_name(f"{final.name}.tmp.{secrets.token_hex(4)}")


def _publish(temporary: Path, final: Path) -> None:
    temporary.chmod(0o755)
    temporary.rename(final)
