"""`hack/bench NAME`: run one benchmark, or all of them, and print the result.

Progress goes to stderr, so the JSON object is the last line of stdout in any case; with --json it is the only one.
Exit status 0 where it could be measured, whether or not the targets are met.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks import (
    callbacks,
    cluster,
    files,
    idle,
    journal,
    locks,
    memory,
    reattach,
    recovery,
    snapshot,
    throughput,
    workspace,
)
from benchmarks.result import MARKDOWN_HEAD, Result
from benchmarks.rig import Options

BENCHMARKS: dict[str, Callable[[Options], Coroutine[Any, Any, Result]]] = {
    "throughput": throughput.run,
    "recovery": recovery.run,
    "reattach": reattach.run,
    "memory": memory.run,
    "idle": idle.run,
    "files": files.run,
    "callbacks": callbacks.run,
    "locks": locks.run,
    "workspace": workspace.run,
    "audit": journal.run,
    "snapshot": snapshot.run,
    "cluster": cluster.run,
}
APART = ("cluster",)  # needs root, and takes a quarter of an hour: not part of all


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="hack/bench", description="Measure Holdfast on this machine.")
    parser.add_argument("name", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--jobs", type=int, metavar="N", help="a smaller run: at most N objects")
    parser.add_argument("--seconds", type=float, default=60, metavar="N", help="how long idle measures (default 60)")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="profile the controller, which slows it")
    parser.add_argument(
        "--part", action="append", choices=[*callbacks.PARTS], help="of callbacks: only this one; may be repeated"
    )
    given = parser.parse_args()
    profile = given.profile.absolute() if given.profile else None
    options = Options(given.jobs, given.seconds, profile, tuple(given.part or ()))
    wanted = [name for name in BENCHMARKS if name not in APART] if given.name == "all" else [given.name]
    results = [asyncio.run(_run(name, options)) for name in wanted]
    if not given.json:
        print(MARKDOWN_HEAD)
        for result in results:
            print(result.markdown())
        facts = results[0].machine
        print(f"\n{', '.join(f'{name}: {fact}' for name, fact in facts.items())}")
    print((results[0] if given.name != "all" else _together(results)).to_json())
    return 0


async def _run(name: str, options: Options) -> Result:
    """SIGTERM ends it as Ctrl-C does: everything that was started is stopped first."""
    work = asyncio.create_task(BENCHMARKS[name](options))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    return await work


def _together(results: list[Result]) -> Result:
    """One result of all; a figure's name begins with its benchmark's."""
    whole = Result("all", {}, machine=results[0].machine)
    for result in results:
        whole.targets |= {f"{result.name}_{name}": target for name, target in result.targets.items()}
        whole.figures |= {f"{result.name}_{name}": figure for name, figure in result.figures.items()}
    return whole


if __name__ == "__main__":
    sys.exit(main())
