"""RecoveryReports as a person reads them."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.integration.controller.jobs import MERGE
from tests.integration.controller.waits import soon

REPORTS = "/apis/holdfast.dev/v1alpha1/namespaces/default/recoveryreports"
Object = dict[str, Any]


class Reports:
    """Those of the namespace `default`, where a controller writes them unless told otherwise."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def all(self) -> list[Object]:
        """Oldest first, as kubectl lists them."""
        answer = self.http.get(REPORTS)
        answer.raise_for_status()
        return sorted(answer.json()["items"], key=lambda each: str(each["metadata"]["name"]))

    def names(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.all()]

    def newest(self) -> Object:
        return self.all()[-1]

    def after(self, known: list[str], result: str) -> Object:
        """Wait until a start that is not in `known` has this result; returns its report."""

        def found() -> Object | None:
            newest = self.newest() if self.all() else None
            assert newest is not None and newest["metadata"]["name"] not in known, "no new report"
            assert newest.get("status", {}).get("result") == result, newest.get("status")
            return newest

        return soon(found, f"a report with result {result}")

    def make(self, name: str, state_id: str, result: str = "Complete") -> None:
        """One as a controller would have left it."""
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "RecoveryReport", "metadata": {"name": name}}
        spec = {"stateId": state_id, "startId": name}
        self.http.post(REPORTS, json={**body, "spec": spec}).raise_for_status()
        text = json.dumps({"status": {"result": result}})
        self.http.patch(f"{REPORTS}/{name}/status", content=text, headers=MERGE).raise_for_status()

    def remove(self, name: str) -> None:
        self.http.delete(f"{REPORTS}/{name}").raise_for_status()

    def of(self, state_id: str) -> list[str]:
        """Names of those of one state directory."""
        return [each["metadata"]["name"] for each in self.all() if each["spec"]["stateId"] == state_id]

    def get(self, name: str) -> Object:
        return next(each for each in self.all() if each["metadata"]["name"] == name)


def phases(report: Object) -> dict[str, str]:
    """State by name of a report."""
    return {phase["name"]: phase["state"] for phase in report["status"]["phases"]}
