"""The scenario of repositories: two of them, Shared and Exclusive jobs, pushes, one preparation, a person's claim.

Remotes are real bare repositories outside the state directory. What happened is told by those who did it: each job, the
preparation and the person append to a journal beside the remotes, and each push is a commit that names its attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.cases import SCRIPT, Case
from tests.integration.repositories.homes import Upstream, git

Object = dict[str, Any]

SHOP, LIB = "shop", "lib"
BRANCH = "main"
PERSON = "person"
PREPARED = "prepared"
FILES = {f"dir{n}/file{n}": "x" * 512 + "\n" for n in range(12)} | {"last": "whole\n"}

# In the workspace: it has to be whole, prepared where that was asked for, and nothing but the commit.
WHOLE = """
journal=$2 mode=$3 wants=$4
note() { read -r up rest </proc/uptime; echo "$1 $HOLDFAST_ATTEMPT $mode $HOLDFAST_LOCK_TOKEN $up" >>"$journal"; }
note start
[ "$(cat last)" = whole ] && git fsck --connectivity-only >/dev/null || note broken
[ -z "$wants" ] || [ -e "$wants" ] || note unprepared
[ -z "$(git status --porcelain --untracked-files=no)" ] || note dirty
"""
READ = "sleep 0.1; true"
WRITE = """
echo "$HOLDFAST_ATTEMPT" >>log && git add log && git commit -q -m "$HOLDFAST_ATTEMPT" &&
git push -q origin HEAD:main"""
FAILS_FIRST = '[ "$starts" -gt 0 ] && {' + WRITE + "\n}"
# The attempts' own ledger is written around it; what ends the hold comes before the ledger's end.
BODY = "{whole}\n{{ {command}\n}}\nresult=$?; note end; (exit $result)"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of a journal: what (start, end, broken, …), by which attempt or person; `at` in seconds since boot."""

    what: str
    who: str
    mode: str
    token: int
    at: float


@dataclass(frozen=True, slots=True)
class Remotes:
    """The remotes and journals of one run, in a directory of their own.

    Args:
        held: a command before which the preparation and the first job that writes lib's branch go on, "" for none.
    """

    directory: Path
    held: str = ""

    def make(self) -> None:
        """One commit each, with enough files that a half-made checkout is seen."""
        for name in (SHOP, LIB):
            Upstream.make(self.directory / name).commit(FILES, BRANCH, "begin")

    def bare(self, name: str) -> Path:
        return self.directory / name / "remote.git"

    def journal(self, name: str) -> Path:
        return self.directory / f"{name}.journal"

    def preparations(self) -> list[str]:
        """One line for each time the command of the preparation ran."""
        path = self.directory / "preparations"
        return path.read_text().splitlines() if path.exists() else []

    def notes(self, name: str) -> list[Note]:
        """The journal of one Repository."""
        path = self.journal(name)
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [Note(what, who, mode, int(token), float(at)) for what, who, mode, token, at in lines]

    def note(self, name: str, what: str, who: str, token: int) -> None:
        """The test's own line, for what the person does."""
        up = Path("/proc/uptime").read_text().split()[0]
        with self.journal(name).open("a") as file:
            file.write(f"{what} {who} Exclusive {token} {up}\n")

    def pushed(self, name: str) -> list[str]:
        """Messages of the commits at the remote, the newest first."""
        return git(self.bare(name), "log", "--format=%s", BRANCH).stdout.split("\n")[:-1]

    def repositories(self) -> list[Object]:
        """The manifests."""
        held = self.held or "sleep 0.1"
        prepare = ["/bin/sh", "-c", f"echo ran >>{self.directory}/preparations; {held}; echo yes >{PREPARED}"]
        more: dict[str, Object] = {SHOP: {"prepare": {"command": prepare}}, LIB: {}}
        return [
            _object(
                "Repository",
                name,
                {"url": f"file://{self.bare(name)}", "push": "Upstream", "refreshInterval": "1h", **more[name]},
            )
            for name in (SHOP, LIB)
        ]

    def claim(self) -> Object:
        """The person's."""
        spec = {"repository": LIB, "mode": "Exclusive", "holder": {"name": "ann"}}
        return _object("RepositoryLock", PERSON, spec)

    def case(self, kind: str, name: str, ledger: Path) -> Case:
        """One job of the scenario; `kind` is of KINDS."""
        repository, mode, command = KINDS[kind]
        twice, waits = command == FAILS_FIRST, self.held and kind == FIRST_WRITER
        use: Object = {"name": repository, "lock": mode} | ({"push": "Upstream"} if command != READ else {})
        body = BODY.format(whole=WHOLE, command=f"{self.held}\n{command}" if waits else command)
        script = SCRIPT.replace("# COMMAND", body)
        wants = PREPARED if repository == SHOP else ""
        spec: Object = {
            "command": ["/bin/sh", "-c", script, "job", str(ledger), str(self.journal(repository)), mode, wants],
            "repository": use,
            "retry": {"limit": int(twice), "backoff": "100ms"},
        }
        return Case(kind, name, spec, "Succeeded", 1 + twice, 0)


FIRST_WRITER, AFTER_PERSON = "lib-write-1", "lib-write-2"
# In the order of their creation; the person's claim comes before the last one.
KINDS: dict[str, tuple[str, str, str]] = {
    "shop-read-1": (SHOP, "Shared", READ),
    "shop-read-2": (SHOP, "Shared", READ),
    "shop-write": (SHOP, "Exclusive", WRITE),
    FIRST_WRITER: (LIB, "Exclusive", WRITE),
    AFTER_PERSON: (LIB, "Exclusive", FAILS_FIRST),
}
# Who waits for each other. The person's claim needs no mirror: it may be served while jobs wait for the first clone.
LINES = {SHOP: ("shop-read-1", "shop-read-2", "shop-write"), LIB: (FIRST_WRITER, AFTER_PERSON)}


def _object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
