"""Find or make the four binaries of the local control plane.

Order: KUBEBUILDER_ASSETS, PATH, cache, official download, Go build from pinned modules. Only versions that suit are
taken. The cache appears file by file under final names, each complete; two processes that want it at once take turns;
an interrupted one leaves nothing that is used. Run as a program it fills the cache and prints the paths.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controller.errors import HoldfastError, Terminal
from controller.settings import Settings

KUBERNETES_VERSION = "1.36.4"
ETCD_VERSION = "3.6.14"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
VERSION_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "etcd": ("--version",),
    "kube-apiserver": ("--version",),
    "kube-controller-manager": ("--version",),
    "kubectl": ("version", "--client"),
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Binaries:
    """Absolute paths of executables whose versions suit each other."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    kubectl: Path


def cache_directory(cache: Path) -> Path:
    """Where this version's binaries are kept below Settings.cache; its name holds both versions."""
    return cache.expanduser() / "controlplane" / f"k8s-{KUBERNETES_VERSION}_etcd-{ETCD_VERSION}"


def find_or_make(cache: Path, say: Say, environ: Mapping[str, str] | None = None) -> Binaries:
    """Return the binaries, after making those that are nowhere.

    Args:
        cache: Settings.cache.
        say: called with one line of progress at a time.
        environ: variables that say where to look (KUBEBUILDER_ASSETS, PATH); None is the process's own.

    Raises:
        Terminal: no way works; the message lists the ways and what each lacked.
    """
    environ = os.environ if environ is None else environ
    lacks: list[str] = []
    found = _existing(cache, environ, lacks)
    if len(found) < len(NAMES):
        directory = cache_directory(cache)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with turn(directory, say):
            found = _existing(cache, environ, [])
            missing = [name for name in NAMES if name not in found]
            if missing:
                _make(missing, directory, say, lacks)
                found = _existing(cache, environ, [])
    return Binaries(found["etcd"], found["kube-apiserver"], found["kube-controller-manager"], found["kubectl"])


def _existing(cache: Path, environ: Mapping[str, str], lacks: list[str]) -> dict[str, Path]:
    """Binaries that are there already, by name; why the others are not goes to `lacks`."""
    found: dict[str, Path] = {}
    assets = environ.get("KUBEBUILDER_ASSETS")
    if assets:
        _take_suitable("KUBEBUILDER_ASSETS", lambda name: shutil.which(name, path=assets), found, lacks)
    else:
        lacks.append("KUBEBUILDER_ASSETS: not set")
    # Looking at versions on the PATH costs a process each: what the cache has of the exact version comes first.
    cached = {name: path for name in NAMES if is_executable(path := cache_directory(cache) / name)}
    if found.keys() | cached.keys() != set(NAMES):
        _take_suitable("PATH", lambda name: shutil.which(name, path=environ.get("PATH")), found, lacks)
    lacks.append(f"cache {cache_directory(cache)}: lacks {', '.join(n for n in NAMES if n not in cached) or 'nothing'}")
    return cached | found


def _take_suitable(where: str, which: Callable[[str], str | None], found: dict[str, Path], lacks: list[str]) -> None:
    problems = []
    for name in NAMES:
        if name in found:
            continue
        path = which(name)
        if path is None:
            problems.append(f"no {name}")
        elif (version := version_of(name, Path(path))) is None or not suits(name, version):
            problems.append(f"{name} is {version or 'of unknown version'}, wanted {wanted_version(name)}")
        else:
            found[name] = Path(path).absolute()
    if problems:
        lacks.append(f"{where}: {'; '.join(problems)}")


def wanted_version(name: str) -> str:
    """The release series that the flags used here are proven with."""
    return ".".join((ETCD_VERSION if name == "etcd" else KUBERNETES_VERSION).split(".")[:2]) + ".*"


def suits(name: str, version: str) -> bool:
    """Same major and minor version: the servers' skew policy allows no newer controller manager."""
    return version.split(".")[:2] == wanted_version(name).split(".")[:2]


def version_of(name: str, path: Path) -> str | None:
    """`1.36.4` as the binary itself says it; None where it does not run or says nothing like it within 20 s."""
    try:
        done = subprocess.run(
            [path, *VERSION_COMMANDS[name]],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v?(\d+\.\d+\.\d+)", done.stdout)
    return match.group(1) if match else None


def is_executable(path: Path) -> bool:
    """Whether `path` is a file that may be executed."""
    return path.is_file() and os.access(path, os.X_OK)


@contextmanager
def turn(directory: Path, say: Say) -> Iterator[None]:
    """One process at a time makes binaries; the lock goes with the process."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is making the binaries in {directory}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in directory.glob("*.tmp.*"):
            # The lock is ours, so nobody writes these: an interrupted download or build left them.
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield


def _make(missing: list[str], directory: Path, say: Say, lacks: list[str]) -> None:
    from controller.local import download, gobuild  # httpx is slow to import and rarely needed here

    for way in (download.fetch, gobuild.build):
        try:
            way([name for name in missing if not is_executable(directory / name)], directory, say)
            return
        except HoldfastError as error:
            say(error.message)
            lacks.append(error.message)
    raise Terminal(
        "NoControlPlaneBinaries",
        "no way to get the control plane's binaries works:\n"
        + "\n".join(f"  - {lack}" for lack in lacks)
        + "\nTo go on: allow the download, or install Go, or put etcd, kube-apiserver, kube-controller-manager and "
        "kubectl into one directory and name it in KUBEBUILDER_ASSETS",
    )


def main() -> int:
    """`python -m controller.local.binaries`: make sure they are there; progress on stderr, paths on stdout."""
    try:
        binaries = find_or_make(Settings().cache, lambda line: print(line, file=sys.stderr, flush=True))
    except HoldfastError as error:
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is complete is kept, run it again to go on", file=sys.stderr)
        return 130
    for path in (binaries.etcd, binaries.apiserver, binaries.controller_manager, binaries.kubectl):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
