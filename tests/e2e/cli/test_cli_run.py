"""`holdfast run` and `rerun` against the real API server (issue item 7)."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml

from controller.api.batchjob import BatchJob, BatchJobSpec
from controller.cli.manifest import FLAGS
from tests.e2e.cli.holdfast_command import Holdfast, Jobs, one_line

EVERY_FLAG = shlex.split("""
--name full -q nightly -p -5 -e A=1 -e B= -e HOME --env-key T=secret/s/token --env-key C=configmap/c/a.b
--env-from secret/s --env-from X_=configmap/c -w /srv --executor Process --deadline 1h --active-deadline 2h
--grace-period 5s --retry 2 --backoff 1s --max-backoff 1m --memory 1Gi --cpu 500m --open-files 64 --output-bytes 1Mi
--repository shop --ref v1.2 --lock Shared --push Mirror
--callback secret/hook/key=https://example.org/hook?a=b
--image registry.example/a:1 --on-lost Manual --resume-command "make 'go on'"
--loss-limit 1 --ttl 24h --suspend -l team=a --annotation note=b=c
""")


def test_run_creates_a_job(holdfast: Holdfast, jobs: Jobs) -> None:
    """1.1: its name comes from the command; what was not given is the API server's default."""
    said = holdfast("run", "--", "/bin/My_Tool.sh", "-x", "a b").stdout
    name = said.split()[0].removeprefix("batchjob.holdfast.dev/")
    assert said == f"batchjob.holdfast.dev/{name} created\n"
    assert name.startswith("my-tool-sh-")
    job = BatchJob.model_validate(jobs.get(name))
    assert job.spec == BatchJobSpec(command=("/bin/My_Tool.sh", "-x", "a b"))


def test_every_flag_reaches_the_spec(holdfast: Holdfast, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.1"""
    monkeypatch.setenv("HOME", "/home/me")
    holdfast("run", *EVERY_FLAG, "--", "true")
    job = jobs.get("full")
    assert job["metadata"]["labels"] == {"team": "a"}
    assert job["metadata"]["annotations"] == {"note": "b=c"}
    assert job["spec"] == {
        "command": ["true"],
        "args": [],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": ""},
            {"name": "HOME", "value": "/home/me"},
            {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token", "optional": False}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a.b", "optional": False}}},
        ],
        "envFrom": [
            {"prefix": "", "secretRef": {"name": "s", "optional": False}},
            {"prefix": "X_", "configMapRef": {"name": "c", "optional": False}},
        ],
        "workingDir": "/srv",
        "queue": "nightly",
        "priority": -5,
        "executor": "Process",
        "pod": {"image": "registry.example/a:1", "imagePullSecrets": [], "tolerations": []},
        "repository": {"name": "shop", "ref": "v1.2", "lock": "Shared", "push": "Mirror"},
        "limits": {"memory": "1Gi", "cpu": "500m", "openFiles": 64, "outputBytes": "1Mi"},
        "deadline": "1h",
        "activeDeadline": "2h",
        "gracePeriod": "5s",
        "retry": {"limit": 2, "backoff": "1s", "maxBackoff": "1m"},
        "onLost": "Manual",
        "resumeCommand": ["make", "go on"],
        "lossLimit": 1,
        "suspend": True,
        "cancel": False,
        "callbacks": [
            {
                "name": "callback-1",
                "url": "https://example.org/hook?a=b",
                "secretRef": {"name": "hook", "key": "key"},
                "events": ["Succeeded", "Failed", "Canceled"],
                "timeout": {"connect": "10s", "total": "30s"},
            }
        ],
        "ttlAfterFinished": "24h",
    }


def test_every_field_of_the_spec_has_a_flag() -> None:
    """Issue item 7: but for what is the command itself, and what is said about a job that exists."""
    others = {"command", "args", "cancel", "decision"}
    assert len(BatchJobSpec.model_fields.keys() - others) == 19, "a new field: give `holdfast run` a flag for it"
    assert len(FLAGS) == 31


def test_dry_run_prints_a_manifest_that_kubectl_takes(holdfast: Holdfast, jobs: Jobs, kubectl: Any) -> None:
    """1.1: and creates nothing itself."""
    text = holdfast("run", "--dry-run", "-o", "yaml", "--name", "dry", "-e", "A=1\n2", "--", "sh", "-c", "a\nb").stdout
    assert kubectl("get", "bj", "-o", "name").stdout == ""
    kubectl("apply", "-f", "-", input=text)
    spec = jobs.get("dry")["spec"]
    assert (spec["command"], spec["env"]) == (["sh", "-c", "a\nb"], [{"name": "A", "value": "1\n2"}])
    as_json = holdfast("run", "--dry-run", "-o", "json", "--name", "dry", "--", "true").stdout
    assert json.loads(as_json)["spec"] == {"command": ["true"]}


def test_an_image_makes_it_a_pod(holdfast: Holdfast) -> None:
    """4.1"""
    text = holdfast("run", "--dry-run", "--image", "a:1", "--", "true").stdout
    assert yaml.safe_load(text)["spec"] == {"command": ["true"], "executor": "Pod", "pod": {"image": "a:1"}}


def test_the_double_dash_may_be_left_out(holdfast: Holdfast) -> None:
    """Issue item 7: after the program every flag is the program's."""
    text = holdfast("run", "--dry-run", "ls", "-l", "--name", "x").stdout
    assert yaml.safe_load(text)["spec"]["command"] == ["ls", "-l", "--name", "x"]


def test_output_forms(holdfast: Holdfast) -> None:
    """Issue item 7"""
    assert holdfast("run", "-o", "name", "--name", "a", "--", "true").stdout == "batchjob.holdfast.dev/a\n"
    assert json.loads(holdfast("run", "-o", "json", "--name", "b", "--", "true").stdout)["metadata"]["uid"]
    assert (
        yaml.safe_load(holdfast("run", "-o", "yaml", "--name", "c", "--", "true").stdout)["spec"]["queue"] == "default"
    )


def test_a_relative_working_directory_is_made_absolute(holdfast: Holdfast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue item 7: `-w .` means here."""
    monkeypatch.chdir("/usr")
    assert yaml.safe_load(holdfast("run", "--dry-run", "-w", ".", "--", "true").stdout)["spec"]["workingDir"] == "/usr"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--queue", "A/B"], "spec.queue"),
        (["--deadline", "soon"], "spec.deadline"),
        (["--memory", "1 GB"], "spec.limits.memory"),
        (["-e", "A-B=1"], "spec.env[0].name"),
        (["--name", "Not_A_Name"], "metadata.name"),
        (["--repository", "shop", "--ref", "a..b"], "spec.repository.ref"),
        (["--repository", "shop", "--lock", "None", "--push", "Mirror"], "spec.repository.push"),
    ],
)
def test_the_api_servers_refusal_is_one_line(holdfast: Holdfast, arguments: list[str], said: str) -> None:
    """1.2, issue item 7"""
    assert said in one_line(holdfast("run", *arguments, "--", "true", code=1).stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--priority", "high", "true"],
        ["--label", "x", "true"],
        ["--env", "SURELY_NOT_SET_HERE", "true"],
        ["--env-key", "A=vault/x/y", "true"],
        ["--env-key", "A=secret/x", "true"],
        ["--env-from", "secret", "true"],
        ["--wait", "--dry-run", "true"],
        ["--on-lost", "Never", "true"],
        ["--lock", "Shared", "true"],
        ["--repository", "shop", "--lock", "Most", "true"],
    ],
)
def test_wrong_usage_is_exit_code_2(holdfast: Holdfast, arguments: list[str]) -> None:
    """Issue item 7"""
    assert holdfast("run", *arguments, code=2).stdout == ""


def test_a_name_that_is_taken(holdfast: Holdfast) -> None:
    """Issue item 7"""
    holdfast("run", "--name", "a", "--", "true")
    assert "already exists" in one_line(holdfast("run", "--name", "a", "--", "true", code=1).stderr)


def test_rerun_makes_a_new_job_from_a_finished_one(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7: what to run is taken over, what was said about the old one is not."""
    jobs.create("old", {"command": ["make"], "priority": 3, "env": [{"name": "A", "value": "1"}]}, labels={"a": "b"})
    jobs.status("old", attempt={"id": "u.1", "number": 1, "state": "Running"})
    holdfast("cancel", "old")
    jobs.end("old", "Canceled")
    new = holdfast("rerun", "-o", "name", "old").stdout.strip().removeprefix("batchjob.holdfast.dev/")
    job = jobs.get(new)
    assert new.startswith("old-")
    assert (job["spec"]["command"], job["spec"]["priority"], job["spec"]["cancel"]) == (["make"], 3, False)
    assert job["metadata"]["labels"] == {"a": "b"}
    assert job["metadata"]["annotations"] == {"holdfast.dev/rerun-of": "old"}
    assert "status" not in job
    jobs.end(new)
    third = holdfast("rerun", "-o", "name", new).stdout.strip().removeprefix("batchjob.holdfast.dev/")
    assert len(third) == len(new), "a name does not grow with every rerun"


def test_a_job_on_a_repository_and_its_rerun(holdfast: Holdfast, jobs: Jobs) -> None:
    """5.3, 5.4: the rerun uses it in the same way; defaults are the API server's."""
    holdfast("run", "--repository", "shop", "--push", "Upstream", "--name", "a", "--", "make")
    used = {"name": "shop", "lock": "Exclusive", "push": "Upstream"}
    assert jobs.get("a")["spec"]["repository"] == used
    jobs.end("a")
    jobs.status("a", repository={"commit": "1" * 40, "published": "2" * 40})
    holdfast("rerun", "a", "--name", "b")
    again = jobs.get("b")
    assert again["spec"]["repository"] == used
    assert "status" not in again


def test_rerun_of_a_job_that_has_not_ended(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7"""
    jobs.create("going")
    assert "has not ended" in one_line(holdfast("rerun", "going", code=1).stderr)
