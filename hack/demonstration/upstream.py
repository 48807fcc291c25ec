"""Two upstream repositories with real commits, the jobs on them, and what those say about themselves.

Everything is git's own: the remotes are bare repositories beside the jobs' files, their logs are read with git. Each
job signs a ledger of its own accord: when it began and ended, with which fencing token, what it pushed.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demonstration.work import object_of

SHOP, DOCS = "shop", "docs"
FIRST = {SHOP: "A cart that adds up", DOCS: "How to run the shop"}
REVIEWS = 2  # the first is delivered in the outage, the second after it
WRITTEN = ["Discounts", *(f"Discounts: take in review {number}" for number in range(1, REVIEWS + 1)), "Release 1.1"]
GIT_SECONDS = 30.0

CART = """\
def total(prices):
    return sum(prices)
"""

# $0 is the ledger, $1 a directory that the demo and the jobs share. One write(2) a line, so lines do not mix.
SIGN = 'sign() { echo "$1 $HOLDFAST_JOB $$ $(date +%s.%N) ${HOLDFAST_LOCK_TOKEN:-0} $(git rev-parse HEAD)" >>"$0"; }'

# Each of the two readers waits for the other one: alone it would never end.
READ = """
sign start
touch "$1/here-$HOLDFAST_JOB"
for other in count-lines check-style; do
    until [ -e "$1/here-$other" ]; do sleep 0.1; done
done
git ls-files | xargs wc -l
sign end
"""

DISCOUNTS = """
sign start
printf '\\n\\ndef reduced(prices, percent):\\n    return total(prices) * (100 - percent) / 100\\n' >>cart.py
git commit -qam "Discounts"
git push -q origin HEAD
sign pushed
for review in 1 2; do
    until [ -e "$1/review-$review" ]; do sleep 0.1; done
    printf '# %s\\n' "$(cat "$1/review-$review")" >>cart.py
    git commit -qam "Discounts: take in review $review"
    git push -q origin HEAD
    sign pushed
    echo "pushed review $review with token $HOLDFAST_LOCK_TOKEN"
done
sign end
"""

RELEASE = """
sign start
git log --reverse --format='- %s' >CHANGES
git add CHANGES
git commit -qm "Release 1.1"
git push -q origin HEAD
sign pushed
cat CHANGES
sign end
"""

# The preparation leaves `site` in the checkout that every workspace is copied from.
PREPARE = (
    'echo "$(date +%s.%N)" >>"$0"; mkdir site; for page in *.md; do tr a-z A-Z <"$page" >"site/$page"; done; sleep 1'
)
BUILD = """
sign start
cat site/*.md
sign end
"""


@dataclass(frozen=True)
class Signed:
    """What a job wrote into the ledger: `what` is start, pushed or end; `head` the commit that was checked out."""

    what: str
    job: str
    pid: int
    at: float
    token: int
    head: str


@dataclass(frozen=True)
class Upstream:
    """Files below `root`, made by `make`."""

    root: Path

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def preparations(self) -> Path:
        return self.root / "preparations"

    @property
    def shared(self) -> Path:
        return self.root / "shared"

    def remote(self, name: str) -> Path:
        """The bare repository that stands for a server."""
        return self.root / f"{name}.git"

    def log(self, name: str) -> list[tuple[str, str]]:
        """(commit, subject) of the remote's branch, the oldest first."""
        lines = _git(self.remote(name), "log", "--reverse", "--format=%H %s", "main").splitlines()
        return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]

    def review(self, number: int) -> None:
        """Deliver what add-discounts waits for, whole at once."""
        hidden = self.shared / f".review-{number}"
        hidden.write_text(f"review {number}: more than 100 percent is not a discount\n")
        hidden.rename(self.shared / f"review-{number}")

    def signed(self, what: str | None = None, job: str | None = None) -> list[Signed]:
        """All lines of the ledger so far, or those of one kind or job."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        lines = [
            Signed(kind, name, int(pid), float(at), int(token), head)
            for kind, name, pid, at, token, head in (line.split() for line in text.splitlines())
        ]
        return [line for line in lines if what in (None, line.what) and job in (None, line.job)]

    def prepared(self) -> int:
        """How often the preparation ran, by its own account."""
        return len(self.preparations.read_text().splitlines()) if self.preparations.exists() else 0

    def manifests(self) -> list[dict[str, Any]]:
        """What is applied: the repositories, then the jobs in the order in which they claim them."""
        prepare = {"command": ["/bin/sh", "-ec", PREPARE, str(self.preparations)]}
        return [
            object_of("Repository", SHOP, {"url": f"file://{self.remote(SHOP)}", "push": "Upstream"}),
            object_of("Repository", DOCS, {"url": f"file://{self.remote(DOCS)}", "prepare": prepare}),
            self._job("count-lines", READ, SHOP, "Shared"),
            self._job("check-style", READ, SHOP, "Shared"),
            self._job("add-discounts", DISCOUNTS, SHOP, "Exclusive", push="Upstream"),
            self._job("release", RELEASE, SHOP, "Exclusive", push="Upstream"),
            self._job("build-site", BUILD, DOCS, "Shared"),
            self._job("check-site", BUILD, DOCS, "Shared"),
        ]

    def _job(self, name: str, script: str, repository: str, lock: str, **use: str) -> dict[str, Any]:
        words = ["/bin/sh", "-ec", f"{SIGN}{script}", str(self.ledger), str(self.shared)]
        spec = {"command": words, "repository": {"name": repository, "lock": lock, **use}, "deadline": "10m"}
        return object_of("BatchJob", name, spec)


def make(root: Path) -> Upstream:
    """Make the two remotes, each with one commit."""
    made = Upstream(root)
    made.shared.mkdir(parents=True)
    files = {SHOP: {"cart.py": CART}, DOCS: {"run.md": "run it\n", "stop.md": "stop it\n"}}
    for name, content in files.items():
        work = root / f"{name}.work"
        _git(root, "init", "-q", "-b", "main", str(work))
        for path, text in content.items():
            (work / path).write_text(text)
        _git(work, "add", ".")
        _git(work, "commit", "-q", "-m", FIRST[name])
        _git(root, "clone", "-q", "--bare", str(work), str(made.remote(name)))
    return made


def _git(directory: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "demo" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clean = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **names}
    return subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={**os.environ, **clean},
        check=True,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
    ).stdout
