"""`holdfast locks` against the real API server, without a controller (requirements 5.4, 5.6)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from controller.cli.main import cli
from controller.decisions.preparation import batch_name
from tests.e2e.cli.holdfast_command import Holdfast, Jobs, condition, one_line
from tests.e2e.cli.repository_objects import COMMIT, Repositories, held, running, use


@pytest.fixture
def repositories(plane_http: httpx.Client, namespace: str) -> Repositories:
    return Repositories(plane_http, namespace)


@pytest.fixture(autouse=True)
def enough_slots(holdfast: Holdfast) -> None:
    """What a controller leaves for commands: jobs of other tests on the same API server hold slots, too."""
    holdfast.home.mkdir()
    (holdfast.home / "http.json").write_text(json.dumps({"maxRunning": 1000}))


def line(holdfast: Holdfast, repository: str = "shop") -> dict[str, Any]:
    [found] = json.loads(holdfast("locks", repository, "-o", "json").stdout)
    return dict(found)


def waiting(found: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(each["position"], each["holder"], each["reason"]) for each in found["waiting"]]


def test_jobs_and_people_stand_in_one_line(holdfast: Holdfast, jobs: Jobs, repositories: Repositories) -> None:
    """5.4, 5.6: by priority, then creation; people have priority 0; also those that no controller has seen."""
    repositories.make("shop")
    repositories.person("anna", "shop")
    first = running(jobs, "first", use("shop"), 7)
    repositories.hold("shop", held(repositories.claim(first), 7))
    repositories.claim(jobs.create("second", use("shop", "Shared")))
    repositories.person("bert", "shop", "Shared")
    jobs.create("third", use("shop"))
    jobs.create("urgent", {**use("shop"), "priority": 5})
    found = line(holdfast)
    assert waiting(found) == [
        (1, "urgent", "Held"),
        (2, "anna", "Held"),
        (3, "second", "Held"),
        (4, "bert", "Held"),
        (5, "third", "Held"),
    ]
    assert [(h["holder"], h["kind"], h["mode"], h["token"]) for h in found["holders"]] == [
        ("first", "BatchJob", "Exclusive", 7)
    ]
    assert found["holders"][0]["evidence"] == "attempt 1 is Running"
    assert found["holders"][0]["forceRelease"] is None
    text = holdfast("locks", "shop").stdout
    assert text.startswith("shop: held Exclusive, 5 waiting, last token 7\n")
    assert "job/first" in text
    assert "first-claim (Exclusive) holds it" in text
    assert "person/bert" in text


def test_readers_run_together_and_a_writer_is_not_starved(
    holdfast: Holdfast, jobs: Jobs, repositories: Repositories
) -> None:
    """5.4: whose turn it is, and who stands behind whom."""
    repositories.make("shop")
    repositories.hold("shop", held(repositories.person("anna", "shop", "Shared"), 1))
    for name, mode in (("read-1", "Shared"), ("read-2", "Shared"), ("write", "Exclusive"), ("read-3", "Shared")):
        repositories.claim(jobs.create(name, use("shop", mode)))
    found = line(holdfast)
    assert waiting(found) == [
        (1, "read-1", "Next"),
        (2, "read-2", "Next"),
        (3, "write", "Held"),
        (4, "read-3", "Behind"),
    ]
    assert found["waiting"][3]["message"] == "behind write (Exclusive), position 3"


def test_who_is_passed_over_keeps_its_place(holdfast: Holdfast, jobs: Jobs, repositories: Repositories) -> None:
    """5.6: a claim is never forgotten; who only lacks a slot stands in line, who cannot start lets others pass."""
    repositories.make("shop")
    jobs.queue("narrow", concurrency=1)
    jobs.queue("closed", paused=True)
    running(jobs, "holds-the-slot", {"queue": "narrow"}, 1)
    repositories.claim(jobs.create("suspended", {**use("shop"), "suspend": True}))
    jobs.create("paused", {**use("shop"), "queue": "closed"})
    jobs.create("no-queue", {**use("shop"), "queue": "unmade"})
    failed = jobs.create("failed", use("shop"))
    over = {"id": f"{failed['metadata']['uid']}.1", "number": 1, "state": "Failed"}
    jobs.status("failed", attempt=over, retryAt=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    repositories.claim(jobs.create("goes", use("shop", "Shared")))
    repositories.claim(jobs.create("no-slot", {**use("shop"), "queue": "narrow"}))
    repositories.claim(jobs.create("behind", use("shop", "Shared")))
    jobs.create("pushes", use("shop", push="Mirror"))
    assert waiting(line(holdfast)) == [
        (1, "suspended", "Suspended"),
        (2, "paused", "QueuePaused"),
        (3, "no-queue", "QueueNotFound"),
        (4, "failed", "BackingOff"),
        (5, "goes", "Next"),
        (6, "no-slot", "NoSlot"),
        (7, "behind", "Behind"),
        (8, "pushes", "PushNotAllowed"),
    ]


def test_what_the_repository_lacks(holdfast: Holdfast, jobs: Jobs, repositories: Repositories) -> None:
    """5.2, 5.7: not ready, not prepared, not there, or nobody knows who holds it."""
    repositories.make("shop", prepare={"command": ["make"]})
    repositories.status("shop", commit=COMMIT)
    batch = batch_name("shop", COMMIT, ["make"])
    repositories.batch(batch, "shop", phase="Preparing")
    repositories.claim(jobs.create("unprepared", use("shop")))
    found = line(holdfast)
    assert waiting(found) == [(1, "unprepared", "Preparing")]
    assert batch in found["waiting"][0]["message"]
    ready = {**condition("Ready", "NotCloned", "the mirror is not there yet"), "status": "False"}
    repositories.status("shop", conditions=[ready])
    found = line(holdfast)
    assert found["waiting"][0]["message"] == "Repository shop is not ready: the mirror is not there yet"
    repositories.make("docs")
    unknown = {**condition("LockSound", "SourceUnreadable", "the run directories cannot be read"), "status": "Unknown"}
    repositories.status("docs", lock=None, conditions=[condition("Ready", "MirrorReady"), unknown])
    repositories.person("anna", "docs")
    found = line(holdfast, "docs")
    assert (found["recorded"], found["unsound"]) == (False, "the run directories cannot be read")
    assert waiting(found) == [(1, "anna", "LockNotRebuilt")]
    repositories.person("bert", "nowhere")
    found = line(holdfast, "nowhere")
    assert (found["exists"], waiting(found)) == (False, [(1, "bert", "LockNotRebuilt")])
    assert "does not exist" in holdfast("locks", "nowhere").stdout


def test_what_is_known_of_a_holder(holdfast: Holdfast, jobs: Jobs, repositories: Repositories) -> None:
    """5.4: leases of people, ends and silence of jobs; how a silent one is freed stands beside it."""
    repositories.make("shop")
    renewed = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    leased = repositories.person("leased", "shop", "Shared", leaseDuration="1h", renewTime=renewed)
    for_ever = repositories.person("for-ever", "shop", "Shared")
    over = running(jobs, "over", use("shop", "Shared"), 3)
    silent = running(jobs, "silent", use("shop", "Shared"), 4)
    fresh = jobs.create("fresh", use("shop", "Shared"))
    claims = [repositories.claim(job) for job in (over, silent, fresh)]
    gone = {**held(for_ever, 9), "claim": "gone", "uid": "gone-uid"}
    repositories.hold(
        "shop",
        held(leased, 1),
        held(for_ever, 2),
        held(claims[0], 3),
        held(claims[1], 4, fencedAt=(datetime.now(UTC) - timedelta(minutes=90)).isoformat()),
        held(claims[2], 5),
        gone,
    )
    jobs.end("over", id=f"{over['metadata']['uid']}.1")
    found = line(holdfast)
    assert found["waiting"] == []
    evidence = {each["claim"]: each["evidence"] for each in found["holders"]}
    # Two hours and 90 minutes, but for what the test has taken so far.
    assert re.match(r"lease: (2h|1h5\dm)( left|$)", evidence.pop("leased"))
    assert re.match(r"silent: fenced for 1h3\dm,", evidence.pop("silent-claim"))
    assert evidence == {
        "for-ever": "until the claim is deleted",
        "over-claim": "attempt 1 is over; the record follows",
        "fresh-claim": "granted to attempt 1, which is not recorded yet",
        "gone": "its claim was deleted; the record follows",
    }
    uid = claims[1]["metadata"]["uid"]
    text = holdfast("locks", "shop").stdout
    assert text.count("kubectl patch rlock") == 1
    ask = f"kubectl patch rlock silent-claim -n {holdfast.namespace} --type=merge -p"
    assert f'{ask} \'{{"spec":{{"forceRelease":"{uid}"}}}}\'' in text


def test_the_command_beside_a_fenced_holder_works(
    holdfast: Holdfast, jobs: Jobs, repositories: Repositories, kubectl: Any
) -> None:
    """5.4: one kubectl command, as it is printed."""
    repositories.make("shop")
    claim = repositories.claim(running(jobs, "silent", use("shop"), 1))
    repositories.hold("shop", held(claim, 1, fencedAt=datetime.now(UTC).isoformat()))
    command = line(holdfast)["holders"][0]["forceRelease"]
    words = command.split(" -p ")
    kubectl(*words[0].split()[1:], "-p", words[1].strip("'"))
    assert repositories.get_claim("silent-claim")["spec"]["forceRelease"] == claim["metadata"]["uid"]
    assert line(holdfast)["holders"][0]["evidence"] == "taken from it by forceRelease; the record follows"


def test_force_release_asks(holdfast: Holdfast, jobs: Jobs, repositories: Repositories) -> None:
    """5.4: with the claim's own id, after a question that says what is known of the holder."""
    repositories.make("shop")
    claim = repositories.claim(running(jobs, "a", use("shop"), 1))
    repositories.hold("shop", held(claim, 1))
    arguments = ["locks", "-n", holdfast.namespace, "shop", "--force-release", "a-claim"]
    refused = CliRunner().invoke(cli, arguments, env=holdfast.environment, input="n\n")
    assert refused.exit_code == 1
    assert "job/a holds shop (Exclusive, token 1): attempt 1 is Running" in refused.stderr
    assert repositories.get_claim("a-claim")["spec"]["forceRelease"] == ""
    agreed = CliRunner().invoke(cli, arguments, env=holdfast.environment, input="y\n")
    assert agreed.exit_code == 0
    assert repositories.get_claim("a-claim")["spec"]["forceRelease"] == claim["metadata"]["uid"]


def test_force_release_of_what_does_not_hold(holdfast: Holdfast, repositories: Repositories) -> None:
    """5.4: nothing is written, and the way out is named."""
    repositories.make("shop")
    repositories.person("anna", "shop")
    repositories.person("bert", "docs")
    said = one_line(holdfast("locks", "shop", "--force-release", "anna", "--yes", code=1).stderr)
    assert "kubectl delete rlock anna" in said
    said = one_line(holdfast("locks", "shop", "--force-release", "bert", "--yes", code=1).stderr)
    assert "on Repository docs" in said
    said = one_line(holdfast("locks", "shop", "--force-release", "carl", "--yes", code=1).stderr)
    assert "kubectl get repositorylock -A" in said
    assert repositories.get_claim("anna")["spec"]["forceRelease"] == ""
    holdfast("locks", "--force-release", "anna", code=2)


def test_forms_and_namespaces(holdfast: Holdfast, repositories: Repositories) -> None:
    """1.1"""
    repositories.make("shop")
    repositories.make("docs")
    assert holdfast("locks").stdout == "docs: free, 0 waiting\n\nshop: free, 0 waiting\n"
    assert f"{holdfast.namespace}/shop: free, 0 waiting" in holdfast("locks", "-A").stdout
    assert holdfast("locks", "-o", "yaml", "shop").stdout.startswith("- namespace: ")
    repositories.hold("shop", held(repositories.person("anna", "shop"), 3))
    assert "CLAIM UID" in holdfast("locks", "-o", "wide", "shop").stdout
    said = one_line(holdfast("locks", "nope", code=1).stderr)
    assert "there is docs, shop" in said
