"""`holdfast cancel`, `suspend`, `resume`: one field of the spec each; the controller does the rest.

They need no controller: what they declare is carried out when one runs.
"""

from __future__ import annotations

import click

from controller.cli import view
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
@JOBS
@with_session
def resume(session: Session, jobs: tuple[str, ...]) -> None:
    """Let suspended JOBs go on, with a new attempt where one had begun."""
    _each(session, jobs, "suspend", False, "resumed")


def _each(session: Session, jobs: tuple[str, ...], field: str, value: bool, done: str) -> None:
    """Change every job that can be changed, then fail if one could not."""
    problems = []
    for name in jobs:
        try:
            click.echo(f"batchjob.holdfast.dev/{name} {_change(session, name, field, value, done)}")
        except HoldfastError as error:
            problems.append(error.message)
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
