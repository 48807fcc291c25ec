"""Objects that the tests of `controller.kube` create."""

from __future__ import annotations

from typing import Any

from controller.api.keys import API_VERSION


def batch_job(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {"command": ["true"]} | spec,
    }
