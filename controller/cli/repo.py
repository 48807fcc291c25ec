"""`holdfast repo`: the repositories and their health; one with its operations, lock and preparations (5.1, 5.7)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from controller.cli import places, tables, view
from controller.cli.events import events_of, show_events
from controller.cli.locks import headline, read_lines, show
from controller.cli.session import Failure, Session, complete_repositories, with_session
from controller.cli.tail import CHUNK, size

Object = dict[str, Any]

SHORT_COMMIT = 12
ALERTS = ("Failing", "Slow", "Stale", "Diverged")  # conditions that are bad when they are True


@click.command()
@click.argument("name", required=False, shell_complete=complete_repositories)
@click.option("-A", "--all-namespaces", is_flag=True, help="Repositories of all namespaces.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", help="Form of the answer."
)
@click.option("--refresh", is_flag=True, help="Have NAME fetched now.")
@click.option("--log", is_flag=True, help="Show the output of the newest operation on NAME.")
@with_session
def repo(session: Session, name: str | None, all_namespaces: bool, output: str, refresh: bool, log: bool) -> None:
    """List the repositories, or describe NAME: its health, its last operations, its lock, its preparations.

    \b
      holdfast repo
      holdfast repo shop
      holdfast repo shop --refresh
    """
    if name is None or all_namespaces:
        if name is not None or refresh or log:
            raise click.UsageError("--refresh and --log are about one repository: give its NAME, without -A")
        _list(session, all_namespaces, output)
        return
    if refresh:
        _refresh(session, name)
        return
    found = session.cluster.get("Repository", name)
    if log:
        _log(found)
        return
    if output in ("json", "yaml"):
        tables.document({"object": found, "operation": _operation(found), "batches": _batches(session, name)}, output)
        return
    _describe(session, found, output == "wide")


def _list(session: Session, everywhere: bool, output: str) -> None:
    found = list(session.cluster.list("Repository", everywhere=everywhere))
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    wide, now = output == "wide", datetime.now(UTC)
    header = ["NAMESPACE"] * everywhere + ["NAME", "PHASE", "COMMIT", "HOLDER", "REFRESHED", "OK%", "SIZE", "ALERTS"]
    rows = [
        [item["metadata"]["namespace"]] * everywhere + _row(item, now) + [item["spec"]["url"]] * wide for item in found
    ]
    tables.table(header + ["URL"] * wide, rows)


def _row(item: Object, now: datetime) -> list[Any]:
    status = view.status(item)
    holders = (status.get("lock") or {}).get("holders") or ()
    held = f"{holders[0]['claim']}{f' and {len(holders) - 1} more' if len(holders) > 1 else ''}" if holders else ""
    return [
        item["metadata"]["name"],
        view.phase(item),
        (status.get("commit") or "")[:SHORT_COMMIT],
        held,
        f"{view.age(status['refreshedAt'], now)} ago" if status.get("refreshedAt") else "",
        status.get("successPercent"),
        view.size(status["sizeBytes"]) if status.get("sizeBytes") else "",
        ", ".join(alerts(item)),
    ]


def alerts(item: Object) -> list[str]:
    """What is wrong with a repository, as reasons of its conditions."""
    found = {c.get("type"): c for c in view.status(item).get("conditions") or ()}
    bad = [kind for kind in ALERTS if (found.get(kind) or {}).get("status") == "True"]
    told = [f"{kind} ({found[kind]['reason']})" for kind in bad]
    ready = found.get("Ready") or {}
    not_ready = ready.get("status", "True") != "True"
    no_branch = ready.get("reason") == "BranchNotFound"
    unsound = found.get("LockSound") is not None and found["LockSound"].get("status") != "True"
    lacks = [f"NotReady ({ready.get('reason')})"] * not_ready + ["BranchNotFound"] * no_branch
    return lacks + ["LockUnsound"] * unsound + told


def _refresh(session: Session, name: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    session.cluster.patch("Repository", name, {"spec": {"refreshRequestedAt": now}})
    click.echo(f"repository.holdfast.dev/{name} is to be fetched; see `holdfast repo {name}`")


def _operation(item: Object) -> Object | None:
    """The newest operation and where its output is, None before the first."""
    newest = view.status(item).get("operation")
    return None if newest is None else {**newest, "output": str(_output(item, int(newest["number"])))}


def _output(item: Object, number: int) -> Path:
    """Output of an operation of a Repository or JobBatch: its name follows from the uid."""
    from controller.reconcile.operations import Operations, Purpose  # imported here for its 0.2 s

    purpose = Purpose.PREPARE if item["kind"] == "JobBatch" else Purpose.MIRROR
    return places.home() / "operations" / str(Operations.name(purpose, view.uid(item), number)) / "output.log"


def _log(item: Object) -> None:
    newest = _operation(item)
    if newest is None:
        raise Failure(f"{view.name(item)} had no operation yet: it is {view.phase(item)}")
    path = Path(newest["output"])
    try:
        left = size(path)
        with path.open("rb") as file, click.open_file("-", "wb") as out:
            while left > 0 and (data := file.read(min(CHUNK, left))):
                out.write(data)
                left -= len(data)
    except FileNotFoundError as error:
        raise Failure(
            f"the output of operation {newest['number']} ({newest['type']}) of {view.name(item)} is not on this host "
            f"(HOLDFAST_HOME decides where): {path}"
        ) from error
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from error


def _batches(session: Session, repository: str) -> list[Object]:
    items = session.cluster.list("JobBatch")  # a list does not say the kind of its items
    return [{**item, "kind": "JobBatch"} for item in items if item["spec"]["repository"] == repository]


def _describe(session: Session, item: Object, wide: bool) -> None:
    spec, status, now = item["spec"], view.status(item), datetime.now(UTC)
    pairs = [
        ("Name", view.name(item)),
        ("Namespace", item["metadata"]["namespace"]),
        ("URL", spec["url"]),
        ("Branch", spec["branch"]),
        ("Push", f"at most {spec['push']}" if spec["push"] != "None" else "None: pushes of jobs are refused"),
        ("Phase", view.phase(item)),
        ("Commit", status.get("commit") or "none yet"),
        ("Refreshed", f"{view.age(status['refreshedAt'], now)} ago" if status.get("refreshedAt") else "never"),
        ("Size", view.size(int(status.get("sizeBytes") or 0))),
        ("Success", _success(status)),
        ("Alerts", ", ".join(alerts(item)) or "none"),
    ]
    for key, value in pairs:
        click.echo(f"{key + ':':<13}{tables.plain(value)}")
    tables.heading("Conditions")
    tables.table_or_none(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), list(_conditions(status, now)))
    tables.heading("Last operations on the mirror")
    tables.table_or_none(
        ("NUMBER", "TYPE", "STATE", "STARTED", "TOOK", "REASON", "MESSAGE"), list(_operations(status, now))
    )
    newest = _operation(item)
    if newest is not None:
        click.echo(f"  output of number {newest['number']}: {tables.plain(newest['output'])}")
    if status.get("retryAt"):
        click.echo(f"  repeated {view.age(status['retryAt'], now)} at the earliest")
    tables.heading("Lock")
    for line in read_lines(session, view.name(item)):
        click.echo(f"  {headline(line, False)}")
        show(line, wide, now, indent=4)
    tables.heading("Preparations")
    batches = _batches(session, view.name(item))
    header = ("BATCH", "COMMIT", "PHASE", "TRIES", "TOOK", "JOBS", "REASON", "MESSAGE")
    tables.table_or_none(header, [_batch(batch) for batch in batches])
    for batch in batches:
        if number := int(view.status(batch).get("number") or 0):
            click.echo(f"  output of {view.name(batch)}: {tables.plain(_output(batch, number))}")
    show_events(events_of(session, item))


def _success(status: Object) -> str:
    told = status.get("statistics") or {}
    if status.get("successPercent") is None:
        return "no operation ended yet"
    return f"{status['successPercent']} % of {told.get('operations', 0)} operations, {told.get('failed', 0)} failed"


def _conditions(status: Object, now: datetime) -> Iterator[tuple[Any, ...]]:
    for c in status.get("conditions") or ():
        yield (
            c.get("type"),
            c.get("status"),
            c.get("reason"),
            view.age(c.get("lastTransitionTime"), now),
            c.get("message"),
        )


def _operations(status: Object, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The ended ones, the newest last, then the one that runs."""
    ended, newest = list(status.get("activities") or ()), status.get("operation")
    if newest is not None and newest.get("number") not in [each.get("number") for each in ended]:
        ended.append(newest)
    for each in ended:
        started = f"{view.age(each.get('startedAt'), now)} ago"
        took = view.took(each.get("startedAt"), each.get("finishedAt")) or "runs"
        yield each["number"], each["type"], each["state"], started, took, each.get("reason"), each.get("message")


def _batch(batch: Object) -> tuple[Any, ...]:
    status = view.status(batch)
    return (
        view.name(batch),
        batch["spec"]["commit"][:SHORT_COMMIT],
        view.phase(batch),
        status.get("number"),
        view.took(status.get("startedAt"), status.get("finishedAt")),
        status.get("memberCount"),
        status.get("reason"),
        status.get("message"),
    )
