"""`holdfast locks`: who holds each repository, by what evidence, and who waits, in exact order (5.4, 5.6).

Computed from the objects by the functions that the controller decides with, so it is right also while none runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from controller.cli import tables, view
from controller.cli.machine import machine
from controller.cli.session import Failure, Session, complete_claims, complete_repositories, with_session
from controller.kube.errors import Forbidden

if TYPE_CHECKING:
    from controller.cli.turns import Read

Object = dict[str, Any]


@click.command()
@click.argument("repository", required=False, metavar="[REPO]", shell_complete=complete_repositories)
@click.option("-A", "--all-namespaces", is_flag=True, help="Repositories of all namespaces.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", help="Form of the list."
)
@click.option(
    "--force-release", metavar="CLAIM", shell_complete=complete_claims, help="Take the lock of REPO from CLAIM."
)
@click.option("--yes", is_flag=True, help="Do not ask before --force-release.")
@with_session
def locks(
    session: Session, repository: str | None, all_namespaces: bool, output: str, force_release: str | None, yes: bool
) -> None:
    """Show who holds REPO (default: every repository), and who waits for it in the order in which it is given.

    POSITION 1 is next; a claim that is passed over keeps its place. A holder is a job, which is observed, or a person,
    whose claim lasts until its lease is over or it is deleted.

    \b
      holdfast locks shop
      holdfast locks shop --force-release anna     # anna's claim ends, the next one gets the lock
    """
    if force_release is not None:
        if repository is None or all_namespaces:
            raise click.UsageError("--force-release takes a lock from a claim on one repository: name REPO, without -A")
        _release(session, repository, force_release, yes)
        return
    found = read_lines(session, repository, all_namespaces)
    if repository is not None and not found:
        known = ", ".join(sorted(item["metadata"]["name"] for item in session.cluster.list("Repository"))) or "none"
        raise Failure(f"no Repository {repository} in namespace {session.cluster.namespace}; there is {known}")
    if output in ("json", "yaml"):
        tables.document(found, output)
        return
    now = datetime.now(UTC)
    for number, line in enumerate(found):
        if number:
            click.echo()
        click.echo(headline(line, all_namespaces))
        show(line, output == "wide", now, indent=2)


def read_lines(session: Session, repository: str | None, everywhere: bool = False) -> list[Object]:
    """Holders and waiting claims of one repository, or of all (see `lock_lines`)."""
    from controller.cli.lock_lines import lock_lines  # with the API models, 0.4 s of import

    lines = lock_lines(_read(session, everywhere), machine(), datetime.now(UTC))
    return [line for line in lines if repository in (None, line["repository"])]


def _read(session: Session, everywhere: bool) -> Read:
    from controller.cli.turns import Read

    def listed(kind: str) -> list[Object]:
        return list(session.cluster.list(kind, everywhere=everywhere))

    # Repositories last: who is granted something meanwhile shows as a holder, never as nothing.
    batches, claims = listed("JobBatch"), listed("RepositoryLock")
    jobs, queues = _of_the_host(session, "BatchJob"), _of_the_host(session, "JobQueue")
    return Read(listed("Repository"), claims, jobs, queues, batches)


def _of_the_host(session: Session, kind: str) -> list[Object]:
    """Objects of all namespaces, for they share the slots of the host; of this one where only that is allowed."""
    try:
        return list(session.cluster.list(kind, everywhere=True))
    except Forbidden:
        return list(session.cluster.list(kind))


def headline(line: Object, everywhere: bool) -> str:
    """One line about one repository: who holds it how, and how many wait."""
    name = f"{line['namespace']}/{line['repository']}" if everywhere else line["repository"]
    held = len(line["holders"])
    if not line["exists"]:
        parts = ["this Repository does not exist: its claims wait until it is created"]
    elif not line["recorded"]:
        parts = ["its lock is not recorded yet: nothing is granted before"]
    elif held == 0:
        parts = ["free"]
    else:
        parts = [f"held {line['holders'][0]['mode']}" + (f" by {held}" if held > 1 else "")]
    parts += [f"{len(line['waiting'])} waiting"]
    if line["token"]:
        parts.append(f"last token {line['token']}")
    if line["unsound"]:
        parts.append(line["unsound"])
    return tables.plain(f"{name}: {', '.join(parts)}")


def show(line: Object, wide: bool, now: datetime, indent: int) -> None:
    """Holders, how to free a fenced one, then all that wait."""
    if line["holders"]:
        header = ["HOLDER", "CLAIM", "MODE", "TOKEN", "SINCE", "EVIDENCE"] + ["ATTEMPT", "CLAIM UID"] * wide
        tables.table(header, list(_holders(line, wide, now)), indent=indent)
    for held in line["holders"]:
        if held["forceRelease"]:
            click.echo(" " * indent + tables.plain(f"If you know that {held['claim']} is over, give the lock on with"))
            click.echo(" " * indent + tables.plain(f"  {held['forceRelease']}"))
    if line["holders"] and line["waiting"]:
        click.echo()
    if line["waiting"]:
        header = ["POSITION", "WAITING", "CLAIM", "MODE", "WHY", "AGE"] + ["PRIORITY", "SEQUENCE", "CLAIM UID"] * wide
        tables.table(header, list(_waiting(line, wide, now)), indent=indent)


def who(entry: Object) -> str:
    """`job/NAME` or `person/NAME`."""
    return f"{'job' if entry['kind'] == 'BatchJob' else 'person'}/{entry['holder'] or '?'}"


def _holders(line: Object, wide: bool, now: datetime) -> Iterator[list[Any]]:
    for held in line["holders"]:
        since = view.age(held["since"], now)
        row = [who(held), held["claim"], held["mode"], held["token"], since, held["evidence"]]
        yield row + ([held["attempt"], held["uid"]] if wide else [])


def _waiting(line: Object, wide: bool, now: datetime) -> Iterator[list[Any]]:
    for each in line["waiting"]:
        age = view.age(each["created"], now)
        row = [each["position"], who(each), each["claim"] or "being made", each["mode"], each["message"], age]
        yield row + ([each["priority"], each["sequence"], each["uid"]] if wide else [])


def _release(session: Session, repository: str, claim: str, yes: bool) -> None:
    """Set spec.forceRelease of a claim that holds to its own uid; the controller does the rest."""
    found = session.cluster.get("RepositoryLock", claim)
    uid, of = found["metadata"]["uid"], found["spec"]["repository"]
    if of != repository:
        raise Failure(f"{claim} is a claim on Repository {of}, not on {repository}: see `holdfast locks {of}`")
    holders: list[Object] = next((line["holders"] for line in read_lines(session, repository)), [])
    held = next((held for held in holders if held["uid"] == uid), None)
    if held is None:
        out = (
            "delete the job or cancel it"
            if found["spec"]["holder"].get("attempt")
            else f"`kubectl delete rlock {claim}`"
        )
        raise Failure(f"{claim} does not hold {repository}; to take it out of the line: {out}")
    if not yes:
        click.confirm(
            f"{who(held)} holds {repository} ({held['mode']}, token {held['token']}): {held['evidence']}. The next "
            f"claim gets the lock, whatever this one still runs can push no more. Take it?",
            abort=True,
            err=True,
        )
    session.cluster.patch("RepositoryLock", claim, {"spec": {"forceRelease": uid}})
    click.echo(f"repositorylock.holdfast.dev/{claim} is to give up {repository} (token {held['token']})")
