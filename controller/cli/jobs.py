"""The commands about jobs, for the group in `main`."""

from __future__ import annotations

import click

from controller.cli.change import cancel, decide, resume, suspend
from controller.cli.completion import completion
from controller.cli.describe import describe
from controller.cli.logs import logs
from controller.cli.queue import queue
from controller.cli.run import rerun, run

COMMANDS: tuple[click.Command, ...] = (
    run,
    logs,
    queue,
    describe,
    cancel,
    suspend,
    resume,
    decide,
    rerun,
    completion,
)
for _command in COMMANDS:
    _command.epilog = f"As a plugin of kubectl: kubectl holdfast {_command.name}"
