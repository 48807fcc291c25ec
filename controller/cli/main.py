"""The `holdfast` command: which commands there are; each is imported only when it is used.

An error of ours is one message on stderr and exit code 1, wrong usage one line and exit code 2, an interrupt is 130.
Installed as `kubectl-holdfast` too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import click

from controller.errors import HoldfastError

# command -> (module, attribute, one line of help): the table is enough for `holdfast --help`.
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "up": ("controller.cli.plane", "up", "Start the local control plane and the controller."),
    "down": ("controller.cli.plane", "down", "Stop them; running jobs go on."),
    "status": ("controller.cli.plane", "status", "Show what runs."),
    "settings": ("controller.cli.plane", "settings", "Show all settings."),
    "orphans": ("controller.cli.orphans", "orphans", "Show what nobody uses any more; remove it, or settle it."),
    "adopt": ("controller.cli.adopt", "adopt", "Bind the state directory to the cluster that is there now."),
    "run": ("controller.cli.run", "run", "Run a command as a job."),
    "rerun": ("controller.cli.run", "rerun", "Make a new job from one that has ended."),
    "logs": ("controller.cli.logs", "logs", "Show or follow the output of a job."),
    "queue": ("controller.cli.queue", "queue", "Show who waits, in order, and when each will start."),
    "locks": ("controller.cli.locks", "locks", "Show who holds a repository and who waits for it."),
    "repo": ("controller.cli.repo", "repo", "List repositories, or describe one; have it fetched."),
    "describe": ("controller.cli.describe", "describe", "Show all that is known of a job."),
    "callbacks": ("controller.cli.callbacks", "callbacks", "List callbacks, describe one; send them again."),
    "snapshot": ("controller.cli.snapshot", "snapshot", "Take a copy of all that Holdfast recorded."),
    "snapshots": ("controller.cli.snapshot", "snapshots", "List Snapshots and where their archives are."),
    "audit": ("controller.cli.audit", "audit", "Show what was decided and done, and why."),
    "recovery": ("controller.cli.recovery", "recovery", "Show what the starts of the controller found and did."),
    "failures": ("controller.cli.failures", "failures", "Show how jobs failed lately, and what recovery saved."),
    "restore": ("controller.cli.restore", "restore", "Bring a Snapshot's archive into this cluster."),
    "cancel": ("controller.cli.change", "cancel", "End jobs for good."),
    "suspend": ("controller.cli.change", "suspend", "Hold jobs back."),
    "resume": ("controller.cli.change", "resume", "Let suspended jobs go on."),
    "decide": ("controller.cli.decide", "decide", "Answer for a job that waits for a person."),
    "webhook-sink": ("controller.cli.webhook_sink", "webhook_sink", "Receive callbacks here, to try them out."),
    "completion": ("controller.cli.completion", "completion", "Print the completion script of a shell."),
}
HIDDEN: Mapping[str, tuple[str, str, str]] = {
    "controller": ("controller.cli.controller", "controller", "Run the controller; `up` does it for you."),
}


class WrongUsage(click.ClickException):
    """Ends the command: one line on stderr, exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(f"holdfast: {self.message}", err=True)


def in_one_line(error: click.UsageError, command: str) -> click.ClickException:
    """What click says in several lines, as one: what is wrong with which option, and where the help is.

    Args:
        command: that was called, for an error that does not know it.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error  # no error, but the help that a bare `holdfast` asks for
    text = " ".join(error.format_message().split()).rstrip(".")
    asked = error.ctx.command_path if error.ctx is not None else command
    return WrongUsage(f"{text[:1].lower()}{text[1:]}; see `{asked} --help`")


def wrong_settings(error: ValueError) -> str | None:
    """What is wrong with which HOLDFAST_… variable; None where `error` is about something else.

    Asked by name: importing pydantic would cost every command the time that only some need.
    """
    kind: Any = type(error)
    details: Any = error
    if kind.__module__ != "pydantic_core._pydantic_core" or details.title != "Settings":
        return None
    from controller.files.remote_errors import clean

    wrong = [
        f"HOLDFAST_{found['loc'][0]}".upper() + clean(f"={found['input']!r}: {found['msg']}")
        for found in details.errors()
    ]
    return f"{'; '.join(wrong)}; mend or unset it, then `holdfast settings` explains it"


class LazyGroup(click.Group):
    """Finds commands in the tables above: `holdfast logs` must not wait for the imports of `holdfast up`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if entry is None:
            return None
        module, attribute, _ = entry
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise in_one_line(error, info_name or "holdfast") from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise in_one_line(error, f"{ctx.command_path} {ctx.invoked_subcommand}") from error
        except HoldfastError as error:
            click.echo(f"holdfast: {error.message}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("holdfast: interrupted", err=True)
            ctx.exit(130)
        except ValueError as error:
            if (text := wrong_settings(error)) is None:
                raise
            click.echo(f"holdfast: {text}", err=True)
            ctx.exit(1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="holdfast", message="%(package)s %(version)s")
def cli() -> None:
    """Run long batch jobs that no crash can lose.

    Start with `holdfast up --detach`, then `holdfast run -- COMMAND` or `kubectl apply -f job.yaml`.
    Every command also works as `kubectl holdfast COMMAND`.
    """


def main() -> None:
    """Entry point of `holdfast` and `kubectl-holdfast`."""
    name = Path(sys.argv[0]).name
    cli(prog_name="kubectl holdfast" if name == "kubectl-holdfast" else "holdfast")


if __name__ == "__main__":
    main()
