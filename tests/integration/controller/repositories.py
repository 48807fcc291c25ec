"""Repositories of one namespace as a user makes and reads them, with real git remotes beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.repositories.places import Places
from tests.integration.controller.jobs import GROUP, MERGE, Jobs, Object, condition_of, found, uid_of
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import PATIENCE, soon
from tests.integration.repositories.homes import Upstream, git

REPOSITORIES, CLAIMS, BATCHES = "repositories", "repositorylocks", "jobbatches"
# A job's push of one commit that names its attempt.
PUSH = 'echo "$HOLDFAST_ATTEMPT" >>log; git add log; git commit -qm "$HOLDFAST_ATTEMPT"; git push -q origin HEAD:main'


@dataclass
class Repositories:
    """See the module.

    Args:
        directory: for remotes and for files that jobs wait for.
    """

    jobs: Jobs
    directory: Path
    remotes: dict[str, Upstream] = field(default_factory=dict)

    # --- what a user does

    def declare(self, name: str, url: str, **spec: Any) -> Object:
        """A Repository, which need not become ready."""
        return self.jobs.make(REPOSITORIES, "Repository", name, spec={"url": url, **spec})

    def remote(self, name: str) -> Upstream:
        """A real remote with one commit."""
        made = self.remotes[name] = Upstream.make(self.directory / name)
        made.commit({"file": "one\n"})
        return made

    def ready(self, name: str = "shop", **spec: Any) -> Upstream:
        """A Repository that is ready, of a remote with one commit."""
        made = self.remote(name)
        self.declare(name, f"file://{made.bare}", **{"refreshInterval": "1h"} | spec)
        self.wait(name, "Ready")
        return made

    def job(self, name: str, script: str, repository: str = "shop", **more: Any) -> Object:
        """A job that works on a repository; `use` are fields of spec.repository."""
        use = more.pop("use", {})
        return self.jobs.shell(name, script, repository={"name": repository, **use}, **{"gracePeriod": "1s"} | more)

    def claim(self, name: str, repository: str = "shop", mode: str = "Exclusive", **spec: Any) -> Object:
        """A person's claim."""
        body = {"repository": repository, "mode": mode, "holder": {"name": "ann"}, **spec}
        return self.jobs.make(CLAIMS, "RepositoryLock", name, spec=body)

    def wipe(self, plural: str, name: str) -> None:
        """Delete the status."""
        self._status(plural, name, None)

    def set_status(self, plural: str, name: str, **status: Any) -> None:
        """Overwrite fields of the status, as a person with too many rights would."""
        self._status(plural, name, status)

    def _status(self, plural: str, name: str, status: Any) -> None:
        url = f"{GROUP}/{self.jobs.namespace}/{plural}/{name}/status"
        answer = self.jobs.http.patch(url, content=json.dumps({"status": status}), headers=MERGE)
        assert answer.is_success, answer.text

    def delete(self, plural: str, name: str) -> None:
        answer = self.jobs.http.delete(f"{GROUP}/{self.jobs.namespace}/{plural}/{name}")
        assert answer.is_success, answer.text

    # --- what a user sees

    def get(self, name: str = "shop") -> Object:
        return self.jobs.get(name, REPOSITORIES)

    def claims(self) -> dict[str, Object]:
        listed = self.jobs.http.get(f"{GROUP}/{self.jobs.namespace}/{CLAIMS}").json()["items"]
        return {each["metadata"]["name"]: each for each in listed}

    def lock(self, name: str = "shop") -> Object:
        """status.lock, empty where there is none."""
        return dict((self.get(name).get("status") or {}).get("lock") or {})

    def holders(self, name: str = "shop") -> list[Object]:
        return list(self.lock(name).get("holders", []))

    def holder_of(self, job: Object, repository: str = "shop") -> Object | None:
        """The holder entry of a job's attempt."""
        return next((h for h in self.holders(repository) if h["attempt"].startswith(uid_of(job))), None)

    def pushed(self, name: str = "shop", branch: str = "main") -> list[str]:
        """Messages of the commits at the remote, the newest first."""
        return git(self.remotes[name].bare, "log", "--format=%s", branch).stdout.split("\n")[:-1]

    def mirror(self, controller: RunningController, name: str = "shop") -> Path:
        return Places(controller.home).mirror(self.jobs.namespace, name)

    # --- waits

    def wait(
        self,
        name: str,
        condition: str,
        status: str = "True",
        reason: str | None = None,
        plural: str = REPOSITORIES,
        timeout: float = PATIENCE,
    ) -> Object:
        """Wait for a condition; returns the object."""

        def look() -> Object | None:
            seen = self.jobs.get(name, plural)
            now = condition_of(seen, condition)
            assert now is not None and now["status"] == status, seen.get("status")
            assert reason in (None, now["reason"]), now
            return seen

        return found(soon(look, f"{name}: {condition} is {status} ({reason})", timeout))

    def held_by(self, *claims: str, repository: str = "shop", timeout: float = PATIENCE) -> list[Object]:
        """Wait until exactly these claims hold, by the beginning of their names; returns the entries."""

        def look() -> list[Object] | None:
            holders = self.holders(repository)
            names = sorted(h["claim"] for h in holders)
            same = len(names) == len(claims)
            same = same and all(n.startswith(c) for n, c in zip(names, sorted(claims), strict=True))
            assert same, self.get(repository).get("status")
            return holders or [{}]

        return found(soon(look, f"{repository} is held by {claims or 'nobody'}", timeout))

    def claim_phase(self, name: str, phase: str, timeout: float = PATIENCE) -> Object:
        """Wait for the phase of a claim."""

        def look() -> Object | None:
            claim = self.jobs.get(name, CLAIMS)
            assert (claim.get("status") or {}).get("phase") == phase, claim.get("status")
            return claim

        return found(soon(look, f"claim {name} is {phase}", timeout))

    # --- files that jobs wait for

    def until(self, name: str) -> str:
        """Shell: wait until `let(name)`."""
        return f"until [ -e {self.directory}/{name} ]; do sleep 0.05; done"

    def let(self, name: str) -> None:
        (self.directory / name).touch()

    def note(self, text: str) -> str:
        """Shell: append a line to the notes."""
        return f'echo "{text}" >>{self.directory}/notes'

    def notes(self) -> list[str]:
        path = self.directory / "notes"
        return path.read_text().splitlines() if path.exists() else []
