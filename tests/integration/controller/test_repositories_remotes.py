"""Remotes that are gone, slow, locked, rewritten or empty: visible reasons, and what waits goes on afterwards (5.1)."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, Jobs, Object, condition_of, found, uid_of
from tests.integration.controller.repositories import PUSH, REPOSITORIES, Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon
from tests.integration.repositories.homes import Upstream, git


def refresh(repositories: Repositories, name: str = "shop") -> Object:
    """Have the mirror fetched, and wait until that is answered; returns the answer: later it may be tried again."""
    asked = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    repositories.jobs.patch(name, {"refreshRequestedAt": asked}, REPOSITORIES)
    moment = datetime.fromisoformat(asked)

    def answered() -> Object | None:
        status = repositories.get(name)["status"]
        for operation in (status["operation"], *reversed(status.get("activities", ()))):
            request = operation.get("request")
            if request is not None and datetime.fromisoformat(request) == moment and operation["state"] != "Starting":
                return dict(operation)
        return None

    return found(soon(answered, "the refresh was answered"))


def test_remote_gone_and_back(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.1, 5.2: jobs wait with the reason; when the remote comes, they run."""
    remote = repositories.remote("shop")
    away = remote.bare.with_name("away.git")
    remote.bare.rename(away)
    repositories.declare("shop", f"file://{remote.bare}")
    repositories.job("job", repositories.note("ran"))
    seen = repositories.wait("shop", "Ready", "False", reason="RepositoryNotFound")
    assert seen["status"]["activities"][-1]["reason"] == "RepositoryNotFound"  # the operation itself is tried again
    jobs.phase("job", "Queued", reason="RepositoryNotReady")
    away.rename(remote.bare)
    jobs.finished("job", "Succeeded")
    assert repositories.notes() == ["ran"]


def test_a_mirror_serves_while_its_remote_is_gone(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.1: a fetch that fails takes nothing away; a push upstream fails visibly, and stays in the mirror."""
    remote = repositories.ready(push="Upstream")
    away = remote.bare.with_name("away.git")
    remote.bare.rename(away)
    assert refresh(repositories)["reason"] == "RepositoryNotFound"
    repositories.wait("shop", "Ready")
    repositories.job("reads", "test -e file")
    jobs.finished("reads", "Succeeded")
    repositories.job("pushes", PUSH, use={"push": "Upstream"})
    published = condition_of(jobs.finished("pushes", "Failed"), "Published")
    assert published is not None and published["reason"] == "RepositoryNotFound", published
    away.rename(remote.bare)
    later = repositories.job("later", PUSH, use={"push": "Upstream"})
    jobs.finished("later", "Succeeded")
    assert repositories.pushed()[0] == f"{uid_of(later)}.1"
    assert len(repositories.pushed()) == 3, "what could not be published before went with it"


def test_hanging_remote(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """Issue 4: an operation on a remote that never answers ends at its deadline, and is repeated."""
    with hanging_server() as url:
        repositories.declare("shop", f"{url}/shop.git", operationDeadline="2s")
        repositories.job("job", "true")
        repositories.wait("shop", "Ready", "False", reason="DeadlineExceeded")
        jobs.phase("job", "Queued", reason="RepositoryNotReady")
        soon(lambda: repositories.get()["status"]["operation"]["number"] >= 2, "it is tried again")


def test_transfers_at_once(other_controller: OtherController, repositories: Repositories, jobs: Jobs) -> None:
    """7.4, HOLDFAST_MAX_TRANSFERS: the limit holds for Repositories that are due together, as after a start."""
    controller = other_controller({"HOLDFAST_MAX_TRANSFERS": "2"})
    with hanging_server() as url:
        for name in (f"shop-{number}" for number in range(12)):
            repositories.declare(name, f"{url}/{name}.git", operationDeadline="5s")
        controller.start()

        most = 0

        def begun() -> int:
            nonlocal most
            listed = jobs.http.get(f"{GROUP}/{jobs.namespace}/{REPOSITORIES}").json()["items"]
            found = [each.get("status", {}).get("operation") for each in listed]
            most = max(most, sum(each["state"] == "Starting" for each in found if each))
            return sum(each is not None for each in found)

        soon(lambda: begun() >= 4 and most >= 2, "others had their turn, and two were seen at once")
        assert most == 2


def test_remote_that_asks_for_a_password(controller: RunningController, repositories: Repositories) -> None:
    """Issue 4: nobody is asked; the reason is told and says what is missing."""
    with refusing_server() as url:
        repositories.declare("shop", f"{url}/shop.git")
        repositories.wait("shop", "Ready", "False", reason="AuthenticationFailed")


def test_force_pushed_ref(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.1: the mirror follows; a job gets the rewritten commit, and one with its own pushes is not overwritten."""
    remote = repositories.ready(push="Upstream")
    git(remote.work, "checkout", "-q", "--orphan", "new")
    commit = remote.commit({"file": "rewritten\n"}, "main", "rewritten")
    refresh(repositories)
    assert repositories.get()["status"]["commit"] == commit
    repositories.job("job", "grep -q rewritten file")
    assert jobs.finished("job", "Succeeded")["status"]["repository"]["commit"] == commit
    pushed = repositories.job("pushes", PUSH, use={"push": "Upstream"})
    jobs.finished("pushes", "Succeeded")
    git(remote.work, "commit", "-q", "--amend", "-m", "rewritten again")
    git(remote.work, "push", "-q", "--force", "origin", "HEAD:refs/heads/main")
    refresh(repositories)
    late = repositories.job("late", PUSH, use={"push": "Upstream"})
    published = condition_of(jobs.finished("late", "Failed"), "Published")
    assert published is not None and published["reason"] == "NonFastForward", published
    assert repositories.pushed() == ["rewritten again"], "nothing is forced"
    kept = git(repositories.mirror(controller), "log", "--format=%s", "refs/heads/main").stdout.split()
    assert f"{uid_of(pushed)}.1" in kept and f"{uid_of(late)}.1" in kept, "and nothing is lost"
    repositories.wait("shop", "Diverged")


@pytest.mark.parametrize("ref", ["no-such-branch", "1" * 40])
def test_missing_ref(controller: RunningController, repositories: Repositories, jobs: Jobs, ref: str) -> None:
    """Issue 4: the job says which ref; it fails as its retry policy says; the lock goes on."""
    repositories.ready()
    repositories.job("lost", "true", use={"ref": ref})
    job = jobs.finished("lost", "Failed")
    failed = condition_of(job, "Failed")
    assert failed is not None and failed["reason"] == "RefNotFound" and ref[:12] in failed["message"], failed
    repositories.job("fine", "true")
    jobs.finished("fine", "Succeeded")


@pytest.mark.parametrize("by", ["branch", "commit", "tag"])
def test_ref_that_was_pushed_just_now(
    controller: RunningController, repositories: Repositories, jobs: Jobs, by: str
) -> None:
    """5.1: a job made after its ref was pushed gets it, also where the mirror is not stale; one fetch for all."""
    remote = repositories.ready()
    commit = remote.commit({"file": "new\n"}, "topic", "pushed just now")
    if by == "tag":
        remote.tag("v1", annotated=True)
    ref = {"branch": "topic", "commit": commit, "tag": "v1"}[by]
    before = repositories.get()["status"]["statistics"]["operations"]
    for number in range(3):
        repositories.job(f"job-{number}", "grep -q new file", use={"ref": ref, "lock": "Shared"})
    for number in range(3):
        assert jobs.finished(f"job-{number}", "Succeeded")["status"]["repository"]["commit"] == commit
    assert repositories.get()["status"]["statistics"]["operations"] - before <= 2  # made in two seconds at most


def test_missing_branch_of_the_repository(
    controller: RunningController, repositories: Repositories, jobs: Jobs
) -> None:
    """5.1: said by the Repository too; a job may still name another ref."""
    repositories.ready(branch="trunk")
    repositories.wait("shop", "Ready", reason="BranchNotFound")
    repositories.job("other", "true", use={"ref": "main"})
    jobs.finished("other", "Succeeded")
    repositories.job("default", "true")
    failed = condition_of(jobs.finished("default", "Failed"), "Failed")
    assert failed is not None and failed["reason"] == "RefNotFound", failed


def test_empty_repository(
    controller: RunningController, repositories: Repositories, jobs: Jobs, tmp_path: Path
) -> None:
    """Issue 4: told as such; with its first commit it becomes ready."""
    remote = repositories.remotes["shop"] = Upstream.make(tmp_path / "empty")
    repositories.declare("shop", f"file://{remote.bare}")
    repositories.job("job", "true")
    repositories.wait("shop", "Ready", "False", reason="EmptyRepository")
    jobs.phase("job", "Queued", reason="RepositoryNotReady")
    remote.commit({"file": "first\n"})
    jobs.patch("shop", {"refreshRequestedAt": "2026-01-01T00:00:00Z"}, REPOSITORIES)
    jobs.finished("job", "Succeeded")


def test_broken_mirror_is_made_anew(controller: RunningController, repositories: Repositories, jobs: Jobs) -> None:
    """5.2: a mirror that somebody damaged is found at the next operation; nothing is checked out of it."""
    repositories.ready()
    shutil.rmtree(repositories.mirror(controller) / "objects")
    refresh(repositories)
    soon(lambda: repositories.get()["status"]["operation"]["state"] == "Succeeded", "it was made anew")
    repositories.job("job", "test -e file")
    jobs.finished("job", "Succeeded")


@contextmanager
def hanging_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class _Refuses(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def refusing_server() -> Iterator[str]:
    """A server that wants a password."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)
