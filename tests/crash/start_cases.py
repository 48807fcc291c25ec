"""What there is when the starts begin that are killed: jobs in every state, and what goes on only when it is let go.

Two files are gates: who waits for one goes on once it is there. So the states last for as long as the starts take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.crash.cases import LONG, QUICK, SCRIPT, Case, make
from tests.crash.receiver import GONE, HELD, Receiver

DEAD, TOLD, RETRY, LOST, DOOMED = "dead", "told", "retrying", "lost", "doomed"
RUNS, TAKES_OVER, QUEUED = "hold-1", "hold-2", "hold-3"
# In the order of their creation, before and after the jobs of the repositories.
FIRST = ("success", DEAD, TOLD, RETRY, LOST, DOOMED)
LATER = (RUNS, TAKES_OVER, QUEUED)
SLOTS = 5  # of RETRY, then TAKES_OVER; LOST; DOOMED; the first job that writes; RUNS: so one job waits for a slot
GATED_SECONDS = 1200  # then the test is gone


@dataclass(frozen=True, slots=True)
class Gates:
    """Where they are.

    Args:
        fail: the first attempt of RETRY fails.
        go: everything that is held goes on.
    """

    fail: Path
    go: Path


def until(gate: Path) -> str:
    """A command that waits for a gate."""
    return f'n=0; until [ -e {gate} ] || [ "$n" -gt {GATED_SECONDS * 10} ]; do n=$((n + 1)); sleep 0.1; done'


def case(kind: str, name: str, ledgers: Path, gates: Gates, receiver: Receiver) -> Case:
    """One job of FIRST or LATER."""
    return _MAKERS[kind](name, ledgers, gates, receiver)


def _plain(name: str, ledgers: Path, _: Gates, __: Receiver) -> Case:
    return make("success", name, ledgers)


def _dead(name: str, ledgers: Path, _: Gates, receiver: Receiver) -> Case:
    return _callback(make("success", name, ledgers), receiver, GONE)


def _told(name: str, ledgers: Path, _: Gates, receiver: Receiver) -> Case:
    return _callback(make("success", name, ledgers), receiver, HELD)


def _callback(made: Case, receiver: Receiver, path: str) -> Case:
    use = receiver.use(["Succeeded"], path)
    return replace(made, spec={**made.spec, "callbacks": [use]})


def _retry(name: str, ledgers: Path, gates: Gates, _: Receiver) -> Case:
    # Who takes over its slot is to have it before its repeat, which stands in front of that one, is due.
    made = _gated(name, ledgers, f'{until(gates.fail)}; [ "$starts" -gt 0 ]')
    return replace(made, spec={**made.spec, "retry": {"limit": 1, "backoff": "5s"}}, starts=2)


def _lost(name: str, ledgers: Path, _: Gates, __: Receiver) -> Case:
    return make("lost", name, ledgers)


def _doomed(name: str, ledgers: Path, _: Gates, __: Receiver) -> Case:
    return _gated(name, ledgers, LONG)


def _held(name: str, ledgers: Path, gates: Gates, _: Receiver) -> Case:
    return _gated(name, ledgers, f"{until(gates.go)}; {QUICK}")


def _gated(name: str, ledgers: Path, command: str) -> Case:
    script = SCRIPT.replace("# COMMAND", command)
    spec = {"command": ["/bin/sh", "-c", script, "job", str(ledgers / name)]}
    return Case("success", name, spec, "Succeeded", 1, 0)


_MAKERS: dict[str, Callable[[str, Path, Gates, Receiver], Case]] = {
    "success": _plain,
    DEAD: _dead,
    TOLD: _told,
    RETRY: _retry,
    LOST: _lost,
    DOOMED: _doomed,
    RUNS: _held,
    TAKES_OVER: _held,
    QUEUED: _held,
}
