"""Remotes over the network for tests: a smart HTTP server with and without faults, and a real sshd; on loopback."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.eventually import eventually_sync
from tests.integration.repositories.homes import git_environment
from tests.needs import need, need_root


@dataclass
class Web:
    """What a GitServer does; changed while it runs.

    Args:
        root: directory of bare repositories.
        token: the password that it wants; "" for none.
        redirect: answers with a redirect to this base URL.
        hang: accepts requests and does not answer while it is true.
        drip: seconds between the bytes of an answer.
        requests: how many came.
    """

    root: Path
    token: str = ""
    redirect: str = ""
    hang: bool = False
    drip: float = 0.0
    url: str = ""
    requests: int = 0
    passwords: list[str] = field(default_factory=list)
    end: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def serve(web: Web, address: str = "127.0.0.1") -> Iterator[Web]:
    """Serve until the end of the block."""

    class Handler(_Handler):
        asked = web

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    web.url = f"http://{address}:{server.server_address[1]}"
    try:
        yield web
    finally:
        web.end.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    asked: Web
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self.asked.requests += 1
        if self.asked.hang:
            until = time.monotonic() + 60
            while self.asked.hang and time.monotonic() < until and not self.asked.end.wait(0.1):
                pass
        elif self.asked.redirect:
            self.send_response(302)
            self.send_header("Location", self.asked.redirect + self.path)
            self.end_headers()
        elif not self._welcome():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
        else:
            self._answer()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Tests look at what git says."""

    def _welcome(self) -> bool:
        if not self.asked.token:
            return True
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        password = base64.b64decode(given).decode().partition(":")[2]
        self.asked.passwords.append(password)
        return password == self.asked.token

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=self._body(),
            capture_output=True,
            timeout=60,
            check=False,
            env=git_environment(
                GIT_PROJECT_ROOT=str(self.asked.root),
                GIT_HTTP_EXPORT_ALL="1",
                PATH_INFO=path,
                QUERY_STRING=query,
                REQUEST_METHOD=self.command,
                REMOTE_USER="somebody",
                CONTENT_TYPE=self.headers.get("Content-Type", ""),
                HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
                GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
            ),
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(b": ")[::2] for line in head.split(b"\r\n")]
        status = next((int(value.split()[0]) for name, value in lines if name == b"Status"), 200)
        self.send_response(status)
        for name, value in lines:
            if name != b"Status":
                self.send_header(name.decode(), value.decode())
        self.end_headers()
        self._send(body)

    def _send(self, body: bytes) -> None:
        if not self.asked.drip:
            self.wfile.write(body)
            return
        with contextlib.suppress(ConnectionError):
            for number in range(len(body)):
                self.wfile.write(body[number : number + 1])
                if self.asked.end.wait(self.asked.drip):
                    return

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body


@dataclass(frozen=True)
class Sshd:
    """A running sshd.

    Args:
        address, port: where it listens.
        known_hosts: line with its host key.
        key: private key that it accepts.
        other_key: one that it does not.
        other_host: a line with a host key that is not its.
    """

    address: str
    port: int
    known_hosts: str
    key: str
    other_key: str
    other_host: str

    def url(self, path: Path) -> str:
        """Of a repository."""
        return f"ssh://root@{self.address}:{self.port}{path}"


@contextlib.contextmanager
def sshd(directory: Path, address: str = "127.0.0.1") -> Iterator[Sshd]:
    """A real sshd with keys of its own until the end of the block; the test does not go on without one."""
    need_root()
    program = need("sshd")
    directory.mkdir(mode=0o700)
    for name in ("host", "other_host", "user", "other_user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True, timeout=30)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = _free_port(address)
    config = directory / "config"
    config.write_text(
        f"Port {port}\nListenAddress {address}\nHostKey {directory}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {directory}/user.pub\nPasswordAuthentication no\nUsePAM no\nPermitRootLogin yes\n"
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=log, env={"PATH": os.environ["PATH"]})
    try:
        eventually_sync(lambda: _listens(address, port), what="sshd listens")
        yield Sshd(
            address,
            port,
            f"[{address}]:{port} {(directory / 'host.pub').read_text()}",
            (directory / "user").read_text(),
            (directory / "other_user").read_text(),
            f"[{address}]:{port} {(directory / 'other_host.pub').read_text()}",
        )
    finally:
        process.terminate()
        process.wait(60)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0
