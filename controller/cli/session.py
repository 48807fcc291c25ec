"""What every command about jobs shares: the options that choose a cluster, errors as one line, completion of names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from controller.cli import access
from controller.cli.cluster import TIMEOUT_SECONDS, Cluster
from controller.errors import HoldfastError

COMPLETION_SECONDS = 2.0  # rather no names than a prompt that hangs


class Failure(click.ClickException):
    """Ends the command: one line on stderr, exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        note(self.format_message())


def note(message: str) -> None:
    """Tell the person something, on stderr and in one line, so that stdout stays what was asked for."""
    click.echo(f"holdfast: {' '.join(message.split())}", err=True)


class Session:
    """The cluster that the options name; nothing is read or connected before it is needed."""

    def __init__(
        self,
        namespace: str | None,
        kubeconfig: Path | None,
        context: str | None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._timeout = timeout_seconds
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._context = context

    @functools.cached_property
    def cluster(self) -> Cluster:
        """Raises Terminal where there is no usable kubeconfig."""
        return Cluster(access.load(self._kubeconfig, self._context), self._namespace, self._timeout)

    @property
    def namespace_given(self) -> bool:
        """Whether an option names one."""
        return self._namespace is not None

    @property
    def namespace(self) -> str:
        """Of the options, of the kubeconfig, or `default` where there is no kubeconfig to ask."""
        if self._namespace is not None:
            return self._namespace
        try:
            return self.cluster.namespace
        except HoldfastError:
            return "default"

    def close(self) -> None:
        """Drop the connection, if there is one."""
        if "cluster" in self.__dict__:
            self.cluster.close()


def complete_names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion with the names of a kind's objects; nothing where the cluster cannot be asked."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        given = context.params
        options = given.get("namespace"), given.get("kubeconfig"), given.get("context")
        session = Session(*options, COMPLETION_SECONDS)
        try:
            names = [item["metadata"]["name"] for item in session.cluster.list(kind, metadata_only=True)]
        except HoldfastError:
            return []  # a prompt is no place for an error
        finally:
            session.close()
        return [name for name in names if name.startswith(incomplete) and name not in (given.get("jobs") or ())]

    return complete


complete_jobs = complete_names("BatchJob")
complete_queues = complete_names("JobQueue")
complete_repositories = complete_names("Repository")
complete_claims = complete_names("RepositoryLock")

OPTIONS = (
    click.option("-n", "--namespace", metavar="NAMESPACE", help="Namespace; default: the one of the kubeconfig."),
    click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Kubeconfig; default: HOLDFAST_KUBECONFIG, HOLDFAST_HOME/kubeconfig, KUBECONFIG, ~/.kube/config.",
    ),
    click.option("--context", "context", metavar="NAME", help="Context in the kubeconfig."),
)


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options and calls `function` with a Session; errors become one line and exit code 1."""

    @functools.wraps(function)
    def command(*args: Any, namespace: str | None, kubeconfig: Path | None, context: str | None, **options: Any) -> Any:
        session = Session(namespace, kubeconfig, context)
        try:
            return function(session, *args, **options)
        except HoldfastError as error:
            raise Failure(error.message) from error
        finally:
            session.close()

    for option in reversed(OPTIONS):
        command = option(command)
    return command
