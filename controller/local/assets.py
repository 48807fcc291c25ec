"""What the local control plane needs from its own distribution: CRDs and the pinned Go modules.

In a checkout they lie beside the package (`crds/`, `hack/controlplane/`), in a wheel inside it
(`controller/local/data/`).
"""

from __future__ import annotations

from pathlib import Path

from controller.errors import Terminal

PACKAGED = Path(__file__).parent / "data"
CHECKOUT = Path(__file__).parents[2]


def crds() -> Path:
    """Directory of the CRD manifests.

    Raises:
        Terminal: it is neither in the package nor in a checkout.
    """
    return _find("crds", "crds")


def go_modules() -> Path:
    """Directory with one Go module per tool (`kube`, `etcd`), pinned by go.sum.

    Raises:
        Terminal: it is neither in the package nor in a checkout.
    """
    return _find("controlplane", "hack/controlplane")


def _find(packaged: str, checkout: str) -> Path:
    for path in (PACKAGED / packaged, CHECKOUT / checkout):
        if path.is_dir():
            return path
    raise Terminal(
        "IncompleteInstallation",
        f"neither {PACKAGED / packaged} nor {CHECKOUT / checkout} exists: install holdfast again",
    )
