"""A damaged attempt.json or process.json beside a whole exit.json: the end is known, and is proved by nothing less."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.executors.base import LaunchSpec
from controller.executors.process.ending import quarantine
from controller.executors.process.records import Attempt, Process
from controller.executors.process.rundir import is_locked, try_lock
from controller.executors.process.tree import has_marker, scan
from controller.files import journal
from tests.integration.process.attempts import HELD, Host, until

GARBAGE = b"\x00\xff}{ no json \n"
FILES = ["attempt.json", "process.json"]


def damage(host: Host, spec: LaunchSpec, file: str, content: bytes | None = GARBAGE) -> None:
    path = Path(host.run(spec).file(file))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


async def unswept(host: Host, script: str) -> LaunchSpec:
    """An attempt whose supervisor was killed and whose recorder has recorded the end, so that nobody swept.

    Args:
        script: prints "begun" and waits with HELD.
    """
    spec = host.shell(script)
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    host.go(spec)
    await until(lambda: host.run(spec).exists("exit.json"), what="exit.json")
    await until(lambda: not is_locked(host.run(spec).file("recorder.lock")), what="the recorder's end")
    return spec


@pytest.mark.parametrize(
    "content", [GARBAGE, b"", b'{"version": 1, "co', None], ids=["garbage", "empty", "torn", "none"]
)
@pytest.mark.parametrize("files", [["attempt.json"], ["process.json"], FILES], ids=["attempt", "process", "both"])
async def test_recorded_end(host: Host, files: list[str], content: bytes | None) -> None:
    """7.5, 3.4: the exit code is known all the same, and the damaged file is named."""
    spec = host.shell("exit 9")
    await host.finish(spec)
    await host.unsupervised(spec)
    for file in files:
        damage(host, spec, file, content)
    seen = await host.executor.observe(spec.attempt)
    assert seen.exit is not None and (seen.evidence, seen.exit.code, seen.processes_left) == (Evidence.ENDED, 9, 0)
    assert files[0] in seen.message and host.run(spec).path in seen.message
    assert not await host.executor.ensure_supervised(spec.attempt)
    await host.executor.release(spec.attempt, keep_record=True)
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ENDED
    reason = quarantine(str(host.runs), str(spec.attempt), "state-1")
    assert reason is not None and files[0] in reason


@pytest.mark.parametrize("files", [FILES[:1], FILES[1:], FILES], ids=["attempt", "process", "both"])
async def test_what_it_left_is_stopped_first(host: Host, files: list[str]) -> None:
    """7.5, 3.6: an end that nobody swept after holds its slot until what the command left is stopped."""
    spec = await unswept(host, f"setsid sleep 3011 & trap '' TERM; setsid sleep 3012 & echo begun; {HELD}; exit 9")
    for file in files:
        damage(host, spec, file)
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.processes_left) == (Evidence.ENDED, 2)
    await host.executor.stop(spec.attempt, "Sweep", 0)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.evidence, seen.exit.code) == (Evidence.ENDED, 9)
    assert not [pid for pid in scan() if has_marker(pid, str(spec.attempt))]
    story = journal.read(host.run(spec).journal)
    told, last = story.last("Damaged"), story.last("Ended")
    assert told is not None and files[0] in told["problem"]
    assert last is not None and last["durable"] is True


@pytest.mark.parametrize("file", FILES)
async def test_a_supervisor_at_work_is_waited_for(host: Host, file: str) -> None:
    """7.5: while `lock` is held the attempt is not over; while `recorder.lock` is, it has not ended."""
    spec = await unswept(host, f"echo begun; {HELD}; exit 9")
    damage(host, spec, file)
    lock = try_lock(host.run(spec).file("lock"))
    assert lock is not None
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.processes_left, seen.supervised) == (Evidence.ENDED, 1, True)
    recorder_lock = try_lock(host.run(spec).file("recorder.lock"))
    assert recorder_lock is not None
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.exit) == (Evidence.ALIVE, None)
    os.close(lock)
    os.close(recorder_lock)
    assert (await host.executor.observe(spec.attempt)).processes_left == 0


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("also", ["exit.json", "recorder.lock", "lock"])
async def test_less_is_no_proof(host: Host, file: str, also: str) -> None:
    """Design 1: missing or unreadable is never proof: without the exit record or a lock a person decides."""
    spec = host.shell("exit 9")
    await host.finish(spec)
    await host.unsupervised(spec)
    damage(host, spec, file)
    for content in (GARBAGE, None) if also == "exit.json" else (None,):
        damage(host, spec, also, content)
        seen = await host.executor.observe(spec.attempt)
        assert (seen.evidence, seen.exit) == (Evidence.UNKNOWN, None)
        assert file in seen.message


async def test_another_machine(host: Host) -> None:
    """Design 6: what was left on another machine is not seen from here, so an end there is not known to be over."""
    spec = host.shell("exit 9")
    await host.finish(spec)
    await host.unsupervised(spec)
    run = host.run(spec)
    attempt, process = run.read_attempt(), run.read_process()
    assert attempt is not None and process is not None
    elsewhere = replace(process, recorder=replace(process.recorder, machine="another"))
    for file, whole in (
        ("process.json", replace(attempt, machine="another").to_bytes()),
        ("attempt.json", elsewhere.to_bytes()),
    ):
        other = "attempt.json" if file == "process.json" else "process.json"
        damage(host, spec, file)
        damage(host, spec, other, whole)
        assert (await host.executor.observe(spec.attempt)).evidence is Evidence.UNKNOWN
    damage(host, spec, "process.json")
    damage(host, spec, "lock")
    seen = await host.executor.observe(spec.attempt)
    assert seen.evidence is Evidence.UNKNOWN  # nothing tells the machine


async def test_both_records_agree_on_their_form() -> None:
    """7.5: what these tests call damaged is damaged for the parsers."""
    for record in (Attempt, Process):
        with pytest.raises(ValueError, match="json"):
            record.from_bytes(GARBAGE)
        with pytest.raises(ValueError, match="json"):
            record.from_bytes(json.dumps({"version": 1}).encode())
