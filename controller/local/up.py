"""`holdfast up`: one process that holds the home's lock and keeps the plane and the controller running.

In the foreground it ends on SIGTERM or SIGINT, in order; jobs go on. Detached it is the same process in its own
session, and the caller waits until it is ready or tells why it is not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controller.errors import Terminal, Transient, Waiting
from controller.executors.process import identity
from controller.local import binaries, logs, records
from controller.local.components import controller_url
from controller.local.home import Home
from controller.local.plane import Plane
from controller.local.process import spawn
from controller.local.records import Record, State

CONTROLLER_SECONDS = 90.0
DETACH_SECONDS = 240.0
POLL_SECONDS = 0.1
LOOK_AGAIN_SECONDS = 3.0  # at its records; less than `down` waits for an `up` that did not record itself yet

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What a person may choose.

    Args:
        home: HOLDFAST_HOME.
        cache: where the binaries are kept.
        concurrency: how many attempts run at once on this host.
        controller: False where somebody runs the controller by hand.
        audit_log: file for one JSON line per API request, or None.
    """

    home: Path
    cache: Path
    concurrency: int
    controller: bool = True
    audit_log: Path | None = None

    def arguments(self) -> list[str]:
        """The command line that gives the same options; home and cache travel in the environment."""
        found = ["--concurrency", str(self.concurrency)]
        if not self.controller:
            found.append("--no-controller")
        if self.audit_log is not None:
            found += ["--audit-log", str(self.audit_log)]
        return found


def foreground(options: UpOptions, say: Say) -> None:
    """Come up and stay until SIGTERM or SIGINT.

    Raises:
        Waiting: it is up already.
        Terminal, Transient: it cannot come up; nothing is left running.
    """
    home = Home.at(options.home)
    home.prepare()
    found = binaries.find_or_make(options.cache, say)
    asyncio.run(_Up(options, home, found, say).run())


class _Up:
    """One life of the process: what it says is also kept in its record, for `status` and for a detached start."""

    def __init__(self, options: UpOptions, home: Home, found: binaries.Binaries, say: Say) -> None:
        self._home = home
        self._say_to_person = say
        self._controller = options.controller
        self._notices: list[str] = []
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._stop = asyncio.Event()
        self._plane = Plane(
            options.home,
            found,
            audit_log=options.audit_log,
            controller=options.concurrency if options.controller else None,
            say=self._say,
        )

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        self._plane.acquire()
        self._record(State.STARTING)
        life = asyncio.create_task(self._live())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not life.done():
            self._tell("stopping; running jobs go on")
            life.cancel()
        stop.cancel()
        # A start that is cancelled stops what it had started before it ends.
        await asyncio.gather(life, return_exceptions=True)
        if not life.cancelled() and (error := life.exception()) is not None:
            raise error

    async def _live(self) -> None:
        async with self._plane:
            try:
                problem = await self._plane.wait_ready("controller", CONTROLLER_SECONDS) if self._controller else None
                while problem is not None:
                    self._say(problem)
                    self._record(State.UNREADY)
                    self._plane.check()
                    problem = await self._plane.wait_ready("controller", CONTROLLER_SECONDS)
                self._record(State.RUNNING)
                self._tell(summary(self._home))
                await self._stay()
            finally:
                self._record(State.STOPPING)

    async def _stay(self) -> None:
        """What others read of us stays readable: `down`, `status` and another `up` find us by it.

        Raises:
            Transient: nobody looks after a server any more; it is better to end than to look as if all were well.
        """
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            self._plane.check()
            self._plane.mend_records()
            if records.read(self._home.record("up")) is None:
                self._record(State.RUNNING)

    def _say(self, message: str) -> None:
        self._notices = [*self._notices[-9:], message]
        self._tell(message)

    def _tell(self, message: str) -> None:
        # Its terminal may be gone, or its log be on the full disk that the message is about.
        with suppress(OSError):
            self._say_to_person(message)

    def _record(self, state: State) -> None:
        record = Record("up", state, identity.of_self(), started_at=self._started_at, message="\n".join(self._notices))
        try:
            records.write(self._home.record("up"), record)
        except OSError as error:
            self._tell(f"cannot record the state of up: {error}")


def detached(options: UpOptions, say: Say) -> None:
    """Make sure that it is up, and return when it is ready; one that is stopping is waited for, then another started.

    Raises:
        Terminal, Transient: it does not come up; the message ends with the last log lines of what failed.
    """
    home = Home.at(options.home)
    home.prepare()
    # Here, where a person sees the progress; the detached process then finds them in the cache.
    binaries.find_or_make(options.cache, say)
    notices = _await_ready(options, home, say)
    if notices:
        say(notices)
    say(summary(home))


def _spawn(options: UpOptions, home: Home) -> subprocess.Popen[bytes]:
    path = home.log("up")
    with suppress(OSError):  # a start is worth more than the lines of earlier ones
        logs.bound(path)
    argv = [sys.executable, "-P", "-m", "controller.cli.main", "up", *options.arguments()]
    env = {**os.environ, "HOLDFAST_HOME": str(home.path), "HOLDFAST_CACHE": str(options.cache.absolute())}
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return spawn(argv, home.path, env, fd)
    finally:
        os.close(fd)


def _await_ready(options: UpOptions, home: Home, say: Say) -> str:
    """Wait until `up` is ready, and start one where none is left; returns what ours had to say on the way."""
    deadline = time.monotonic() + DETACH_SECONDS
    child, was_ours, told = None, False, ""
    while time.monotonic() < deadline:
        last = records.read(home.record("up"))
        record = last if last is not None and last.alive else None
        if child is not None:
            # Also where it has ended since: its record outlives it.
            was_ours = was_ours or (last is not None and last.process is not None and last.process.pid == child.pid)
        elif record is None:
            child = _spawn(options, home)
        elif (text := _found(record)) != told:
            say(text)
            told = text
        # A child beside one that is up ends by itself. It is waited for: it would follow one that is killed next.
        found = record if child is None or was_ours else None
        if found is not None and found.state is State.RUNNING:
            return found.message if was_ours else ""
        if found is not None and found.state is State.UNREADY:
            raise Transient(
                "ControllerNotReady",
                f"{found.message}\nThe control plane is up and goes on trying; `holdfast down` stops it",
            )
        if child is not None and (code := child.poll()) is not None:
            _check_end(home, code, was_ours)
            child = None  # another one was faster; it is waited for
        time.sleep(POLL_SECONDS)
    raise Transient("UpTooSlow", f"not ready within {DETACH_SECONDS:.0f} s; see {home.logs}")


def _check_end(home: Home, code: int, was_up: bool) -> None:
    """Raises Terminal where our process failed or was stopped; otherwise it only found another one at work."""
    if code != 0:
        lines = logs.last_lines(logs.since(home.log("up"), 0), 20)
        raise Terminal("UpFailed", f"up ended with exit code {code}; the end of {home.log('up')}:\n{lines}")
    if was_up:
        raise Terminal("UpStopped", "up was stopped while it started, as `holdfast down` does")


def _found(record: Record) -> str:
    return "an earlier `up` is stopping, waiting for its end" if record.state is State.STOPPING else "already up"


def _running(home: Home) -> Record | None:
    record = records.read(home.record("up"))
    return record if record is not None and record.alive else None


def summary(home: Home) -> str:
    """What a person wants to know when it is ready: where, and the next step."""
    url = controller_url(home)
    lines = [
        "Holdfast is up.",
        f"  home        {home.path}",
        f"  kubeconfig  {home.kubeconfig}",
        *([f"  controller  {url}"] if url is not None else []),
        "Jobs run as the user of this process and are trusted with all that it can do.",
        f"Next: export KUBECONFIG={home.kubeconfig}",
        "      holdfast run -- echo hello",
    ]
    return "\n".join(lines)


def already_up(home: Path, error: Waiting) -> str:
    """What to say where another `up` holds the home."""
    found = Home.at(home)
    record = _running(found)
    state = "" if record is None else f" (pid {record.process.pid if record.process else '?'}, {record.state})"
    return f"already up{state}: {error.message}"
