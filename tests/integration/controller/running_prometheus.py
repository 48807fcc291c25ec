"""A real Prometheus (Debian package `prometheus`) as a child process: own data, loopback, short intervals."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from controller.local.ports import Ports
from tests.integration.controller.waits import soon
from tests.needs import need

SECONDS = "1s"  # between scrapes, and between evaluations of the rules
STOP_SECONDS = 30.0


class RunningPrometheus:
    """See the module.

    Args:
        directory: of the test; gets configuration, data and log.
        rules: content of the rule file.
        target: host:port of what is scraped, as the job `holdfast`.
    """

    def __init__(self, directory: Path, rules: str, target: str) -> None:
        self.directory = directory
        (directory / "rules.yaml").write_text(rules)
        configuration = {
            "global": {"scrape_interval": SECONDS, "scrape_timeout": SECONDS, "evaluation_interval": SECONDS},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "holdfast", "static_configs": [{"targets": [target]}]}],
        }
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        self._child: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it answers. It ends with the process that runs the tests."""
        port = Ports(self.directory / "ports.json").get("prometheus")
        self.url = f"http://127.0.0.1:{port}"
        argv = [
            *("setpriv", "--pdeathsig", "KILL", need("prometheus")),
            f"--config.file={self.directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        with (self.directory / "prometheus.log").open("wb") as log:
            self._child = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        soon(self._is_ready, "Prometheus is ready")

    def stop(self) -> None:
        """End it if it runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait(STOP_SECONDS)

    def firing(self) -> dict[str, dict[str, Any]]:
        """Alerts that ring now, by name."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return {each["labels"]["alertname"]: each for each in alerts if each["state"] == "firing"}

    def query(self, expr: str) -> list[float]:
        """The values of an instant query.

        Raises:
            AssertionError: Prometheus did not take it.
        """
        return [float(each["value"][1]) for each in self._get("/api/v1/query", query=expr)["result"]]

    def _is_ready(self) -> bool:
        log = (self.directory / "prometheus.log").read_text(errors="replace")
        assert self._child is not None and self._child.poll() is None, log[-2000:]
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError as error:
            raise AssertionError(f"{error}; its log: {log[-2000:]}") from error

    def _get(self, path: str, **parameters: str) -> Any:
        try:
            answer = httpx.get(f"{self.url}{path}", params=parameters, timeout=60, trust_env=False)
        except httpx.HTTPError as error:
            raise AssertionError(str(error)) from error
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]
