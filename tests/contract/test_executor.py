"""The contract of every executor (`controller/executors/base.py`; requirements 2.6, 3.2-3.7, 4.2)."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.executors.base import AttemptId, Executor, LaunchSpec
from tests.contract.subjects import Subject, end, finish, shell
from tests.eventually import eventually

STARTED_AT_LEAST = 600  # seconds that a job sleeps which a test ends
# Runs until a test has it stopped; a shell would tell of the sleep that is ended with it.
UNTIL_STOPPED = "exec 2>/dev/null; echo ready; while :; do sleep 0.1; done"


def record(seen: Observation) -> ExitRecord:
    """The exit record of an end."""
    assert seen.exit is not None, seen
    return seen.exit


async def printed(subject: Subject, spec: LaunchSpec, text: bytes) -> None:
    """Wait until the attempt printed `text`."""

    async def there() -> bool:
        output = await subject.output(spec)
        assert text in output, output[-200:]
        return True

    await eventually(there, timeout=subject.limit, what=f"output {text!r}")


async def alive(subject: Subject, spec: LaunchSpec, executor: Executor | None = None) -> Observation:
    """Wait until the command is proved to run."""

    async def runs() -> Observation | None:
        seen = await (executor or subject.executor).observe(spec.attempt)
        assert seen.evidence is Evidence.ALIVE, seen
        return seen

    seen = await eventually(runs, timeout=subject.limit, what="it is alive")
    assert seen is not None
    return seen


async def is_woken(subject: Subject, attempt: AttemptId) -> None:
    """Wait until somebody was woken for the attempt."""
    await eventually(partial(subject.woken.__contains__, attempt), timeout=subject.limit, what="wake-up")


async def test_an_end_has_its_code_and_output(subject: Subject) -> None:
    """3.2, 4.2: the end arrives with exit code and output, and wakes the controller; a plain end has no reason."""
    spec = await shell(subject, "echo out; sleep 0.3; echo err >&2; exit 7")
    seen = await finish(subject, spec)
    found = record(seen)
    assert (seen.evidence, found.code, found.reason) == (Evidence.ENDED, 7, "")
    assert seen.started_at is not None and seen.started_at <= found.finished_at
    assert abs(found.finished_at.timestamp() - time.time()) < subject.limit
    assert await subject.output(spec) == b"out\nerr\n"
    await is_woken(subject, spec.attempt)


async def test_success(subject: Subject) -> None:
    """4.2: code 0 is a success."""
    seen = await finish(subject, await shell(subject, "true"))
    assert (seen.evidence, record(seen).code, record(seen).reason) == (Evidence.ENDED, 0, "")


async def test_nothing_is_known_of_what_was_never_launched(subject: Subject) -> None:
    """Design 6: ABSENT where there is no trace; stop and release of it do nothing."""
    spec = await shell(subject, "echo never")
    executor = subject.executor
    assert (await executor.observe(spec.attempt)).evidence is Evidence.ABSENT
    assert await executor.annotations(spec.attempt) is None
    assert spec.attempt not in await executor.list_attempts()
    await executor.stop(spec.attempt, "Canceled", 1)
    await executor.release(spec.attempt, keep_record=False)
    assert (await executor.observe(spec.attempt)).evidence is Evidence.ABSENT


async def test_while_it_runs(subject: Subject) -> None:
    """3.2, 3.3: a running attempt is ALIVE and supervised, and its output can be read at once."""
    spec = await shell(subject, f"echo begun; sleep {STARTED_AT_LEAST}")
    await subject.executor.launch(spec)
    await printed(subject, spec, b"begun")
    seen = await alive(subject, spec)
    assert (seen.supervised, seen.stop_requested, seen.exit) == (True, False, None)
    await subject.executor.stop(spec.attempt, "Canceled", 1)
    await end(subject, spec)


async def test_launched_twice_it_runs_once(subject: Subject) -> None:
    """2.6: launching again, at once, while it runs, and after its end, runs the command once."""
    spec = await shell(subject, f"trap 'exit 0' TERM; {UNTIL_STOPPED}", grace_seconds=100)
    executor = subject.executor
    await asyncio.gather(executor.launch(spec), executor.launch(spec))
    await printed(subject, spec, b"ready")
    await alive(subject, spec)
    await executor.launch(spec)
    await executor.stop(spec.attempt, "Canceled", 100)
    await end(subject, spec)
    await executor.launch(spec)
    assert record(await end(subject, spec)).code == 0
    assert await subject.output(spec) == b"ready\n"


async def test_launched_by_two_controllers_it_runs_once(subject: Subject) -> None:
    """2.6: also where the second launch comes from a controller that took over in between."""
    spec = await shell(subject, "echo ran; sleep 1")
    other = await subject.again()
    await asyncio.gather(subject.executor.launch(spec), other.launch(spec))
    await end(subject, spec)
    assert record(await end(subject, spec, other)).code == 0
    assert await subject.output(spec) == b"ran\n"


async def test_voided_before_its_start_it_never_starts(subject: Subject) -> None:
    """2.6: what was given up before its launch is never launched, by nobody, and says why."""
    spec = await shell(subject, "echo never")
    executor = subject.executor
    assert await executor.void(spec.attempt, "not wanted")
    await executor.launch(spec)
    await (await subject.again()).launch(spec)
    seen = await end(subject, spec)
    assert (seen.evidence, record(seen).code) == (Evidence.NEVER_STARTED, None)
    assert record(seen).message == "not wanted"
    assert await subject.output(spec) == b""
    assert spec.attempt in await executor.list_attempts()


async def test_what_runs_is_not_voided(subject: Subject) -> None:
    """2.6: voiding what may have started says so, and changes nothing."""
    spec = await shell(subject, f"trap 'exit 3' TERM; {UNTIL_STOPPED}", grace_seconds=100)
    await subject.executor.launch(spec)
    await printed(subject, spec, b"ready")
    await alive(subject, spec)
    assert not await subject.executor.void(spec.attempt, "too late")
    await alive(subject, spec)
    await subject.executor.stop(spec.attempt, "Canceled", 100)
    assert record(await end(subject, spec)).code == 3


async def test_stop_with_grace(subject: Subject) -> None:
    """3.6: TERM first; a command that obeys within the grace period ends by itself, for the reason of the stop."""
    grace = 10 * subject.limit  # its end is waited for, for far less
    spec = await shell(subject, f"trap 'echo bye; exit 5' TERM; {UNTIL_STOPPED}", grace_seconds=grace)
    await subject.executor.launch(spec)
    await printed(subject, spec, b"ready")
    await subject.executor.stop(spec.attempt, "Canceled", grace)
    seen = await end(subject, spec)
    assert (seen.evidence, record(seen).code, record(seen).reason) == (Evidence.ENDED, 5, "Canceled")
    assert b"bye" in await subject.output(spec)


async def test_stop_of_one_that_does_not_listen(subject: Subject) -> None:
    """3.6: KILL after the grace period."""
    spec = await shell(subject, f"trap '' TERM; {UNTIL_STOPPED}", grace_seconds=1)
    await subject.executor.launch(spec)
    await printed(subject, spec, b"ready")
    await subject.executor.stop(spec.attempt, "Suspended", 1)
    seen = await end(subject, spec)
    assert (seen.evidence, record(seen).reason) == (Evidence.ENDED, "Suspended")
    assert record(seen).code != 0


async def test_a_requested_stop_is_seen(subject: Subject) -> None:
    """3.6: a stop that was asked for is on record: whoever takes over knows that it need not ask again."""
    spec = await shell(subject, f"trap '' TERM; {UNTIL_STOPPED}", grace_seconds=10)
    await subject.executor.launch(spec)
    await printed(subject, spec, b"ready")
    await subject.executor.stop(spec.attempt, "Canceled", 10)
    other = await subject.again()

    async def told() -> bool:
        return (await other.observe(spec.attempt)).stop_requested

    await eventually(told, timeout=subject.limit, what="the stop is on record")
    assert record(await end(subject, spec, other)).reason == "Canceled"


async def test_deadline(subject: Subject) -> None:
    """2.4: an attempt that runs for too long is stopped and says so."""
    spec = await shell(subject, f"echo begun; sleep {STARTED_AT_LEAST}", deadline_seconds=2, grace_seconds=1)
    seen = await finish(subject, spec)
    assert (seen.evidence, record(seen).reason) == (Evidence.ENDED, "DeadlineExceeded")


async def test_a_command_that_does_not_exist(subject: Subject) -> None:
    """3.1, 4.2: it is told as what it is, not as a bare 127."""
    spec = await subject.command("/no/such/command")
    seen = await finish(subject, spec)
    assert (seen.evidence, record(seen).reason) == (Evidence.NEVER_STARTED, "CommandNotFound")
    assert "/no/such/command" in record(seen).message


async def test_arguments_and_environment_arrive_as_they_are(subject: Subject) -> None:
    """2.6, 3.7: words are words: nothing is expanded or read again by a shell."""
    words = ["", " a  b ", "$HOME", "$(HOLDFAST_JOB)", "$$(A)", "`id`", "*", "ü\n", "'\"\\"]
    script = 'printf "%s|" "$A" "$HOLDFAST_ATTEMPT" "$HOLDFAST_JOB" "$@"'
    env = {"B": "b", "A": "$(B) $$ $B"}
    spec = await subject.command("/bin/sh", "-c", script, "sh", *words, env=env)
    assert record(await finish(subject, spec)).code == 0
    expected = ["$(B) $$ $B", str(spec.attempt), spec.job, *words]
    assert (await subject.output(spec)).decode().split("|")[:-1] == expected


async def test_working_directory(subject: Subject) -> None:
    """2.6: the command runs where the spec says."""
    spec = await shell(subject, "pwd", working_dir="/tmp")
    assert record(await finish(subject, spec)).code == 0
    assert await subject.output(spec) == b"/tmp\n"


async def test_annotations_are_given_back(subject: Subject) -> None:
    """1.3: what a wiped status is rebuilt from is kept with the attempt, also after its end and its release."""
    spec = await shell(subject, "true", annotations={"namespace": "n", "sequence": "17", "odd": "ü \n"})
    await subject.executor.launch(spec)
    assert await subject.executor.annotations(spec.attempt) == spec.annotations
    await end(subject, spec)
    await subject.executor.release(spec.attempt, keep_record=True)
    assert await (await subject.again()).annotations(spec.attempt) == spec.annotations


async def test_another_controller_takes_over(subject: Subject) -> None:
    """3.3, 4.2: a second executor finds a running attempt, sees its end and its output, and is woken."""
    spec = await shell(subject, f"trap 'echo done; exit 4' TERM; {UNTIL_STOPPED}", grace_seconds=100)
    await subject.executor.launch(spec)
    await printed(subject, spec, b"ready")
    other = await subject.again()
    woken: list[AttemptId] = []
    other.subscribe(woken.append)
    assert spec.attempt in await other.list_attempts()
    assert spec.attempt in await other.unreleased()
    await alive(subject, spec, other)
    await other.stop(spec.attempt, "Canceled", 100)
    assert record(await end(subject, spec, other)).code == 4
    assert await subject.output(spec) == b"ready\ndone\n"
    await eventually(lambda: spec.attempt in woken, timeout=subject.limit, what="the other one is woken")


async def test_release_keeps_record_and_output(subject: Subject) -> None:
    """4.2, 7.6: a released attempt still tells its end and its output; released twice, too."""
    spec = await shell(subject, "echo kept; exit 3")
    await finish(subject, spec)
    for _ in range(2):
        await subject.executor.release(spec.attempt, keep_record=True)
    for executor in (subject.executor, await subject.again()):
        seen = await executor.observe(spec.attempt)
        assert (seen.evidence, record(seen).code, seen.processes_left) == (Evidence.ENDED, 3, 0)
        assert spec.attempt in await executor.list_attempts()
    assert await subject.output(spec) == b"kept\n"

    async def released() -> bool:
        return spec.attempt not in await subject.executor.unreleased()

    await eventually(released, timeout=subject.limit, what="nothing but record and output is left")


async def test_release_without_a_record_leaves_nothing(subject: Subject) -> None:
    """7.6: nothing of the attempt is left."""
    spec = await shell(subject, "echo gone")
    await finish(subject, spec)
    await subject.executor.release(spec.attempt, keep_record=False)

    async def nothing_left() -> bool:
        seen = await subject.executor.observe(spec.attempt)
        return seen.evidence is Evidence.ABSENT and spec.attempt not in await subject.executor.list_attempts()

    await eventually(nothing_left, timeout=subject.limit, what="no trace is left")
    assert await subject.output(spec) == b""


async def test_what_a_command_left_running_ends_with_it(subject: Subject) -> None:
    """3.6: no descendant outlives the attempt: it is over only when nothing of it runs."""
    spec = await shell(subject, f"sleep {STARTED_AT_LEAST} & echo begun; exit 2")
    assert record(await finish(subject, spec)).code == 2


PUSH = "set -e; git rev-parse HEAD; git commit -q --allow-empty -m mine; git push -q origin HEAD; git rev-parse HEAD"


async def test_a_job_on_a_repository(subject: Subject) -> None:
    """4.1, 5.3, 5.5: the same command commits and pushes from its workspace, and what it pushed is published."""
    spec = await subject.in_repository("/bin/sh", "-c", PUSH)
    seen = await finish(subject, spec)
    assert (seen.evidence, record(seen).code, record(seen).reason) == (Evidence.ENDED, 0, "")
    await subject.executor.release(spec.attempt, keep_record=True)
    before, pushed = (await subject.output(spec)).decode().split()
    assert before != pushed == await subject.published()


async def test_a_job_on_a_repository_that_fails(subject: Subject) -> None:
    """4.2, 5.5: its exit code and output are told as without one."""
    spec = await subject.in_repository("/bin/sh", "-c", f"{PUSH} >/dev/null; echo out; exit 7")
    seen = await finish(subject, spec)
    assert (seen.evidence, record(seen).code, record(seen).reason) == (Evidence.ENDED, 7, "")
    assert (await subject.output(spec)).endswith(b"out\n") and seen.publication is None


async def test_a_stop_on_a_repository(subject: Subject) -> None:
    """3.6: TERM reaches the command there too."""
    spec = await subject.in_repository("/bin/sh", "-c", f"trap 'echo bye; exit 5' TERM; {UNTIL_STOPPED}")
    await subject.executor.launch(spec)
    await printed(subject, spec, b"ready")
    await alive(subject, spec)
    await subject.executor.stop(spec.attempt, "Canceled", 100)
    seen = await end(subject, spec)
    assert (seen.evidence, record(seen).code, record(seen).reason) == (Evidence.ENDED, 5, "Canceled")
    assert b"bye" in await subject.output(spec)
