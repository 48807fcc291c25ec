"""The jobs of the random kills: each counts its executions from outside, in a ledger that no controller knows.

A command appends a line when it starts, one with each line that it prints, and one when it ends; all carry the attempt
and the time since boot. One that has a workspace tells in a file beside it what that was made of. The ledgers are a
hostPath volume, so they outlive every Pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.node.images import BUSYBOX

SCRIPT = """
say() { read -r up rest </proc/uptime; echo "$1 $HOLDFAST_ATTEMPT $up" >>"/ledgers/$HOLDFAST_JOB"; }
trap 'exit 143' TERM
say start
[ ! -f commit ] || echo "$HOLDFAST_ATTEMPT $(cat commit)" >>"/ledgers/$HOLDFAST_JOB.commits"
i=0
while [ $i -lt $1 ]; do
    i=$((i + 1))
    echo "line $i"
    sleep 0.3
    say beat
done
say end
exit $2
"""
COMMIT_FILE = "commit"  # in the repository; its content is another one in each commit
REPOSITORY = "project"
OFTEN = 60  # no job may end because it was killed often


@dataclass(frozen=True, slots=True)
class Kind:
    """What a job does: prints so many lines, one each 0.3 s, and ends with this code; or has the repository alone."""

    lines: int
    code: int
    exclusive: bool = False

    @property
    def output(self) -> bytes:
        return b"".join(b"line %d\n" % (number + 1) for number in range(self.lines))


KINDS = {
    "short": Kind(2, 0),
    "long": Kind(25, 0),
    "seven": Kind(6, 7),
    "canceled": Kind(40, 0),
    "alone": Kind(4, 0, True),
}


@dataclass(frozen=True, slots=True)
class Work:
    """One job. A kind that ends with a code of its own is not repeated where that code is told."""

    name: str
    kind: str

    @property
    def does(self) -> Kind:
        return KINDS[self.kind]

    def spec(self, ledgers: Path, queue: str) -> dict[str, Any]:
        """Of the BatchJob."""
        volume = {"name": "ledgers", "hostPath": {"path": str(ledgers), "type": "Directory"}}
        main = {"name": "main", "volumeMounts": [{"name": "ledgers", "mountPath": "/ledgers"}]}
        return {
            "command": ["/bin/sh", "-c", SCRIPT, "job", str(self.does.lines), str(self.does.code)],
            "queue": queue,
            **({"repository": {"name": REPOSITORY, "lock": "Exclusive"}} if self.does.exclusive else {}),
            "executor": "Pod",
            "gracePeriod": "1s",
            "onLost": "Restart",
            "lossLimit": OFTEN,
            "retry": {"limit": 0 if self.does.code else OFTEN, "backoff": "100ms", "maxBackoff": "1s"},
            "pod": {
                "image": BUSYBOX,
                "imagePullPolicy": "Never",
                "template": {"spec": {"volumes": [volume], "containers": [main]}},
            },
        }


@dataclass(frozen=True, slots=True)
class Execution:
    """What an attempt's command told of itself: `until` is its last sign of life, in seconds since boot."""

    attempt: str
    since: float
    until: float
    ended: bool


def executions(ledger: Path) -> list[Execution]:
    """In the order of their starts; two of one attempt where its command ran twice."""
    try:
        lines = ledger.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    found: list[Execution] = []
    for what, attempt, text in (line.split() for line in lines if line.endswith("\n")):
        at = float(text)
        if what == "start":
            found.append(Execution(attempt, at, at, False))
            continue
        index = max(i for i, one in enumerate(found) if one.attempt == attempt)
        found[index] = Execution(attempt, found[index].since, at, what == "end")
    return found


def workspaces(ledger: Path) -> list[tuple[str, str]]:
    """What each attempt with a workspace found in COMMIT_FILE, in the order of their starts."""
    path = ledger.with_name(f"{ledger.name}.commits")
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [(attempt, text) for attempt, text in (line.split() for line in lines if line.endswith("\n"))]
