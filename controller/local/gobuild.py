"""Build the control plane's binaries with Go from modules that are pinned by hash.

Go's own caches make an interrupted build go on where it was. A binary appears under its final name only when complete.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from controller.errors import Terminal, Transient
from controller.local import assets
from controller.local.binaries import KUBERNETES_VERSION

TAGS = "selinux,notest,grpcnotrace"
BUILD_LIMIT_SECONDS = 45 * 60
TELL_SECONDS = 10.0

Say = Callable[[str], None]


def build(names: Sequence[str], directory: Path, say: Say) -> None:
    """Put the named binaries into `directory`; about 5 minutes on two cores when nothing is cached.

    Raises:
        Terminal: no Go toolchain, or one that is too old for the pinned modules.
        Transient: the build itself failed; the message ends with what Go said last.
    """
    modules = assets.go_modules()
    for name in names:
        if name == "etcd":
            build_package("go.etcd.io/etcd/server/v3", "-s -w", modules / "etcd", directory / name, say)
        else:
            build_package(f"k8s.io/kubernetes/cmd/{name}", _stamped(), modules / "kube", directory / name, say)


def build_package(package: str, link_flags: str, module: Path, target: Path, say: Say) -> None:
    """Build one command of a pinned module to `target`, which appears only when it is complete; raises as `build`."""
    go = shutil.which("go") or (path if os.access(path := "/usr/local/go/bin/go", os.X_OK) else None)
    if go is None:
        raise Terminal("NoGo", "Go build: no go command on the PATH")
    _check_version(go, module)
    temporary = target.with_name(f"{target.name}.tmp.{secrets.token_hex(4)}")
    options = ["-v", "-trimpath", "-buildvcs=false", "-tags", TAGS, "-ldflags", link_flags]
    _run([go, "build", *options, "-o", str(temporary), package], module, target.name, say)
    temporary.rename(target)


def _check_version(go: str, module: Path) -> None:
    wanted = re.search(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text(), re.MULTILINE)
    asked = subprocess.run([go, "version"], check=False, capture_output=True, text=True, timeout=30, env=_environment())
    said = asked.stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    if wanted is None or found is None:
        raise Terminal("BadGo", f"Go build: {go} does not tell its version: {said.strip()!r}")
    if tuple(map(int, found.groups())) < tuple(map(int, wanted.groups())):
        raise Terminal(
            "OldGo", f"Go build: {go} is {found.group(0)}, the pinned modules need go{'.'.join(wanted.groups())}"
        )


def _stamped() -> str:
    """Link flags that tell a Kubernetes command its version."""
    major, minor = KUBERNETES_VERSION.split(".")[:2]
    values = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(
        f"-X {package}.{key}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for key, value in values.items()
    )
    return f"-s -w {stamps}"


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _run(command: Sequence[str], module: Path, name: str, say: Say) -> None:
    started = time.monotonic()
    say(f"building {name} from source with {command[0]}")
    with tempfile.TemporaryFile("w+") as output:
        # Its own group, so that an interrupt takes the compilers along.
        process = subprocess.Popen(
            command,
            cwd=module,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            while True:
                try:
                    code = process.wait(TELL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    elapsed = time.monotonic() - started
                    say(f"  {name}: {elapsed:.0f} s, {_progress(output.fileno())}")
                    if elapsed > BUILD_LIMIT_SECONDS:
                        raise Transient("BuildTooLong", f"Go build: {name} took over {elapsed:.0f} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)
        if code != 0:
            output.seek(0)
            last = "\n    ".join(output.read().strip().splitlines()[-5:])
            raise Transient("BuildFailed", f"Go build: {name} failed:\n    {last}")
    say(f"  {name}: built in {time.monotonic() - started:.0f} s")


def _progress(fd: int) -> str:
    lines = os.pread(fd, 1 << 22, 0).decode(errors="replace").splitlines()
    downloads = sum(line.startswith("go: downloading") for line in lines)
    return f"{downloads} modules downloaded, {len(lines) - downloads} packages compiled"
