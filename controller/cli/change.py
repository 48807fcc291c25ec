"""`holdfast cancel`, `suspend`, `resume`: one field of the spec each; the controller does the rest.

They need no controller: what they declare is carried out when one runs.
"""

from __future__ import annotations

from typing import Any

import click

from controller.cli import tables, view
from controller.cli.session import Failure, Session, complete_jobs, note, with_session
from controller.errors import HoldfastError

JOBS = click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_jobs)


@click.command()
@JOBS
@with_session
def cancel(session: Session, jobs: tuple[str, ...]) -> None:
    """End JOBs for good: a running one is stopped (TERM, grace period, KILL). Cannot be undone; see `rerun`."""
    _each(session, jobs, "cancel", True, "canceled")


@click.command()
@JOBS
@with_session
def suspend(session: Session, jobs: tuple[str, ...]) -> None:
    """Hold JOBs back until `resume`: a running attempt is stopped; this costs no retry."""
    _each(session, jobs, "suspend", True, "suspended")


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB...]", shell_complete=complete_jobs)
@click.option("--restored", is_flag=True, help="All jobs that `holdfast restore` had suspended, and nobody else.")
@click.option("-A", "--all-namespaces", is_flag=True, help="With --restored: of all namespaces.")
@click.option("--dry-run", is_flag=True, help="With --restored: only list them, and what is known of each.")
@with_session
def resume(session: Session, jobs: tuple[str, ...], restored: bool, all_namespaces: bool, dry_run: bool) -> None:
    """Let suspended JOBs go on, with a new attempt where one had begun.

    \b
      holdfast resume build-x7k2p
      holdfast resume --restored --all-namespaces --dry-run
    """
    if restored == bool(jobs) or (not restored and (all_namespaces or dry_run)):
        raise click.UsageError("give the names of jobs, or --restored, which the other options go with")
    if restored:
        _restored(session, all_namespaces, dry_run)
    else:
        _each(session, jobs, "suspend", False, "resumed")


def _restored(session: Session, everywhere: bool, dry_run: bool) -> None:
    """One that was resumed and suspended again is a person's, and stays."""
    from controller.api.restored import REASON, RESUMABLE  # with the API models, which other commands do without

    listed = list(session.cluster.list("BatchJob", everywhere=everywhere, labels=RESUMABLE))
    found = [job for job in listed if job["spec"].get("suspend") and view.status(job).get("reason") == REASON]
    if dry_run:
        rows = [(job["metadata"]["namespace"], view.name(job), _known(job)) for job in found]
        tables.table(("NAMESPACE", "JOB", "KNOWN OF IT"), rows)
        return
    problems = []
    for job in found:
        session.cluster.namespace = job["metadata"]["namespace"]
        try:
            session.cluster.patch("BatchJob", view.name(job), {"spec": {"suspend": False}})
        except HoldfastError as error:
            problems.append(error.message)
            continue
        click.echo(f"batchjob.holdfast.dev/{view.name(job)} resumed")
    click.echo(f"{len(found) - len(problems)} restored jobs resumed, {len(problems)} could not be")
    _fail_with(problems)


def _known(job: dict[str, Any]) -> str:
    return str((view.condition(job, "Restored") or {}).get("message", ""))


def _each(session: Session, jobs: tuple[str, ...], field: str, value: bool, done: str) -> None:
    """Change every job that can be changed, then fail if one could not."""
    problems = []
    for name in jobs:
        try:
            click.echo(f"batchjob.holdfast.dev/{name} {_change(session, name, field, value, done)}")
        except HoldfastError as error:
            problems.append(error.message)
    _fail_with(problems)


def _fail_with(problems: list[str]) -> None:
    for problem in problems[:-1]:
        note(problem)
    if problems:
        raise Failure(problems[-1])


def _change(session: Session, name: str, field: str, value: bool, done: str) -> str:
    job = session.cluster.get("BatchJob", name)
    if view.ended(job):
        return f"had ended already: {view.why(job)}"
    if bool(job["spec"].get(field, False)) is value:
        return f"was {done} already" if value else "is not suspended"
    session.cluster.patch("BatchJob", name, {"spec": {field: value}})
    return done
