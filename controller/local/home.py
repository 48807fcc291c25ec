"""The layout of one state directory, its permissions, and where it may not lie.

Every path that the local control plane uses is named here once. All of it is the owner's alone: directories 0700, files
with keys 0600. Nothing here starts or stops anything.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from controller.errors import Terminal, Waiting

# flock and mmap of another machine's files are not to be trusted with locks and with a database (design 6).
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.ceph",
        "fuse.cephfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "smb3",
        "smbfs",
    }
)


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one HOLDFAST_HOME; `path` is absolute and resolved."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> Home:
        """The home at `path`, which need not exist yet."""
        return cls(path.expanduser().resolve())

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.path / "pki"

    @property
    def etcd(self) -> Path:
        return self.path / "etcd"

    @property
    def etcd_data(self) -> Path:
        return self.etcd / "data"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def components(self) -> Path:
        return self.path / "components"

    @property
    def ports(self) -> Path:
        return self.components / "ports.json"

    @property
    def lock(self) -> Path:
        return self.path / "up.lock"

    @property
    def http(self) -> Path:
        """Written by the controller: url and pid of its HTTP server."""
        return self.path / "http.json"

    def log(self, component: str) -> Path:
        return self.logs / f"{component}.log"

    def crt(self, name: str) -> Path:
        """Certificate of the pair `name`; see `certs`."""
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.pki / f"{name}.key"

    def record(self, component: str) -> Path:
        return self.components / f"{component}.json"

    def prepare(self) -> None:
        """Make the directories, 0700 whatever the umask.

        Raises:
            Terminal: the path is on a network file system, or cannot be made or written.
        """
        kind = file_system(self.path)
        if kind in NETWORK_FILE_SYSTEMS:
            raise Terminal(
                "NetworkFileSystem",
                f"HOLDFAST_HOME {self.path} is on a network file system ({kind}), where locks and the database are not "
                "safe: set HOLDFAST_HOME to a directory on a local disk",
            )
        try:
            for directory in (self.path, self.pki, self.etcd, self.logs, self.components):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if directory.stat().st_mode & 0o077:
                    directory.chmod(0o700)
        except OSError as error:
            raise Terminal(
                "HomeNotWritable", f"HOLDFAST_HOME {self.path}: {error.strerror} ({error.filename}): make it writable"
            ) from error


def file_system(path: Path) -> str:
    """Type of the file system that holds `path` or its nearest existing parent, from proc_pid_mountinfo(5)."""
    while not path.exists() and path != path.parent:
        path = path.parent
    device = path.stat().st_dev
    text = Path("/proc/self/mountinfo").read_text()
    return _covering(path, f"{os.major(device)}:{os.minor(device)}", text)


def _covering(path: Path, device: str, mountinfo: str) -> str:
    """The type of the mount that covers `path`, the last of the deepest ones; `device` decides between equals."""
    best, kind = "", "unknown"
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        mount_point = fields[4].encode().decode("unicode_escape")
        covers = path == Path(mount_point) or Path(mount_point) in path.parents
        # btrfs shows other device numbers in stat than here, so the deepest mount point decides first.
        if covers and (len(mount_point) > len(best) or (len(mount_point) == len(best) and fields[2] == device)):
            best, kind = mount_point, right.split()[0]
    return kind


class PlaneLock:
    """flock on `up.lock`: at most one `holdfast up` acts on a home. Kept until `release` or the process ends."""

    def __init__(self, home: Home) -> None:
        self._path = home.lock
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting; harmless where it is held already.

        Raises:
            Waiting: another process holds it.
        """
        if self._fd is not None:
            return
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise Waiting("AlreadyUp", f"another holdfast up runs on {self._path.parent}") from error
        self._fd = fd

    def release(self) -> None:
        """Let go; harmless where it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
