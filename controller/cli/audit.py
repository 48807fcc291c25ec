"""`holdfast audit`: the audit journal of this state directory, live and compressed files alike (requirement 9.3).

Read from the files: it works while the controller or the API server is down, and needs neither.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import click

from controller.cli import places, tables
from controller.cli.moment import MOMENT
from controller.cli.session import Failure, Session, note, with_session
from controller.files.segment_reader import SegmentReader

Entry = dict[str, Any]
Wanted = Callable[[Entry], bool]

DIRECTORY, NAME = "audit", "audit"
LOOK_SECONDS = 0.2
# As in controller.decisions.audit_line, whose import would cost this command 0.4 s; a test holds both together.
CATEGORIES = (
    "job",
    "queue",
    "repository",
    "lock",
    "batch",
    "callback",
    "recovery",
    "orphan",
    "decision",
    "snapshot",
    "controller",
)
WIDTHS = (24, 10, 40)  # of time, category and object; longer ones push the rest


@click.command()
@click.option("--job", metavar="[NAMESPACE/]NAME", help="Only what concerns this job.")
@click.option(
    "--category", "categories", type=click.Choice(CATEGORIES), multiple=True, help="Only these; may be repeated."
)
@click.option("--since", type=MOMENT, metavar="TIME", help="Not before: 2h, 1h30m, or 2026-11-20T12:00:00Z.")
@click.option("--until", type=MOMENT, metavar="TIME", help="Not after.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted or until --until.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: the lines as written.")
@with_session
def audit(
    session: Session,
    job: str | None,
    categories: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    follow: bool,
    output: str,
) -> None:
    """Show what was decided and done, oldest first: by the controller of this state directory, on this host.

    \b
      holdfast audit --job build-x7k2p
      holdfast audit --category lock --category recovery --since 2h
      holdfast audit --follow -o json
    """
    if since is not None and until is not None and since > until:
        raise click.UsageError("--since is later than --until: nothing can be in between")
    directory = places.home() / DIRECTORY
    if not directory.is_dir() and not follow:
        raise Failure(
            f"there is no audit journal in {directory}: HOLDFAST_HOME decides where, and with HOLDFAST_AUDIT=off "
            "none is written"
        )
    wanted = _wanted(_job(session, job), categories, since, until)
    show = _as_json if output == "json" else _as_text
    reader = SegmentReader(directory, NAME)
    try:
        for line, entry in _parsed(_lines(reader, since, until, follow)):
            if wanted(entry):
                click.echo(show(line, entry))
    except OSError as error:
        raise Failure(f"{error.filename or directory} cannot be read: {error.strerror}") from error
    finally:
        reader.close()
        for damaged in reader.damaged:
            note(f"{damaged}: the rest of this segment is left out")


def _job(session: Session, job: str | None) -> tuple[str, str] | None:
    if job is None:
        return None
    namespace, slash, name = job.rpartition("/")
    if not name or "/" in namespace or (slash and not namespace):
        raise click.BadParameter(f"{job!r} is neither NAME nor NAMESPACE/NAME", param_hint="--job")
    return namespace or session.namespace, name


def _lines(reader: SegmentReader, since: datetime | None, until: datetime | None, follow: bool) -> Iterator[bytes]:
    yield from reader.lines(since)
    while follow and (until is None or datetime.now(UTC) <= until):
        time.sleep(LOOK_SECONDS)
        yield from reader.more()


def _parsed(lines: Iterator[bytes]) -> Iterator[tuple[bytes, Entry]]:
    """A line that a crash tore, or that is no entry, is left out."""
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and _time(entry) is not None:
            yield line, entry


def _time(entry: Entry) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(entry.get("time")))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _wanted(
    job: tuple[str, str] | None, categories: tuple[str, ...], since: datetime | None, until: datetime | None
) -> Wanted:
    uids: set[str] = set()  # of the job, for lines that name it by its uid only

    def wanted(entry: Entry) -> bool:
        moment = _time(entry)
        assert moment is not None
        if job is not None and not _concerns(entry, job, uids):
            return False
        if categories and entry.get("category") not in categories:
            return False
        return (since is None or moment >= since) and (until is None or moment <= until)

    return wanted


def _concerns(entry: Entry, job: tuple[str, str], uids: set[str]) -> bool:
    namespace, name = job
    if entry.get("namespace") == namespace:
        if entry.get("kind") == "BatchJob" and entry.get("name") == name:
            uids.add(str(entry.get("uid")))
            return True
        if entry.get("job") == name:
            return True
    return entry.get("kind") == "Attempt" and entry.get("uid") in uids


def _as_json(line: bytes, _: Entry) -> str:
    return line.decode(errors="replace")


def _as_text(_: bytes, entry: Entry) -> str:
    what = [str(entry.get(key, "")) for key in ("time", "category")]
    columns = [*what, _object(entry)]
    padded = "  ".join(tables.plain(text).ljust(width) for text, width in zip(columns, WIDTHS, strict=True))
    return f"{padded}  {tables.plain(_story(entry))}".rstrip()


def _object(entry: Entry) -> str:
    namespace, name = entry.get("namespace"), entry.get("name", "")
    kind = str(entry.get("kind", "")).lower()
    attempt = f"#{entry['attempt']}" if "attempt" in entry else ""
    place = f"{namespace}/{name}" if namespace else str(name)
    return f"{kind}/{place}{attempt}" if kind != "batchjob" else f"{place}{attempt}"


def _story(entry: Entry) -> str:
    """`Recorded: Queued -> Starting (Admitted), token 4: message`."""
    old, new = entry.get("from"), entry.get("to")
    change = f"{old} -> {new or '(none)'}" if old else str(new or "")
    text = f"{entry.get('event', '')} {change}".strip()
    if entry.get("reason"):
        text += f" ({entry['reason']})"
    if entry.get("job"):
        text += f", job {entry['job']}"
    if entry.get("token"):
        text += f", token {entry['token']}"
    return f"{text}: {entry['message']}" if entry.get("message") else text
