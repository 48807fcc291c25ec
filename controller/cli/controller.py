"""`holdfast controller`: the controller in the foreground; hidden, since `holdfast up` runs it."""

from __future__ import annotations

import sys

import click


@click.command(hidden=True)
def controller() -> None:
    """Run the controller until SIGTERM; its settings come from the environment (holdfast settings)."""
    from controller.app import main  # imported late: kopf and the API client cost a second

    sys.exit(main())
