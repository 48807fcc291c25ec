"""Where the command looks: the state directory and the kubeconfig.

The two settings that every command needs are read here without `controller.settings`, whose pydantic costs 0.4 s of
import: `holdfast logs` has to answer at once. A test holds both readings together.
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The state directory, absolute: HOLDFAST_HOME or the user's data directory."""
    value = os.environ.get("HOLDFAST_HOME")
    if value is None:
        import platformdirs  # 60 ms, rarely needed

        value = platformdirs.user_data_dir("holdfast", appauthor=False)
    return Path(value).expanduser().resolve()


def runs() -> Path:
    """Directory of the run directories, one per attempt."""
    return home() / "runs"


def kubeconfigs() -> list[Path]:
    """Candidates in the order in which they count: HOLDFAST_KUBECONFIG, <home>/kubeconfig, KUBECONFIG, ~/.kube/config.

    Several paths come back only where KUBECONFIG is a list, which is merged.
    """
    own = os.environ.get("HOLDFAST_KUBECONFIG")
    if own:
        return [Path(own)]
    local = home() / "kubeconfig"
    if local.exists():
        return [local]
    usual = os.environ.get("KUBECONFIG")
    if usual:
        return [Path(part) for part in usual.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]
