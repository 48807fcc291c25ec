"""Jobs that run for long: making them, and finding their processes by their run directories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig import Rig, names
from controller.executors.process.identity import Identity, Verdict, compare
from controller.executors.process.rundir import RunDir

NAMESPACE = "running"
COMMAND = ["sleep", "86400"]


@dataclass(frozen=True)
class Processes:
    """Of one attempt."""

    supervisor: Identity
    recorder: Identity
    command: Identity

    @property
    def alive(self) -> bool:
        """Whether all three are the same processes as when this was read."""
        return all(compare(one) is Verdict.SAME for one in (self.supervisor, self.recorder, self.command))


async def start(bench: Rig, count: int) -> dict[str, Processes]:
    """Make `count` jobs and wait until all are recorded as Running; returns their processes by attempt."""
    await bench.namespace(NAMESPACE)
    await bench.queue(NAMESPACE, count)
    await bench.create(NAMESPACE, names(count), COMMAND)
    await bench.until(NAMESPACE, "all jobs run", ("Running",), 0, count)
    return found(bench.home)


def found(home: Path) -> dict[str, Processes]:
    """The processes of every attempt that has a command."""
    all_of_them = {}
    for path in (home / "runs").iterdir():
        if path.name.startswith("."):
            continue
        run = RunDir(str(path))
        process, supervisor = run.read_process(), run.read_supervisor()
        command = None if process is None else run.read_command(process)
        if process is not None and supervisor is not None and command is not None:
            all_of_them[path.name] = Processes(supervisor, process.recorder, command)
    return all_of_them
