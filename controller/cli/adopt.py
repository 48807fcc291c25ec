"""`holdfast adopt`: a person says that this state directory belongs to this cluster (design 9)."""

from __future__ import annotations

from pathlib import Path

import click

from controller.errors import Terminal
from controller.recovery.binding import IDENTITY, read_identity, request_adopt
from controller.settings import Settings


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def adopt(yes: bool) -> None:
    """Bind the state directory to the cluster that the controller sees now.

    The controller starts degraded behind another cluster, an older backup of etcd, an empty mount or a damaged
    identity.json: it starts, stops and removes nothing. Look at what it says (holdfast status), mend it, or adopt the
    directory as it is; a damaged identity.json is set aside.
    """
    home = Settings().home
    if not home.is_dir():
        raise Terminal("NoStateDirectory", f"{home} does not exist; set HOLDFAST_HOME to the state directory")
    if not yes:
        click.confirm(f"{home}: {_known(home)}. Take it for the cluster that the controller sees now?", abort=True)
    request_adopt(home)
    click.echo(f"asked the controller of {home} to adopt it; it follows within a second, or at its next start")


def _known(home: Path) -> str:
    try:
        identity = read_identity(home)
    except Terminal:
        return f"its {IDENTITY} is damaged and will be set aside"
    return f"it knows cluster {identity.cluster}" if identity else "it knows no cluster"
