"""`holdfast failures`: how jobs of queues and repositories failed, and what recovery saved (requirement 7.8).

Computed from the jobs by the functions that the controller uses for its statuses, so it is right also while none runs.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from controller.cli import tables, view
from controller.cli.moment import MOMENT
from controller.cli.session import Session, complete_queues, complete_repositories, note, with_session

if TYPE_CHECKING:  # 0.4 s of import that other commands do without
    from controller.decisions.patterns import JobFailures

Group = tuple[str, str, str]  # scope, namespace, name
DEFAULT_HOURS = 24


@click.command()
@click.option("--queue", metavar="QUEUE", help="Only jobs of QUEUE.", shell_complete=complete_queues)
@click.option(
    "--repository", metavar="NAME", help="Only jobs that use Repository NAME.", shell_complete=complete_repositories
)
@click.option("--since", type=MOMENT, metavar="TIME", help="Not before: 2h, or 2026-11-20T12:00:00Z; default: 24h.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Jobs of all namespaces.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="Form of the answer."
)
@with_session
def failures(
    session: Session,
    queue: str | None,
    repository: str | None,
    since: datetime | None,
    all_namespaces: bool,
    output: str,
) -> None:
    """Show how attempts of jobs failed, the most frequent way first, and what became of what recovery took up.

    Counted are jobs that still exist, each with its last six attempts.

    \b
      holdfast failures
      holdfast failures --queue nightly --since 7h
    """
    begin = since or datetime.now(UTC) - timedelta(hours=DEFAULT_HOURS)
    jobs = session.cluster.list("BatchJob", everywhere=all_namespaces)
    groups = _grouped(jobs, queue, repository)
    found = [line for group, known in sorted(groups.items()) if (line := _line(group, known, begin)) is not None]
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    if not found:
        click.echo(f"no failures since {begin.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    for number, line in enumerate(found):
        if number:
            click.echo()
        _show(line, all_namespaces)


def _grouped(jobs: Any, queue: str | None, repository: str | None) -> dict[Group, list[JobFailures]]:
    from pydantic import ValidationError

    from controller.api.batchjob import BatchJob
    from controller.decisions.patterns import of_job

    groups: dict[Group, list[JobFailures]] = defaultdict(list)
    for raw in jobs:
        try:
            job = BatchJob.model_validate(raw)
        except ValidationError as error:
            note(f"{view.name(raw)} is left out: {error.errors()[0]['msg']}")
            continue
        use = job.spec.repository.name if job.spec.repository is not None else None
        if queue not in (None, job.spec.queue) or repository not in (None, use) or not (known := of_job(job)):
            continue
        namespace = job.metadata.namespace
        if repository is None:
            groups["queue", namespace, job.spec.queue].append(known)
        if use is not None and queue is None:
            groups["repository", namespace, use].append(known)
    return groups


def _line(group: Group, known: list[JobFailures], since: datetime) -> dict[str, Any] | None:
    from controller.decisions.patterns import patterns, recovery

    found, recovered = patterns(known, since), recovery(known, since)
    if not found and not recovered.jobs:
        return None
    scope, namespace, name = group
    return {
        "scope": scope,
        "namespace": namespace,
        "name": name,
        "total": sum(pattern.count for pattern in found),
        "patterns": [pattern.to_json() for pattern in found],
        "recovery": {
            "jobs": recovered.jobs,
            "succeeded": recovered.succeeded,
            "failed": recovered.failed,
            "successPercent": recovered.percent,
            "medianSeconds": recovered.seconds,
        },
    }


def _show(line: dict[str, Any], everywhere: bool) -> None:
    name = f"{line['namespace']}/{line['name']}" if everywhere else line["name"]
    click.echo(f"{line['scope']} {tables.plain(name)}: {line['total']} failed; {_recovered(line['recovery'])}")
    now = datetime.now(UTC)
    rows = [
        [
            each["count"],
            each["reason"],
            each.get("exitCode", ""),
            each.get("signal", ""),
            view.age(each["lastTime"], now),
        ]
        for each in line["patterns"]
    ]
    if rows:
        tables.table(["COUNT", "REASON", "EXIT CODE", "SIGNAL", "LAST"], rows, indent=2)


def _recovered(found: dict[str, Any]) -> str:
    if not found["jobs"]:
        return "recovery took up none"
    open_ = found["jobs"] - found["succeeded"] - found["failed"]
    parts = [f"{found['succeeded']} succeeded", f"{found['failed']} failed"] + [f"{open_} not ended"] * bool(open_)
    seconds = found["medianSeconds"]
    after = f", running again {view.span(seconds)} after a loss" if seconds is not None else ""
    return f"recovery took up {found['jobs']}: {', '.join(parts)}{after}"
