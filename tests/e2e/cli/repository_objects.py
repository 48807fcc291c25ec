"""Repositories, claims and jobs that use them, with statuses as the controller would have recorded them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.cli.holdfast_command import NOW, Jobs, condition

GROUP = "/apis/holdfast.dev/v1alpha1/namespaces/{}/{}"
URL = "https://example.test/shop.git"
COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass(frozen=True)
class Repositories:
    """Of one namespace."""

    http: httpx.Client
    namespace: str

    def make(self, name: str, **spec: Any) -> dict[str, Any]:
        """A Repository that is Ready and that nobody holds."""
        self._post("repositories", "Repository", name, {"url": URL, **spec})
        return self.status(name, phase="Ready", conditions=[condition("Ready", "MirrorReady")], lock={"token": 0})

    def status(self, name: str, **status: Any) -> dict[str, Any]:
        return self._patch(f"repositories/{name}/status", {"status": status})

    def hold(self, name: str, *holders: dict[str, Any]) -> dict[str, Any]:
        """Record who holds it."""
        token = max(held["token"] for held in holders)
        return self.status(name, lock={"token": token, "holders": list(holders)})

    def person(self, name: str, repository: str, mode: str = "Exclusive", **spec: Any) -> dict[str, Any]:
        """A person's claim as `kubectl apply` makes it."""
        body = {"repository": repository, "mode": mode, "holder": {"name": name}, **spec}
        return self._post("repositorylocks", "RepositoryLock", name, body)

    def claim(self, job: dict[str, Any], number: int = 1) -> dict[str, Any]:
        """The claim of a job, as its reconciler makes it."""
        meta, use = job["metadata"], job["spec"]["repository"]
        holder = {
            "kind": "BatchJob",
            "name": meta["name"],
            "uid": meta["uid"],
            "attempt": f"{meta['uid']}.{number}",
        }
        body = {"repository": use["name"], "mode": use["lock"], "holder": holder}
        return self._post("repositorylocks", "RepositoryLock", f"{meta['name']}-claim", body)

    def get_claim(self, name: str) -> dict[str, Any]:
        return self._done(self.http.get(GROUP.format(self.namespace, f"repositorylocks/{name}")))

    def batch(self, name: str, repository: str, **status: Any) -> None:
        self._post(
            "jobbatches",
            "JobBatch",
            name,
            {"repository": repository, "commit": COMMIT, "prepare": {"command": ["make"]}},
        )
        self._patch(f"jobbatches/{name}/status", {"status": status})

    def _post(self, plural: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        body = {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        return self._done(self.http.post(GROUP.format(self.namespace, plural), json=body))

    def _patch(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        return self._done(
            self.http.patch(
                GROUP.format(self.namespace, path),
                content=json.dumps(change),
                headers={"Content-Type": "application/merge-patch+json"},
            )
        )

    @staticmethod
    def _done(response: httpx.Response) -> dict[str, Any]:
        assert response.is_success, response.text
        return dict(response.json())


def use(name: str, lock: str = "Exclusive", **more: Any) -> dict[str, Any]:
    """spec of a job on a repository."""
    return {"repository": {"name": name, "lock": lock, **more}}


def held(claim: dict[str, Any], token: int, **more: Any) -> dict[str, Any]:
    """An entry of Repository.status.lock.holders for a claim."""
    spec = claim["spec"]
    return {
        "claim": claim["metadata"]["name"],
        "uid": claim["metadata"]["uid"],
        "mode": spec["mode"],
        "token": token,
        "attempt": spec["holder"].get("attempt", ""),
        "grantedAt": NOW,
        **more,
    }


def running(jobs: Jobs, name: str, spec: dict[str, Any], token: int) -> dict[str, Any]:
    """A job whose first attempt is recorded as running with `token`."""
    job = jobs.create(name, spec)
    attempt = {"id": f"{job['metadata']['uid']}.1", "number": 1, "state": "Running", "lockToken": token}
    jobs.status(name, phase="Running", attempt=attempt)
    return job
