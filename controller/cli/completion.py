"""`holdfast completion SHELL`: prints what the shell has to read; names of jobs and queues come from the cluster."""

from __future__ import annotations

import click

PROGRAM = "holdfast"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
      bash:  source <(holdfast completion bash)
      zsh:   source <(holdfast completion zsh)
      fish:  holdfast completion fish | source
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    root = context.find_root().command
    complete = found(root, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE")
    # Not source(): it starts bash to look at its version, which the reader of the script has already.
    click.echo(complete.source_template % complete.source_vars())
