"""`holdfast describe`: all that is known of one job: declared, recorded, real (its run directory), and its Events."""

from __future__ import annotations

import time
from typing import Any

import click

from controller.cli import runs, tables, view
from controller.cli.events import events_of, show_events
from controller.cli.facts import facts
from controller.cli.logs import look
from controller.cli.session import Session, complete_jobs, with_session

Object = dict[str, Any]


@click.command()
@click.argument("job", shell_complete=complete_jobs)
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the answer.")
@with_session
def describe(session: Session, job: str, output: str) -> None:
    """Show what JOB is to do, what happened, what its run directories hold, and its Events.

    While the API server is down its run directories alone are shown.
    """
    watch = look(session, job)
    here = runs.of_uid(watch.uid)
    attempt = view.attempt(watch.job) if watch.job else None
    if not here and watch.job and attempt:
        found = runs.find(watch.job, int(attempt["number"]))
        here = [found] if found else []
    directories = [facts(run, time.time()) for run in here]
    events = events_of(session, watch.job) if watch.job else []
    if output != "text":
        tables.document({"object": watch.job, "runDirectories": directories, "events": events}, output)
        return
    if watch.job is not None:
        _declared(watch.job)
        _recorded(watch.job)
    _real(directories)
    show_events(events)


def _declared(job: Object) -> None:
    metadata = job["metadata"]
    pairs = [
        ("Name", metadata["name"]),
        ("Namespace", metadata["namespace"]),
        ("UID", metadata["uid"]),
        ("Created", f"{metadata['creationTimestamp']} ({view.age(metadata['creationTimestamp'])} ago)"),
        *(
            (kind, _pairs(metadata.get(kind.lower())))
            for kind in ("Labels", "Annotations")
            if metadata.get(kind.lower())
        ),
        ("Phase", view.why(job)),
    ]
    for key, value in pairs:
        click.echo(f"{key + ':':<13}{tables.plain(value)}")
    tables.heading("Spec")
    for line in tables.as_yaml({k: v for k, v in job["spec"].items() if v not in ([], {}, None)}).splitlines():
        click.echo(f"  {line}")


def _pairs(values: dict[str, str] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (values or {}).items())


def _recorded(job: Object) -> None:
    status = view.status(job)
    tables.heading("Conditions")
    conditions = [
        (c.get("type"), c.get("status"), c.get("reason"), view.age(c.get("lastTransitionTime")), c.get("message"))
        for c in status.get("conditions") or ()
    ]
    tables.table_or_none(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), conditions)
    if job["spec"].get("repository"):
        _repository(job)
    attempts = [*(status.get("history") or ()), *([status["attempt"]] if status.get("attempt") else [])]
    tables.heading("Attempts")
    tables.table_or_none(
        ("NUMBER", "STATE", "RESUMES", "HOST", "STARTED", "TOOK", "EXIT", "SIGNAL", "REASON", "MESSAGE"),
        [_attempt(attempt) for attempt in attempts],
    )
    for key, label in (("failures", "failed"), ("losses", "lost")):
        if status.get(key):
            click.echo(f"  {status[key]} {label}")
    if status.get("retryAt"):
        click.echo(f"  next attempt {view.age(status['retryAt'])} at the earliest")


def _repository(job: Object) -> None:
    """What it uses, and what became of it: commit, lock, publication."""
    use, used, attempt = job["spec"]["repository"], view.status(job).get("repository") or {}, view.attempt(job) or {}
    next_one = attempt.get("finishedAt") and not view.ended(job)  # what the newest attempt held is no more
    token = None if next_one else attempt.get("lockToken")
    published: Object = next((c for c in view.status(job).get("conditions") or () if c.get("type") == "Published"), {})
    waits = "not granted" if view.ended(job) else f"not granted; its place in line: holdfast locks {use['name']}"
    pairs = [
        ("Name", use["name"]),
        ("Ref", use.get("ref") or "the repository's branch"),
        ("Commit", used.get("commit") or "not checked out yet"),
        ("Batch", used.get("batch")),
        ("Lock", use["lock"] if use["lock"] == "None" else f"{use['lock']}, {f'token {token}' if token else waits}"),
        ("Push", use["push"]),
        ("Published", used.get("published") or _reason(published)),
    ]
    tables.heading("Repository")
    for key, value in pairs:
        if value:
            click.echo(f"  {key + ':':<13}{tables.plain(value)}")


def _reason(condition: Object) -> str:
    return ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))


def _attempt(attempt: Object) -> tuple[Any, ...]:
    return (
        attempt.get("number"),
        attempt.get("state"),
        attempt.get("resumedFrom"),
        attempt.get("host"),
        f"{view.age(attempt['startedAt'])} ago" if attempt.get("startedAt") else "",
        view.took(attempt.get("startedAt"), attempt.get("finishedAt")),
        attempt.get("exitCode"),
        attempt.get("signal"),
        attempt.get("reason"),
        attempt.get("message"),
    )


def _real(directories: list[Object]) -> None:
    tables.heading("Run directories on this host")
    if not directories:
        click.echo("  none")
    for number, directory in enumerate(directories):
        if number:
            click.echo()
        for key, value in directory.items():
            click.echo(f"  {key + ':':<13}{tables.plain(value)}")
