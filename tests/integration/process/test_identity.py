"""Who a process is: a bare pid proves nothing (requirement 3.3)."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace

import pytest

from controller.executors.process import identity
from controller.executors.process.identity import Identity, Verdict, compare, of_self


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, Verdict.SAME),
        ({"machine": "other"}, Verdict.UNKNOWN),
        ({"boot": "0" * 36}, Verdict.GONE),
        ({"machine": "other", "boot": "0" * 36}, Verdict.UNKNOWN),
        ({"pid_namespace": 1}, Verdict.UNKNOWN),
        ({"pid_namespace": 1, "boot": "0" * 36}, Verdict.GONE),
        ({"start_ticks": 1}, Verdict.GONE),
        ({"pid": 2**22 - 1}, Verdict.GONE),
    ],
)
def test_identity(change: dict[str, object], verdict: Verdict) -> None:
    """3.3: the table of design 6: a bare pid proves nothing."""
    assert compare(replace(of_self(), **change)) is verdict  # type: ignore[arg-type]
    if verdict is not Verdict.SAME:
        assert not identity.send(replace(of_self(), **change), signal.SIGKILL)  # type: ignore[arg-type]


def test_a_zombie_is_gone() -> None:
    """3.3: a process that ended but was not reaped runs no more."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    child = identity.of_pid(pid)
    assert child is not None and compare(child) is Verdict.SAME
    assert identity.send(child, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert compare(child) is Verdict.GONE
    assert identity.of_pid(pid) is None
    os.waitpid(pid, 0)


def test_names_with_parentheses() -> None:
    """3.3: the name of a program cannot forge the fields behind it."""
    line = b"77 (a) Z 1 2 3 (b)) S 5 6 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 4 0 12345 0"
    stat = identity.parse_stat(line)
    assert (stat.pid, stat.state, stat.ppid, stat.session, stat.threads, stat.start_ticks) == (77, "S", 5, 7, 4, 12345)
    with pytest.raises(ValueError, match="not a /proc"):
        identity.parse_stat(b"77 (a) S 1")


def test_identity_survives_its_file() -> None:
    """3.3: what is written is what is read; anything else is an error, not an identity."""
    me = of_self()
    assert Identity.from_json(json.loads(json.dumps(me.to_json()))) == me
    for bad in (None, [], {}, {**me.to_json(), "pid": True}, {**me.to_json(), "pid": -1}, {**me.to_json(), "boot": ""}):
        with pytest.raises(identity.IdentityError):
            Identity.from_json(bad)
