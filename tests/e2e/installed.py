"""The distribution as a user has it installed, in one version and then in the next, without a package index."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.running_plane import find_binaries

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = "controller/local/data"
PARTS = {"controller": "controller", "crds": f"{DATA}/crds", "hack/controlplane": f"{DATA}/controlplane"}
COMMAND_SECONDS = 270.0


def source_of(commit: str, directory: Path) -> Path:
    """The tree of `commit`, unpacked below `directory`; the present one where the history does not reach back to it."""
    packed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "archive", commit, *PARTS], check=False, capture_output=True, timeout=60
    )
    if packed.returncode != 0:
        return CHECKOUT
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


class Installed:
    """A virtual environment with one version of the package at a time, and a HOLDFAST_HOME to use it on.

    The dependencies are those of the environment that runs the tests.
    """

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self._venv = directory / "venv"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(self._venv)], check=True, timeout=COMMAND_SECONDS
        )
        (self._site,) = self._venv.glob("lib/python*/site-packages")
        (self._site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
        (directory / "elsewhere").mkdir()
        self._elsewhere = directory / "elsewhere"  # a working directory without a checkout

    def install(self, source: Path, version: str) -> None:
        """Install the package of the tree `source` as `version`, in the place of the one that is there, as pip does."""
        for old in (self._site / "controller", *self._site.glob("holdfast-*.dist-info")):
            shutil.rmtree(old, ignore_errors=True)
        for part, target in PARTS.items():
            shutil.copytree(source / part, self._site / target, ignore=shutil.ignore_patterns("__pycache__"))
        metadata = self._site / f"holdfast-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.4\nName: holdfast\nVersion: {version}\n")

    def holdfast(self, *arguments: str, check: bool = True) -> str:
        """Run the command of the installed version; its stdout."""
        return self._run(str(self._venv / "bin" / "python"), "-P", "-m", "controller.cli.main", *arguments, check=check)

    def kubectl(self, *arguments: str) -> str:
        """Run the real kubectl on the home's cluster; its stdout."""
        kubectl = str(find_binaries(print).kubectl)
        return self._run(kubectl, f"--kubeconfig={self.home / 'kubeconfig'}", *arguments)

    def _run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(
            argv,
            check=False,
            cwd=self._elsewhere,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        own = {"HOLDFAST_HOME": str(self.home), "HOLDFAST_MIN_FREE_BYTES": "0"}
        foreign = ("KUBECONFIG", "HOLDFAST_KUBECONFIG", "PYTHONPATH", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if name not in foreign} | own
