"""What people are told of a Repository's health (5.1)."""

from __future__ import annotations

from controller.api.conditions import Condition, find
from controller.api.repository import RepositoryStatus
from controller.decisions.repository import Seen, decide
from controller.decisions.repository_health import Facts, Mirror, judged, slow_after
from tests.unit.builders import START, at
from tests.unit.repository_builders import COMMIT, operation, repository, run, status

HERE = Mirror(exists=True, commit=COMMIT)
OK, BAD = "Succeeded", "Failed"


def told(
    recorded: RepositoryStatus, mirror: Mirror | None = HERE, now: float = 100, **more: object
) -> dict[str, Condition]:
    """Conditions by type; a second look changes nothing."""
    facts = Facts(mirror, **more)  # type: ignore[arg-type]
    new, _ = judged(repository(recorded), recorded, facts, at(now))
    assert judged(repository(new), new, facts, at(now))[0] == new
    return {each.type: each for each in new.conditions}


def fetches(states: str) -> RepositoryStatus:
    """Fetches that succeeded (+) or failed (-), the newest last."""
    return status(*(operation(n, "Fetch", OK if c == "+" else BAD) for n, c in enumerate(states, start=1)))


def test_ready_says_why_not() -> None:
    """5.1, 5.2"""
    assert told(status(), Mirror(False))["Ready"].reason == "NotCloned"
    assert told(status(), Mirror(True, clean=False))["Ready"].reason == "NotVerified"
    assert told(status(), None)["Ready"].status == "Unknown"
    failed = status(operation(1, "Clone", BAD, reason="RemoteUnreachable", message="no route"))
    ready = told(failed, Mirror(False))["Ready"]
    assert (ready.status, ready.reason, ready.message) == ("False", "RemoteUnreachable", "no route")
    assert told(status(), Mirror(True))["Ready"].reason == "BranchNotFound"
    verifying = status(operation=operation(2, "Verify", "Starting"))
    assert told(verifying)["Ready"].status == "False"


def test_a_failure_rate_rings_and_falls_silent() -> None:
    """5.1: at least three, and half of the last ten."""
    rings = {
        s: "Failing" in told(fetches(s)) for s in ("--", "---", "+++---", "++++---", "+-+-+-+", "+-+-+-", "-+++++")
    }
    assert rings == {
        "--": False,
        "---": True,
        "+++---": True,
        "++++---": False,
        "+-+-+-+": False,
        "+-+-+-": True,
        "-+++++": False,
    }
    ringing = fetches("---").model_copy(update={"conditions": tuple(told(fetches("---")).values())})
    over = ringing.model_copy(update={"activities": fetches("---++++").activities, "failures": 0})
    assert told(over)["Failing"].status == "False"


def test_what_a_repeat_will_hardly_help_rings_at_once() -> None:
    """5.1: and is repeated nevertheless."""
    for reason in ("AuthenticationFailed", "HostKeyChanged"):
        recorded = status(operation(1, "Fetch", BAD, reason=reason, message="look at the Secret"), refreshed_at=START)
        failing = told(recorded)["Failing"]
        assert (failing.status, failing.reason, failing.message) == ("True", reason, "look at the Secret")
        assert told(recorded)["Ready"].status == "True"
        again = decide(repository(recorded), Seen(HERE, run()), at(2000))
        assert again.status.operation is not None and again.status.operation.number == 2


def test_stale_after_three_intervals() -> None:
    """5.1: and there is somebody who looks then."""
    recorded = status(operation(1, "Clone"), refreshed_at=START)
    assert "Stale" not in told(recorded, now=900)
    assert told(recorded, now=901)["Stale"].status == "True"
    assert judged(repository(recorded), recorded, Facts(HERE), at(800))[1] == 100.1
    assert "Stale" not in told(recorded, Mirror(False), now=901)


def test_an_operation_that_takes_too_long() -> None:
    """5.1: three times the median of its kind, or near its deadline."""
    done = [operation(n, "Fetch", OK, start=0, end=20) for n in (1, 2, 3)]
    quick = [operation(n, "Fetch", OK, start=0, end=1) for n in (1, 2, 3)]
    for activities, limit in ((done, 60), (quick, 30), (done[:2], 1440)):
        recorded = status(*activities, operation=operation(4, "Fetch", "Starting", start=100))
        made = repository(recorded)
        assert active_limit(recorded) == limit
        assert "Slow" not in told(recorded, now=100 + limit)
        assert told(recorded, now=101 + limit)["Slow"].status == "True"
        assert judged(made, recorded, Facts(HERE), at(110))[1] == limit - 10 + 0.1
        slow = recorded.model_copy(update={"conditions": tuple(told(recorded, now=101 + limit).values())})
        over = slow.model_copy(update={"operation": operation(4, "Fetch", OK, start=100)})
        assert told(over, now=101 + limit)["Slow"].status == "False"


def active_limit(recorded: RepositoryStatus) -> float:
    assert recorded.operation is not None
    return slow_after(repository(recorded), recorded, recorded.operation.type)


def test_pushes_that_upstream_lacks_are_told_until_somebody_looks_again() -> None:
    """5.1, 5.4"""
    recorded = status(operation(1, "Fetch"))
    many = told(recorded, diverged=tuple(f"b{n}" for n in range(7)))["Diverged"]
    assert many.status == "True" and "7 branches" in many.message and many.message.endswith("b4, …")
    kept = recorded.model_copy(update={"conditions": (many,)})
    assert told(kept)["Diverged"] == many
    after = find(told(kept, diverged=()).values(), "Diverged")
    assert after is not None and after.status == "False"


def test_phase_sums_up() -> None:
    """5.1"""
    rows = [
        (status(), Mirror(False), "Pending"),
        (status(operation=operation(1, "Clone", "Starting")), Mirror(False), "Cloning"),
        (status(operation=operation(1, "Fetch", "Starting")), HERE, "Fetching"),
        (status(operation=operation(1, "Verify", "Starting")), HERE, "Verifying"),
        (status(operation(1, "Clone", BAD)), Mirror(False), "Failed"),
        (status(operation(1, "Fetch", BAD, reason="RemoteUnreachable")), HERE, "Ready"),
    ]
    for recorded, mirror, phase in rows:
        assert judged(repository(recorded), recorded, Facts(mirror), START)[0].phase == phase
