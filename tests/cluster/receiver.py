"""A server on this machine that Pods reach: it takes callbacks, and serves a git repository by plain HTTP."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Receiver:
    """Where it is, and the bodies that were posted to it."""

    url: str
    posted: list[bytes] = field(default_factory=list)


@contextmanager
def receiving(address: str, directory: Path) -> Iterator[Receiver]:
    """Serve `directory`, which gets a repository `project.git`, until left."""
    _make_repository(directory / "project.git")

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.posted.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the test looks at what arrived."""

    with ThreadingHTTPServer((address, 0), partial(Handler, directory=str(directory))) as server:
        receiver = Receiver(f"http://{address}:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join(60)


def _make_repository(path: Path) -> None:
    def git(*arguments: str, **options: Any) -> str:
        argv = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", f"--git-dir={path}", *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, **options).stdout.strip()

    git("init", "--quiet", "--bare", "--initial-branch=main")
    content = git("hash-object", "-w", "--stdin", input="hello")
    tree = git("mktree", input=f"100644 blob {content}\tREADME\n")
    git("update-ref", "refs/heads/main", git("commit-tree", tree, "-m", "first"))
    git("update-server-info")
