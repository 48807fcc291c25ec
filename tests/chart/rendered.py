"""What helm makes of the chart, parsed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "holdfast"
KUBERNETES = "1.36.0"  # without a cluster helm assumes the one that it was built with
Object = dict[str, Any]


def run(helm: Path, *arguments: str, values: Object | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with values in a file of its own, as a user has them."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(values or {}, file)
        file.flush()
        argv = [helm, *arguments, f"--values={file.name}"]
        return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


def template(helm: Path, values: Object | None = None, release: str = "demo") -> dict[tuple[str, str], Object]:
    """The objects by kind and name; a refusal fails the test with helm's words."""
    done = render(helm, values, release)
    assert done.returncode == 0, done.stderr
    found = [made for made in yaml.safe_load_all(done.stdout) if made]
    places = {(made["kind"], made["metadata"].get("namespace"), made["metadata"]["name"]) for made in found}
    assert len(places) == len(found), "two objects of one name"
    return {(made["kind"], made["metadata"]["name"]): made for made in found}


def render(helm: Path, values: Object | None = None, release: str = "demo") -> subprocess.CompletedProcess[str]:
    """`helm template`."""
    arguments = ("template", release, str(CHART), "--namespace=system", f"--kube-version={KUBERNETES}")
    return run(helm, *arguments, values=values)


def pod_of(found: dict[tuple[str, str], Object], name: str = "demo-holdfast") -> Object:
    """The Pod of the controllers."""
    spec: Object = found["Deployment", name]["spec"]["template"]["spec"]
    return spec


def rules_of(role: Object) -> set[tuple[str, str, str]]:
    """(group, resource, verb)"""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
