"""`holdfast callbacks`: what was told to whom, each try of one, and sending again (requirements 6.1-6.3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from controller.cli import tables, view
from controller.cli.events import events_of, show_events
from controller.cli.session import Failure, Session, complete_names, note, with_session
from controller.errors import HoldfastError

Object = dict[str, Any]

REDELIVER = "redeliver"  # no Callback is called so: their names end in a number


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME | redeliver NAME...]", shell_complete=complete_names("Callback"))
@click.option("-A", "--all-namespaces", is_flag=True, help="Callbacks of all namespaces.")
@click.option("--job", metavar="JOB", help="Only those of JOB.")
@click.option("--failed", is_flag=True, help="Only those that were given up; with redeliver: send all of them again.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", help="Form of the answer."
)
@with_session
def callbacks(
    session: Session, words: tuple[str, ...], all_namespaces: bool, job: str | None, failed: bool, output: str
) -> None:
    """List callbacks, describe NAME with its last tries, or send some again with the same id.

    \b
      holdfast callbacks --failed
      holdfast callbacks build-x7k2p-0c4f2a91d3e8b765
      holdfast callbacks redeliver build-x7k2p-0c4f2a91d3e8b765
      holdfast callbacks redeliver --failed
    """
    if words and words[0] == REDELIVER:
        _redeliver(session, words[1:], job, failed, all_namespaces)
        return
    if not words:
        _list(session, list(_select(session, job, failed, all_namespaces)), all_namespaces, output)
        return
    if len(words) > 1 or all_namespaces or job or failed:
        raise click.UsageError("describe one callback: give its NAME, without -A, --job and --failed")
    found = session.cluster.get("Callback", words[0])
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    _describe(session, found, output == "wide")


def _select(session: Session, job: str | None, failed: bool, everywhere: bool = False) -> Iterator[Object]:
    for item in session.cluster.list("Callback", everywhere=everywhere):
        if (job is None or item["spec"]["job"]["name"] == job) and (not failed or phase(item) == "Failed"):
            yield item


def phase(item: Object) -> str:
    """The phase for people: nothing recorded is Pending."""
    return str(view.status(item).get("phase") or "Pending")


def _list(session: Session, found: list[Object], everywhere: bool, output: str) -> None:
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    wide, now = output == "wide", datetime.now(UTC)
    header = ["NAMESPACE"] * everywhere + ["NAME", "JOB", "CALLBACK", "EVENT", "PHASE", "TRIES", "LAST", "NEXT", "AGE"]
    rows = [
        [item["metadata"]["namespace"]] * everywhere
        + _row(item, now)
        + [item["spec"]["id"], item["spec"]["url"]] * wide
        for item in found
    ]
    tables.table(header + ["ID", "URL"] * wide, rows)


def _row(item: Object, now: datetime) -> list[Any]:
    spec, status = item["spec"], view.status(item)
    following = status.get("nextAttemptAt")
    return [
        item["metadata"]["name"],
        spec["job"]["name"],
        spec["callback"],
        spec["event"],
        phase(item),
        status.get("attempts", 0),
        why(item),
        view.age(following, now) if following else "",
        view.age(item["metadata"].get("creationTimestamp"), now),
    ]


def why(item: Object) -> str:
    """How it stands in one word: of the last try, or of what keeps it from being tried."""
    status = view.status(item)
    told: Object = next((c for c in status.get("conditions") or () if c.get("type") == "Delivered"), {})
    last = status.get("lastAttempt") or {}
    reason = told.get("reason") or last.get("reason") or ""
    code = f" ({last['code']})" if last.get("code") and reason == last.get("reason") else ""
    return f"{reason}{code}"


def _describe(session: Session, item: Object, wide: bool) -> None:
    spec, status, now = item["spec"], view.status(item), datetime.now(UTC)
    last = status.get("lastAttempt") or {}
    following = status.get("nextAttemptAt")
    pairs = [
        ("Name", view.name(item)),
        ("Namespace", item["metadata"]["namespace"]),
        ("Job", f"{spec['job']['name']}, attempt {spec['job'].get('attempt', 0)}"),
        ("Callback", spec["callback"]),
        ("Event", spec["event"]),
        ("Id", spec["id"]),
        ("URL", spec["url"]),
        ("Phase", phase(item)),
        ("Tries", f"{status.get('attempts', 0)}, of which {status.get('tries', 0)} of {_most(spec)} in this round"),
        ("Next", view.age(following, now) if following else "none is waited for"),
        ("After", spec.get("previous") or "nothing"),
    ]
    for key, value in pairs:
        click.echo(f"{key + ':':<13}{tables.plain(value)}")
    tables.heading("Conditions")
    rows = [
        (c.get("type"), c.get("status"), c.get("reason"), view.age(c.get("lastTransitionTime"), now), c.get("message"))
        for c in status.get("conditions") or ()
    ]
    tables.table_or_none(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)
    tables.heading("Last tries")
    tries = [
        (view.age(each["at"], now), each.get("code"), each.get("durationMs"), each.get("reason"), each.get("message"))
        for each in status.get("history") or ()
    ]
    tables.table_or_none(("AGO", "CODE", "MS", "REASON", "MESSAGE"), tries)
    if last.get("bodySnippet"):
        _text("What was answered", last["bodySnippet"])
    if wide:
        _text("What is sent", spec["payload"])
    show_events(events_of(session, item))


def _text(heading: str, text: str) -> None:
    """Text from outside, line by line: no control characters reach the terminal."""
    tables.heading(heading)
    for line in text.splitlines():
        click.echo(f"  {tables.plain(line)}")


def _most(spec: Object) -> int:
    return len(spec.get("schedule") or ()) + 1


def _redeliver(session: Session, names: tuple[str, ...], job: str | None, failed: bool, everywhere: bool) -> None:
    """Raise spec.redeliver; the controller does the rest."""
    if everywhere:
        raise click.UsageError("redeliver works in one namespace: use -n")
    if bool(names) == (failed or job is not None):
        raise click.UsageError("redeliver wants NAMEs, or --failed, or --job")
    if names:
        wanted = list(names)
    else:
        wanted = [view.name(item) for item in _select(session, job, failed)]
        if not wanted:
            click.echo("no callback to send again")
    problems = []
    for name in wanted:
        try:
            click.echo(_again(session, name))
        except HoldfastError as error:
            problems.append(error.message)
    for problem in problems[:-1]:
        note(problem)
    if problems:
        raise Failure(problems[-1])


def _again(session: Session, name: str) -> str:
    found = session.cluster.get("Callback", name)
    if phase(found) in ("Pending", "Delivering"):
        return f"callback.holdfast.dev/{name} is being delivered: {phase(found)}"
    session.cluster.patch("Callback", name, {"spec": {"redeliver": int(found["spec"].get("redeliver") or 0) + 1}})
    return f"callback.holdfast.dev/{name} is sent again with the id {found['spec']['id']}"
