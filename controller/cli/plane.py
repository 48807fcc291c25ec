"""Commands about the local control plane: up, down, status, settings."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from controller.cli import places
from controller.errors import Waiting

# systemctl(1) uses the same for "not running".
NOT_RUNNING = 3


@click.command()
@click.option("--detach", is_flag=True, help="Go to the background; return when it is ready.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many jobs run at once on this machine (HOLDFAST_MAX_RUNNING; default: its CPUs).",
)
@click.option("--print-systemd", is_flag=True, help="Print a systemd unit that starts it at boot, and nothing else.")
@click.option("--no-controller", is_flag=True, help="Only the control plane, for those who run the controller by hand.")
@click.option(
    "--audit-log",
    type=click.Path(dir_okay=False, path_type=Path, resolve_path=True),
    help="Write one JSON line per API request to this file.",
)
def up(detach: bool, concurrency: int | None, print_systemd: bool, no_controller: bool, audit_log: Path | None) -> None:
    """Start etcd, kube-apiserver, kube-controller-manager and the controller, and keep them running.

    All state is below HOLDFAST_HOME. Without --detach it stays in the foreground until Ctrl-C or SIGTERM; jobs that run
    go on, and the next `up` finds them. It is safe to run it when it is up already.
    """
    from controller.local import systemd
    from controller.local.up import UpOptions, already_up, detached, foreground
    from controller.settings import Settings

    settings = Settings()
    options = UpOptions(
        settings.home, settings.cache, concurrency or settings.running_limit, not no_controller, audit_log
    )
    if print_systemd:
        command = [sys.executable, "-P", "-m", "controller.cli.main", "up", *options.arguments()]
        click.echo(systemd.unit(command, settings.home.absolute(), os.environ, os.geteuid() == 0), nl=False)
        return
    if (complaint := systemd.complaint(os.environ)) is not None:
        say(complaint)
    try:
        (detached if detach else foreground)(options, say)
    except Waiting as error:
        say(already_up(settings.home, error))


@click.command()
@click.option("--stop-jobs", is_flag=True, help="Stop the running jobs too: TERM, their grace period, KILL.")
def down(stop_jobs: bool) -> None:
    """Stop the controller and the local control plane. Running jobs go on unless --stop-jobs is given."""
    from controller.local.down import down as stop_plane
    from controller.local.stopjobs import stop_jobs as end_jobs

    home = places.home()
    found = asyncio.run(stop_plane(home, say))
    say("down" if found else "nothing was up")
    if stop_jobs:
        count = asyncio.run(end_jobs(home))
        say(f"stopped {count} running jobs")


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(output: str) -> None:
    """Show each component: pid, state, restarts. Exit status 0 when everything runs, otherwise 3."""
    from controller.local.status import look

    found = asyncio.run(look(places.home()))
    if output == "json":
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        click.echo(f"home        {found.home}")
        click.echo(f"kubeconfig  {found.kubeconfig}")
        click.echo(f"controller  {found.url or '-'}\n")
        rows = [("COMPONENT", "STATE", "PID", "RESTARTS", "PORT")]
        for record in (found.up, *found.components):
            pid = "-" if record.process is None else str(record.process.pid)
            rows.append((record.name, str(record.state), pid, str(record.restarts), str(record.port or "-")))
        widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]))]
        for row in rows:
            click.echo("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for record in (found.up, *found.components):
            if record.message:
                click.echo(f"\n{record.name}: {record.message}")
    if not found.all_running:
        sys.exit(NOT_RUNNING)


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def settings(output: str) -> None:
    """Show all settings: environment name, value now, default, meaning."""
    from controller.settings import Settings

    prefix = str(Settings.model_config.get("env_prefix", ""))
    now = Settings().model_dump(mode="json")
    # What the environment says is left out of the model to see the defaults.
    defaults = Settings.model_construct().model_dump(mode="json")
    rows = [
        {
            "env": f"{prefix}{name}".upper(),
            "value": now[name],
            "default": defaults[name],
            "description": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        mark = "" if row["value"] == row["default"] else f"  (default {_shown(row['default'])})"
        click.echo(f"{row['env']}={_shown(row['value'])}{mark}")
        click.echo(click.wrap_text(str(row["description"]), 100, "    ", "    "))


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def say(message: str) -> None:
    """Progress and results for a person, on stderr: stdout belongs to -o json and the unit."""
    click.echo(message, err=True)
