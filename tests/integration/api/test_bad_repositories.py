"""The API server itself rejects bad repositories, claims, preparations and callbacks, naming the field (1.2)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

Body = dict[str, Any]


def body(kind: str, **spec: Any) -> Body:
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


COMMIT = "a" * 40
SECRET = {"name": "s", "key": "k"}
REPOSITORY = body("Repository", url="https://example.org/shop.git")
LOCK = body("RepositoryLock", repository="shop", holder={"name": "anna"})
BATCH = body("JobBatch", repository="shop", commit=COMMIT, prepare={"command": ["make"]})
JOB = body("BatchJob", command=["true"])
CALLBACK = body(
    "Callback",
    job={"name": "a", "uid": "u"},
    callback="ci",
    event="Succeeded",
    id="msg_1",
    url="https://example.org/x",
    secretRef=SECRET,
    payload="{}",
)
PLURALS = {
    "Repository": "repositories",
    "RepositoryLock": "repositorylocks",
    "JobBatch": "jobbatches",
    "BatchJob": "batchjobs",
    "Callback": "callbacks",
}
USE = {"name": "shop"}
HOOK = {"name": "ci", "url": "https://example.org/x", "secretRef": SECRET}

BAD: list[tuple[str, Body, Body, str]] = [
    ("no url", REPOSITORY, {"url": None}, "spec.url"),
    ("a transport that runs programs", REPOSITORY, {"url": "ext::sh -c id"}, "spec.url"),
    ("an unknown scheme", REPOSITORY, {"url": "ftp://example.org/a.git"}, "spec.url"),
    ("an option as url", REPOSITORY, {"url": "--upload-pack=id"}, "spec.url"),
    ("an option as host", REPOSITORY, {"url": "ssh://-oProxyCommand=id/a"}, "spec.url"),
    ("an option as path of scp", REPOSITORY, {"url": "git@example.org:-a"}, "spec.url"),
    ("a local path as url", REPOSITORY, {"url": "/srv/a.git"}, "spec.url"),
    ("a path upwards", REPOSITORY, {"url": "file:///srv/../etc"}, "spec.url"),
    ("credentials in the url", REPOSITORY, {"url": "https://me:secret@example.org/a.git"}, "spec.url"),
    ("white space in the url", REPOSITORY, {"url": "https://example.org/a b"}, "spec.url"),
    ("an option as branch", REPOSITORY, {"branch": "-x"}, "spec.branch"),
    ("a path as branch", REPOSITORY, {"branch": "a/../b"}, "spec.branch"),
    ("a range as branch", REPOSITORY, {"branch": "a..b"}, "spec.branch"),
    ("a reflog as branch", REPOSITORY, {"branch": "a@{1}"}, "spec.branch"),
    ("a lock file as branch", REPOSITORY, {"branch": "a.lock"}, "spec.branch"),
    ("a hidden branch", REPOSITORY, {"branch": "a/.b"}, "spec.branch"),
    ("a branch that ends with a slash", REPOSITORY, {"branch": "a/"}, "spec.branch"),
    ("no time between refreshes", REPOSITORY, {"refreshInterval": "0s"}, "spec.refreshInterval"),
    ("no time for an operation", REPOSITORY, {"operationDeadline": "1ms"}, "spec.operationDeadline"),
    ("an unknown push policy", REPOSITORY, {"push": "All"}, "spec.push"),
    ("an empty prepare command", REPOSITORY, {"prepare": {"command": []}}, "spec.prepare.command"),
    ("a prepare command without a program", REPOSITORY, {"prepare": {"command": [""]}}, "spec.prepare.command"),
    ("no time to prepare", REPOSITORY, {"prepare": {"command": ["x"], "deadline": "0s"}}, "spec.prepare.deadline"),
    ("a Secret with a path as name", REPOSITORY, {"credentialsRef": {"name": "../s"}}, "spec.credentialsRef.name"),
    ("an unknown policy for silence", REPOSITORY, {"lock": {"whenSilent": "Kill"}}, "spec.lock.whenSilent"),
    ("an unknown field", REPOSITORY, {"depth": 1}, "depth"),
    ("a claim without repository", LOCK, {"repository": None}, "spec.repository"),
    ("a claim without holder", LOCK, {"holder": None}, "spec.holder"),
    ("a claim of an unknown mode", LOCK, {"mode": "Write"}, "spec.mode"),
    ("a claim on a path", LOCK, {"repository": "../shop"}, "spec.repository"),
    ("a holder of an unknown kind", LOCK, {"holder": {"name": "a", "kind": "Robot"}}, "spec.holder.kind"),
    ("a lease of no time", LOCK, {"leaseDuration": "0s"}, "spec.leaseDuration"),
    ("a renewal that is no time", LOCK, {"renewTime": "yesterday"}, "spec.renewTime"),
    ("a preparation of no commit", BATCH, {"commit": ""}, "spec.commit"),
    ("a preparation of a branch", BATCH, {"commit": "main"}, "spec.commit"),
    ("a job's lock without a repository", JOB, {"repository": {"lock": "Shared"}}, "spec.repository.name"),
    ("a job's lock of an unknown mode", JOB, {"repository": {**USE, "lock": "Write"}}, "spec.repository.lock"),
    ("a job's ref that is an option", JOB, {"repository": {**USE, "ref": "--all"}}, "spec.repository.ref"),
    ("a job's ref that is a path", JOB, {"repository": {**USE, "ref": "../main"}}, "spec.repository.ref"),
    ("a push without a lock", JOB, {"repository": {**USE, "lock": "None", "push": "Mirror"}}, "spec.repository.push"),
    ("a repository that is a path", JOB, {"repository": {"name": "a/b"}}, "spec.repository.name"),
    ("a callback without url", JOB, {"callbacks": [{**HOOK, "url": None}]}, "spec.callbacks[0].url"),
    ("a callback to a file", JOB, {"callbacks": [{**HOOK, "url": "file:///etc/passwd"}]}, "spec.callbacks[0].url"),
    ("a callback with a password", JOB, {"callbacks": [{**HOOK, "url": "http://a:b@c/"}]}, "spec.callbacks[0].url"),
    ("a callback without a secret", JOB, {"callbacks": [{**HOOK, "secretRef": None}]}, "spec.callbacks[0].secretRef"),
    ("a callback of an unknown event", JOB, {"callbacks": [{**HOOK, "events": ["Won"]}]}, "spec.callbacks[0].events"),
    ("a callback of no event", JOB, {"callbacks": [{**HOOK, "events": []}]}, "spec.callbacks[0].events"),
    ("two callbacks of one name", JOB, {"callbacks": [HOOK, HOOK]}, "spec.callbacks[1]"),
    ("a callback without patience", JOB, {"callbacks": [{**HOOK, "timeout": {"total": "1ms"}}]}, "timeout.total"),
    ("too many callbacks", JOB, {"callbacks": [{**HOOK, "name": f"c{n}"} for n in range(9)]}, "spec.callbacks"),
    ("a delivery without payload", CALLBACK, {"payload": None}, "spec.payload"),
    ("a delivery of an unknown event", CALLBACK, {"event": "Won"}, "spec.event"),
]

IMMUTABLE: list[tuple[Body, str, Any]] = [
    (REPOSITORY, "url", "https://example.org/other.git"),
    (LOCK, "repository", "other"),
    (LOCK, "mode", "Shared"),
    (LOCK, "holder", {"name": "bob"}),
    (BATCH, "commit", "b" * 40),
    (BATCH, "repository", "other"),
    (CALLBACK, "url", "https://example.org/y"),
    (CALLBACK, "payload", "[]"),
    (CALLBACK, "id", "msg_2"),
    (CALLBACK, "headersRef", {"name": "h"}),
]


@pytest.mark.parametrize("good", [REPOSITORY, LOCK, BATCH, JOB, CALLBACK], ids=lambda each: each["kind"])
def test_the_bodies_that_are_changed_below_are_taken(objects: Any, good: Body) -> None:
    """1.1: so that what is refused is refused for its change alone."""
    made = objects.create(PLURALS[good["kind"]], good)
    assert made["metadata"]["uid"]


@pytest.mark.parametrize(("name", "good", "change", "field"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_object_is_refused(objects: Any, name: str, good: Body, change: Body, field: str) -> None:
    """1.2"""
    bad = copy.deepcopy(good)
    bad["spec"] = {key: value for key, value in {**bad["spec"], **change}.items() if value is not None}
    assert field in objects.refusal(objects.create, PLURALS[good["kind"]], bad)


@pytest.mark.parametrize("name", ["shop.git", "x" * 64])
def test_the_name_of_a_repository_names_a_directory(objects: Any, name: str) -> None:
    """1.2, 5.1"""
    message = objects.refusal(objects.create, "repositories", {**REPOSITORY, "metadata": {"name": name}})
    assert "metadata.name" in message


@pytest.mark.parametrize(("good", "field", "value"), IMMUTABLE, ids=[f"{r[0]['kind']}.{r[1]}" for r in IMMUTABLE])
def test_what_is_immutable(objects: Any, good: Body, field: str, value: Any) -> None:
    """1.2"""
    plural = PLURALS[good["kind"]]
    objects.create(plural, good)
    message = objects.refusal(objects.patch, plural, "a", {"spec": {field: value}})
    assert "immutable" in message


def test_a_redelivery_only_grows(objects: Any) -> None:
    """6.3"""
    objects.create("callbacks", CALLBACK)
    objects.patch("callbacks", "a", {"spec": {"redeliver": 2}})
    assert "redeliver" in objects.refusal(objects.patch, "callbacks", "a", {"spec": {"redeliver": 1}})
