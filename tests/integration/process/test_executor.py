"""One attempt from launch to end on a real host: outcomes, environment, output (requirements 2.6, 3.1-3.7)."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.errors import Terminal
from controller.executors.base import AttemptId, LaunchSpec
from controller.files import journal
from tests.integration.process.attempts import Host, command_lines, until


def record(seen: Observation) -> ExitRecord:
    """The exit record of an end."""
    assert seen.exit is not None
    return seen.exit


async def test_exit_code_output_and_wake_up(host: Host) -> None:
    """3.1, 3.2: the end arrives with code and output, and wakes the controller."""
    spec = host.shell("echo out; echo err >&2; exit 7")
    began = time.time()
    seen = await host.finish(spec)
    end = record(seen)
    assert (seen.evidence, end.code, end.signal, end.reason) == (Evidence.ENDED, 7, None, "")
    assert began - 1 < end.finished_at.timestamp() < time.time() + 1
    assert seen.started_at is not None and seen.started_at <= end.finished_at
    assert host.output(spec) == "out\nerr\n"
    assert seen.output_bytes == 8
    await until(lambda: host.woken == [spec.attempt], what="wake-up")


def libraries(program: str) -> list[str]:
    """What it is linked to beside the C library."""
    found = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30, check=True)
    return [line.split()[0] for line in found.stdout.splitlines() if "=> /" in line and "libc.so" not in line]


async def test_libraries_of_the_job_are_not_the_recorders(host: Host, tmp_path: Path) -> None:
    """3.4: what it tells the dynamic loader breaks tools of the recorder; the end is recorded all the same."""
    needed = await asyncio.to_thread(libraries, shutil.which("mv") or "mv")
    assert needed, "mv needs no library that a test could break"
    for name in needed:
        (tmp_path / name).write_text("no library")
    spec = host.shell("mv --version; echo ran; exit 7", env={"LD_LIBRARY_PATH": str(tmp_path)})
    end = record(await host.finish(spec))
    assert (end.code, end.reason) == (7, "")
    assert "ran" in host.output(spec) and "GNU" not in host.output(spec)


async def test_while_it_runs(host: Host) -> None:
    """3.3: a running attempt is ALIVE and supervised; its output is readable at once."""
    spec = host.shell("echo begun; sleep 60")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.supervised, seen.stop_requested, seen.exit) == (Evidence.ALIVE, True, False, None)
    await host.executor.stop(spec.attempt, "Canceled", 5)
    await host.end(spec)


async def test_clean_environment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.7: nothing of the controller's environment reaches a job but the base of design 6; the spec's variables do."""
    monkeypatch.setenv("KUBECONFIG", "/controller/secret")
    spec = host.command(
        "/usr/bin/env", "-0", env={"LANG": "de_DE.UTF-8", "A": "one\ntwo", "HOLDFAST_ATTEMPT": "forged"}
    )
    assert record(await host.finish(spec)).code == 0
    env = dict(item.split("=", 1) for item in host.output(spec).split("\0") if item)
    path = host.run(spec).path
    assert env == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "de_DE.UTF-8",
        "TMPDIR": f"{path}/tmp",
        "HOME": f"{path}/home",
        "PWD": f"{path}/work",
        "A": "one\ntwo",
        "HOLDFAST_NAMESPACE": "default",
        "HOLDFAST_JOB": spec.job,
        "HOLDFAST_ATTEMPT": str(spec.attempt),
    }


async def test_secret_values_are_nowhere(host: Host) -> None:
    """3.7: a secret value reaches the job and no file, command line or journal."""
    secret = "hunter2-5f1c"
    spec = host.shell('test "$TOKEN" = hunter2-"5f1c" && echo right && sleep 60', secret_env={"TOKEN": secret})
    await host.executor.launch(spec)
    await host.printed(spec, "right")
    for path in host.runs.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert not any(secret.encode() in line for line in command_lines())
    await host.executor.stop(spec.attempt, "Canceled", 5)
    await host.end(spec)


async def test_signals_descriptors_and_oom_score(host: Host) -> None:
    """3.7: default signals, stdin at its end, no foreign descriptors, and the kernel takes the command first."""
    script = """
        set -e
        grep -E '^Sig(Ign|Blk):' /proc/self/status
        ls /proc/$$/fd
        readlink /proc/$$/fd/0
        cat /proc/$PPID/oom_score_adj /proc/$$/oom_score_adj
        ulimit -n
    """
    spec = host.shell(script, open_files=77)
    assert record(await host.finish(spec)).code == 0
    lines = host.output(spec).split("\n")[:-1]
    # 32 and 33 belong to the C library, which lets nobody change them: they are as the test runner got them.
    assert lines[0] == "SigBlk:\t" + "0" * 16
    assert int(lines[1].removeprefix("SigIgn:\t"), 16) & ~(0b11 << 31) == 0
    assert [line for line in lines[2:6] if line.isdigit()] == ["0", "1", "2"]
    assert "/dev/null" in lines
    assert int(lines[-2]) > int(lines[-3])
    assert lines[-1] == "77"


async def seconds(host: Host, spec: LaunchSpec) -> float:
    """How long an attempt takes from launch to end."""
    began = time.monotonic()
    await host.finish(spec)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("argv", "fields", "reason"),
    [
        (["no-such-command"], {}, "CommandNotFound"),
        (["/no/such/file"], {}, "CommandNotFound"),
        (["./text"], {}, "NotExecutable"),
        (["/tmp"], {}, "NotExecutable"),
        (["./script"], {}, "CommandNotFound"),
        (["/bin/true"], {"working_dir": "/no/such/place"}, "BadWorkingDirectory"),
        (["/bin/true"], {"working_dir": "/etc/passwd"}, "BadWorkingDirectory"),
        (["/bin/true", "x" * 200_000], {}, "ArgumentListTooLong"),
        (["/bin/true", "a\0b"], {}, "InvalidSpec"),
        (["/bin/true"], {"env": {"A": "\0"}}, "InvalidSpec"),
        ([""], {}, "CommandNotFound"),
    ],
)
async def test_what_cannot_start_says_why(
    host: Host, tmp_path: Path, argv: list[str], fields: dict[str, object], reason: str
) -> None:
    """Issue "bad input": Failed with reason and message within a second, never a bare 127."""
    (tmp_path / "text").write_text("no program")
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    (tmp_path / "script").chmod(0o755)
    spec = host.command(*argv, **{"working_dir": str(tmp_path), **fields})
    seen = await host.finish(spec)
    again = partial(host.command, *argv, **{"working_dir": str(tmp_path), **fields})
    # The quickest of some: a machine may stand still for a moment, a wait of ours would be in each of them.
    usual = min([await seconds(host, host.command("/bin/true")) for _ in range(3)])
    assert min([await seconds(host, again()) for _ in range(5)]) < max(1, 3 * usual), "no longer than three plain jobs"
    assert (seen.evidence, record(seen).reason) == (Evidence.NEVER_STARTED, reason)
    assert record(seen).message and record(seen).code is None
    assert len((Path(host.run(spec).path) / "exit.json").read_bytes()) == 256


async def test_a_command_of_the_jobs_path(host: Host, tmp_path: Path) -> None:
    """3.7: the search path is the job's, also where it holds none of the recorder's own tools."""
    (tmp_path / "tool").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "tool").chmod(0o755)
    spec = host.command("tool", env={"PATH": str(tmp_path)})
    assert record(await host.finish(spec)).code == 3


async def test_odd_words_arrive_unchanged(host: Host) -> None:
    """2.6: arguments are words, never read again by a shell."""
    words = ["", " a  b ", "$HOME", "`id`", "*", "-n", "ü\n", "'\"\\", "x" * 100_000]
    spec = host.command("/usr/bin/env", "printf", "%s\\0", *words)
    assert record(await host.finish(spec)).code == 0
    assert host.output(spec).split("\0")[:-1] == words


async def test_impossible_names_are_refused(host: Host, tmp_path: Path) -> None:
    """7.6: an attempt whose name would leave the state directory is refused, nothing is made."""
    spec = LaunchSpec(AttemptId("../evil", 1), "default", "evil", ["/bin/true"])
    with pytest.raises(Terminal):
        await host.executor.launch(spec)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


async def test_kill_minus_nine_zero(host: Host) -> None:
    """3.4: a job that kills its own group does not reach its recorder: the code is there."""
    seen = await host.finish(host.shell("kill -9 0"))
    assert (seen.evidence, record(seen).code, record(seen).signal) == (Evidence.ENDED, 137, None)


async def test_killing_the_parent_politely(host: Host) -> None:
    """3.4: signals that can be caught do not end the recorder."""
    script = "for s in HUP INT QUIT TERM USR1 USR2 ALRM PIPE; do kill -$s $PPID; done; sleep 0.1; exit 5"
    assert record(await host.finish(host.shell(script))).code == 5


async def test_an_exit_code_above_128_is_no_signal(host: Host) -> None:
    """Design 6: a code above 128 names a signal only where we stopped or reaped the command."""
    end = record(await host.finish(host.shell("exit 143")))
    assert (end.code, end.signal, end.reason) == (143, None, "")


async def test_output_that_is_no_text(host: Host) -> None:
    """3.2: invalid UTF-8, NUL and a missing newline are kept byte for byte."""
    spec = host.shell(r"printf '\377\000\376no newline'")
    await host.finish(spec)
    assert Path(host.run(spec).output).read_bytes() == b"\xff\x00\xfeno newline"


async def test_a_job_that_closes_its_output(host: Host) -> None:
    """3.2: closing stdout and stderr ends nothing."""
    assert record(await host.finish(host.shell("exec >&- 2>&-; sleep 0.2; exit 4"))).code == 4


async def test_a_job_that_reopens_its_output(host: Host) -> None:
    """Design 6: a shrunken output file is noticed and journalled."""
    script = "while :; do head -c 100000 /dev/zero; sleep 1; : >/dev/stderr; sleep 1; done"  # until both were seen
    spec = host.shell(script, output_bytes=200_000)
    await host.executor.launch(spec)
    await until(lambda: journal.read(host.run(spec).journal).last("OutputTruncated"), what="the note in the journal")
    await host.executor.stop(spec.attempt, "Canceled", 1)
    await host.end(spec)


async def test_started_again_after_the_end(host: Host) -> None:
    """2.6: launching twice, also after the end, runs the command once."""
    spec = host.shell("echo ran >&2")
    await host.finish(spec)
    await host.executor.launch(spec)
    await host.end(spec)
    assert host.output(spec) == "ran\n"


async def test_stdout_of_a_job_gets_sigpipe(host: Host) -> None:
    """3.7: SIGPIPE is the default again: `yes | head` ends by itself."""
    spec = host.shell("yes | head -n1; exit 6")
    assert record(await host.finish(spec)).code == 6
