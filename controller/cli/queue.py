"""`holdfast queue`: who waits, in exact order, and when each will probably start (requirement 2.2).

Computed from the objects by the functions that the controller decides with, so it is right also while none runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from controller.cli import tables, view
from controller.cli.machine import machine
from controller.cli.session import Failure, Session, complete_queues, with_session


@click.command()
@click.argument("queue", required=False, shell_complete=complete_queues)
@click.option("-A", "--all-namespaces", is_flag=True, help="Queues of all namespaces.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", help="Form of the list."
)
@with_session
def queue(session: Session, queue: str | None, all_namespaces: bool, output: str) -> None:
    """Show the waiting jobs of QUEUE (default: of every queue) in the order in which they start.

    POSITION 1 is next. STARTS is an estimate from the run times of the queue's last jobs. Jobs without a position were
    started already: an outside queue such as Kueue holds them.
    """
    from controller.cli.lines import lines  # with the API models, 0.4 s of import that other commands do without

    jobs = list(session.cluster.list("BatchJob", everywhere=all_namespaces))
    queues = list(session.cluster.list("JobQueue", everywhere=all_namespaces))
    now = datetime.now(UTC)
    found = [line for line in lines(jobs, queues, machine(), now) if queue in (None, line["queue"])]
    if queue is not None and not found:
        known = ", ".join(sorted(item["metadata"]["name"] for item in queues)) or "none but default"
        raise Failure(
            f"no JobQueue {queue} in namespace {session.cluster.namespace}, and no job waits for it; there is {known}"
        )
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    _print(found, all_namespaces, output == "wide", now)


def _print(lines: list[dict[str, Any]], everywhere: bool, wide: bool, now: datetime) -> None:
    for number, line in enumerate(lines):
        if number:
            click.echo()
        click.echo(_headline(line, everywhere))
        if line["waiting"] or line["heldOutside"]:
            header = ["POSITION", "NAME", "PRIORITY", "STARTS", "WAITING FOR", "AGE"] + ["SEQUENCE", "UID"] * wide
            tables.table(header, list(_rows(line, wide, now)), indent=2)


def _headline(line: dict[str, Any], everywhere: bool) -> str:
    name = f"{line['namespace']}/{line['queue']}" if everywhere else line["queue"]
    limit = line["concurrency"]
    parts = [
        f"{line['running']} running",
        *([f"{line['outside']} started without a slot, by outside queues"] if line["outside"] else []),
        f"{len(line['waiting'])} waiting",
        f"concurrency {limit}" if limit is not None else "concurrency of the host",
    ]
    if not line["exists"]:
        parts.append("this JobQueue does not exist: its jobs wait until it is created")
    if line["paused"]:
        parts.append("paused")
    if line["ramping"]:
        parts.append("starts slowly after a start of the controller")
    return f"{tables.plain(name)}: {', '.join(parts)}"


def _rows(line: dict[str, Any], wide: bool, now: datetime) -> Iterator[list[Any]]:
    for job in (*line["waiting"], *line["heldOutside"]):
        starts, outside = job["estimatedStartTime"], job["outsideQueue"]
        held = line["paused"] and job["position"] is not None
        row = [
            "-" if job["position"] is None else job["position"],
            job["name"],
            job["priority"],
            view.age(starts, now) if starts else "not while paused" if held else "unknown",
            f"outside queue {outside}" if job["position"] is None else job["reason"],
            view.age(job["created"], now),
        ]
        yield row + ([job["sequence"], job["uid"]] if wide else [])
