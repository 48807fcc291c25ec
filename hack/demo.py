"""Show what Holdfast is for: real work, a real outage in the middle, and a table that proves what became of it.

Run it as hack/demo, which sets everything up first. Exit status 0 only if every line of the table is right. It uses a
state directory of its own and removes it at the end, also on Ctrl-C.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

from demonstration import proof, upstream_proof, work
from demonstration.proof import Expected, Look, Row
from demonstration.sharing import Sharing
from demonstration.stage import COMMAND_SECONDS, DemoFailed, Stage, kill_pid, kill_supervisor, wait_for
from rich.console import Console

from controller.local import binaries
from controller.settings import Settings

LIMIT_SECONDS = 540  # a demo that hangs must end, also on a slow machine
WIDTH = 150
TESTS_SECONDS = 24.0
VICTIM = "compress"  # its supervisor is killed
EXPECTED = {
    "run-tests": Expected(lived_through=True, grew=(True, True, True)),
    "compress": Expected(lived_through=True, grew=(True, True, True)),
    "search-primes": Expected("Canceled", 143, lived_through=True, grew=(True, True, True)),
    "check-deliveries": Expected("Failed", 7, grew=(True, True, False)),
    **{f"checksum-{number}": Expected() for number in range(1, work.SHORT_JOBS + 1)},
}


class Demo:
    """One run, step by step. `say` tells each step in plain words."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._console = console
        self._began = time.monotonic()
        self._starting: subprocess.Popen[str] | None = None
        self._sharing: Sharing

    def say(self, text: str) -> None:
        """One step, with the seconds since the start."""
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  {text}", highlight=False)

    def run(self) -> bool:
        """The whole story; returns whether every line is right."""
        given = self._set_up()
        self._apply(given)
        jobs = self._stage.jobs()
        before = self._looks(jobs)
        old = self._outage(jobs, given)
        back = self._looks(jobs)
        new = self._stage.components()
        self._go_on(given)
        rows = self._judge(given, before, back)
        self._console.print(proof.table(rows))
        wrong = [row.name for row in rows if row.problems] + self._judge_sharing()
        wrong += self._judge_components(old, new) + self._judge_queue(given)
        self.say(f"[red]NOT as promised: {'; '.join(wrong)}" if wrong else "[green]Every line is right.")
        return not wrong

    def clean_up(self) -> None:
        """Stop everything and remove the files. A start that was interrupted is waited for: it may be just about to
        make what would otherwise be left over."""
        self.say("Cleaning up: holdfast down --stop-jobs")
        if self._starting is not None and self._starting.poll() is None:
            self._starting.communicate(timeout=COMMAND_SECONDS)
        self._stage.holdfast("down", "--stop-jobs")
        shutil.rmtree(self._stage.root)

    def _set_up(self) -> work.Work:
        self.say("Starting a Kubernetes API server, etcd and the controller in a state directory of their own:")
        self.say(f"  HOLDFAST_HOME={self._stage.home} holdfast up --detach")
        self._starting = starting = self._stage.start_up()
        self.say("Meanwhile making work: a Python project with tests, a lot of text, an inbox, two git repositories.")
        given = work.make(self._stage.files)
        self._sharing = Sharing(self._stage, self._stage.files / "repositories", self.say)
        told, _ = starting.communicate(timeout=COMMAND_SECONDS)
        if starting.returncode != 0:
            raise DemoFailed(f"holdfast up: exit code {starting.returncode}\n{told}")
        took = time.monotonic() - self._began
        self.say(f"All is up; the text has {given.size >> 20} MiB.")
        # The tests are to last longer than the outage, which on a slow machine takes as long as this start.
        return given.with_tests(max(TESTS_SECONDS, 2.5 * took))

    def _apply(self, given: work.Work) -> None:
        manifests = [*given.manifests(), *self._sharing.manifests()]
        for number in (1, 2):
            given.deliver(number)
        self._stage.kubectl("apply", "-f", "-", given="\n---\n".join(json.dumps(item) for item in manifests))
        jobs = sum(item["kind"] == "BatchJob" for item in manifests)
        self.say(f"kubectl apply: {jobs} jobs, {work.SHORT_JOBS} in a queue that runs {work.QUEUE_LIMIT} at once,")
        self.say(
            f"  {len(upstream_proof.STORIES)} on two repositories. Waiting until the long ones work, the first short"
        )
        self.say("  one is done, and one holds a repository that another one waits for.")
        long = [name for name, expected in EXPECTED.items() if not name.startswith("checksum")]

        def working() -> bool:
            jobs = self._stage.jobs()
            looks = self._looks(jobs)
            done = jobs["checksum-1"].get("status", {}).get("phase") == "Succeeded"
            return done and all(looks[name].process is not None and looks[name].output > 0 for name in long)

        wait_for(working, 120, "every long job has output and the first short one is done")
        wait_for(self._sharing.working, 120, "one job holds a repository and another one waits for it")
        self._sharing.show()

    def _outage(self, jobs: dict[str, Any], given: work.Work) -> dict[str, Any]:
        """Kill three parts at once, see work go on without them, wait until all is back."""
        found = self._stage.components()
        self._sharing.before()
        began = time.monotonic()
        kill_pid(found["controller"]["pid"])
        supervisor = kill_supervisor(self._stage.run_directory(jobs[VICTIM]))
        kill_pid(found["apiserver"]["pid"])
        self.say(
            "[bold]SIGKILL[/bold]: "
            f"the controller (pid {found['controller']['pid']}), the supervisor of "
            f"{VICTIM} (pid {supervisor}), the API server (pid {found['apiserver']['pid']})."
        )
        self._sharing.killed()
        for number in (3, 4):
            given.deliver(number)
        self.say("While nobody watches, a damaged delivery comes in: check-deliveries will end with exit code 7.")
        run = self._stage.run_directory(jobs["check-deliveries"])
        wait_for(lambda: run.exists("exit.json"), 60, "check-deliveries ended by itself")
        self._wait_until_back()
        self.say(f"All is back after {time.monotonic() - began:.1f} s. Nobody touched the jobs.")
        self._sharing.back()
        return found

    def _wait_until_back(self) -> None:
        try:
            wait_for(lambda: not self._stage.why_not_ready(), 180, "controller and API server are back")
        except DemoFailed as error:
            raise DemoFailed(f"{error}: {self._stage.why_not_ready()}") from error

    def _go_on(self, given: work.Work) -> None:
        self._sharing.go_on()
        self.say("Cancelling search-primes: kubectl patch … {spec: {cancel: true}}")
        patch = json.dumps({"spec": {"cancel": True}})
        printed = self._primes()
        wait_for(lambda: self._primes() > printed, 60, "search-primes printed something after the outage")
        self._stage.kubectl("patch", "batchjob", "search-primes", "--type=merge", "-p", patch)
        self.say("Waiting for the rest to finish.")
        wait_for(lambda: all(_finished(job) for job in self._stage.jobs().values()), 240, "every job has ended")

    def _primes(self) -> int:
        return proof.look(self._stage.run_directory(self._stage.jobs()["search-primes"])).output

    def _looks(self, jobs: dict[str, Any]) -> dict[str, Look]:
        return {name: proof.look(self._stage.run_directory(job)) for name, job in jobs.items()}

    def _judge(self, given: work.Work, before: dict[str, Look], back: dict[str, Look]) -> list[Row]:
        jobs, ledger, rows = self._stage.jobs(), given.read_ledger(), []
        for name, expected in EXPECTED.items():
            signed = [line for line in ledger if line.job == name and line.what == "start"]
            text = Path(self._stage.run_directory(jobs[name]).output).read_bytes()
            rows.append(
                Row(
                    name=name,
                    expected=expected,
                    before=before[name],
                    back=back[name],
                    starts=len(signed),
                    pids=frozenset(line.pid for line in signed),
                    status=jobs[name].get("status", {}),
                    output=len(text),
                    other=_results(name, text.decode(), given),
                )
            )
        return rows

    def _judge_sharing(self) -> list[str]:
        lines, wrong = self._sharing.judge(self._stage.jobs())
        self._console.print(self._sharing.table(lines))
        return [line.name for line in lines if line.problems] + wrong

    def _judge_components(self, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
        wrong = []
        for name in ("controller", "apiserver"):
            self.say(
                f"{name}: pid {old[name]['pid']} before, {new[name]['pid']} after, restarts {new[name]['restarts']}"
            )
            if new[name]["pid"] == old[name]["pid"] or new[name]["restarts"] < 1:
                wrong.append(f"the {name} was not restarted")
        return wrong

    def _judge_queue(self, given: work.Work) -> list[str]:
        most = work.most_at_once(given.read_ledger(), "checksum-")
        self.say(f"queue {work.QUEUE}: at most {most} at once by the jobs' own account, limit {work.QUEUE_LIMIT}")
        return [] if 0 < most <= work.QUEUE_LIMIT else [f"{most} jobs at once in queue {work.QUEUE}"]


def _finished(job: dict[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(found["type"] == "Finished" and found["status"] == "True" for found in conditions)


def _results(name: str, text: str, given: work.Work) -> tuple[str, ...]:
    """What is wrong with the job's results: work that was cut off, repeated or mixed up shows here."""
    right = {
        "run-tests": lambda: text.count(f"Ran {given.tests} tests") == 1 and text.endswith("\nOK\n"),
        "compress": lambda: work.archive_holds(given),
        "search-primes": lambda: "primes below" in text,
        "check-deliveries": lambda: text.splitlines()[-1].startswith(f"{work.BAD_DELIVERY} is damaged"),
    }.get(name, lambda: text.split()[:1] == [given.digest])
    return () if right() else ("its results are not right",)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    """Run the demo, clean up, and say how long it took."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    found = binaries.find_or_make(Settings().cache, lambda text: console.print(text, highlight=False))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _interrupt)
    signal.alarm(LIMIT_SECONDS)
    stage = Stage(Path(tempfile.mkdtemp(prefix="holdfast-demo-")), found.kubectl)
    demo = Demo(stage, console)
    right = False
    try:
        right = demo.run()
    except KeyboardInterrupt as error:
        demo.say(f"[red]interrupted ({error or 'Ctrl-C'})")
    except (DemoFailed, subprocess.TimeoutExpired) as error:
        demo.say(f"[red]{error}")
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        demo.clean_up()
        demo.say("Done." if right else "[red]The demo failed.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
