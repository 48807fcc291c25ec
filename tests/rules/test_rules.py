"""The rules of charts/holdfast, by promtool (requirements 9.1, 9.2)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from controller.telemetry.metrics import Metrics
from hack.monitoring.files import ALERTS, GROUPS, files
from hack.monitoring.rule import SEVERITIES, Alert, Recording, duration
from tests.rules import controller_cases, recovery_cases, work_cases
from tests.rules.promql import registry, unknown
from tests.rules.promtool import LIMIT, promtool
from tests.rules.ringing import Case

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "charts/holdfast/rules"
CASES = (*controller_cases.CASES, *recovery_cases.CASES, *work_cases.CASES)
RECORDED = [rule.name for group in GROUPS for rule in group.rules if isinstance(rule, Recording)]


def test_the_files_are_those_of_the_source() -> None:
    """9.2: rules and dashboard are made, and what is committed is what is made."""
    done = subprocess.run(
        [sys.executable, ROOT / "hack/generate", "--check"], capture_output=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_promtool_takes_the_rule_file() -> None:
    """9.2: `promtool check rules`, its lints counting as errors."""
    promtool("check", "rules", "--lint-fatal", str(RULES / "holdfast.rules.yaml"))


def test_rules_with_other_choices(tmp_path: Path) -> None:
    """9.2: `hack/rules` changes where runbooks are and how long conditions hold, and nothing else."""
    command = [
        sys.executable,
        str(ROOT / "hack/rules"),
        "--runbooks",
        "https://wiki.example.com/x#",
        "--patience",
        "0.5",
    ]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True)
    (tmp_path / "rules.yaml").write_bytes(done.stdout)
    promtool("check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml"))
    alerts = [rule for group in yaml.safe_load(done.stdout)["groups"] for rule in group["rules"] if "alert" in rule]
    assert [rule["alert"] for rule in alerts] == [alert.name for alert in ALERTS]
    down = next(rule for rule in alerts if rule["alert"] == "HoldfastControllerDown")
    assert down["for"] == "1m"
    assert down["annotations"]["runbook_url"] == "https://wiki.example.com/x#holdfastcontrollerdown"


def test_the_exposition_is_well_formed() -> None:
    """9.1: `promtool check metrics` has nothing against names, types and help texts."""
    assert promtool("check", "metrics", text=Metrics("1.0").render()) == ""


def test_both_files_have_the_same_rules() -> None:
    """9.2: one source."""
    plain = yaml.safe_load((RULES / "holdfast.rules.yaml").read_text())
    made = yaml.safe_load((RULES / "holdfast.prometheusrule.yaml").read_text())
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert made["spec"] == plain
    assert set(files()["charts/holdfast/rules"]) == {path.name for path in RULES.iterdir()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_alert(case: Case, tmp_path: Path) -> None:
    """9.2: it rings when it has to, with these words, and only then."""
    tests = tmp_path / "tests.yaml"
    content = {
        "rule_files": [str(RULES / "holdfast.rules.yaml")],
        "evaluation_interval": "1m",
        "tests": [case.promtool()],
    }
    tests.write_text(yaml.safe_dump(content, sort_keys=False))
    promtool("test", "rules", str(tests))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_is_seen_ringing_and_resolving(alert: Alert) -> None:
    """9.2: each alert has a case in which it is quiet, rings and is quiet again."""
    assert any(case.alert == alert.name and case.resolves for case in CASES)


@pytest.mark.parametrize("rule", [rule for group in GROUPS for rule in group.rules], ids=lambda rule: rule.name)
def test_metrics_and_label_values_exist(rule: Alert | Recording) -> None:
    """9.1, 9.2: a rule about a metric that nobody has would be quiet for ever."""
    assert unknown(rule.expr, registry(), RECORDED) == []


def test_what_does_not_exist_is_found() -> None:
    """The check above sees names, labels and values."""
    known = registry()
    assert unknown('rate(holdfast_jobs_total[5m]) + holdfast_jobs{phase="Queued"}', known) == [
        "no metric holdfast_jobs_total"
    ]
    assert unknown('holdfast_jobs{phase=~"Queued|Waitin"}', known) == ["holdfast_jobs has no phase Waitin"]
    assert unknown('holdfast_jobs{state="Queued"}', known) == ["holdfast_jobs has no label state"]
    assert unknown("sum by (phace) (holdfast_jobs)", known) == ["no label phace"]
    assert unknown("instance:holdfast_x:sum", known) == ["no metric instance:holdfast_x:sum"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_says_what_to_do(alert: Alert) -> None:
    """9.2: severity, texts, and a runbook in the README under the alert's own heading."""
    rule = alert.rule()
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"] and "{{" not in rule["annotations"]["summary"]
    assert "{{" in rule["annotations"]["description"] or rule["alert"] == "HoldfastControllerAbsent"
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, "the README has no such section"


@pytest.mark.parametrize(
    ("seconds", "written"), [(60, "1m"), (90, "90s"), (7200, "2h"), (86400, "1d"), (0.25, "250ms"), (0.0001, "1ms")]
)
def test_durations(seconds: float, written: str) -> None:
    """As Prometheus reads them."""
    assert duration(seconds) == written
