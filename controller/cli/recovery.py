"""`holdfast recovery`: what each start of the controller found and did, and what it leaves to a person (7.1, 7.7)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import click
from pydantic.alias_generators import to_camel

from controller.cli import tables, view
from controller.cli.session import Failure, Session, complete_names, with_session
from controller.telemetry.recovery_metrics import OUTCOMES

Object = dict[str, Any]

SHOW = "show"  # no report is called so: their names begin with start-
COUNTS = tuple(to_camel(each) for each in OUTCOMES)


@click.command()
@click.argument("words", nargs=-1, metavar="[show [N | NAME]]", shell_complete=complete_names("RecoveryReport"))
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", help="Form of the answer."
)
@with_session
def recovery(session: Session, words: tuple[str, ...], output: str) -> None:
    """List the last starts of the controller, newest first, or show one: N counts from 1, the newest.

    \b
      holdfast recovery
      holdfast recovery show
      holdfast recovery show 2
      holdfast recovery show start-20260102-030405-678-1f3a
    """
    if words and (words[0] != SHOW or len(words) > 2):
        raise click.UsageError("recovery takes nothing, or show and one N or NAME")
    found = _reports(session)
    if not words:
        _list(found, output)
        return
    report = _pick(found, words[1] if len(words) == 2 else "1")
    if output in ("json", "yaml"):
        tables.document(report, output)
        return
    _show(report, output == "wide")


def _reports(session: Session) -> list[Object]:
    """Newest first. They are where the controller writes them, unless a namespace was asked for."""
    cluster = session.cluster
    if not session.namespace_given:
        cluster.namespace = os.environ.get("HOLDFAST_NAMESPACE", "default")
    return sorted(cluster.list("RecoveryReport"), key=view.name, reverse=True)


def _pick(found: list[Object], wanted: str) -> Object:
    named = next((each for each in found if view.name(each) == wanted), None)
    if named is not None:
        return named
    if not found:
        raise Failure("there is no RecoveryReport: no controller has started here; see HOLDFAST_NAMESPACE and -n")
    if wanted.isdecimal() and 1 <= int(wanted) <= len(found):
        return found[int(wanted) - 1]
    raise Failure(f"no report {wanted}: there are 1 (the newest) to {len(found)}; `holdfast recovery` lists them")


def _list(found: list[Object], output: str) -> None:
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    wide, now = output == "wide", datetime.now(UTC)
    header = ["N", "RESULT", "TOOK", "RECOVERED", "REATTACHED", "LOST", "ORPHANS", "DECISIONS", "STOP BEFORE", "AGE"]
    rows = [_row(number, each, now) + [view.name(each), _failed(each)] * wide for number, each in enumerate(found, 1)]
    tables.table(header + ["NAME", "FAILED PHASES"] * wide, rows)


def _row(number: int, report: Object, now: datetime) -> list[Any]:
    status = view.status(report)
    counts = status.get("counts") or {}
    return [
        number,
        status.get("result") or "Running",
        status.get("duration", ""),
        counts.get("recovered", 0),
        counts.get("reattached", 0),
        counts.get("lost", 0),
        counts.get("orphaned", 0),
        counts.get("needingDecision", 0),
        _stop(status),
        view.age(report["metadata"].get("creationTimestamp"), now),
    ]


def _stop(status: Object) -> str:
    before = status.get("previousStop") or {}
    if not before.get("at"):
        return "first start"
    how = "clean" if before.get("clean") else "crash"
    return f"{how}, reboot" if before.get("rebooted") else how


def _failed(report: Object) -> str:
    lines = view.status(report).get("phases") or ()
    return ", ".join(line["name"] for line in lines if line.get("state") == "Failed")


def _show(report: Object, wide: bool) -> None:
    status = view.status(report)
    before = status.get("previousStop") or {}
    ago = f", {view.span(before.get('secondsAgo', 0))} before" if before.get("at") else ""
    pairs = [
        ("Name", view.name(report)),
        ("Result", status.get("result") or "Running"),
        ("Started", status.get("startedAt")),
        ("Took", status.get("duration")),
        ("Host", status.get("host")),
        ("Version", status.get("controllerVersion")),
        ("Stop before", f"{_stop(status)}{ago}"),
    ]
    for key, value in pairs:
        click.echo(f"{key + ':':<13}{tables.plain(value)}")
    tables.heading("Phases")
    lines = status.get("phases") or ()
    rows = [
        [line.get(key) for key in ("name", "state", "milliseconds", "objects", "errors", "message")] for line in lines
    ]
    tables.table_or_none(("PHASE", "STATE", "MS", "OBJECTS", "ERRORS", "MESSAGE"), rows)
    tables.heading("Counts")
    _counts(status, wide)
    tables.heading("What to do")
    actions = status.get("recommendedActions") or ()
    for action in actions:
        click.echo(f"  {tables.plain(action.get('message'))}\n    {tables.plain(action.get('command'))}")
    if not actions:
        click.echo("  nothing")


def _counts(status: Object, wide: bool) -> None:
    counts = status.get("counts") or {}
    names = {each["outcome"]: each.get("names") or () for each in status.get("names") or ()}
    rows = [[key, counts.get(key, 0), _who(names.get(_snake(key), ()), wide)] for key in COUNTS if counts.get(key)]
    rows += [
        [f"orphaned {each['kind']}", each["count"], _who(names.get(f"orphaned:{each['kind']}", ()), wide)]
        for each in counts.get("orphans") or ()
    ]
    for key, text in (("memoryReclaimedBytes", "memory reclaimed"), ("diskReclaimedBytes", "disk reclaimed")):
        if counts.get(key):
            rows.append([text, view.size(counts[key]), ""])
    tables.table_or_none(("WHAT", "COUNT", "FIRST OF THEM"), rows)


def _who(names: tuple[str, ...] | list[str], wide: bool) -> str:
    shown = names if wide else names[:3]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")


def _snake(key: str) -> str:
    """As the outcome is called among the names: needingDecision is needing_decision."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
