"""Builders for tests of repositories: a state directory, a remote with real commits, operations run to their end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.repositories import fence, requests
from controller.repositories.places import Places
from controller.repositories.requests import Remote, Request, Target
from controller.repositories.results import Reason, Result

LIMIT_SECONDS = 120  # of one git or one operation, on a busy machine
NAMESPACE, NAME = "default", "shop"
Made = Callable[..., Request]


def git_environment(**more: str) -> dict[str, str]:
    """For git in tests: nothing of this machine's configuration."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
        **more,
    }


def git(directory: Path, *arguments: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Real git in a directory, with a time limit."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=git_environment(**env),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert not check or done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done


@dataclass
class Upstream:
    """A bare repository that is the remote, and a checkout to make commits with."""

    bare: Path
    work: Path

    @classmethod
    def make(cls, directory: Path, *, branch: str = "main", object_format: str = "sha1") -> Upstream:
        """An empty one."""
        made = cls(directory / "remote.git", directory / "work")
        for path, more in ((made.bare, ("--bare",)), (made.work, ())):
            path.mkdir(parents=True)
            git(path, "init", "-q", "-b", branch, f"--object-format={object_format}", *more)
        git(made.work, "remote", "add", "origin", str(made.bare))
        return made

    def commit(self, files: Mapping[str, str], branch: str = "main", message: str = "change") -> str:
        """Commit on top of what the checkout has and push it; returns the commit."""
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git(self.work, "add", "-A", ".")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        git(self.work, "push", "-q", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return self.head()

    def head(self) -> str:
        """The checkout's commit."""
        return git(self.work, "rev-parse", "HEAD").stdout.strip()

    def tag(self, name: str, *, annotated: bool) -> None:
        """Tag the checkout's commit and push it."""
        git(self.work, "tag", *(("-a", "-m", "a tag") if annotated else ()), name)
        git(self.work, "push", "-q", "origin", f"refs/tags/{name}")


@dataclass
class Home:
    """A state directory and one Repository in it."""

    places: Places
    upstream: Upstream
    remote: Remote
    count: int = 0
    output: str = ""
    ids: list[str] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        """The Repository's directory."""
        return self.places.repository(NAMESPACE, NAME)

    @property
    def mirror(self) -> Path:
        """Its mirror."""
        return self.places.mirror(NAMESPACE, NAME)

    def target(self) -> Target:
        """A new operation's."""
        self.count += 1
        return Target(self.places, NAMESPACE, NAME, f"repo-uid.{self.count}", LIMIT_SECONDS)

    @property
    def scratch(self) -> Path:
        """TMPDIR of operations."""
        return self.upstream.bare.parent / "tmp"

    def start(self, request: Request, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start an operation as an executor would: clean environment, own process group."""
        self.scratch.mkdir(exist_ok=True)
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent", "TMPDIR": str(self.scratch)}
        return subprocess.Popen(
            [*prefix, *request.argv],
            env={**env, **request.secret_env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            start_new_session=True,
        )

    def perform(self, make: Made, *arguments: Any, **named: Any) -> Result:
        """Run one operation to its end; what it printed is in `output`."""
        target = self.target()
        process = self.start(make(target, *arguments, **named))
        self.output, _ = process.communicate(timeout=LIMIT_SECONDS)
        result = requests.outcome(self.places, target.operation, process.returncode)
        assert result is not None, self.output
        assert (process.returncode == 0) == result.succeeded
        return result

    def clone(self, **changes: Any) -> Result:
        """Make the mirror; it has to work."""
        result = self.perform(requests.clone, self.remote, "main", **changes)
        assert result.succeeded, result
        return result

    def fetch(self) -> Result:
        """Fetch; it has to work."""
        result = self.perform(requests.fetch, self.remote, "main")
        assert result.succeeded, result
        return result

    def workspace(self, attempt: str = "job.1", ref: str = "main", **named: Any) -> Path:
        """Make a workspace; it has to work."""
        result = self.perform(requests.workspace, attempt, ref, **named)
        assert result.succeeded, result
        return self.places.workspace(attempt)

    def grant(self, *tokens: int) -> None:
        """Let these tokens push, and no other."""
        fence.write_fence(self.repository, tokens)

    def push(
        self, workspace: Path, *refspecs: str, token: int | None = 1, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """A job's `git push`."""
        if token is not None:
            env["HOLDFAST_LOCK_TOKEN"] = str(token)
        return git(workspace, "push", "origin", *refspecs, check=False, **env)

    def job_commit(self, workspace: Path, name: str, text: str = "from a job\n") -> str:
        """A job's commit in its workspace."""
        (workspace / name).write_text(text)
        git(workspace, "add", name)
        git(workspace, "commit", "-q", "-m", f"job: {name}")
        return git(workspace, "rev-parse", "HEAD").stdout.strip()

    def half_made(self) -> list[str]:
        """Names of everything that is neither in place nor set aside."""
        found = []
        for directory, folders, names in os.walk(self.places.home):
            if directory.endswith(".git"):
                folders.clear()
                continue
            found += [name for name in (*folders, *names) if name.startswith((".making.", ".removing."))]
        return found


def failed_as(result: Result, reason: Reason, *words: str) -> None:
    """Assert how an operation failed, and that its message names what matters."""
    assert result.reason is reason, result
    for word in words:
        assert word in result.message, result.message
