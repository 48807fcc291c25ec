"""What a job gets: env, ConfigMaps, Secrets, nothing of the controller's."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.integration.controller.files import command_lines, contents
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon

SECRET = "s3cr3t-Zx81-never-to-be-seen"
PREFIXED = "s3cr3t-Qw47-never-to-be-seen"


def test_values_reach_the_job_and_nothing_else(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """3.7: env and envFrom from ConfigMap and Secret; a secret's value is in no file, log, Event, status, argv."""
    since = controller.log_size()
    jobs.config_map("settings", COLOUR="blue", **{"not-a-name": "dropped", "HOLDFAST_X": "dropped"})
    jobs.secret("keys", TOKEN=SECRET, OTHER=PREFIXED)
    env = [
        {"name": "PLAIN", "value": "a $b `c`"},
        {"name": "ONE", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
        {"name": "SHADE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "absent", "optional": True}}},
    ]
    sources = [{"configMapRef": {"name": "settings"}}, {"prefix": "K_", "secretRef": {"name": "keys"}}]
    script = (
        'test "$ONE" = "$K_TOKEN" || exit 1; printf %s "$ONE$K_OTHER" | sha256sum; '
        'echo "$PLAIN|$SHADE|$COLOUR|${NONE-unset}"; '
        f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    )
    uid = uid_of(jobs.shell("reader", script, env=env, envFrom=sources))
    jobs.running("reader")
    argv = command_lines()
    (tmp_path / "go").touch()
    job = jobs.finished("reader", "Succeeded")
    import hashlib

    digest = hashlib.sha256((SECRET + PREFIXED).encode()).hexdigest()
    assert controller.output(uid).decode().splitlines() == [f"{digest}  -", "a $b `c`|blue|blue|unset"]

    skipped = soon(
        lambda: [event for event in jobs.events("reader") if event["reason"] == "EnvironmentSkipped"],
        "skipped keys are told",
    )
    assert "not-a-name" in skipped[0]["message"]
    for value in (SECRET, PREFIXED):
        assert value.encode() not in argv
        assert value not in json.dumps(job) and value not in json.dumps(jobs.events("reader"))
        assert value not in "".join(map(json.dumps, controller.log_lines(since)))
        assert [path for path, data in contents(controller.home) if value.encode() in data] == []


def test_missing_objects_wait_and_go_on(controller: RunningController, jobs: Jobs) -> None:
    """Faults, 3.7: a missing ConfigMap, Secret or key keeps the job queued with a reason; others pass it by."""
    jobs.queue("narrow", concurrency=1)
    reference = [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "soon", "key": "v"}}}]
    jobs.shell("needs-secret", 'test "$V" = here', env=reference, queue="narrow")
    jobs.shell("needs-map", 'test "$W" = there', envFrom=[{"configMapRef": {"name": "soon"}}], queue="narrow")
    jobs.create("passes-by", queue="narrow")
    jobs.finished("passes-by", "Succeeded")
    for name, field in (("needs-secret", "spec.env[V]"), ("needs-map", "spec.envFrom[0]")):
        admitted = condition_of(jobs.phase(name, "Queued", reason="EnvironmentNotFound"), "Admitted")
        assert admitted is not None and field in admitted["message"] and "soon" in admitted["message"]
    before = jobs.get("needs-secret")["metadata"]["resourceVersion"]
    time.sleep(1.5)  # a stretch of time in which nothing may happen
    assert jobs.get("needs-secret")["metadata"]["resourceVersion"] == before
    jobs.secret("soon", v="here")
    jobs.config_map("soon", W="there")
    jobs.finished("needs-secret", "Succeeded")
    jobs.finished("needs-map", "Succeeded")


def test_environment_of_a_job_is_clean(controller: RunningController, jobs: Jobs) -> None:
    """3.7: PATH, LANG, TMPDIR, HOME and HOLDFAST_*; stdin is empty, no descriptor, no credential of the controller."""
    script = "env | sort; echo --; cat; ls /proc/self/fd | tr '\\n' ' '; pwd; touch $HOME/a $TMPDIR/b c"
    job = jobs.shell("bare", script)
    uid = uid_of(job)
    jobs.finished("bare", "Succeeded")
    head, _, tail = controller.output(uid).decode().partition("--\n")
    names = dict(line.split("=", 1) for line in head.splitlines())
    run = f"{controller.runs}/{uid}.1"
    expected = {
        "LANG": "C.UTF-8",
        "TMPDIR": f"{run}/tmp",
        "HOME": f"{run}/home",
        "HOLDFAST_NAMESPACE": jobs.namespace,
        "HOLDFAST_JOB": "bare",
        "HOLDFAST_ATTEMPT": f"{uid}.1",
    }
    assert {name: names.pop(name) for name in expected} == expected
    assert set(names) <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    assert tail.splitlines() == ["0 1 2 3 " + f"{run}/work"]
