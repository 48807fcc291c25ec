"""`holdfast snapshot` and `holdfast snapshots`: have one taken, and see which there are (requirement 7.10)."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import click

from controller.api.keys import API_VERSION
from controller.cli import tables, view
from controller.cli.session import Failure, Session, note, with_session
from controller.errors import HoldfastError
from controller.kube.errors import Unreachable

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # until it is said that no controller seems to run


@click.command()
@click.argument("name", required=False)
@click.option("--to", "destination", metavar="DIR|URL", help="Where the archive goes; default: the setting.")
@click.option("--audit", is_flag=True, help="Put the audit journal into it too.")
@click.option("--keep", is_flag=True, help="Retention never removes it.")
@click.option("--wait", is_flag=True, help="Wait for its end, and print where the archive is.")
@click.option("--timeout", type=float, default=600.0, show_default=True, metavar="SECONDS", help="Limit of --wait.")
@with_session
def snapshot(
    session: Session, name: str | None, destination: str | None, audit: bool, keep: bool, wait: bool, timeout: float
) -> None:
    """Have the controller take a Snapshot of all that Holdfast recorded: all objects with their status, no Secrets.

    \b
      holdfast snapshot --wait
      holdfast snapshot --wait --to /mnt/backup
      kubectl get snapshots
    """
    spec: dict[str, Any] = {"includeAudit": audit, "keep": keep}
    if destination:
        spec["destination"] = destination if "://" in destination else str(Path(destination).absolute())
    meta = {"name": name or f"snapshot-{secrets.token_hex(3)}"}
    session.cluster.create("Snapshot", {"apiVersion": API_VERSION, "kind": "Snapshot", "metadata": meta, "spec": spec})
    if not wait:
        click.echo(f"snapshot.holdfast.dev/{meta['name']} created")
        return
    click.echo(_ended(session, meta["name"], timeout)["status"]["location"])


def _ended(session: Session, name: str, timeout: float) -> dict[str, Any]:
    began, told = time.monotonic(), False
    while time.monotonic() - began < timeout:
        try:
            found = session.cluster.get("Snapshot", name)
        except Unreachable as error:
            found = {"metadata": {"name": name}}
            told = _tell(told, error)
        if view.condition(found, "Complete") is not None:
            return found
        if view.condition(found, "Finished") is not None:
            raise Failure(f"snapshot {name} failed: {view.status(found).get('message')}")
        if not view.status(found) and time.monotonic() - began > PATIENCE_SECONDS:
            told = _tell(told, f"snapshot {name} waits for a controller: is one running (holdfast status)?")
        time.sleep(LOOK_SECONDS)
    raise Failure(f"snapshot {name} is not over after {timeout:g} s; look with `kubectl get snapshot {name}`")


def _tell(told: bool, text: str | HoldfastError) -> bool:
    if not told:
        note(text if isinstance(text, str) else text.message)
    return True


@click.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Snapshots of all namespaces.")
@with_session
def snapshots(session: Session, all_namespaces: bool) -> None:
    """List the Snapshots, the newest first, with the archive of each."""
    found = sorted(
        session.cluster.list("Snapshot", everywhere=all_namespaces),
        key=lambda each: str(each["metadata"].get("creationTimestamp")),
        reverse=True,
    )
    if not found:
        where = "any namespace" if all_namespaces else f"namespace {session.namespace}"
        note(f"no Snapshots in {where}: make one with `holdfast snapshot`, or set HOLDFAST_SNAPSHOT_SCHEDULE")
        return
    rows = [_row(each, all_namespaces) for each in found]
    head = ("NAME", "PHASE", "OBJECTS", "SIZE", "AGE", "ARCHIVE OR WHY NOT")
    tables.table(("NAMESPACE", *head) if all_namespaces else head, rows)


def _row(item: dict[str, Any], namespaced: bool) -> tuple[Any, ...]:
    status = view.status(item)
    last = status.get("message") if status.get("message") else status.get("location")
    row = (
        view.name(item),
        view.phase(item),
        status.get("total") if status.get("sha256") else "",
        view.size(int(status["bytes"])) if status.get("bytes") else "",
        view.age(item["metadata"].get("creationTimestamp")),
        last,
    )
    return (item["metadata"]["namespace"], *row) if namespaced else row
