"""The real kubectl as tests call it, against whatever cluster they have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def run_kubectl(
    binary: Path | str, cache: Path, kubeconfig: Path, *arguments: str, input: str | None, check: bool, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run it; a failure shows what it said, unless `check` is off. `timeout` in seconds."""
    done = subprocess.run(
        [binary, f"--cache-dir={cache}", *arguments],
        check=False,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        input=input,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
    return done
