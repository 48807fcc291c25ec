"""`holdfast restore`: bring an archive's objects and statuses into the cluster that is there (requirement 7.10)."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli import places as own_places
from controller.cli import tables
from controller.cli.session import Failure, note
from controller.errors import HoldfastError
from controller.settings import Settings

if TYPE_CHECKING:
    from controller.decisions.audit_line import Line
    from controller.recovery.archive.manifest import Manifest
    from controller.recovery.restore.report import Report
    from controller.recovery.restore.run import Options

SHOWN = 20  # names of each sort
REQUEST_SECONDS = 30.0


@click.command()
@click.argument("archive", metavar="FILE|URL")
@click.option("--dry-run", is_flag=True, help="Verify it and say what would be done; write nothing.")
@click.option(
    "--conflict",
    type=click.Choice(["keep", "replace"]),
    default="keep",
    show_default=True,
    help="What stays where an object of the same name is there: the cluster's, or the archive's.",
)
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Kubeconfig; default as `queue`.")
@click.option("--audit-to", type=click.Path(path_type=Path), metavar="DIR", help="Put its audit journal into DIR.")
def restore(archive: str, dry_run: bool, conflict: str, kubeconfig: Path | None, audit_to: Path | None) -> None:
    """Restore from an archive that `holdfast snapshot` made, into an empty cluster or one in use.

    It is verified as a whole first. What had finished stays finished; what had not comes back suspended. Nothing is
    deleted. A controller may run meanwhile. Interrupted, the same command goes on where it stopped.

    \b
      holdfast restore /mnt/backup/default-nightly-1f3a5b7c.holdfast.tar.zst --dry-run
      holdfast restore s3://backup/holdfast/default-nightly-1f3a5b7c.holdfast.tar.zst
    """
    from controller.decisions.inputs import Host
    from controller.recovery.archive import places, read
    from controller.recovery.binding import read_identity
    from controller.recovery.restore.run import Options

    settings = Settings()
    try:
        identity = read_identity(settings.home)
        # What is on this machine is read where it is: a run that is killed leaves no directory behind.
        scratch = (
            nullcontext("") if places.is_local(archive) else tempfile.TemporaryDirectory(prefix="holdfast-restore-")
        )
        with scratch as directory:
            path = places.fetch(archive, Path(directory))
            manifest = read.verify(path, archive)
            _introduce(archive, manifest)
            host = Host(identity.state_id if identity is not None else "", socket.gethostname())
            options = Options(conflict == "replace", dry_run, settings.runs, host)
            with _told(settings, archive, manifest, dry_run) as told:
                report = told.report = asyncio.run(_run(kubeconfig or _usual(), path, manifest, options))
            if audit_to is not None and not dry_run:
                _say_audit(read.extract_audit(path, audit_to), audit_to)
    except HoldfastError as error:
        raise Failure(error.message) from error
    _show(report, dry_run)
    if report.failed:
        raise Failure(f"{len(report.failed)} objects were not restored; the rest is. Mend it and run the same again")


@dataclass
class _Told:
    report: Report | None = None


@contextmanager
def _told(settings: Settings, archive: str, manifest: Manifest, dry_run: bool) -> Iterator[_Told]:
    """Begin and end in the audit journal of the controller on this machine, where there is one (9.3)."""
    from controller.decisions.audited_acts import restore_began, restore_ended
    from controller.telemetry.audit import say_beside

    def say(line: Line) -> None:
        try:
            if not dry_run:
                say_beside(settings, line)
        except OSError as error:
            note(f"the audit journal could not be written: {error}")

    told, total = _Told(), sum(count for _, count in manifest.counts)
    say(restore_began(manifest.id, f"{archive}: {total} objects of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC"))
    try:
        yield told
    except BaseException as error:
        reason, text = (error.reason, error.message) if isinstance(error, HoldfastError) else ("Interrupted", "")
        say(restore_ended(manifest.id, reason, text))
        raise
    if told.report is not None:
        failed = "NotAllRestored" if told.report.failed else ""
        say(restore_ended(manifest.id, failed, told.report.summary()))


def _usual() -> Path | None:
    """The kubeconfig of the other commands; None: the official client finds it, or several of them."""
    paths = own_places.kubeconfigs()
    return paths[0] if len(paths) == 1 and paths[0].exists() else None


async def _run(kubeconfig: Path | None, path: Path, manifest: Manifest, options: Options) -> Report:
    from controller.kube.client import Api
    from controller.recovery.restore.run import Restore
    from controller.telemetry.metrics import Metrics

    connecting = Api.connect(kubeconfig, Metrics(), timeout_seconds=REQUEST_SECONDS, version="restore")
    async with await connecting as api:
        return await Restore(api, path, manifest, options, note).run()


def _introduce(archive: str, manifest: Manifest) -> None:
    total = sum(count for _, count in manifest.counts)
    note(
        f"{archive} is whole: {total} objects of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, archive {manifest.id}, "
        f"written by Holdfast {manifest.controller}, cluster {manifest.cluster}"
    )


def _say_audit(names: list[str], directory: Path) -> None:
    note(f"audit journal: {len(names)} files in {directory}")


def _show(report: Report, dry_run: bool) -> None:
    outcomes = sorted({outcome for counter in report.counts.values() for outcome in counter})
    rows = [(kind, *(counter.get(each, 0) for each in outcomes)) for kind, counter in report.counts.items()]
    if dry_run:
        click.echo("dry run: nothing was written")
    tables.table(("KIND", *(str(each).upper() for each in outcomes)), rows)
    for what, names in (
        ("ended since the archive was taken, as their run directories here prove", report.ended),
        ("suspended: had not finished", dict(sorted(report.suspended.items(), key=_attempts_first))),
        ("kept as the cluster has them", report.kept),
        ("left out", report.left_out),
        ("FAILED", report.failed),
    ):
        _list(what, names)
    if report.suspended and not dry_run:
        namespace, _, name = next(iter(sorted(report.suspended.items(), key=_attempts_first)))[0].partition("/")
        click.echo("\nNone of them starts by itself. Look again, let one go on, or all that nobody else had suspended:")
        click.echo("  holdfast resume --restored --all-namespaces --dry-run")
        click.echo(f"  holdfast resume -n {namespace} {name}")
        click.echo("  holdfast resume --restored --all-namespaces")


def _attempts_first(entry: tuple[str, str]) -> bool:
    """Those that may have been at work are the ones to look at."""
    return "attempt" not in entry[1]


def _list(what: str, names: dict[str, str]) -> None:
    if not names:
        return
    click.echo(f"\n{what}: {len(names)}")
    for name, why in list(names.items())[:SHOWN]:
        click.echo(f"  {tables.plain(name)}: {tables.plain(why)}")
    if len(names) > SHOWN:
        click.echo(f"  and {len(names) - SHOWN} more")
