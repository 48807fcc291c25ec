"""`holdfast orphans`: what nobody uses any more, with its proof, and what becomes of it (requirements 7.6, 7.7).

The controller is asked: only it knows what belongs to whom, and only one of them may remove things.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

import click

from controller.cli import places, tables, view
from controller.errors import Terminal, Waiting
from controller.files.versions import current

Json = dict[str, Any]

TIMEOUT_SECONDS = 120.0  # a sweep waits for processes to end, and counts what directories take


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what there is and what would be done.")
@click.option("--settle", metavar="ATTEMPT", help="Say that an attempt is over of which nothing is proved.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="Form of the answer."
)
def orphans(dry_run: bool, settle: str | None, output: str) -> None:
    """List what nobody uses any more on this host, and remove what is proved to be nobody's.

    The controller does this by itself every minute; the command has it look now. What is only absent from a list is
    removed when a second look after a minute finds the same: run it twice. Nothing is removed while the state
    directory is not bound (`holdfast adopt`).

    \b
      holdfast orphans --dry-run
      holdfast orphans
      holdfast orphans --settle 0f9e6c1a-….3      # its slot is free then, its run directory is in quarantine
    """
    if settle is not None and dry_run:
        raise click.UsageError("--settle changes something: give it without --dry-run")
    if settle is not None:
        click.echo(_ask("POST", f"/orphans/{quote(settle, safe='')}/settle")["message"])
        return
    found = _ask("GET" if dry_run else "POST", "/orphans")
    if output != "table":
        tables.document(found, output)
        return
    print_found(found)


def print_found(found: Json) -> None:
    """The table, and on stderr what could not be looked at."""
    rows = [
        (
            row["sort"],
            row["name"],
            "" if row["ageSeconds"] is None else view.span(row["ageSeconds"]),
            row["processes"] or "",
            view.size(row["memoryBytes"]) if row["memoryBytes"] else "",
            view.size(row["diskBytes"]) if row["diskBytes"] else "",
            row["proof"],
            row["action"],
        )
        for row in found["items"]
    ]
    if rows:
        tables.table(("SORT", "NAME", "AGE", "PROCESSES", "MEMORY", "DISK", "PROOF", "ACTION"), rows)
    elif not found["problems"]:
        click.echo("nothing here is without an owner")
    for problem in found["problems"]:
        click.echo(f"could not look: {problem}", err=True)


def _ask(verb: str, path: str) -> Json:
    """Ask the controller of this state directory. Raises Terminal, Waiting."""
    home = places.home()
    try:
        told = current("http.json", json.loads((home / "http.json").read_bytes()))
        address, token = urlsplit(str(told["url"])), (home / "token").read_text().strip()
    except (OSError, ValueError, KeyError) as error:
        text = f"no controller answers for {home} ({error}): start it with `holdfast up`, or set HOLDFAST_HOME"
        raise Terminal("NoController", text) from error
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(verb, path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        text = f"the controller of {home} does not answer ({error}); see `holdfast status`"
        raise Terminal("NoController", text) from error
    finally:
        connection.close()
    if response.status == http.client.SERVICE_UNAVAILABLE:
        raise Waiting("NotReady", body.strip())
    if response.status != http.client.OK:
        raise Terminal("Refused", body.strip() or f"the controller answered {response.status}")
    answer: Json = json.loads(body)
    return answer
