"""What the image consists of, as data: the only place where it is said. Nothing here does anything."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "holdfast.local/holdfast"
USER = 10001
JOBS = 1000  # USER of controller/executors/pod/manifest.py: their workspaces are made by this image


@dataclass(frozen=True, slots=True)
class Debian:
    """The smallest Debian of this suite, with packages."""

    suite: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A shell command, run as root inside the image."""

    why: str
    command: str


@dataclass(frozen=True, slots=True)
class Wheels:
    """Packages by a list with hashes, into a directory of their own."""

    requirements: str
    target: str


@dataclass(frozen=True, slots=True)
class Project:
    """This project, installed from these files of the checkout."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Compile:
    """Byte code for what is in a directory: the root file system is read-only when it runs."""

    target: str


@dataclass(frozen=True, slots=True)
class Config:
    """How it runs."""

    user: str
    directory: str
    environment: tuple[tuple[str, str], ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


Step = Debian | Run | Wheels | Project | Compile | Config

PYTHON = "3.11"  # of the suite
PACKAGES = "/app/packages"
HOLDFAST = "/app/holdfast"
STATE = "/var/lib/holdfast"

STEPS: tuple[Step, ...] = (
    # git and ssh: the same image makes the workspace of a Pod.
    Debian(
        "bookworm",
        ("python3-minimal", f"libpython{PYTHON}-stdlib", "ca-certificates", "git", "openssh-client", "tini"),
    ),
    Run(
        "users without rights, ours and the one of jobs in Pods; git and ssh want one that has a name",
        f"groupadd --gid {USER} holdfast && "
        f"useradd --uid {USER} --gid {USER} --home-dir {STATE} --no-create-home --shell /usr/sbin/nologin holdfast && "
        f"groupadd --gid {JOBS} job && "
        f"useradd --uid {JOBS} --gid {JOBS} --home-dir /tmp --no-create-home --shell /usr/sbin/nologin job && "
        f"install -d -o {USER} -g {USER} -m 0700 {STATE}",
    ),
    Run(
        "the command",
        "printf '%s\\n' '#!/bin/sh' 'exec /usr/bin/python3 -P -m controller.cli.main \"$@\"' "
        ">/usr/local/bin/holdfast && chmod 0755 /usr/local/bin/holdfast",
    ),
    Run(
        "nothing that a program does not read",
        "rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian "
        "/var/lib/apt/lists/* /var/cache/apt /var/cache/debconf /var/cache/ldconfig /var/log/* /tmp/* /etc/machine-id",
    ),
    Wheels("hack/image/requirements.txt", PACKAGES),
    Compile(PACKAGES),
    Project(("pyproject.toml", "README.md", "LICENSE", "controller", "crds", "hack/controlplane"), HOLDFAST),
    Compile(HOLDFAST),
    Config(
        user=f"{USER}:{USER}",
        directory="/",
        environment=(
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("HOME", STATE),
            ("HOLDFAST_HOME", STATE),
            ("PYTHONPATH", f"{HOLDFAST}:{PACKAGES}"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONUNBUFFERED", "1"),
        ),
        # tini reaps what a git or ssh leaves behind and hands signals on.
        entrypoint=("/usr/bin/tini", "--", "/usr/local/bin/holdfast"),
        command=("controller",),
    ),
)
