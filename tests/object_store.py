"""A real S3 server for tests, over HTTP or TLS: versitygw, whose buckets are directories that a test can look into."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from controller.errors import HoldfastError
from controller.settings import Settings
from hack.objectstore.build import find_or_build
from tests.eventually import eventually_sync
from tests.needs import lack

ACCESS, SECRET = "tester", "not-to-be-seen-anywhere"
REGION = "us-east-1"


class ObjectStore:
    """See the module. One server with one user; `address` stays the same over restarts.

    Args:
        directory: of the test run.
        host: that it listens on.
        tls: files of its certificate and key, None for plain HTTP.
    """

    def __init__(
        self, program: Path, directory: Path, host: str = "127.0.0.1", tls: tuple[Path, Path] | None = None
    ) -> None:
        self._program = program
        self._tls = tls
        self._log = directory / "server.log"
        self.buckets = directory / "buckets"
        self._attributes = directory / "attributes"  # beside the objects: not every file system has extended ones
        for path in (self.buckets, self._attributes):
            path.mkdir()
        self._host, self._port = host, _free_port(host)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of it needs, and nothing that this machine has for others."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def bucket(self) -> str:
        """A new one."""
        name = f"bucket-{uuid4().hex[:10]}"
        (self.buckets / name).mkdir()
        return name

    def objects(self, bucket: str) -> dict[str, Path]:
        """Files of the objects by key."""
        base = self.buckets / bucket
        found = (path for path in base.rglob("*") if path.is_file())
        return {str(path.relative_to(base)): path for path in found if path.relative_to(base).parts[0][0] != "."}

    def uploads(self, bucket: str) -> list[Path]:
        """Directories of uploads in parts that are neither complete nor aborted."""
        return [path for path in (self.buckets / bucket).glob(".sgwtmp/multipart/*/*") if path.is_dir()]

    def start(self) -> None:
        argv = [str(self._program), f"--port={self._host}:{self._port}", f"--region={REGION}", "--quiet"]
        argv += [f"--cert={self._tls[0]}", f"--key={self._tls[1]}"] if self._tls else []
        argv += ["posix", f"--sidecar={self._attributes}", str(self.buckets)]
        env = {"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
        with self._log.open("ab") as log:
            # It ends with the process that runs the tests.
            self._child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], env=env, stdout=log, stderr=log)
        eventually_sync(self._listens, 60, f"{argv} listens; {self._log}")

    def stop(self) -> None:
        """Connections are refused from now on."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(60)
            self._child = None

    def freeze(self) -> None:
        """Connections are taken, and nothing is answered: true when this returns."""
        self._signal(signal.SIGSTOP)
        eventually_sync(self._stands, 60, "every thread of the server stands")

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def _stands(self) -> bool:
        """kill(2) returns before the threads that run just then have stopped; proc_pid_stat(5) has the state."""
        assert self._child is not None
        states = set()
        for path in Path(f"/proc/{self._child.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                states.add((path / "stat").read_text().rpartition(") ")[2][0])
        return states == {"T"}

    def _listens(self) -> bool:
        with socket.socket() as client:
            client.settimeout(2)
            return client.connect_ex((self._host, self._port)) == 0


def _free_port(host: str) -> int:
    with socket.socket() as server:
        server.bind((host, 0))
        return int(server.getsockname()[1])


def find_program() -> Path:
    """The server's binary; a test that cannot have it does not go on."""
    try:
        return find_or_build(Settings().cache, lambda line: print(f"object store: {line}", file=sys.stderr))
    except HoldfastError as error:
        return lack(f"no S3 server: {error.message}")


@pytest.fixture(scope="session")
def object_store_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """The session's server; ask for `object_store` instead, which is sure to answer."""
    directory = tmp_path_factory.mktemp("objects")
    made = ObjectStore(find_program(), directory)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(directory)


@pytest.fixture
def object_store(object_store_process: ObjectStore) -> Iterator[ObjectStore]:
    """A server that answers, whatever the test does to it."""
    yield object_store_process
    object_store_process.stop()
    object_store_process.start()
